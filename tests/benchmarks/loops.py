"""Training loops: the shim's plain and compiled step, PyTorch's eager one, and funnn's functional jitted step, side by side.

    python -m tests.benchmarks.loops [ROW…] [--rounds N] [--threads N]

Rows: tiny (MLP 8×64, batch 32, SGD with momentum; also a donated step written by hand in JAX), deep (20 layers of width 16, batch 8), and lenet,
cnn, lstm, gpt and resnet18 of :mod:`tests.benchmarks.training`. A turn ends when the loss and all parameters are there; the contestants take turns,
the times are medians of the rounds, and a ratio is the median of the rounds' ratios, and that of the two best times.
``reduced`` is ``torch.compile(mode="reduce-overhead")``, which replays the program without the step's Python.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

from funnn import functional, optim
from funnn.engine.program import programs
from funnn.layers import Linear, ReLU, Sequential, Tanh
from tests.benchmarks import _measure, _models_funnn, _worlds, training

TINY, DEEP = (32, 64), (8, 16)
ROWS = ["tiny", "deep", "lenet", "cnn", "lstm", "gpt", "resnet18"]


def data(row: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and classes."""
    if row in ("tiny", "deep"):
        shape = TINY if row == "tiny" else DEEP
        rng = np.random.default_rng(0)
        return rng.standard_normal(shape).astype(np.float32), rng.integers(0, shape[1], shape[0]).astype(np.int32)
    return training.data(row)


def options(row: str) -> dict[str, float]:
    """The numbers of SGD."""
    return {"lr": 0.1, "momentum": 0.9} if row == "tiny" else {"lr": 0.1}


def network(row: str, world: str) -> Any:
    """A PyTorch model, on either library."""
    nn = _worlds.WORLDS[world].nn
    if row == "deep":
        return nn.Sequential(*(layer for _ in range(20) for layer in (nn.Linear(16, 16), nn.Tanh())))
    return _worlds.models(world)["model"]("mlp" if row == "tiny" else row)


def loop(row: str, world: str, mode: str | None = None) -> Callable:
    """A training step as PyTorch's users write it; ``mode`` is that of torch.compile."""
    t = _worlds.WORLDS[world]
    t.manual_seed(0)
    net, (x, y) = network(row, world), data(row)
    optimizer = t.optim.SGD(net.parameters(), **options(row))
    x, y = t.from_numpy(x), t.from_numpy(y).long().reshape(-1)
    x = x.long() if x.dtype == t.int32 else x

    def step():
        optimizer.zero_grad()
        logits = net(x)
        loss = t.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    train, parameters = t.compile(step, mode=mode) if mode else step, list(net.parameters())
    return lambda: (train(), *parameters)


def functional_step(row: str) -> Callable:
    """The step of funnn's functional world: nothing is donated."""
    x, y = data(row)
    if row in ("tiny", "deep"):
        act, count, width = (ReLU, 8, 64) if row == "tiny" else (Tanh, 20, 16)
        hidden = [layer for _ in range(count) for layer in (Linear(width, width), act())]
        layer = Sequential(*(hidden[:-1] if row == "tiny" else hidden))
    else:
        layer = _models_funnn.model(row)
    params, state = layer.init(jax.random.key(0))
    rule = optim.sgd(options(row)["lr"], momentum=options(row).get("momentum", 0.0))
    kept, x, y = rule.init(params), jnp.asarray(x), jnp.asarray(y)

    @jax.jit
    def train(params, state, kept, x, y):
        def loss(params):
            logits, new = layer.apply(params, state, x, train=True)
            return functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), y.reshape(-1)), new

        (value, state_), grads = jax.value_and_grad(loss, has_aux=True)(params)
        updates, kept = rule.update(grads, kept, params)
        return jax.tree.map(jnp.add, params, updates), state_, kept, value

    def step():
        nonlocal params, state, kept
        params, state, kept, value = train(params, state, kept, x, y)
        return value, params

    return step


def by_hand() -> Callable:
    """The tiny MLP's step in plain JAX, with parameters and velocities donated."""
    x, y = map(jnp.asarray, data("tiny"))
    keys = jax.random.split(jax.random.key(0), 8)
    params = [(jax.random.normal(key, (64, 64)) / 8, jnp.zeros(64)) for key in keys]
    velocity = jax.tree.map(jnp.zeros_like, params)

    def loss(params):
        h = x
        for w, b in params[:-1]:
            h = jax.nn.relu(h @ w + b)
        w, b = params[-1]
        return -jnp.take_along_axis(jax.nn.log_softmax(h @ w + b), y[:, None], 1).mean()

    def train(params, velocity):
        value, grads = jax.value_and_grad(loss)(params)
        velocity = jax.tree.map(lambda v, g: 0.9 * v + g, velocity, grads)
        return jax.tree.map(lambda p, v: p - 0.1 * v, params, velocity), velocity, value

    train = jax.jit(train, donate_argnums=(0, 1))

    def step():
        nonlocal params, velocity
        params, velocity, value = train(params, velocity)
        return value, params

    return step


def wait(result: Any) -> None:
    """Until the loss and the parameters are there."""
    _worlds.wait(result)
    jax.block_until_ready([item for item in jax.tree.leaves(result) if isinstance(item, jax.Array)])


def ratio(rounds: dict[str, list[float]], name: str, other: str) -> str:
    """Of the times of two contestants: the median of the rounds', and that of their best."""
    each = [ours / theirs for ours, theirs in zip(rounds[name], rounds[other], strict=True)]
    return f"/{other} {statistics.median(each):.2f} (best {min(rounds[name]) / min(rounds[other]):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help=f"of {', '.join(ROWS)}; default all")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1, help="PyTorch's threads (default 1)")
    chosen = parser.parse_args()
    if unknown := set(chosen.rows) - set(ROWS):
        parser.error(f"unknown rows {sorted(unknown)}; choose from {ROWS}")
    torch.set_num_threads(chosen.threads)
    programs.PATIENCE = 0.0  # as in a loop that has run for a while: what comes again is compiled
    print(f"{os.cpu_count()} cores, torch with {chosen.threads} threads; ms a step, median of {chosen.rounds} rounds")
    for row in chosen.rows or ROWS:
        runs = {"plain": loop(row, "funnn"), "compiled": loop(row, "funnn", "default"), "reduced": loop(row, "funnn", "reduce-overhead")}
        runs |= {"torch": loop(row, "torch"), "functional": functional_step(row)} | ({"by hand": by_hand()} if row == "tiny" else {})
        rounds = _measure.turns(runs, wait, rounds=chosen.rounds, warm=100 if row in ("tiny", "deep") else 5)
        others = [name for name in runs if name in ("torch", "functional", "by hand")]
        print(f"{row:<9} " + "  ".join(f"{name} {1e3 * statistics.median(seconds):.2f}" for name, seconds in rounds.items()))
        for name in ("plain", "compiled", "reduced"):
            print(f"{'':<9} {name:<9}" + "  ".join(ratio(rounds, name, other) for other in others), flush=True)


if __name__ == "__main__":
    main()
