"""A Gaussian process by Cholesky, variational inference by hand, Hamiltonian Monte Carlo, k-means, PCA and logistic regression by Newton."""

import math

import torch
from torch import nn
from torch.distributions import Dirichlet, Gamma, HalfNormal, LogNormal, MultivariateNormal, Normal, Poisson, kl_divergence

torch.manual_seed(100)
torch.set_default_dtype(torch.float64)


class GP(nn.Module):
    def __init__(self):
        super().__init__()
        self.raw = nn.ParameterDict({k: nn.Parameter(torch.tensor(v)) for k, v in {"scale": 0.0, "length": 0.0, "noise": -2.0}.items()})

    def __getattr__(self, name):
        if name in ("scale", "length", "noise"):
            return nn.functional.softplus(self.raw[name])
        return super().__getattr__(name)

    def kernel(self, a, b):
        return self.scale * torch.exp(-0.5 * torch.cdist(a / self.length, b / self.length) ** 2)

    def nll(self, x, y):
        K = self.kernel(x, x) + self.noise * torch.eye(len(x))
        L = torch.linalg.cholesky(K)
        alpha = torch.cholesky_solve(y[:, None], L)
        return 0.5 * (y @ alpha).squeeze() + L.diagonal().log().sum() + 0.5 * len(x) * math.log(2 * math.pi)

    def predict(self, x, y, new):
        K = self.kernel(x, x) + self.noise * torch.eye(len(x))
        k = self.kernel(new, x)
        solved = torch.linalg.solve(K, torch.cat([y[:, None], k.mT], 1))
        return k @ solved[:, 0], self.kernel(new, new) - k @ solved[:, 1:]


x = torch.rand(20, 1) * 4
y = torch.sin(2 * x[:, 0]) + 0.1 * torch.randn(20)
gp = GP()
optimizer = torch.optim.LBFGS(gp.parameters(), lr=0.1, max_iter=5)
for i in range(3):

    def closure():
        optimizer.zero_grad()
        loss = gp.nll(x, y)
        loss.backward()
        return loss

    print(i, f"{optimizer.step(closure).item():.6f}", [f"{getattr(gp, k).item():.4f}" for k in ("scale", "length", "noise")])
mean, cov = gp.predict(x, y, torch.linspace(0, 4, 4)[:, None])
print(mean, torch.linalg.eigvalsh(cov) > -1e-8)
print(torch.allclose(-MultivariateNormal(torch.zeros(20), gp.kernel(x, x) + gp.noise * torch.eye(20)).log_prob(y), gp.nll(x, y)))

loc, log_scale = torch.zeros(2, requires_grad=True), torch.zeros(2, requires_grad=True)
target = MultivariateNormal(torch.tensor([1.0, -1.0]), torch.tensor([[1.0, 0.6], [0.6, 2.0]]))
opt = torch.optim.Adam([loc, log_scale], lr=0.1)
for step in range(30):
    q = Normal(loc, log_scale.exp())
    z = q.rsample((16,))
    elbo = (target.log_prob(z) - q.log_prob(z).sum(-1)).mean()
    opt.zero_grad()
    (-elbo).backward()
    opt.step()
print(loc.data, log_scale.data.exp(), kl_divergence(Normal(loc, log_scale.exp()), Normal(0.0, 1.0)).sum().item())


def hmc(log_prob, start, steps=8, eps=0.2, leaps=5):
    samples, q, accepted = [], start.clone(), 0
    for _ in range(steps):
        q0, p = q.clone(), torch.randn_like(q)
        q_new, p_new = q.clone().requires_grad_(), p.clone()
        h0 = -log_prob(q_new) + 0.5 * p_new @ p_new
        for _ in range(leaps):
            (g,) = torch.autograd.grad(log_prob(q_new), q_new)
            p_new = p_new + 0.5 * eps * g
            q_new = (q_new + eps * p_new).detach().requires_grad_()
            (g,) = torch.autograd.grad(log_prob(q_new), q_new)
            p_new = p_new + 0.5 * eps * g
        h1 = -log_prob(q_new) + 0.5 * p_new @ p_new
        if torch.rand(()) < torch.exp(h0 - h1):
            q, accepted = q_new.detach(), accepted + 1
        else:
            q = q0
        samples.append(q)
    return torch.stack(samples), accepted


samples, accepted = hmc(target.log_prob, torch.zeros(2))
print(samples[-1], accepted)

points = torch.cat([torch.randn(15, 2) + c for c in torch.tensor([[0.0, 0.0], [5.0, 5.0], [0.0, 6.0]])])
centroids = points[torch.randperm(45)[:3]]
for _ in range(5):
    assign = torch.cdist(points, centroids).argmin(1)
    centroids = torch.stack([points[assign == k].mean(0) if (assign == k).any() else centroids[k] for k in range(3)])
print(assign.bincount(minlength=3), centroids[centroids[:, 1].argsort()])
U, S, Vh = torch.linalg.svd(points - points.mean(0), full_matrices=False)
print(S, torch.cov(points.T), torch.corrcoef(points.T)[0, 1])
labels = (points[:, 0] + 0.5 * torch.randn(45) > 1.5).double()
design, w = torch.cat([points, torch.ones(45, 1)], 1), torch.zeros(3)
for _ in range(6):
    p = torch.sigmoid(design @ w)
    w = (
        w
        + torch.linalg.lstsq(
            (design.T * (p * (1 - p))) @ design + 1e-3 * torch.eye(3), (design.T @ (labels - p) - 1e-3 * w)[:, None]
        ).solution[:, 0]
    )
print(w, torch.special.xlog1py(labels, -p.clamp(max=0.999)).sum())
for d in (Gamma(2.0, 3.0), Dirichlet(torch.ones(3) * 2), LogNormal(0.0, 0.5), HalfNormal(2.0), Poisson(torch.tensor([4.0]))):
    print(d, d.mean, d.variance, d.sample().shape)
