"""Denoising diffusion from scratch: schedules, extract by gather, sinusoidal times, a small U-Net, ancestral and DDIM sampling."""

import math
from functools import partial
from inspect import isfunction

import torch
import torch.nn.functional as F
from torch import einsum, nn
from torch.optim import Adam
from torch.utils.data import DataLoader


def exists(x):
    return x is not None


def default(val, d):
    if exists(val):
        return val
    return d() if isfunction(d) else d


class Residual(nn.Module):
    def __init__(self, fn):
        super().__init__()
        self.fn = fn

    def forward(self, x, *args, **kwargs):
        return self.fn(x, *args, **kwargs) + x


class SinusoidalPositionEmbeddings(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, time):
        half_dim = self.dim // 2
        embeddings = math.log(10000) / (half_dim - 1)
        embeddings = torch.exp(torch.arange(half_dim, device=time.device) * -embeddings)
        embeddings = time[:, None] * embeddings[None, :]
        return torch.cat((embeddings.sin(), embeddings.cos()), dim=-1)


class WeightStandardizedConv2d(nn.Conv2d):
    def forward(self, x):
        eps = 1e-5 if x.dtype == torch.float32 else 1e-3
        weight = self.weight
        mean = weight.mean((1, 2, 3), keepdim=True)
        var = weight.var((1, 2, 3), unbiased=False, keepdim=True)
        return F.conv2d(x, (weight - mean) * (var + eps).rsqrt(), self.bias, self.stride, self.padding, self.dilation, self.groups)


class Block(nn.Module):
    def __init__(self, dim, dim_out, groups=2):
        super().__init__()
        self.proj = WeightStandardizedConv2d(dim, dim_out, 3, padding=1)
        self.norm = nn.GroupNorm(groups, dim_out)
        self.act = nn.SiLU()

    def forward(self, x, scale_shift=None):
        x = self.norm(self.proj(x))
        if exists(scale_shift):
            scale, shift = scale_shift
            x = x * (scale + 1) + shift
        return self.act(x)


class ResnetBlock(nn.Module):
    def __init__(self, dim, dim_out, *, time_emb_dim=None):
        super().__init__()
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(time_emb_dim, dim_out * 2)) if exists(time_emb_dim) else None
        self.block1 = Block(dim, dim_out)
        self.block2 = Block(dim_out, dim_out)
        self.res_conv = nn.Conv2d(dim, dim_out, 1) if dim != dim_out else nn.Identity()

    def forward(self, x, time_emb=None):
        scale_shift = None
        if exists(self.mlp) and exists(time_emb):
            scale_shift = self.mlp(time_emb)[..., None, None].chunk(2, dim=1)
        h = self.block1(x, scale_shift=scale_shift)
        return self.block2(h) + self.res_conv(x)


class LinearAttention(nn.Module):
    def __init__(self, dim, heads=2, dim_head=4):
        super().__init__()
        self.scale = dim_head**-0.5
        self.heads = heads
        self.to_qkv = nn.Conv2d(dim, heads * dim_head * 3, 1, bias=False)
        self.to_out = nn.Sequential(nn.Conv2d(heads * dim_head, dim, 1), nn.GroupNorm(1, dim))

    def forward(self, x):
        b, c, h, w = x.shape
        q, k, v = (t.reshape(b, self.heads, -1, h * w) for t in self.to_qkv(x).chunk(3, dim=1))
        q = q.softmax(dim=-2) * self.scale
        k = k.softmax(dim=-1)
        context = einsum("b h d n, b h e n -> b h d e", k, v)
        out = einsum("b h d e, b h d n -> b h e n", context, q)
        return self.to_out(out.reshape(b, -1, h, w))


class Unet(nn.Module):
    def __init__(self, dim=8, channels=1):
        super().__init__()
        self.init_conv = nn.Conv2d(channels, dim, 1)
        block = partial(ResnetBlock, time_emb_dim=dim * 2)
        self.time_mlp = nn.Sequential(SinusoidalPositionEmbeddings(dim), nn.Linear(dim, dim * 2), nn.GELU(), nn.Linear(dim * 2, dim * 2))
        self.downs = nn.ModuleList([nn.ModuleList([block(dim, dim), Residual(LinearAttention(dim)), nn.Conv2d(dim, dim * 2, 4, 2, 1)])])
        self.mid = block(dim * 2, dim * 2)
        self.ups = nn.ModuleList([nn.ModuleList([nn.Upsample(scale_factor=2, mode="nearest"), block(dim * 3, dim)])])
        self.final = nn.Conv2d(dim, channels, 1)

    def forward(self, x, time):
        x, t, h = self.init_conv(x), self.time_mlp(time), []
        for block, attn, down in self.downs:
            x = attn(block(x, t))
            h.append(x)
            x = down(x)
        x = self.mid(x, t)
        for up, block in self.ups:
            x = block(torch.cat((up(x), h.pop()), dim=1), t)
        return self.final(x)


