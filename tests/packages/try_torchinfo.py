"""The first example of torchinfo, made small."""

import torch
from torchinfo import summary

torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 10))
print(summary(net, input_size=(2, 1, 8, 8)))
