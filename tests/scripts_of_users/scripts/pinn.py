"""A physics-informed network: second derivatives by autograd.grad, collocation by a Sobol sequence, Adam and then L-BFGS with line search."""

import numpy as np
import torch
import torch.nn as nn
from torch.autograd import grad

torch.manual_seed(1234)
np.random.seed(1234)


class DNN(torch.nn.Module):
    def __init__(self, layers):
        super(DNN, self).__init__()
        self.depth = len(layers) - 1
        self.activation = torch.nn.Tanh
        layer_list = list()
        for i in range(self.depth - 1):
            layer_list.append(("layer_%d" % i, torch.nn.Linear(layers[i], layers[i + 1])))
            layer_list.append(("activation_%d" % i, self.activation()))
        layer_list.append(("layer_%d" % (self.depth - 1), torch.nn.Linear(layers[-2], layers[-1])))
        from collections import OrderedDict

        self.layers = torch.nn.Sequential(OrderedDict(layer_list))

    def forward(self, x):
        return self.layers(x)


class Burgers:
    def __init__(self):
        self.nu = torch.nn.Parameter(torch.tensor([0.05]))
        self.dnn = DNN([2, 12, 12, 1])
        self.dnn.register_parameter("nu", self.nu)
        points = torch.quasirandom.SobolEngine(2, scramble=True, seed=1).draw(48)
        self.x = (points[:, :1] * 2 - 1).requires_grad_(True)
        self.t = points[:, 1:].clone().requires_grad_(True)
        x0 = torch.linspace(-1, 1, 25)[:, None]
        self.initial = torch.cat([x0, torch.zeros_like(x0)], 1), -torch.sin(torch.pi * x0)
        self.optimizer = torch.optim.LBFGS(
            self.dnn.parameters(), lr=1.0, max_iter=6, max_eval=12, history_size=10, tolerance_grad=1e-5, line_search_fn="strong_wolfe"
        )
        self.optimizer_Adam = torch.optim.Adam(self.dnn.parameters(), lr=5e-3)
        self.iter = 0

    def net_u(self, x, t):
        return self.dnn(torch.cat([x, t], dim=1))

    def net_f(self, x, t):
        u = self.net_u(x, t)
        u_t = grad(u, t, grad_outputs=torch.ones_like(u), retain_graph=True, create_graph=True)[0]
        u_x = grad(u, x, torch.ones_like(u), retain_graph=True, create_graph=True)[0]
        u_xx = grad(u_x, x, grad_outputs=torch.ones_like(u_x), retain_graph=True, create_graph=True)[0]
        return u_t + u * u_x - self.nu * u_xx

    def loss_func(self):
        points, values = self.initial
        loss = torch.mean((self.net_u(points[:, 0:1], points[:, 1:2]) - values) ** 2) + torch.mean(self.net_f(self.x, self.t) ** 2)
        return loss

    def closure(self):
        self.optimizer.zero_grad()
        loss = self.loss_func()
        loss.backward()
        self.iter += 1
        return loss

    def train(self, nIter):
        self.dnn.train()
        for epoch in range(nIter):
            loss = self.loss_func()
            self.optimizer_Adam.zero_grad()
            loss.backward()
            self.optimizer_Adam.step()
            if epoch % 5 == 0:
                print("It: %d, Loss: %.4e, nu: %.6f" % (epoch, loss.item(), self.nu.item()))
        print("final %.3e" % self.optimizer.step(self.closure).item(), self.iter > 1)

    def predict(self, x, t):
        x = torch.tensor(x, requires_grad=True).float()
        t = torch.tensor(t, requires_grad=True).float()
        self.dnn.eval()
        return self.net_u(x, t).detach().cpu().numpy(), self.net_f(x, t).detach().numpy()


if __name__ == "__main__":
    model = Burgers()
    print(sorted(n for n, _ in model.dnn.named_parameters())[-2:], model.x[:2])
    model.train(15)
    u, f = model.predict(np.array([[0.5], [-0.5]]), np.zeros((2, 1)))
    print(u.shape, u.dtype, np.round(u.ravel(), 2))

    x = torch.linspace(0, 1, 5, requires_grad=True)
    y = x**4
    for order in range(1, 5):
        (y,) = torch.autograd.grad(y.sum(), x, create_graph=order < 4)
        print(order, y.detach())

    def laplacian(f, x):
        return torch.vmap(lambda p: torch.func.hessian(f)(p).trace())(x)

    print(laplacian(lambda p: (p**3).sum() + p[0] * p[1], torch.tensor([[1.0, 2.0], [0.5, -1.0]])))
    net = nn.Sequential(nn.Linear(2, 4), nn.Softplus(beta=2), nn.Linear(4, 1))
    print(laplacian(lambda p: net(p).squeeze(), torch.randn(3, 2)).detach())
