"""Hooks of all sorts: activations into a dict, gradients, Grad-CAM, per-layer times and sizes, removing handles, a profile of a network."""

from collections import OrderedDict, defaultdict
from functools import partial

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.hooks import RemovableHandle

torch.manual_seed(2)


class Residual(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.body = nn.Sequential(OrderedDict(conv=nn.Conv2d(c, c, 3, padding=1), bn=nn.BatchNorm2d(c), act=nn.ReLU()))

    def forward(self, x, scale=1.0):
        return x + scale * self.body(x)


model = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), Residual(4), nn.AdaptiveMaxPool2d((2, 2)), nn.Flatten(), nn.Linear(16, 3))
activation = {}


def getActivation(name):
    def hook(model, input, output):
        activation[name] = output.detach()

    return hook


handles = [module.register_forward_hook(getActivation(name)) for name, module in model.named_modules() if len(list(module.children())) == 0]
assert all(isinstance(h, RemovableHandle) for h in handles)
x = torch.randn(2, 1, 9, 9)
model(x)
for name, act in activation.items():
    print(name, tuple(act.shape), f"{act.mean():.4f} {act.std():.4f}")
for h in handles:
    h.remove()
activation.clear()
model(x)
print(activation, len(model[0]._forward_hooks))

stats = defaultdict(list)
model[2].register_forward_pre_hook(lambda m, args, kwargs: (args, {**kwargs, "scale": 0.5}), with_kwargs=True)
model[2].register_forward_hook(lambda m, args, kwargs, out: stats["scale"].append(kwargs["scale"]), with_kwargs=True)
model[5].register_full_backward_hook(lambda m, gi, go: stats["linear"].append((round(gi[0].norm().item(), 4), go[0].shape)))
model[5].register_full_backward_pre_hook(lambda m, go: (go[0] * 2,))


def print_grad(name, grad):
    stats[name].append(tuple(grad.shape))
    return grad.clamp(-0.01, 0.01)


for n, p in model.named_parameters():
    p.register_hook(partial(print_grad, n))
loss = F.cross_entropy(model(x), torch.tensor([0, 2]))
loss.backward()
print(f"{loss:.5f}", dict(stats))
print(max(p.grad.abs().max().item() for p in model.parameters()))

feature, gradient = [], []
target = model[2].body.conv
fh = target.register_forward_hook(lambda m, i, o: (feature.append(o), o.register_hook(gradient.append))[0])
out = model(x)
model.zero_grad()
out[0, out[0].argmax()].backward()
fh.remove()
weights = gradient[0][0].mean(dim=(1, 2))
cam = F.relu((weights[:, None, None] * feature[0][0]).sum(0))
cam = F.interpolate(cam[None, None], size=(9, 9), mode="bicubic", align_corners=False)[0, 0]
print(cam.shape, (cam / cam.max().clamp(min=1e-12)).round(decimals=2)[4])

y = torch.linspace(0, 1, 4, requires_grad=True)
z = (y**2).retains_grad
w = y.sin()
w.retain_grad()
w.register_hook(lambda g: print("grad of w", g))
q = w * 3
h = q.register_hook(lambda g: g * 0)
h.remove()
q.sum().backward()
print(z, w.grad, y.grad, w.is_leaf, q.grad_fn.name(), [n and n.name() for n, _ in q.grad_fn.next_functions])
fired = []
p = nn.Parameter(torch.ones(2))
p.register_post_accumulate_grad_hook(
    lambda p: (fired.append(p.grad.clone()), p.data.add_(p.grad, alpha=-0.1), setattr(p, "grad", None), None)[-1]
)
for _ in range(2):
    (p**3).sum().backward()
print(fired, p.grad, p)


def count(module, inputs, output):
    module.total_ops += torch.DoubleTensor([output.numel() * getattr(module, "in_features", 1)])


def summary(model, size):
    rows = []

    def register(module):
        if not isinstance(module, (nn.Sequential, nn.ModuleList)) and module is not model:
            rows.append(
                module.register_forward_hook(
                    lambda m, i, o: print(
                        f"{m.__class__.__name__:>18} {str(list(o.shape)):>14} {sum(p.numel() for p in m.parameters()):5,}"
                    )
                )
            )

    model.apply(register)
    with torch.no_grad():
        model.eval()(torch.rand(1, *size))
    [row.remove() for row in rows]


summary(model, (1, 9, 9))
for m in model.modules():
    if not list(m.children()):
        m.register_buffer("total_ops", torch.zeros(1, dtype=torch.float64))
        m.register_forward_hook(count)
model(x)
print({n: m.total_ops.item() for n, m in model.named_modules() if hasattr(m, "total_ops")})
with torch.no_grad():
    print(model(x).shape)
