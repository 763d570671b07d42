"""Loops in which every step brings a new shape or number: here, and in PyTorch with one thread.

    python -m tests.benchmarks.storms [--only NAME…] [--steps N] [--limit SECONDS]

Each storm has a process of its own, in which the two libraries take its steps in turns. A step ends when all that it computed is there. The first
figures are the mean of all steps, compilation included, and of the second half; then what the resident memory grew by during funnn's steps, in the
first half and in the second. A storm that takes longer than ``--limit`` stops after the step in which it does, or is ended if that step never ends.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Step = Callable[[int], tuple[Any, ...]]


def attention(t: Any, world: str) -> Step:
    """An embedding and attention over a sequence that grows by the word they choose."""
    nn, F = t.nn, t.nn.functional
    embed, qkv, head = nn.Embedding(1000, 64), nn.Linear(64, 192), nn.Linear(64, 1000)
    state = [t.zeros(1, 1, dtype=t.long)]

    def step(i):
        with t.no_grad():
            x = embed(state[0])
            q, k, v = qkv(x).view(1, -1, 3, 4, 16).permute(2, 0, 3, 1, 4)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(1, -1, 64)
            logits = head(y[:, -1])
            state[0] = t.cat([state[0], logits.argmax(1, keepdim=True)], 1)
        return logits, state[0]

    return step


def widths(t: Any, world: str) -> Step:
    """Products with the first ``i`` columns of a matrix."""
    x, w = t.randn(64, 500), t.randn(500, 500)
    return lambda i: (x @ w[:, : i + 1],)


def batches(t: Any, world: str) -> Step:
    """Forward, backward and SGD of an MLP, with another batch size at each step."""
    nn = t.nn
    net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer, x, y = t.optim.SGD(net.parameters(), lr=0.1, momentum=0.9), t.randn(500, 64), t.randint(0, 10, (500,))

    def step(i):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x[: i + 1]), y[: i + 1])
        loss.backward()
        optimizer.step()
        return loss, *net.parameters()

    return step


def lengths(t: Any, world: str) -> Step:
    """Forward and backward of an LSTM, with another length at each step."""
    net, x = t.nn.LSTM(32, 64), t.randn(500, 8, 32)

    def step(i):
        net.zero_grad()
        loss = net(x[: i + 1])[0].square().mean()
        loss.backward()
        return loss, *(p.grad for p in net.parameters())

    return step


def scalars(t: Any, world: str) -> Step:
    """A few operations with a Python number that is new at each step."""
    x = t.randn(16, 16)

    def step(i):
        a = 0.001 * i + 0.5
        return ((x * a + i).clamp(-a, a * 9).pow(2).sum() / (i + 1) + t.nn.functional.leaky_relu(x, a).mean(),)

    return step


def compiled(t: Any, world: str) -> Step:
    """A compiled training step that is called with a new int and a new float; PyTorch's runs eagerly."""
    nn = t.nn
    net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
    optimizer, x, y = t.optim.SGD(net.parameters(), lr=0.1), t.randn(32, 16), t.randint(0, 4, (32,))

    def train(number: int, weight: float):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y) * weight + net[2].bias.sum() / (number + 1)
        loss.backward()
        optimizer.step()
        return loss

    train = t.compile(train) if world == "funnn" else train
    return lambda i: (train(i, 1 / (1 + 0.01 * i)), *net.parameters())


def examples(t: Any, world: str) -> Step:
    """The gradients of each example's own loss, by torch.func, with another number of examples at each step."""
    nn = t.nn
    net = nn.Sequential(nn.Linear(20, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 5))
    params = {name: parameter.detach() for name, parameter in net.named_parameters()}
    x, y = t.randn(300, 20), t.randint(0, 5, (300,))

    def loss(params: Any, x: Any, y: Any) -> Any:
        return nn.functional.cross_entropy(t.func.functional_call(net, params, (x[None],)), y[None])

    every = t.vmap(t.func.grad(loss), in_dims=(None, 0, 0))
    return lambda i: tuple(every(params, x[: i + 2], y[: i + 2]).values())


def made(t: Any, world: str) -> Step:
    """New tensors, of another length at each step: of one value, in sequence, of data, and at random."""
    data = np.random.default_rng(0).standard_normal(1000).astype(np.float32)

    def step(i):
        n = i + 2
        return (t.zeros(n) + t.ones(n, 3).sum(1) * t.arange(n) + t.tensor(data[:n]) * t.randn(n) * t.full((n,), 0.5),)

    return step


