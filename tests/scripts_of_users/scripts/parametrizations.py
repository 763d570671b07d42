"""Parametrisations: symmetric and skew matrices, exponentials, caching, right_inverse, orthogonal, weight_norm, spectral_norm."""

import copy

import torch
import torch.nn as nn
import torch.nn.utils.parametrize as parametrize
from torch.nn.utils import parameters_to_vector, parametrizations, vector_to_parameters

torch.manual_seed(1)


class Symmetric(nn.Module):
    def forward(self, X):
        return X.triu() + X.triu(1).transpose(-1, -2)

    def right_inverse(self, A):
        return A.triu()


class Skew(nn.Module):
    def forward(self, X):
        A = X.triu(1)
        return A - A.transpose(-1, -2)

    def right_inverse(self, A):
        return A.triu(1)


class MatrixExponential(nn.Module):
    def forward(self, X):
        return torch.matrix_exp(X)


layer = nn.Linear(3, 3)
parametrize.register_parametrization(layer, "weight", Symmetric())
A = layer.weight
assert torch.allclose(A, A.T)
print(layer)
print(A)
print(layer.parametrizations, layer.parametrizations.weight[0], layer.parametrizations["weight"].original, sep="\n")
print([name for name, _ in layer.named_parameters()])

cnn = nn.Conv2d(in_channels=4, out_channels=8, kernel_size=3)
parametrize.register_parametrization(cnn, "weight", Symmetric())
print(cnn.weight.shape, torch.allclose(cnn.weight, cnn.weight.transpose(-1, -2)))

layer_orthogonal = nn.Linear(3, 3)
parametrize.register_parametrization(layer_orthogonal, "weight", Skew())
parametrize.register_parametrization(layer_orthogonal, "weight", MatrixExponential())
X = layer_orthogonal.weight
print(torch.dist(X.T @ X, torch.eye(3)) < 1e-5, layer_orthogonal)


class NoisyParametrization(nn.Module):
    calls = 0

    def forward(self, X):
        NoisyParametrization.calls += 1
        return X


noisy = nn.Linear(4, 4)
parametrize.register_parametrization(noisy, "weight", NoisyParametrization())
NoisyParametrization.calls = 0
noisy.weight, noisy.weight
print(NoisyParametrization.calls)
with parametrize.cached():
    noisy.weight, noisy(torch.ones(1, 4))
print(NoisyParametrization.calls)

layer = nn.Linear(3, 3)
parametrize.register_parametrization(layer, "weight", Symmetric())
S = torch.arange(9.0).view(3, 3)
S = S + S.T
layer.weight = S
print(torch.equal(layer.weight, S), type(layer).__name__, parametrize.is_parametrized(layer), parametrize.is_parametrized(layer, "bias"))
parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
print(type(layer).__name__, layer.weight, parametrize.is_parametrized(layer))


class PrunedParametrization(nn.Module):
    def __init__(self, X, p_drop=0.2):
        super().__init__()
        mask = torch.full_like(X, 1.0 - p_drop)
        self.mask = torch.bernoulli(mask)

    def forward(self, X):
        return X * self.mask


class RankOne(nn.Module):
    def forward(self, x, y):
        return x.unsqueeze(-1) @ y.unsqueeze(-2)

    def right_inverse(self, Z):
        U, S, Vh = torch.linalg.svd(Z, full_matrices=False)
        s0_sqrt = S[0].sqrt().unsqueeze(-1)
        sign = U[..., :1, 0].sign()
        return U[..., :, 0] * s0_sqrt * sign, Vh[..., 0, :] * s0_sqrt * sign


linear_rank_one = parametrize.register_parametrization(nn.Linear(4, 4), "weight", RankOne())
print(torch.linalg.matrix_rank(linear_rank_one.weight).item(), [(n, tuple(p.shape)) for n, p in linear_rank_one.named_parameters()])
pruned = nn.Linear(3, 4)
parametrize.register_parametrization(pruned, "weight", PrunedParametrization(pruned.weight))
print(pruned.weight)

net = nn.Sequential(
    parametrizations.weight_norm(nn.Linear(5, 6)),
    nn.Tanh(),
    parametrizations.spectral_norm(nn.Linear(6, 6), n_power_iterations=2),
    nn.Tanh(),
    parametrizations.orthogonal(nn.Linear(6, 3)),
)
print(net)
opt = torch.optim.Adagrad(net.parameters(), lr=0.05)
x, y = torch.randn(10, 5), torch.randn(10, 3)
for _ in range(5):
    opt.zero_grad()
    loss = nn.functional.huber_loss(net(x), y)
    loss.backward()
    opt.step()
    print(f"{loss:.5f}", end=" ")
Q = net[4].weight
print(torch.dist(Q @ Q.T, torch.eye(3)) < 1e-5, sorted(net.state_dict()))
twin = copy.deepcopy(net).eval()
twin.load_state_dict(net.state_dict())
print(torch.equal(twin(x), net.eval()(x)))
vec = parameters_to_vector(net.parameters())
vector_to_parameters(vec * 0.5, net.parameters())
print(vec.shape, f"{vec.norm():.4f}", f"{net(x).sum():.4f}")
