"""A mixture density network with MixtureSameFamily, and the same by logsumexp; sampling from the mixture."""

import math

import torch
import torch.distributions as D
from torch import nn

torch.manual_seed(11)


class MDN(nn.Module):
    def __init__(self, n_in, n_hidden, n_components):
        super().__init__()
        self.z_h = nn.Sequential(nn.Linear(n_in, n_hidden), nn.Tanh())
        self.z_pi = nn.Linear(n_hidden, n_components)
        self.z_mu = nn.Linear(n_hidden, n_components)
        self.z_sigma = nn.Linear(n_hidden, n_components)

    def forward(self, x):
        z_h = self.z_h(x)
        pi = nn.functional.softmax(self.z_pi(z_h), -1)
        mu = self.z_mu(z_h)
        sigma = torch.exp(self.z_sigma(z_h))
        return pi, mu, sigma


def mdn_loss_fn(y, mu, sigma, pi):
    m = D.Normal(loc=mu, scale=sigma)
    loss = torch.exp(m.log_prob(y))
    loss = torch.sum(loss * pi, dim=1)
    loss = -torch.log(loss)
    return torch.mean(loss)


def by_logsumexp(y, mu, sigma, pi):
    log_prob = -0.5 * ((y - mu) / sigma) ** 2 - sigma.log() - 0.5 * math.log(2 * math.pi)
    return -torch.logsumexp(pi.log() + log_prob, 1).mean()


n = 200
y = torch.linspace(-2, 2, n).unsqueeze(1)
x = 0.7 * torch.sin(3 * y) + 0.5 * y + torch.randn(n, 1) * 0.05
network = MDN(1, 20, 5)
optimizer = torch.optim.RMSprop(network.parameters(), lr=5e-3, alpha=0.95)
scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[20, 30], gamma=0.3)
for epoch in range(40):
    pi, mu, sigma = network(x)
    loss = mdn_loss_fn(y, mu, sigma, pi)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    if epoch % 10 == 0:
        print(epoch, loss.data.tolist(), scheduler.get_last_lr()[0])

pi, mu, sigma = network(x)
print(by_logsumexp(y, mu, sigma, pi).item(), mdn_loss_fn(y, mu, sigma, pi).item())
mixture = D.MixtureSameFamily(D.Categorical(pi), D.Normal(mu, sigma))
print(mixture)
print(mixture.batch_shape, mixture.event_shape, -mixture.log_prob(y.squeeze(1)).mean())
print(mixture.mean[:3], mixture.variance[:3])
with torch.no_grad():
    k = torch.multinomial(pi[:6], 1).view(-1)
    y_pred = torch.normal(mu[:6], sigma[:6])[torch.arange(6), k]
    print(k, y_pred)
    print(D.Independent(D.Normal(mu[:2], sigma[:2]), 1).sample((2,)).shape, D.kl_divergence(D.Normal(mu[0], sigma[0]), D.Normal(0.0, 1.0)))
