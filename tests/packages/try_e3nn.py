"""The first example of e3nn, made small."""

import torch
from e3nn import o3

torch.manual_seed(0)
x = o3.Irreps("2x0e + 1x1o").randn(3, -1)
print(o3.spherical_harmonics([0, 1, 2], torch.randn(2, 3), normalize=True))
product = o3.FullyConnectedTensorProduct("2x0e + 1x1o", "2x0e + 1x1o", "1x0e + 1x1o")
print(product(x, x))
print(o3.rand_matrix())
