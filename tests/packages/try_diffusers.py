"""The first example of diffusers, made small."""

import torch
from diffusers import DDPMScheduler, UNet2DModel

torch.manual_seed(0)
net = UNet2DModel(
    sample_size=16,
    in_channels=1,
    out_channels=1,
    layers_per_block=1,
    block_out_channels=(8, 16),
    norm_num_groups=4,
    down_block_types=("DownBlock2D", "AttnDownBlock2D"),
    up_block_types=("AttnUpBlock2D", "UpBlock2D"),
)
scheduler = DDPMScheduler(num_train_timesteps=10)
x = torch.randn(1, 1, 16, 16)
scheduler.set_timesteps(3)
with torch.no_grad():
    for t in scheduler.timesteps:
        x = scheduler.step(net(x, t).sample, t, x).prev_sample
        print(x.sum().item())
