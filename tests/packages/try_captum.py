"""The first example of captum, made small."""

import torch
from captum.attr import DeepLift, IntegratedGradients, Saliency

torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2)).eval()
x, base = torch.rand(2, 3), torch.zeros(2, 3)
found, delta = IntegratedGradients(net).attribute(x, base, target=0, return_convergence_delta=True)
print(found, delta)
print(Saliency(net).attribute(x.clone().requires_grad_(), target=1))
print(DeepLift(net).attribute(x, base, target=0))
