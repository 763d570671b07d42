"""Whether long training holds: memory, threads, and interruptions. ``python -m tests.benchmarks.endurance [memory] [threads] [interrupts]``.

``memory`` takes 20,000 steps of a small model, plain and compiled, and prints resident memory and open files at ten points. ``threads`` trains two
models at once and compares with training them one after the other. ``interrupts`` sends SIGINT at random moments, 200 times; after each, the next
step has to work, and all numbers must stay finite. It ends with status 1 where something does not hold.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import threading
import time
from collections.abc import Callable

import numpy as np

import funnn.torch as torch
from funnn.torch import nn
from tests.benchmarks import _worlds


def training(seed: int = 0, momentum: float = 0.9) -> tuple[nn.Module, Callable]:
    """A small model and a step that takes the number of a batch."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=momentum)
    data = [(torch.randn(16, 8), torch.randint(0, 3, (16,))) for _ in range(8)]

    def step(i):
        x, y = data[i % len(data)]
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return net, step


def finite(net: nn.Module) -> bool:
    return all(bool(np.isfinite(p.detach().tolist()).all()) for p in net.parameters())


def memory(steps: int) -> bool:
    """Resident memory and descriptors do not grow after the first fifth: a megabyte for ten thousand steps is noise."""
    good = True
    for name in ("plain", "compiled"):
        net, step = training()
        step = torch.compile(step) if name == "compiled" else step
        points, begin = [], time.perf_counter()
        for i in range(steps):
            loss = step(i)
            if (i + 1) % max(1, steps // 10) == 0:
                loss.item()
                points.append((_worlds.resident_mb(), _worlds.open_files()))
        took = time.perf_counter() - begin
        print(f"memory, {name}: {steps} steps, {1e3 * took / steps:.2f} ms each; MB {' '.join(f'{m:.1f}' for m, _ in points)};", end=" ")
        grown, files = points[-1][0] - points[1][0], points[-1][1] - points[1][1]
        holds = grown < 4 and files <= 0 and finite(net)
        print(f"files {' '.join(str(f) for _, f in points)}; {'flat' if holds else 'GROWS'}", flush=True)
        good = good and holds
    return good


def threads(steps: int) -> bool:
    """Two threads get the numbers that each would get alone."""

    def losses(step: Callable) -> list[float]:
        return [step(i).item() for i in range(steps)]

    alone = [losses(training(seed)[1]) for seed in (1, 2)]
    found: dict[int, object] = {}
    trainings = {seed: training(seed)[1] for seed in (1, 2)}

    def work(seed: int) -> None:
        try:
            found[seed] = losses(trainings[seed])
        except Exception as error:
            found[seed] = repr(error)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    good = [isinstance(found[seed], list) and np.allclose(found[seed], alone[seed - 1], rtol=1e-5) for seed in (1, 2)]
    print(f"threads: {steps} steps each; {'sequential numbers' if all(good) else f'DIFFERENT: {found}'[:300]}", flush=True)
    return all(good)


def interrupts(count: int) -> bool:
    """SIGINT at any moment of a step leaves everything usable."""
    net, step = training(momentum=0.0)
    for i in range(20):
        step(i)
    random.seed(0)
    hits, problems, before = 0, [], signal.signal(signal.SIGINT, signal.default_int_handler)
    for turn in range(count):
        timer = threading.Timer(random.uniform(0.0005, 0.02), signal.raise_signal, (signal.SIGINT,))
        try:
            timer.start()
            for i in range(10_000):
                step(i)
        except KeyboardInterrupt:
            hits += 1
        except Exception as error:
            problems.append(f"turn {turn}: the step raised {error!r}"[:200])
        try:
            if not np.isfinite(step(turn).item()) or not finite(net):
                problems.append(f"turn {turn}: a number is not finite")
        except Exception as error:
            problems.append(f"turn {turn}: afterwards {error!r}"[:200])
        if len(problems) > 5:
            break
    signal.signal(signal.SIGINT, before)
    print(f"interrupts: {hits} of {count}; {'all well' if not problems else '; '.join(problems)}", flush=True)
    return not problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    checks = {"memory": (memory, 20_000), "threads": (threads, 500), "interrupts": (interrupts, 200)}
    parser.add_argument("names", nargs="*", help=f"of {', '.join(checks)}; default all")
    parser.add_argument("--steps", type=int, help="instead of 20,000 steps, 500 and 200 signals")
    options = parser.parse_args()
    if unknown := set(options.names) - set(checks):
        parser.error(f"unknown {sorted(unknown)}")
    results = [check(options.steps or count) for name, (check, count) in checks.items() if not options.names or name in options.names]
    return not all(results)


if __name__ == "__main__":
    sys.exit(main())
