"""What the shim costs: eager steps and operations against PyTorch, a compiled imperative step against the functional one.

    python -m tests.benchmarks.eager

Figures are the median of rounds that alternate between the two sides; only the ratio is meant to be compared between machines.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace

import jax
import torch

import funnn.torch as ft
from funnn import _digits, optim
from funnn._run import load_script
from funnn.checkpoint import from_state_dict
from funnn.examples import digits_functional
from tests.benchmarks import _measure


def compare(ours: Callable, theirs: Callable) -> tuple[float, float]:
    """Seconds per call of both, measured in turns."""
    # 100 calls first: compilation, and that of a graph that keeps coming back
    times = _measure.in_turns({"ours": ours, "theirs": theirs}, _wait, rounds=15, warm=100)
    return times["ours"], times["theirs"]


def _wait(result) -> None:
    """Until the values are there: JAX runs ahead of Python."""
    array = result._read() if isinstance(result, ft.Tensor) else result
    if hasattr(array, "block_until_ready"):
        array.block_until_ready()


def report(name: str, ours: float, theirs: float, other: str = "torch") -> None:
    print(f"{name:<58} funnn {ours * 1e6:8.1f} µs   {other} {theirs * 1e6:8.1f} µs   ratio {ours / theirs:5.2f}")


def mlp_step(t) -> Callable:
    """A training step of a 20-layer MLP of width 16, batch 8."""
    t.manual_seed(0)
    net = t.nn.Sequential(*(layer for _ in range(20) for layer in (t.nn.Linear(16, 16), t.nn.Tanh())))
    optimizer = t.optim.SGD(net.parameters(), lr=0.1)
    x = t.randn(8, 16)

    def step():
        optimizer.zero_grad()
        loss = net(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    return step


def operation(t, name: str) -> Callable:
    """One operation on small tensors."""
    x, y = t.randn(8, 16), t.randn(8, 16)
    return {
        "x + y": lambda: x + y,
        "x * 2.5": lambda: x * 2.5,
        "x.exp()": lambda: x.exp(),
        "x.sum(1)": lambda: x.sum(1),
        "x[3]": lambda: x[3],
        "x @ y.T": lambda: x @ y.T,
        "relu(x)": lambda: t.nn.functional.relu(x),
        "print(x)": lambda: repr(x),
    }[name]


def module_call(t) -> Callable:
    """A Module that does nothing: what calling it costs, over the call of a function."""

    class Same(t.nn.Module):
        def forward(self, x):
            return x

    net, x = Same(), t.ones(1)
    return lambda: net(x)


def adam_step(t, **options) -> Callable:
    """One step of Adam on 100 parameters of 1,000 numbers."""
    t.manual_seed(0)
    params = [t.nn.Parameter(t.randn(1000)) for _ in range(100)]
    for param in params:
        param.grad = t.randn(1000)
    optimizer = t.optim.Adam(params, **options)

    def step():
        optimizer.step()
        return params[-1]

    return step


def digits_steps() -> tuple[Callable, Callable]:
    """The compiled imperative step of the digits script, and the functional jitted one."""
    script = SimpleNamespace(**load_script(_digits._SCRIPT, "digits_torch"))
    model = script.LeNet(8)
    step = ft.compile(script.make_train_step(model, ft.optim.SGD(model.parameters(), lr=0.01, **_digits._OPTIONS)))
    images, labels = ft.rand(32, 1, 8, 8), ft.randint(0, 10, (32,))

    layer = digits_functional.lenet(8)
    optimizer = optim.sgd(0.01, **_digits._OPTIONS)
    params, _ = from_state_dict(model.state_dict(), *layer.init(jax.random.key(0)))
    train_step = digits_functional.make_train_step(layer, optimizer)
    state = [params, optimizer.init(params)]
    arrays = jax.numpy.asarray(images.numpy()), jax.numpy.asarray(labels.numpy(), "int32")

    def functional():
        state[0], state[1], loss = train_step(*state, *arrays)
        return loss

    return lambda: step(images, labels), functional


def import_seconds() -> float:
    """What ``import funnn`` adds to ``import jax``."""
    code = "import jax, time; begin = time.perf_counter(); import funnn; print(time.perf_counter() - begin)"
    return min(float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout) for _ in range(5))


if __name__ == "__main__":
    report("eager training step, 20-layer MLP of width 16, batch 8", *compare(mlp_step(ft), mlp_step(torch)))
    report("compiled imperative step of the digits script, batch 32", *compare(*digits_steps()), other="functional")
    for kind in ("foreach", "fused"):
        report(f"Adam.step(), 100 parameters of 1,000, torch's {kind}", *compare(adam_step(ft), adam_step(torch, **{kind: True})))
    for name in ("x + y", "x * 2.5", "x.exp()", "x.sum(1)", "x[3]", "x @ y.T", "relu(x)", "print(x)"):
        report(name, *compare(operation(ft, name), operation(torch, name)))
    report("call of a Module that gives its input", *compare(module_call(ft), module_call(torch)))
    print(f"import funnn, after import jax: {import_seconds():.3f} s")