def cosine_beta_schedule(timesteps, s=0.008):
    steps = timesteps + 1
    x = torch.linspace(0, timesteps, steps)
    alphas_cumprod = torch.cos(((x / timesteps) + s) / (1 + s) * torch.pi * 0.5) ** 2
    alphas_cumprod = alphas_cumprod / alphas_cumprod[0]
    betas = 1 - (alphas_cumprod[1:] / alphas_cumprod[:-1])
    return torch.clip(betas, 0.0001, 0.9999)


timesteps = 12
betas = torch.linspace(1e-3, 0.2, timesteps)
alphas = 1.0 - betas
alphas_cumprod = torch.cumprod(alphas, axis=0)
alphas_cumprod_prev = F.pad(alphas_cumprod[:-1], (1, 0), value=1.0)
sqrt_recip_alphas = torch.sqrt(1.0 / alphas)
sqrt_alphas_cumprod = torch.sqrt(alphas_cumprod)
sqrt_one_minus_alphas_cumprod = torch.sqrt(1.0 - alphas_cumprod)
posterior_variance = betas * (1.0 - alphas_cumprod_prev) / (1.0 - alphas_cumprod)


def extract(a, t, x_shape):
    batch_size = t.shape[0]
    out = a.gather(-1, t.cpu())
    return out.reshape(batch_size, *((1,) * (len(x_shape) - 1))).to(t.device)


def q_sample(x_start, t, noise=None):
    noise = default(noise, lambda: torch.randn_like(x_start))
    return extract(sqrt_alphas_cumprod, t, x_start.shape) * x_start + extract(sqrt_one_minus_alphas_cumprod, t, x_start.shape) * noise


def p_losses(denoise_model, x_start, t, loss_type="l1"):
    noise = torch.randn_like(x_start)
    predicted_noise = denoise_model(q_sample(x_start=x_start, t=t, noise=noise), t)
    return {"l1": F.l1_loss, "l2": F.mse_loss, "huber": F.smooth_l1_loss}[loss_type](noise, predicted_noise)


@torch.no_grad()
def p_sample(model, x, t, t_index):
    betas_t = extract(betas, t, x.shape)
    sqrt_one_minus = extract(sqrt_one_minus_alphas_cumprod, t, x.shape)
    model_mean = extract(sqrt_recip_alphas, t, x.shape) * (x - betas_t * model(x, t) / sqrt_one_minus)
    if t_index == 0:
        return model_mean
    return model_mean + torch.sqrt(extract(posterior_variance, t, x.shape)) * torch.randn_like(x)


@torch.no_grad()
def p_sample_loop(model, shape):
    img = torch.randn(shape)
    imgs = []
    for i in reversed(range(0, timesteps)):
        img = p_sample(model, img, torch.full((shape[0],), i, dtype=torch.long), i)
        imgs.append(img.cpu().numpy())
    return imgs


@torch.no_grad()
def ddim(model, shape, steps=4, eta=0.0):
    times = torch.linspace(-1, timesteps - 1, steps=steps + 1)
    times = list(reversed(times.int().tolist()))
    img = torch.randn(shape)
    for time, time_next in zip(times[:-1], times[1:]):
        pred = model(img, torch.full((shape[0],), time))
        x_start = ((img - sqrt_one_minus_alphas_cumprod[time] * pred) / sqrt_alphas_cumprod[time]).clamp_(-1.0, 1.0)
        if time_next < 0:
            img = x_start
            continue
        alpha, alpha_next = alphas_cumprod[time], alphas_cumprod[time_next]
        sigma = eta * ((1 - alpha / alpha_next) * (1 - alpha_next) / (1 - alpha)).sqrt()
        img = x_start * alpha_next.sqrt() + (1 - alpha_next - sigma**2).sqrt() * pred + sigma * torch.randn_like(img)
    return img


torch.manual_seed(0)
y, x = torch.meshgrid(torch.linspace(-1, 1, 8), torch.linspace(-1, 1, 8), indexing="xy")
data = torch.stack([torch.sign(x * math.cos(a) + y * math.sin(a))[None] for a in torch.rand(48) * 6.28])
loader = DataLoader(data, batch_size=16, shuffle=True)
model = Unet()
print(sum(p.numel() for p in model.parameters()), cosine_beta_schedule(5))
optimizer = Adam(model.parameters(), lr=3e-3)
for epoch in range(2):
    for step, batch in enumerate(loader):
        optimizer.zero_grad()
        t = torch.randint(0, timesteps, (batch.shape[0],)).long()
        loss = p_losses(model, batch, t, loss_type=("huber", "l1", "l2")[step])
        loss.backward()
        optimizer.step()
        print("Loss:", loss.item())
samples = p_sample_loop(model, (2, 1, 8, 8))
print(len(samples), samples[-1].shape, samples[-1].std().round(3))
print(ddim(model, (1, 1, 8, 8), eta=0.5)[0, 0, :2])
