"""Pixels as parameters: total variation, deep dream by gradient ascent, adversarial examples by signs and projections, denoising."""

import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(5)
net = nn.Sequential(
    nn.Conv2d(1, 6, 3, padding=1, padding_mode="reflect"),
    nn.ELU(),
    nn.Conv2d(6, 6, 3, dilation=2, padding=2),
    nn.ELU(),
    nn.AvgPool2d(2),
    nn.Flatten(),
    nn.Linear(6 * 36, 4),
)
for p in net.parameters():
    p.requires_grad = False
net.eval()
y, x = torch.meshgrid(torch.linspace(0, 1, 12), torch.linspace(0, 1, 12), indexing="ij")
clean = ((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.1).float()[None, None]
noisy = (clean + 0.2 * torch.randn_like(clean)).clamp(0, 1)


def total_variation(img):
    return (img[..., 1:, :] - img[..., :-1, :]).abs().sum() + torch.diff(img, dim=-1).abs().sum()


image = nn.Parameter(noisy.clone())
optimizer = torch.optim.Rprop([image], lr=0.01, step_sizes=(1e-6, 0.05))
for i in range(15):
    optimizer.zero_grad(set_to_none=True)
    loss = F.mse_loss(image, noisy, reduction="sum") + 0.15 * total_variation(image)
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        image.clamp_(0, 1)
    if i % 7 == 0:
        print(i, f"{loss.item():.4f} {F.mse_loss(image, clean).item():.6f}")


def fgsm_attack(image, epsilon, data_grad):
    sign_data_grad = data_grad.sign()
    perturbed_image = image + epsilon * sign_data_grad
    return torch.clamp(perturbed_image, 0, 1)


data = noisy.clone().detach()
data.requires_grad = True
output = net(data)
init_pred = output.max(1, keepdim=True)[1]
loss = F.nll_loss(F.log_softmax(output, dim=1), init_pred.view(-1))
net.zero_grad()
loss.backward()
data_grad = data.grad.data
for epsilon in (0, 0.05, 0.3):
    out = net(fgsm_attack(data, epsilon, data_grad))
    print(epsilon, out.max(1)[1].item(), f"{F.cross_entropy(out, init_pred[0]).item():.5f}")

delta = torch.zeros_like(noisy, requires_grad=True)
for _ in range(5):
    loss = F.cross_entropy(net(noisy + delta), init_pred.squeeze(1))
    loss.backward()
    delta.data = (delta + 0.02 * delta.grad.detach().sign()).clamp(-0.05, 0.05)
    delta.data = torch.min(torch.max(delta.detach(), -noisy), 1 - noisy)
    delta.grad.zero_()
print(f"{loss.item():.5f} {delta.abs().max().item():.3f} {delta.norm(p=1).item():.4f}")

dream = torch.rand(1, 1, 8, 8)
acts = {}
hook = net[2].register_forward_hook(lambda m, i, o: acts.__setitem__("conv", o))
for octave in range(2):
    dream = (
        F.interpolate(dream, scale_factor=1.25, mode="bicubic", align_corners=False, recompute_scale_factor=True).detach().requires_grad_()
    )
    for it in range(3):
        shift = (it, -it)
        rolled = torch.roll(dream, shifts=shift, dims=(-1, -2))
        F.elu(net[2](F.elu(net[0](rolled))))
        acts["conv"].norm().backward()
        g = dream.grad
        dream.data += 0.1 * g / (g.abs().mean() + 1e-8)
        dream.grad.data.zero_()
    print(tuple(dream.shape), f"{dream.mean().item():.4f} {dream.std().item():.4f} {acts['conv'].norm().item():.4f}")
hook.remove()

kernel = torch.tensor([1.0, 2.0, 1.0])
kernel = (kernel[:, None] * kernel[None]) / 16
blurred = F.conv2d(F.pad(clean, (1, 1, 1, 1), mode="replicate"), kernel[None, None])
sobel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
edges = F.conv2d(blurred, torch.stack([sobel, sobel.T])[:, None], padding=1)
print(edges.pow(2).sum(1).sqrt().amax(), torch.atan2(edges[:, 1], edges[:, 0]).std())
theta = torch.tensor([[[0.8, 0.2, 0.1], [-0.2, 0.8, 0.0]]], requires_grad=True)
warped = F.grid_sample(
    clean, F.affine_grid(theta, clean.size(), align_corners=False), mode="bilinear", padding_mode="border", align_corners=False
)
(warped - blurred).pow(2).sum().backward()
print(theta.grad)
print(F.fold(F.unfold(clean, 3, stride=3), (12, 12), 3, stride=3).eq(clean).all(), F.pixel_unshuffle(clean, 3).shape)
