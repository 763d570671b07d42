"""MAML on sine waves: a learner with a ParameterList and functional forward, second-order gradients."""

import copy

import numpy as np
import torch
from torch import nn, optim
from torch.nn import functional as F


class Learner(nn.Module):
    def __init__(self, config):
        super(Learner, self).__init__()
        self.config = config
        self.vars = nn.ParameterList()
        self.vars_bn = nn.ParameterList()
        for i, (name, param) in enumerate(self.config):
            if name == "linear":
                w = nn.Parameter(torch.ones(*param))
                torch.nn.init.kaiming_normal_(w)
                self.vars.append(w)
                self.vars.append(nn.Parameter(torch.zeros(param[0])))
            elif name == "bn":
                w = nn.Parameter(torch.ones(param[0]))
                self.vars.append(w)
                self.vars.append(nn.Parameter(torch.zeros(param[0])))
                running_mean = nn.Parameter(torch.zeros(param[0]), requires_grad=False)
                running_var = nn.Parameter(torch.ones(param[0]), requires_grad=False)
                self.vars_bn.extend([running_mean, running_var])
            elif name == "tanh":
                continue
            else:
                raise NotImplementedError

    def extra_repr(self):
        info = ""
        for name, param in self.config:
            info += "%s:%s\n" % (name, tuple(param))
        return info

    def forward(self, x, vars=None, bn_training=True):
        if vars is None:
            vars = self.vars
        idx = bn_idx = 0
        for name, param in self.config:
            if name == "linear":
                w, b = vars[idx], vars[idx + 1]
                x = F.linear(x, w, b)
                idx += 2
            elif name == "bn":
                w, b = vars[idx], vars[idx + 1]
                running_mean, running_var = self.vars_bn[bn_idx], self.vars_bn[bn_idx + 1]
                x = F.batch_norm(x, running_mean, running_var, weight=w, bias=b, training=bn_training)
                idx += 2
                bn_idx += 2
            elif name == "tanh":
                x = torch.tanh(x)
        assert idx == len(vars)
        return x

    def zero_grad(self, vars=None):
        with torch.no_grad():
            for p in self.vars if vars is None else vars:
                if p.grad is not None:
                    p.grad.zero_()

    def parameters(self):
        return self.vars


class Meta(nn.Module):
    def __init__(self, config):
        super(Meta, self).__init__()
        self.update_lr = 0.02
        self.meta_lr = 1e-2
        self.update_step = 3
        self.net = Learner(config)
        self.meta_optim = optim.Adam(self.net.parameters(), lr=self.meta_lr)

    def forward(self, x_spt, y_spt, x_qry, y_qry):
        task_num = x_spt.size(0)
        losses_q = [0 for _ in range(self.update_step + 1)]
        for i in range(task_num):
            loss = F.mse_loss(self.net(x_spt[i], vars=None, bn_training=True), y_spt[i])
            grad = torch.autograd.grad(loss, self.net.parameters(), create_graph=True)
            fast_weights = list(map(lambda p: p[1] - self.update_lr * p[0], zip(grad, self.net.parameters())))
            with torch.no_grad():
                losses_q[0] += F.mse_loss(self.net(x_qry[i], self.net.parameters(), bn_training=True), y_qry[i])
            losses_q[1] += F.mse_loss(self.net(x_qry[i], fast_weights, bn_training=True), y_qry[i])
            for k in range(1, self.update_step):
                loss = F.mse_loss(self.net(x_spt[i], fast_weights, bn_training=True), y_spt[i])
                grad = torch.autograd.grad(loss, fast_weights, create_graph=True)
                fast_weights = list(map(lambda p: p[1] - self.update_lr * p[0], zip(grad, fast_weights)))
                losses_q[k + 1] += F.mse_loss(self.net(x_qry[i], fast_weights, bn_training=True), y_qry[i])
        loss_q = losses_q[-1] / task_num
        self.meta_optim.zero_grad()
        loss_q.backward()
        self.meta_optim.step()
        return np.array([float(l) / task_num for l in losses_q])

    def finetunning(self, x_spt, y_spt, x_qry, y_qry):
        net = copy.deepcopy(self.net)
        loss = F.mse_loss(net(x_spt), y_spt)
        grad = torch.autograd.grad(loss, net.parameters())
        fast_weights = [p - self.update_lr * g for g, p in zip(grad, net.parameters())]
        with torch.no_grad():
            before = F.mse_loss(net(x_qry, net.parameters()), y_qry)
            after = F.mse_loss(net(x_qry, fast_weights), y_qry)
        del net
        return before.item(), after.item()


def tasks(rng, n, k=8):
    amplitude, phase = rng.uniform(0.5, 3, (n, 1, 1)), rng.uniform(0, np.pi, (n, 1, 1))
    x = rng.uniform(-3, 3, (n, 2 * k, 1))
    y = amplitude * np.sin(x + phase)
    x, y = torch.from_numpy(x).float(), torch.tensor(y, dtype=torch.float32)
    return x[:, :k], y[:, :k], x[:, k:], y[:, k:]


def main():
    torch.manual_seed(222)
    rng = np.random.RandomState(222)
    config = [("linear", [12, 1]), ("tanh", [True]), ("linear", [12, 12]), ("bn", [12]), ("tanh", [True]), ("linear", [1, 12])]
    maml = Meta(config)
    tmp = filter(lambda x: x.requires_grad, maml.parameters())
    num = sum(map(lambda x: np.prod(x.shape), tmp))
    print(maml)
    print("Total trainable tensors:", num)
    for step in range(4):
        losses = maml(*tasks(rng, 3))
        print("step:", step, "\ttraining loss:", losses.round(4))
    for _ in range(2):
        before, after = maml.finetunning(*(t[0] for t in tasks(rng, 1)))
        print(f"{before:.4f} -> {after:.4f}")
    print([tuple(v.shape) for v in maml.net.vars_bn], maml.net.vars_bn[1][:3])


if __name__ == "__main__":
    main()
