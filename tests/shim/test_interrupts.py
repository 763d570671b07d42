"""Ctrl-C at any line of the library: the thread is as before, and the interrupted step can be repeated or left behind."""

from __future__ import annotations

import copy
import os
import random
import sys

import numpy as np
import pytest
import torch

import funnn
import funnn.torch as shim
from funnn.engine.state import ThreadState, thread

ROOT = os.path.dirname(funnn.__file__) + os.sep
OPTIMIZERS = {
    "sgd": lambda t, parameters: t.optim.SGD(parameters, lr=0.1, momentum=0.9),
    "adamw": lambda t, parameters: t.optim.AdamW(parameters, lr=0.05),
}
WARM = 3
#: What a context of the thread may change.
NEUTRAL = [
    "grad",
    "inference",
    "autocast",
    "tracing",
    "levels",
    "level",
    "anomaly",
    "saved_hooks",
    "walk",
    "duals",
    "lent",
    "ask",
    "region",
    "function_modes",
    "ask_classes",
    "devices",
]


class Interrupt:
    """Raises KeyboardInterrupt at one of the lines of the library that a call runs; counts them.

    Not in ``__enter__`` and ``__exit__``, which nothing in Python guards against an interrupt, and not where JAX's own contexts are entered and left.
    """

    def __init__(self, at: int | None = None):
        self.at, self.lines, self.where = at, 0, ""

    def __call__(self, frame, event, argument):
        code = frame.f_code
        if not code.co_filename.startswith(ROOT) or code.co_name in ("__enter__", "__exit__") or code.co_qualname.startswith("Computing."):
            return None
        if event == "line":
            self.lines += 1
            if self.lines == self.at:
                self.where = f"{code.co_filename.removeprefix(ROOT)}:{frame.f_lineno}"
                raise KeyboardInterrupt
        return self

    def during(self, function, *args) -> bool:
        """Whether the call was interrupted."""
        sys.settrace(self)
        try:
            function(*args)
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(None)
        return False


def training(t, optimizer, mode, drop=0.2):
    """A model, its optimizer, a step, and batches."""
    t.manual_seed(0)
    nn = t.nn
    net = nn.Sequential(nn.Linear(4, 6, bias=False), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(drop), nn.Linear(6, 3))
    made = OPTIMIZERS[optimizer](t, net.parameters())

    def step(x, y):
        made.zero_grad()
        with t.autograd.graph.saved_tensors_hooks(lambda v: v, lambda v: v) if mode == "hooks" else t.enable_grad():
            loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        made.step()
        return loss.detach()

    numbers = np.random.default_rng(0)
    batches = [
        (t.tensor(numbers.standard_normal((8, 4)).astype("float32")), t.tensor(numbers.integers(0, 3, 8).astype("int64"))) for _ in range(5)
    ]
    if t is shim and mode in ("compiled", "replayed"):
        step = t.compile(step, mode="reduce-overhead" if mode == "replayed" else None)
    return net, made, step, batches


def state(net):
    return [value.detach().numpy().copy() for value in net.state_dict().values()]


def close(found, expected):
    return all(np.allclose(a, b, 1e-4, 1e-5) for a, b in zip(found, expected, strict=True))


def check_thread(where):
    changed = {name: getattr(thread, name) for name in NEUTRAL if getattr(thread, name) != getattr(ThreadState, name)}
    assert not changed and not thread.unsettled, f"{where}: {changed}"


@pytest.mark.parametrize("mode", ["plain", "hooks", "compiled"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_step_that_was_interrupted_is_left_behind_or_repeated(optimizer, mode):
    """Parameters have the numbers from before the step or after it; with those of a checkpoint, all goes on as in PyTorch."""
    net, made, step, batches = training(torch, optimizer, mode)
    expected = []
    for batch in (*batches[:WARM], *batches[:2]):
        expected.append((step(*batch).item(), state(net)))
    net, made, step, batches = training(shim, optimizer, mode)
    for batch in batches[:WARM]:
        step(*batch)
    saved, drawn = copy.deepcopy((net.state_dict(), made.state_dict())), shim.get_rng_state()

    def restore():
        net.load_state_dict(saved[0])
        made.load_state_dict(copy.deepcopy(saved[1]))
        shim.set_rng_state(drawn)

    count = Interrupt()
    assert not count.during(step, *batches[0])
    choose = random.Random(f"{optimizer} {mode}")
    for at in sorted(choose.sample(range(1, count.lines), 8)):
        restore()
        interrupt = Interrupt(at)
        assert interrupt.during(step, *batches[0]) or not interrupt.where, f"{interrupt.where}: the interrupt was lost"
        check_thread(interrupt.where)
        for found, before, after in zip(state(net), expected[WARM - 1][1], expected[WARM][1], strict=True):
            assert np.allclose(found, before, 1e-4, 1e-5) or np.allclose(found, after, 1e-4, 1e-5), interrupt.where
        assert np.isfinite(step(*batches[1]).item())
        restore()
        for batch, (loss, numbers) in zip(batches, expected[WARM:], strict=False):
            assert np.isclose(step(*batch).item(), loss, 1e-4, 1e-5), interrupt.where
            assert close(state(net), numbers), interrupt.where


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_replay_that_was_interrupted_has_happened_or_has_not(optimizer):
    """A step that is replayed is whole or not there, and what follows is what PyTorch does from there."""
    net, _, step, batches = training(torch, optimizer, "plain", drop=0.0)
    expected = [state(net)]
    for _ in range(60):
        step(*batches[0])
        expected.append(state(net))
    net, _, step, batches = training(shim, optimizer, "replayed", drop=0.0)
    for _ in range(8):
        step(*batches[0])
    count = Interrupt()
    assert not count.during(step, *batches[0])
    done = 9
    choose = random.Random(optimizer)
    for at in [choose.randint(1, count.lines) for _ in range(12)]:
        interrupt = Interrupt(at)
        interrupt.during(step, *batches[0])
        check_thread(interrupt.where)
        found = state(net)
        assert close(found, expected[done]) or close(found, expected[done + 1]), f"line {at}, {interrupt.where}"
        done += not close(found, expected[done])
        step(*batches[0])
        done += 1
        assert close(state(net), expected[done]), f"after line {at}, {interrupt.where}"
