"""The first example of denoising-diffusion-pytorch, made small."""

import torch
from denoising_diffusion_pytorch import GaussianDiffusion, Unet

torch.manual_seed(0)
net = Unet(dim=8, dim_mults=(1, 2), flash_attn=False)
diffusion = GaussianDiffusion(net, image_size=16, timesteps=10)
loss = diffusion(torch.rand(2, 3, 16, 16))
loss.backward()
print(loss.item())
print(diffusion.sample(batch_size=1).sum().item())
