"""torch.compile as people write it: decorators, modules compiled in place, graph breaks, options, a whole training step, disabled parts, shapes that change."""

import functools
import time

import torch
import torch._dynamo
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(50)
torch.set_float32_matmul_precision("high")


@torch.compile
def fn(x, y):
    a = torch.cos(x)
    b = torch.sin(y)
    return a + b


@torch.compile(fullgraph=False, dynamic=True)
def bar(a, b):
    x = a / (torch.abs(a) + 1)
    if b.sum() < 0:
        b = b * -1
    return x * b


def timed(fn):
    start = time.perf_counter()
    result = fn()
    return result, time.perf_counter() - start


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(8, 8) for _ in range(3)])
        self.calls = 0

    def forward(self, x, mask=None):
        self.calls += 1
        for i, layer in enumerate(self.layers):
            x = x + F.silu(layer(x)) if i % 2 == 0 else layer(x).relu()
        return x if mask is None else x.masked_fill(mask, 0)


@torch.compiler.disable
def logged(values, loss):
    values.append(loss.item())


@functools.partial(torch.compile, mode="default")
def train_step(model, optimizer, x, y):
    optimizer.zero_grad(set_to_none=True)
    loss = F.mse_loss(model(x), y)
    loss.backward()
    optimizer.step()
    return loss.detach()


x, y = torch.randn(4, 3), torch.randn(4, 3)
print(fn(x, y).sum(), torch.allclose(fn(x, y), x.cos() + y.sin()))
print(bar(torch.ones(3), -torch.ones(3)), bar(torch.ones(5), torch.ones(5)))
model = MLP()
opt_model = torch.compile(model)
print(type(opt_model).__name__, list(opt_model.state_dict())[:2], opt_model._orig_mod is model)
inp = torch.randn(6, 8)
eager, compiled = model(inp), opt_model(inp)
print(torch.allclose(eager, compiled, atol=1e-5), model.calls, isinstance(opt_model, nn.Module))
print(opt_model(inp[:2], mask=torch.tensor([[True], [False]])).sum(1))
optimizer = torch.optim.Adam(model.parameters(), lr=torch.tensor(1e-2))
losses = []
for step in range(6):
    batch = torch.randn(5 + step % 2, 8)
    logged(losses, train_step(model, optimizer, batch, batch.flip(-1)))
print([f"{loss:.5f}" for loss in losses])
model.compile(dynamic=False)
print(model(inp).shape, timed(lambda: model(inp).sum())[0])
scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
optimizer.step()
scheduler.step()
print(optimizer.param_groups[0]["lr"], scheduler.get_last_lr())


@torch.compile
def loop(x, n):
    total = torch.zeros_like(x)
    for i in range(n):
        if i == 2:
            print("in the middle", i)
        total = total + x**i
    return {"total": total, "n": n, "parts": [total.mean(), (total.max(), None)]}


out = loop(torch.arange(3.0), 3)
print(out["total"], out["n"], out["parts"])
counter = {"n": 0}


@torch.compile
def side(x):
    counter["n"] += 1
    return x * counter["n"]


print([side(torch.ones(1)).item() for _ in range(3)], counter)
with torch.no_grad():
    print(torch.compile(lambda q: F.scaled_dot_product_attention(q, q, q, is_causal=True))(torch.ones(1, 1, 3, 2)).sum())
grad_fn = torch.compile(torch.func.grad(lambda w: (w**3).sum()))
print(grad_fn(torch.arange(3.0)), torch.compile(torch.vmap(torch.dot))(torch.ones(2, 3), torch.ones(2, 3)))
torch._dynamo.reset()
print(torch.compiler.is_compiling(), torch._dynamo.config.suppress_errors)
