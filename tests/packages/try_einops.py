"""The first example of einops, made small."""

import torch
from einops import rearrange, reduce, repeat
from einops.layers.torch import Rearrange

torch.manual_seed(0)
x = torch.randn(2, 3, 8, 8)
patches = rearrange(x, "b c (h p) (w q) -> b (h w) (p q c)", p=4, q=4)
print(patches.shape, patches.sum().item())
print(reduce(x, "b c h w -> b c", "max"))
print(repeat(x[:, 0, 0], "b w -> b w k", k=2).shape)
net = torch.nn.Sequential(Rearrange("b c h w -> b (c h w)"), torch.nn.Linear(192, 2))
print(net(x))
