"""The first example of torchsde, made small."""

import torch
import torchsde

torch.manual_seed(0)


class SDE(torch.nn.Module):
    noise_type, sde_type = "diagonal", "ito"

    def __init__(self):
        super().__init__()
        self.mu = torch.nn.Linear(3, 3)
        self.sigma = torch.nn.Linear(3, 3)

    def f(self, t, y):
        return self.mu(y)

    def g(self, t, y):
        return torch.sigmoid(self.sigma(y))


sde = SDE()
y0, ts = torch.full((4, 3), 0.1), torch.linspace(0, 1, 4)
noise = torchsde.BrownianInterval(0.0, 1.0, size=(4, 3), entropy=1234)
ys = torchsde.sdeint(sde, y0, ts, bm=noise, dt=0.05, method="euler")
print(ys.shape, ys[-1])
ys.mean().backward()
print(sde.mu.weight.grad)
