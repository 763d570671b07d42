"""The first example of ema-pytorch, made small."""

import torch
from ema_pytorch import EMA

torch.manual_seed(0)
net = torch.nn.Linear(4, 4)
ema = EMA(net, beta=0.9, update_after_step=1, update_every=1)
for _ in range(5):
    with torch.no_grad():
        net.weight.copy_(torch.randn_like(net.weight))
        net.bias.copy_(torch.randn_like(net.bias))
    ema.update()
print(ema(torch.ones(1, 4)), net(torch.ones(1, 4)))
