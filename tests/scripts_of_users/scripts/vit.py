"""A vision transformer: patches by unfold and by convolution, class token, trunc_normal_, label smoothing, mixup, EMA of accuracy, warm-up."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


def pair(t):
    return t if isinstance(t, tuple) else (t, t)


class PatchEmbed(nn.Module):
    def __init__(self, img_size=16, patch_size=4, in_chans=3, embed_dim=24):
        super().__init__()
        (h, w), (p, q) = pair(img_size), pair(patch_size)
        self.grid_size = (h // p, w // q)
        self.num_patches = self.grid_size[0] * self.grid_size[1]
        self.proj = nn.Conv2d(in_chans, embed_dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


class Attention(nn.Module):
    def __init__(self, dim, num_heads=3, qkv_bias=True, attn_drop=0.0, proj_drop=0.0):
        super().__init__()
        self.num_heads = num_heads
        self.scale = (dim // num_heads) ** -0.5
        self.qkv = nn.Linear(dim, dim * 3, bias=qkv_bias)
        self.attn_drop = nn.Dropout(attn_drop)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(proj_drop)

    def forward(self, x):
        B, N, C = x.shape
        qkv = self.qkv(x).reshape(B, N, 3, self.num_heads, C // self.num_heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        attn = (q @ k.transpose(-2, -1)) * self.scale
        attn = self.attn_drop(attn.softmax(dim=-1))
        x = (attn @ v).transpose(1, 2).reshape(B, N, C)
        return self.proj_drop(self.proj(x))


class DropPath(nn.Module):
    def __init__(self, drop_prob=0.0):
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x):
        if self.drop_prob == 0.0 or not self.training:
            return x
        keep_prob = 1 - self.drop_prob
        shape = (x.shape[0],) + (1,) * (x.ndim - 1)
        random_tensor = keep_prob + torch.rand(shape, dtype=x.dtype, device=x.device)
        random_tensor.floor_()
        return x.div(keep_prob) * random_tensor


class Block(nn.Module):
    def __init__(self, dim, num_heads, mlp_ratio=2.0, drop_path=0.0, init_values=1e-1):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, num_heads)
        self.ls1 = nn.Parameter(init_values * torch.ones(dim))
        self.drop_path = DropPath(drop_path) if drop_path > 0.0 else nn.Identity()
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(dim, int(dim * mlp_ratio)), nn.GELU(approximate="tanh"), nn.Linear(int(dim * mlp_ratio), dim))

    def forward(self, x):
        x = x + self.drop_path(self.ls1 * self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class VisionTransformer(nn.Module):
    def __init__(self, depth=3, embed_dim=24, num_classes=5):
        super().__init__()
        self.patch_embed = PatchEmbed(embed_dim=embed_dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, self.patch_embed.num_patches + 1, embed_dim))
        dpr = [x.item() for x in torch.linspace(0, 0.2, depth)]
        self.blocks = nn.ModuleList([Block(embed_dim, 3, drop_path=dpr[i]) for i in range(depth)])
        self.norm = nn.LayerNorm(embed_dim)
        self.head = nn.Linear(embed_dim, num_classes)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        self.apply(self._init_weights)

    def _init_weights(self, m):
        if isinstance(m, nn.Linear):
            nn.init.trunc_normal_(m.weight, std=0.02)
            if isinstance(m, nn.Linear) and m.bias is not None:
                nn.init.constant_(m.bias, 0)
        elif isinstance(m, nn.LayerNorm):
            nn.init.constant_(m.bias, 0)
            nn.init.constant_(m.weight, 1.0)

    @torch.jit.ignore
    def no_weight_decay(self):
        return {"pos_embed", "cls_token"}

    def interpolate_pos_encoding(self, h, w):
        N = self.pos_embed.shape[1] - 1
        patch_pos = self.pos_embed[:, 1:].reshape(1, int(math.sqrt(N)), int(math.sqrt(N)), -1).permute(0, 3, 1, 2)
        patch_pos = F.interpolate(patch_pos, size=(h, w), mode="bicubic", align_corners=False, antialias=True)
        return torch.cat((self.pos_embed[:, :1], patch_pos.permute(0, 2, 3, 1).flatten(1, 2)), dim=1)

    def forward(self, x):
        h, w = x.shape[-2] // 4, x.shape[-1] // 4
        x = self.patch_embed(x)
        x = torch.cat((self.cls_token.expand(x.shape[0], -1, -1), x), dim=1)
        x = x + (self.pos_embed if (h, w) == self.patch_embed.grid_size else self.interpolate_pos_encoding(h, w))
        for blk in self.blocks:
            x = blk(x)
        return self.head(self.norm(x)[:, 0])


def mixup_data(x, y, alpha=1.0):
    lam = torch.distributions.Beta(alpha, alpha).sample().item() if alpha > 0 else 1
    index = torch.randperm(x.size(0))
    return lam * x + (1 - lam) * x[index, :], y, y[index], lam


torch.manual_seed(33)
labels = torch.randint(0, 5, (60,))
images = torch.rand(60, 3, 16, 16) + F.one_hot(labels, 16)[:, None, :, None] * 1.0
unfolded = F.unfold(images[:2], 4, stride=4)
net = VisionTransformer()
conv = net.patch_embed.proj
by_unfold = (conv.weight.flatten(1) @ unfolded + conv.bias[:, None]).mT
print(unfolded.shape, torch.allclose(by_unfold, net.patch_embed(images[:2]), atol=1e-5))
decay, no_decay = [], []
for name, p in net.named_parameters():
    (no_decay if p.ndim == 1 or name in net.no_weight_decay() else decay).append(p)
optimizer = torch.optim.AdamW([{"params": decay}, {"params": no_decay, "weight_decay": 0.0}], lr=3e-3, weight_decay=0.05)
warm = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min(1.0, (s + 1) / 4) * 0.5 * (1 + math.cos(math.pi * s / 20)))
criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
ema_accuracy = None
for epoch in range(2):
    net.train()
    for x, y in DataLoader(TensorDataset(images, labels), batch_size=20, shuffle=True):
        x, y_a, y_b, lam = mixup_data(x, y, 0.4)
        out = net(x)
        loss = lam * criterion(out, y_a) + (1 - lam) * criterion(out, y_b)
        optimizer.zero_grad()
        loss.backward()
        grad_norm = nn.utils.get_total_norm([p.grad for p in net.parameters()])
        nn.utils.clip_grads_with_norm_(net.parameters(), 1.0, grad_norm)
        optimizer.step()
        warm.step()
        acc = (out.argmax(-1) == y_a).float().mean().item()
        ema_accuracy = acc if ema_accuracy is None else 0.9 * ema_accuracy + 0.1 * acc
        print(f"{loss.item():.4f} {grad_norm:.4f} {lam:.4f} {ema_accuracy:.4f} {warm.get_last_lr()[0]:.5f}")
net.eval()
with torch.inference_mode():
    logits = net(images)
    print(logits.softmax(-1)[0], net(F.interpolate(images[:2], (24, 20), mode="bilinear", antialias=True))[0])
    print(torch.topk(logits, 2).indices[:3].tolist(), (logits.argmax(1) == labels).sum().item())
    confusion = torch.zeros(5, 5, dtype=torch.int64)
    confusion.index_put_((labels, logits.argmax(1)), torch.tensor(1), accumulate=True)
    print(confusion)
