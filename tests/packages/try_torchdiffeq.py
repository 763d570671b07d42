"""The first example of torchdiffeq, made small."""

import torch
from torchdiffeq import odeint, odeint_adjoint

torch.manual_seed(0)


class Spiral(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2))

    def forward(self, t, y):
        return self.net(y**3)


f = Spiral()
y0, t = torch.tensor([[2.0, 0.0]]), torch.linspace(0.0, 1.0, 5)
print(odeint(f, y0, t, method="dopri5"))
print(odeint(f, y0, t, method="rk4")[-1])
loss = odeint_adjoint(f, y0, t).square().mean()
loss.backward()
print(loss.item(), [round(p.grad.norm().item(), 5) for p in f.parameters()])