def generation(t: Any, world: str) -> Step:
    """Text from a GPT of four layers and width 128, sampled from a context that grows to 128 words."""
    from tests.benchmarks import _worlds

    net = _worlds.models(world)["GPT"]().eval()
    state = [t.zeros(1, 1, dtype=t.long)]

    def step(i):
        with t.no_grad():
            p = t.softmax(net(state[0][:, -128:])[:, -1], 1)
            state[0] = t.cat([state[0], t.multinomial(p, 1)], 1)
        return (state[0],)

    return step


#: What happens in a storm, and how many steps it has.
STORMS: dict[str, tuple[Callable[[Any, str], Step], int]] = {
    **{"attention": (attention, 500), "widths": (widths, 499), "batches": (batches, 299), "lengths": (lengths, 149)},
    **{
        "scalars": (scalars, 999),
        "compiled": (compiled, 40),
        "generation": (generation, 120),
        "examples": (examples, 298),
        "made": (made, 400),
    },
}


def measure(name: str, count: int, limit: float) -> dict[str, Any]:
    """Takes the steps of one storm with both libraries; seconds of each step, memory, and whether the numbers agree."""
    import torch

    from tests.benchmarks import _worlds

    torch.set_num_threads(1)
    steps, seconds, grown = {}, {"torch": [], "funnn": []}, []
    for world, t in _worlds.WORLDS.items():
        t.manual_seed(0)
        steps[world] = STORMS[name][0](t, world)
    gc.collect()
    gc.freeze()  # as python -m funnn run does for the libraries that a script imports; here PyTorch is among them
    result, begin = {}, time.perf_counter()
    for i in range(count):
        for world, step in steps.items():
            before, start = _worlds.resident_mb(), time.perf_counter()
            result[world] = step(i)
            _worlds.wait(result[world])
            seconds[world].append(time.perf_counter() - start)
            if world == "funnn":
                grown.append(_worlds.resident_mb() - before)
        if time.perf_counter() - begin > limit:
            break
    ours, theirs = (result[world][0].detach().numpy() for world in ("funnn", "torch"))
    return {"seconds": seconds, "grown": grown, "same": bool(np.allclose(ours, theirs, rtol=1e-2, atol=1e-3))}


def report(name: str, count: int, limit: float) -> str:
    """The line of one storm, measured in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.storms", "--only", name, "--steps", str(count), "--limit", str(limit), "--json"]
    try:
        found = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=limit + 60, text=True).stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return f"{name:<11} stuck: ended, because one step took more than a minute after the limit of {limit:g} s"
    except subprocess.CalledProcessError as error:
        return f"{name:<11} failed: {error.stderr.strip().splitlines()[-1]}"
    seconds, grown = found["seconds"], found["grown"]
    done = len(grown)
    text = f"{name:<11}"
    for part, rows in (("all", slice(0, done)), ("second half", slice(done // 2, done))):
        ours, theirs = (1e3 * math.fsum(seconds[world][rows]) / len(grown[rows]) for world in ("funnn", "torch"))
        text += f" {part}: funnn {ours:8.2f} ms, torch {theirs:6.2f} ms, ratio {ours / theirs:7.2f};"
    text += f" memory {sum(grown[: done // 2]):+.0f}, then {sum(grown[done // 2 :]):+.0f} MB"
    text += "" if found["same"] else "; THE NUMBERS DIFFER"
    return text + (f"; stopped at step {done} of {count} ({limit:g} s)" if done < count else f"; {count} steps")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=STORMS, default=list(STORMS), metavar="NAME", help=f"of {', '.join(STORMS)}")
    parser.add_argument("--steps", type=int, help="at most so many")
    parser.add_argument("--limit", type=float, default=300, help="seconds a storm may take (default 300)")
    parser.add_argument("--json", action="store_true", help="measure in this process, and print what was measured")
    options = parser.parse_args()
    for name in options.only:
        count = min(options.steps or STORMS[name][1], 500 if name in ("batches", "lengths", "widths") else 10**9)
        if options.json:
            print(json.dumps(measure(name, count, options.limit)))
        else:
            print(report(name, count, options.limit), flush=True)


if __name__ == "__main__":
    main()
