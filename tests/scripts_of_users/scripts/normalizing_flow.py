"""RealNVP couplings with masks as buffers; TransformedDistribution with transforms; a planar flow by hand."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.distributions import MultivariateNormal, Normal, TransformedDistribution, Uniform, constraints
from torch.distributions.transforms import AffineTransform, ComposeTransform, ExpTransform, SigmoidTransform, Transform

torch.manual_seed(3)
torch.set_default_dtype(torch.float64)


class RealNVP(nn.Module):
    def __init__(self, nets, nett, mask, prior):
        super(RealNVP, self).__init__()
        self.prior = prior
        self.mask = nn.Parameter(mask, requires_grad=False)
        self.t = torch.nn.ModuleList([nett() for _ in range(len(mask))])
        self.s = torch.nn.ModuleList([nets() for _ in range(len(mask))])

    def g(self, z):
        x = z
        for i in range(len(self.t)):
            x_ = x * self.mask[i]
            s = self.s[i](x_) * (1 - self.mask[i])
            t = self.t[i](x_) * (1 - self.mask[i])
            x = x_ + (1 - self.mask[i]) * (x * torch.exp(s) + t)
        return x

    def f(self, x):
        log_det_J, z = x.new_zeros(x.shape[0]), x
        for i in reversed(range(len(self.t))):
            z_ = self.mask[i] * z
            s = self.s[i](z_) * (1 - self.mask[i])
            t = self.t[i](z_) * (1 - self.mask[i])
            z = (1 - self.mask[i]) * (z - t) * torch.exp(-s) + z_
            log_det_J -= s.sum(dim=1)
        return z, log_det_J

    def log_prob(self, x):
        z, logp = self.f(x)
        return self.prior.log_prob(z) + logp

    def sample(self, batchSize):
        z = self.prior.sample((batchSize, 1))
        return self.g(z)


def moons(n):
    angle = torch.rand(n) * torch.pi
    upper = torch.rand(n) < 0.5
    x = torch.where(upper, angle.cos(), 1 - angle.cos())
    y = torch.where(upper, angle.sin(), 0.5 - angle.sin())
    return torch.stack([x, y], 1) + 0.05 * torch.randn(n, 2)


nets = lambda: nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(), nn.Linear(16, 2), nn.Tanh())
nett = lambda: nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(), nn.Linear(16, 2))
masks = torch.tensor([[0, 1], [1, 0]] * 2, dtype=torch.get_default_dtype())
prior = MultivariateNormal(torch.zeros(2), torch.eye(2))
flow = RealNVP(nets, nett, masks, prior)
optimizer = torch.optim.Adam([p for p in flow.parameters() if p.requires_grad == True], lr=5e-3)
for t in range(15):
    loss = -flow.log_prob(moons(64)).mean()
    optimizer.zero_grad()
    loss.backward(retain_graph=True)
    optimizer.step()
    if t % 5 == 4:
        print("iter %s:" % t, "loss = %.6f" % loss)
x = moons(4)
z = flow.f(x)[0]
print(torch.dist(flow.g(z), x) < 1e-10, flow.sample(3).shape, z.detach().numpy().round(4))


class Leaky(Transform):
    domain = codomain = constraints.real
    bijective = True
    sign = +1

    def __init__(self, slope, cache_size=0):
        super().__init__(cache_size=cache_size)
        self.slope = slope

    def _call(self, x):
        return F.leaky_relu(x, self.slope)

    def _inverse(self, y):
        return F.leaky_relu(y, 1 / self.slope)

    def log_abs_det_jacobian(self, x, y):
        return torch.where(x >= 0, 0.0, torch.tensor(self.slope).log())


loc, scale = torch.zeros(2, requires_grad=True), torch.ones(2, requires_grad=True)
base = Normal(torch.zeros(2), torch.ones(2))
dist = TransformedDistribution(base, [Leaky(0.3), AffineTransform(loc, scale), ExpTransform()])
samples = dist.rsample((5,))
(-dist.log_prob(samples.detach()).mean()).backward()
print(dist.log_prob(samples)[0], loc.grad, scale.grad)
print(dist.support, dist.has_rsample, dist.sample().shape)
logistic = TransformedDistribution(Uniform(0.0, 1.0), [SigmoidTransform().inv, AffineTransform(loc=1.0, scale=2.0)])
print(logistic.log_prob(torch.tensor([0.5, 3.0])), logistic.cdf(torch.tensor(1.0)), logistic.icdf(torch.tensor(0.25)))
both = ComposeTransform([AffineTransform(1.0, 2.0), ExpTransform()])
print(both(torch.tensor(0.5)), both.inv(both(torch.tensor(0.5))), both)

u, w, b = (torch.randn(s, requires_grad=True) for s in ((1, 2), (1, 2), (1,)))
zs = base.sample((32,))
for _ in range(4):
    activation = F.linear(zs, w, b).tanh()
    zk = zs + u * activation
    psi = (1 - activation**2) * w
    log_det = torch.log(1e-4 + (1 + psi @ u.t()).abs())
    energy = (0.5 * ((zk.norm(2, dim=-1) - 2) / 0.4) ** 2 - log_det.squeeze()).mean()
    grads = torch.autograd.grad(energy, [u, w, b])
    with torch.no_grad():
        for p, g in zip((u, w, b), grads):
            p -= 0.05 * g
    print(f"{energy.item():.5f}", end=" ")
print()
