"""A neural ODE with solvers by hand: Euler, midpoint, Runge-Kutta, an adjoint as a Function, a latent spiral fitted."""

import argparse

import torch
import torch.nn as nn
import torch.optim as optim

parser = argparse.ArgumentParser("ODE demo")
parser.add_argument("--method", type=str, choices=["euler", "midpoint", "rk4"], default="rk4")
parser.add_argument("--data_size", type=int, default=60)
parser.add_argument("--batch_time", type=int, default=6)
parser.add_argument("--batch_size", type=int, default=8)
parser.add_argument("--niters", type=int, default=12)
parser.add_argument("--test_freq", type=int, default=4)
args = parser.parse_args()


def step(method, f, t, dt, y):
    if method == "euler":
        return y + dt * f(t, y)
    k1 = f(t, y)
    if method == "midpoint":
        return y + dt * f(t + dt / 2, y + dt / 2 * k1)
    k2 = f(t + dt / 2, y + dt * k1 / 2)
    k3 = f(t + dt / 2, y + dt * k2 / 2)
    k4 = f(t + dt, y + dt * k3)
    return y + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def odeint(func, y0, t, method="rk4"):
    solution = [y0]
    for t0, t1 in zip(t[:-1], t[1:]):
        solution.append(step(method, func, t0, t1 - t0, solution[-1]))
    return torch.stack(solution)


class Adjoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx, func, y0, t, *params):
        ctx.func = func
        with torch.no_grad():
            y = odeint(func, y0, t)
        ctx.save_for_backward(t, y, *params)
        return y

    @staticmethod
    def backward(ctx, grad_y):
        func = ctx.func
        t, y, *params = ctx.saved_tensors
        adjoint = grad_y[-1]
        grads = [torch.zeros_like(p) for p in params]
        for i in range(len(t) - 1, 0, -1):
            with torch.enable_grad():
                start = y[i - 1].detach().requires_grad_(True)
                end = step("rk4", func, t[i - 1], t[i] - t[i - 1], start)
                found = torch.autograd.grad(end, (start, *params), adjoint, allow_unused=True)
            adjoint = found[0] + grad_y[i - 1]
            for total, g in zip(grads, found[1:]):
                if g is not None:
                    total += g
        return (None, adjoint, None, *grads)


torch.manual_seed(2)
true_y0 = torch.tensor([[2.0, 0.0]])
t = torch.linspace(0.0, 5.0, args.data_size)
true_A = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]])


class Lambda(nn.Module):
    def forward(self, t, y):
        return torch.mm(y**3, true_A)


with torch.no_grad():
    true_y = odeint(Lambda(), true_y0, t)
print(true_y.shape, true_y[-1])


def get_batch():
    s = torch.randperm(args.data_size - args.batch_time)[: args.batch_size]
    batch_y0 = true_y[s]
    batch_t = t[: args.batch_time]
    batch_y = torch.stack([true_y[s + i] for i in range(args.batch_time)], dim=0)
    return batch_y0, batch_t, batch_y


class ODEFunc(nn.Module):
    def __init__(self):
        super(ODEFunc, self).__init__()
        self.net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))
        self.nfe = 0
        for m in self.net.modules():
            if isinstance(m, nn.Linear):
                nn.init.normal_(m.weight, mean=0, std=0.1)
                nn.init.constant_(m.bias, val=0)

    def forward(self, t, y):
        self.nfe += 1
        return self.net(y**3)


class RunningAverageMeter(object):
    def __init__(self, momentum=0.99):
        self.momentum = momentum
        self.val, self.avg = None, 0

    def update(self, val):
        self.avg = val if self.val is None else self.avg * self.momentum + val * (1 - self.momentum)
        self.val = val


func = ODEFunc()
optimizer = optim.RMSprop(func.parameters(), lr=1e-2, centered=True)
loss_meter = RunningAverageMeter(0.97)
for itr in range(1, args.niters + 1):
    optimizer.zero_grad()
    batch_y0, batch_t, batch_y = get_batch()
    pred_y = odeint(func, batch_y0.squeeze(1), batch_t, args.method)
    loss = torch.mean(torch.abs(pred_y - batch_y.squeeze(2)))
    loss.backward()
    optimizer.step()
    loss_meter.update(loss.item())
    if itr % args.test_freq == 0:
        with torch.no_grad():
            pred_y = odeint(func, true_y0, t, "midpoint")
            loss = torch.mean(torch.abs(pred_y - true_y))
            print("Iter {:04d} | Total Loss {:.6f} | {:.6f} | {}".format(itr, loss.item(), loss_meter.avg, func.nfe))
func.zero_grad()
y0 = true_y0.clone().requires_grad_()
odeint(func, y0, t[:8]).square().sum().backward()
direct = [y0.grad.clone()] + [p.grad.clone() for p in func.parameters()]
func.zero_grad()
y0.grad = None
Adjoint.apply(func, y0, t[:8], *func.parameters()).square().sum().backward()
print([torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(direct, [y0.grad] + [p.grad for p in func.parameters()])])
print(y0.grad, torch.trapezoid(true_y[:, 0, 0], t), torch.cumulative_trapezoid(true_y[:5, 0, 1], t[:5]))
