"""Scripted and traced modules: typed code, control flow, freezing, state dicts through a file, training what was scripted."""

import os
import tempfile
from typing import Dict, List, NamedTuple, Optional, Tuple

import torch
from torch import Tensor, nn


class MyDecisionGate(torch.nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x
        else:
            return -x


class MyCell(torch.nn.Module):
    def __init__(self, dg):
        super(MyCell, self).__init__()
        self.dg = dg
        self.linear = torch.nn.Linear(4, 4)

    def forward(self, x, h):
        new_h = torch.tanh(self.dg(self.linear(x)) + h)
        return new_h, new_h


class MyRNNLoop(torch.nn.Module):
    def __init__(self):
        super(MyRNNLoop, self).__init__()
        self.cell = MyCell(torch.jit.script(MyDecisionGate()))

    def forward(self, xs):
        h, y = torch.zeros(3, 4), torch.zeros(3, 4)
        for i in range(xs.size(0)):
            y, h = self.cell(xs[i], h)
        return y, h


class Output(NamedTuple):
    logits: Tensor
    aux: Optional[Tensor]


class Head(nn.Module):
    __constants__ = ["scale"]
    counts: Dict[str, int]

    def __init__(self):
        super().__init__()
        self.scale = 2.0
        self.fc = nn.Linear(4, 2)
        self.counts = {}
        self.bn: Optional[nn.Module] = nn.BatchNorm1d(2)

    @torch.jit.export
    def embed(self, x: Tensor) -> Tensor:
        return self.fc(x) * self.scale

    @torch.jit.unused
    def slow(self, x: Tensor) -> Tensor:
        raise RuntimeError("not scripted")

    def forward(self, x: Tensor, aux: Optional[Tensor] = None) -> Output:
        out = self.embed(x)
        if self.bn is not None:
            out = self.bn(out)
        if not torch.jit.is_scripting() and torch.jit.is_tracing():
            return Output(out, None)
        return Output(out, aux)


@torch.jit.script
def foo(x, y):
    r = x if bool(x.max() > y.max()) else y
    return r


@torch.jit.script
def cells(xs: List[Tensor], n: int = 2) -> Tuple[Tensor, List[int]]:
    total = torch.zeros_like(xs[0])
    sizes: List[int] = []
    for x in xs:
        for _ in range(n):
            total = total + x
        sizes.append(x.numel())
    assert len(sizes) == len(xs), "sizes"
    return total, sizes


def lltm(input, state, weight):
    gates = torch.cat([input, state], 1) @ weight
    i, o = gates.chunk(2, 1)
    return torch.sigmoid(i) * torch.tanh(o)


torch.manual_seed(8)
x, h = torch.rand(3, 4), torch.rand(3, 4)
my_cell = MyCell(MyDecisionGate())
scripted_cell = torch.jit.script(my_cell)
print(scripted_cell(x, h)[0].sum(), torch.equal(scripted_cell(x, h)[0], my_cell(x, h)[0]))
loop = torch.jit.script(MyRNNLoop())
xs = torch.randn(5, 3, 4)
print(loop(xs)[0])
traced = torch.jit.trace(lltm, (x, h, torch.randn(8, 8)))
w = torch.randn(8, 8)
print(torch.allclose(traced(x, h, w), lltm(x, h, w)), traced(x + 1, h, w)[0])
traced_net = torch.jit.trace(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Dropout(0.5)).eval(), x)
print(traced_net(x).shape, [n for n, _ in traced_net.named_parameters()], traced_net.training)
head = torch.jit.script(Head().eval())
result = head(x)
print(result.logits, result.aux, head.embed(x).shape, head.scale)
print(foo(torch.ones(2), torch.zeros(2)), cells([torch.ones(2), torch.ones(2)]), cells([x[0]], 3)[1])
frozen = torch.jit.freeze(loop.eval())
print(torch.equal(frozen(xs)[1], loop(xs)[1]), torch.jit.optimize_for_inference(torch.jit.script(nn.Linear(4, 2).eval()))(x).shape)
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "head.pt")
    torch.save(head.state_dict(), path)
    fresh = torch.jit.script(Head())
    print(fresh.load_state_dict(torch.load(path)), sorted(fresh.state_dict()), torch.allclose(fresh.eval()(x)[0], result[0]))
optimizer = torch.optim.SGD(loop.parameters(), lr=0.1)
for _ in range(3):
    optimizer.zero_grad()
    loss = loop(xs)[0].pow(2).mean()
    loss.backward()
    optimizer.step()
    print(f"{loss.item():.6f}", end=" ")
print(torch.jit.is_scripting(), torch.jit.is_tracing())
