"""A multi-task network: nested ModuleDict and ParameterDict, uncertainty weights, frozen branches, shared layers, introspection."""

import copy
from collections import OrderedDict
from enum import Enum
from typing import Dict

import torch
import torch.nn as nn
import torch.nn.functional as F


class Task(str, Enum):
    CLASSIFY = "classify"
    REGRESS = "regress"


class MultiTask(nn.Module):
    def __init__(self, width: int = 10, **tasks: int):
        super().__init__()
        self.choices = nn.ModuleDict({"conv": nn.Conv1d(1, 4, 3, padding=1), "pool": nn.MaxPool1d(2), "lin": nn.LazyLinear(width)})
        self.activations = nn.ModuleDict([["lrelu", nn.LeakyReLU(0.1)], ["prelu", nn.PReLU()], ["gated", nn.GLU(dim=-1)]])
        self.heads = nn.ModuleDict(OrderedDict((name, nn.Linear(width, n)) for name, n in tasks.items()))
        self.log_vars = nn.ParameterDict({name: nn.Parameter(torch.zeros(())) for name in tasks})
        self.stack = nn.ModuleList()
        self.stack.extend([nn.Linear(width, width) for _ in range(2)])
        self.stack.insert(1, nn.AlphaDropout(0.05))
        self.stack += [self.stack[0]]
        self.register_buffer("steps", torch.zeros(1, dtype=torch.long), persistent=False)
        self.register_buffer("nothing", None)

    def forward(self, x: torch.Tensor, act: str = "prelu") -> Dict[str, torch.Tensor]:
        self.steps += 1
        x = self.choices["pool"](self.activations[act](self.choices["conv"](x.unsqueeze(1))))
        x = self.choices["lin"](x.flatten(1))
        for layer in self.stack:
            x = torch.selu(layer(x))
        return {name: head(x) for name, head in self.heads.items()}

    def loss(self, out, target):
        total = 0
        for name, value in out.items():
            part = F.cross_entropy(value, target[name]) if name == Task.CLASSIFY.value else F.smooth_l1_loss(value, target[name], beta=0.5)
            s = self.log_vars[name]
            total = total + torch.exp(-s) * part + s
        return total


torch.manual_seed(7)
net = MultiTask(classify=3, regress=1)
x = torch.randn(40, 8)
target = {"classify": (x.sum(1) > 0).long() + (x[:, 0] > 1).long(), "regress": x[:, 1:2] ** 2}
net(x[:1])
print(net)
print(len(net.choices), list(net.heads.keys()), "conv" in net.choices, net.stack[2] is net.stack[-2], net.log_vars)
optimizer = torch.optim.Adadelta(
    [
        {"params": net.heads.parameters(), "lr": 1.0},
        {"params": [p for n, p in net.named_parameters() if not n.startswith(("heads", "log_vars"))]},
        {"params": net.log_vars.values(), "rho": 0.5},
    ],
    lr=0.5,
)
for epoch in range(6):
    if epoch == 3:
        net.choices.requires_grad_(False)
        optimizer.add_param_group({"params": net.activations["prelu"].weight, "lr": 0.1}) if False else None
    optimizer.zero_grad()
    loss = net.loss(net(x), target)
    loss.backward()
    optimizer.step()
    print(epoch, f"{loss.item():.5f}", {k: round(v.item(), 4) for k, v in net.log_vars.items()}, net.steps.item())
print(sum(p.numel() for p in net.parameters()), len(list(net.modules())), len(list(net.named_parameters(remove_duplicate=False))))
print([n for n, p in net.named_parameters() if not p.requires_grad], list(net.state_dict())[:3], "steps" in net.state_dict())
old = net.heads.pop("regress")
net.heads.update({"extra": old, "more": nn.Sequential(nn.Dropout2d(), nn.Identity())})
print(net.heads, [type(m).__name__ for m in net.heads["more"].children()])
print(net.get_submodule("heads.extra") is old, net.get_parameter("heads.classify.bias").shape, dict(net.named_children()).keys())
twin = copy.deepcopy(net)
with torch.no_grad():
    for p in twin.parameters():
        p.mul_(0)
missing = twin.load_state_dict({k: v for k, v in net.state_dict().items() if "bias" not in k}, strict=False)
print(len(missing.missing_keys), missing.unexpected_keys, missing)
half = copy.deepcopy(net).half().float().to(torch.float64)
print(
    next(half.parameters()).dtype,
    half.steps.dtype,
    f"{(half.eval()(x.double())['classify'] - net.eval()(x)['classify'].double()).abs().max() < 1e-2}",
)


class Swish(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x)


def replace(module):
    for name, child in module.named_children():
        if isinstance(child, (nn.LeakyReLU, nn.PReLU)):
            setattr(module, name, Swish())
        else:
            replace(child)


replace(net)
print(net.activations)
del net.activations["gated"]
net.activations.clear()
print(
    len(net.activations), nn.ParameterList([torch.ones(2), nn.Parameter(torch.zeros(1, 2))]), repr(nn.ParameterDict({"a": torch.ones(1)}))
)
net.zero_grad(set_to_none=True)
print({n: p.grad for n, p in net.heads.named_parameters()})
net.extra_state = 5
net.heads.train()
print(net.training, net.heads["classify"].training, net.extra_state, hasattr(net, "nothing"), net.nothing)
try:
    net.missing
except AttributeError as e:
    print(e)
