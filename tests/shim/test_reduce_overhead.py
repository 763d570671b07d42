"""torch.compile(mode="reduce-overhead"): replays give the numbers of the plain loop, or Python runs; nobody's memory is given away."""

from __future__ import annotations

import collections
import contextlib
import copy
import dataclasses
import gc
import itertools
import threading
import warnings
import weakref
from typing import Any

import numpy as np
import pytest
import torch as theirs

import funnn.torch as shim
from funnn.engine.memory.storage import Storage
from funnn.engine.program.replay import Replay, Replayable, Unasked
from funnn.engine.state import thread as state
from funnn.torch._compiling import script

MODE = {"mode": "reduce-overhead"}


def plain(function=None, **_):
    return plain if function is None else function


def mlp(torch, *extra):
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), *extra, torch.nn.Linear(8, 3))


def batches(torch, count=8, size=6):
    rng = np.random.default_rng(0)
    return [(torch.tensor(rng.standard_normal((size, 4)).astype(np.float32)), torch.tensor(rng.integers(0, 3, size))) for _ in range(count)]


def train_step(torch, net, optimizer, ran, context=contextlib.nullcontext):
    def step(x, y):
        ran.append(1) if isinstance(ran, Ran) else None
        optimizer.zero_grad()
        with context():
            loss = torch.nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


class Ran:
    """Counts without being watched."""

    __slots__ = ("count",)

    def __init__(self):
        self.count = 0

    def append(self, _):
        self.count += 1


def leaves(value: Any) -> list[np.ndarray]:
    if hasattr(value, "state_dict") and hasattr(value, "parameters"):
        return leaves([list(value.state_dict().values()), [p.grad for p in value.parameters()]])
    if dataclasses.is_dataclass(value):
        return leaves(vars(value))
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, (tuple, list)):
        return [leaf for item in value for leaf in leaves(item)]
    return [np.zeros(0)] if value is None else [np.array(value.detach().numpy()) if hasattr(value, "detach") else np.asarray(value)]


def same(program, runs: int | None = None, strict: bool = True, **tolerance):
    """``program(torch, compiled, ran)`` gives PyTorch's numbers, and Python ran so often."""
    ran = Ran()
    with warnings.catch_warnings() if strict else contextlib.nullcontext():
        if strict:
            warnings.simplefilter("error", UserWarning)
        ours = leaves(program(shim, shim.compile(**MODE), ran))
    for a, b in zip(ours, leaves(program(theirs, plain, Ran())), strict=True):
        np.testing.assert_allclose(a, b, **({"rtol": 1e-4, "atol": 1e-5} | tolerance))
    assert runs is None or ran.count == runs


# -- training


@pytest.mark.parametrize(
    ("name", "options"),
    [("SGD", {"lr": 0.1}), ("SGD", {"lr": 0.1, "momentum": 0.9}), ("Adam", {"lr": 0.01}), ("RMSprop", {"lr": 0.01})],
)
def test_training(name, options):
    def program(torch, compiled, ran):
        net = mlp(torch)
        step = compiled(train_step(torch, net, getattr(torch.optim, name)(net.parameters(), **options), ran))
        return [step(*batch) for batch in batches(torch)], net

    same(program, runs=3)


def test_a_scheduler_and_a_closures_number():
    def program(torch, compiled, ran):
        net, alpha, seen = mlp(torch), 1.0, []
        optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)

        def step(x, y):
            ran.append(1)
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(net(x), y) * alpha
            loss.backward()
            optimizer.step()
            return loss.detach()

        step = compiled(step)
        for batch in batches(torch, 12):
            seen.append(step(*batch))
            scheduler.step()
            alpha *= 0.9
        return seen, net

    same(program, runs=3)


def test_buffers_and_modes():
    def program(torch, compiled, ran):
        net, seen = mlp(torch, torch.nn.BatchNorm1d(8)), []
        step = compiled(train_step(torch, net, torch.optim.SGD(net.parameters(), lr=0.1), ran))
        for number, batch in enumerate(batches(torch, 16)):
            net.train(number % 8 < 5)
            seen.append(step(*batch))
        return seen, net

    same(program, runs=5)  # of the second mode both are recorded


def test_random_numbers():
    def program(torch, compiled, ran):
        net = mlp(torch, torch.nn.Dropout(0.5))
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

        @compiled
        def step(x, y):
            ran.append(1)
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(net(x + 0.1 * torch.randn_like(x)), y)
            loss.backward()
            optimizer.step()
            return loss.detach(), torch.rand(2)

        torch.manual_seed(1)
        seen = [step(*batch) for batch in batches(torch)]
        return seen, net, torch.rand(3)

    same(program, runs=3)


def test_gradients_accumulate():
    def program(torch, compiled, ran):
        net, seen = mlp(torch), []
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

        @compiled
        def backward(x, y):
            ran.append(1)
            loss = torch.nn.functional.cross_entropy(net(x), y) / 3
            loss.backward()
            return loss.detach()

        for number, batch in enumerate(batches(torch, 18)):
            seen.append(backward(*batch))
            if number % 3 == 2:
                torch.nn.utils.clip_grad_norm_(net.parameters(), 0.5)
                optimizer.step()
                optimizer.zero_grad()
        return seen, net

    same(program, runs=5)


def test_clipping_inside_and_a_loss_with_history():
    def program(torch, compiled, ran):
        net = mlp(torch)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

        @compiled
        def step(x, y):
            ran.append(1)
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(net(x), y)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(net.parameters(), 0.1)
            optimizer.step()
            return loss, norm

        seen = [step(*batch) for batch in batches(torch)]
        loss = seen[-1][0]
        with pytest.raises(RuntimeError, match="backward through the graph a second time"):
            loss.backward()
        return seen, net, loss.requires_grad, [len(type(loss.grad_fn).__name__)]

    same(program, runs=3)


def test_autocast_inside():
    def program(torch, compiled, ran):
        net = mlp(torch)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        step = compiled(train_step(torch, net, optimizer, ran, lambda: torch.autocast("cpu", dtype=torch.bfloat16)))
        return [step(*batch) for batch in batches(torch)], net

    same(program, runs=3, rtol=0.05, atol=0.02)


# -- models and functions


def test_a_compiled_model_under_no_grad():
    def program(torch, compiled, ran):
        net = mlp(torch)
        net.register_buffer("scale", torch.ones(1))
        model, seen = compiled(net), []
        with torch.no_grad():
            for number, (x, _) in enumerate(batches(torch, 10)):
                seen.append(model(x[: 6 - number % 2]))
                if number == 6:
                    net[0].weight.mul_(2)
                if number == 8:
                    net[0].weight.data = torch.ones(8, 4)
        return seen

    same(program)


def test_what_is_returned():
    Pair = collections.namedtuple("Pair", "a b")

    @dataclasses.dataclass
    class Output:
        x: Any
        y: Any
        n: int = 3

    weight = shim.ones(3)

    @shim.compile(**MODE)
    def f(x):
        y = x * weight
        return {"pair": Pair(y, x), "list": [y, y[1:], None, 2.5], "out": Output(weight, y.sum()), "again": y}

    for number in range(6):
        x = shim.full((3,), float(number))
        found = f(x)
        assert type(found["pair"]) is Pair and type(found["out"]) is Output and found["out"].n == 3 and found["list"][2:] == [None, 2.5]
        assert found["pair"].b is x and found["out"].x is weight and found["again"] is found["pair"].a is found["list"][0]
        found["list"][1].add_(1)
        assert found["again"].tolist() == [number, number + 1, number + 1] and found["out"].y.item() == 3 * number


def test_arguments_that_change():
    def program(torch, compiled, ran):
        seen = []

        @compiled
        def f(x, n=1, *, scale=1.0, flags=()):
            ran.append(1)
            y = x * n + scale
            return y.sin() if "sin" in flags else y

        for number in range(5):
            seen.append(f(torch.full((2,), float(number))))
            seen.append(f(torch.full((3,), float(number))))
            seen.append(f(torch.full((3,), number)))
            seen.append(f(torch.full((3,), float(number)), number))
            seen.append(f(torch.full((3,), float(number)), scale=number / 2))
            seen.append(f(torch.full((3,), float(number)), flags=["sin"]))
        return seen

    same(program)


def test_slices_of_a_tensor():
    def program(torch, compiled, ran):
        data = torch.arange(48.0).reshape(12, 4)

        @compiled
        def f(x):
            ran.append(1)
            return x.reshape(-1) * 2, x.t() + 1

        return [f(data[i : i + 2]) for i in range(0, 12, 2)], [f(data.t()[:, i : i + 2]) for i in range(6)]

    same(program)


def test_a_tensor_that_is_an_argument_and_is_not():
    """A storage that the function knows anyway, as an argument."""

    def program(torch, compiled, ran):
        w, seen = torch.ones(2), []

        @compiled
        def f(x):
            ran.append(1)
            w.mul_(2)
            return x + w

        others = [torch.full((2,), float(i)) for i in range(8)]
        for x in (*others[:4], w, *others[4:], w, w, w, w, others[0]):
            seen.append(f(x).clone())
        return seen, w

    same(program)


def test_arguments_that_overlap():
    def program(torch, compiled, ran):
        base, seen = torch.arange(8.0), []

        @compiled
        def f(a, b):
            a.add_(1)
            return a + b, b * 2

        for i in range(5):
            seen += [f(base[:4], base[2:6]), f(base[i % 2 : i % 2 + 4], base[2:6]), f(base[1:5], torch.ones(4)), f(base, base)]
        return [x.clone() for pair in seen for x in pair], base

    with pytest.warns(UserWarning, match="writes into an argument that is a part"):
        same(program, strict=False)


def test_an_iterator():
    weights = itertools.cycle([1.0, 0.5, 0.25])
    found = refused(lambda x: x * next(weights), *[(shim.ones(1),)] * 8, match="'weights' is an iterator")
    assert [y.item() for y in found] == [1.0, 0.5, 0.25, 1.0, 0.5, 0.25, 1.0, 0.5]


def test_values_are_checked():
    net, ran = mlp(shim), Ran()
    step = shim.compile(train_step(shim, net, shim.optim.SGD(net.parameters(), lr=0.1), ran), **MODE)
    for x, y in batches(shim):
        step(x, y)
    before = net[0].weight.tolist()
    with pytest.raises(IndexError, match="Target 7 is out of bounds"):
        step(x, shim.full_like(y, 7))
    assert ran.count == 3 and net[0].weight.tolist() == before
    step(x, y)
    assert ran.count == 3


# -- what changes between calls


def test_what_changes_between_calls():
    def program(torch, compiled, ran):
        net, seen, data = mlp(torch), [], batches(torch)
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
        step = compiled(train_step(torch, net, optimizer, ran))
        step(*data[0])
        kept = copy.deepcopy(net.state_dict()), copy.deepcopy(optimizer.state_dict())
        changes = [
            lambda: None,
            lambda: net.load_state_dict(kept[0]),
            lambda: optimizer.load_state_dict(kept[1]),
            lambda: net[0].weight.data.mul_(0.5),
            lambda: setattr(net[0].weight, "data", torch.ones(8, 4)),
            lambda: net[2].weight.requires_grad_(False),
            lambda: optimizer.param_groups[0].update(betas=(0.5, 0.9)),
            lambda: net.__setitem__(1, torch.nn.ReLU()),
            lambda: optimizer.state.clear(),
            lambda: net.zero_grad(),
        ]
        for change in changes:
            change()
            seen += [step(*batch) for batch in data]
        return seen, net

    same(program, rtol=1e-3, atol=1e-4)


@pytest.mark.filterwarnings("ignore:torch.compile of .* there are hooks")
def test_a_hook_that_comes_later():
    net, seen = mlp(shim), []
    step = shim.compile(train_step(shim, net, shim.optim.SGD(net.parameters(), lr=0.1), Ran()), **MODE)
    for number, batch in enumerate(batches(shim)):
        if number == 4:
            net[0].weight.register_hook(lambda grad: seen.append(1))
        step(*batch)
    assert len(seen) == 4


def test_an_attribute_a_global_and_a_function():
    class Trainer:
        factor = 2.0

        def __init__(self):
            self.bias = 1

        def call(self, x):
            return x * self.factor + self.bias + OFFSET

    trainer = Trainer()
    f = shim.compile(trainer.call, **MODE)
    global OFFSET
    expected = []
    for number in range(20):
        if number == 6:
            trainer.bias = 5
        if number == 10:
            Trainer.factor = 3.0
        if number == 14:
            OFFSET = 7
        assert f(shim.ones(2)).tolist() == [Trainer.factor + trainer.bias + OFFSET] * 2
    assert not expected


OFFSET = 0


# -- what is refused


def refused(function, *calls, match):
    compiled = shim.compile(function, **MODE)
    with pytest.warns(UserWarning, match=match) as found:
        results = [compiled(*args) for args in calls]
    assert len([item for item in found if "reduce-overhead" in str(item.message)]) == 1
    return results


def test_a_counter():
    count = 0

    def f(x):
        nonlocal count
        count += 1
        return x * count

    assert [y.item() for y in refused(f, *[(shim.ones(1),)] * 8, match="'count' changed from 4 to 5")] == list(range(1, 9))


def test_a_list_that_grows():
    kept = []

    def f(x):
        kept.append(x * 2)
        return x + 1

    refused(f, *[(shim.ones(1),)] * 8, match="'kept' had 4 items and has 5")
    assert len(kept) == 8


class Box:
    __slots__ = ("kept", "number")


def test_what_is_kept_where_nobody_looks():
    box = Box()

    def f(x):
        box.kept = x * 2
        return x + 1

    refused(f, *[(shim.full((1,), float(i)),) for i in range(8)], match="is kept somewhere")
    assert box.kept.item() == 14


def test_a_hidden_number():
    box = Box()
    box.number = 0

    def f(x):
        box.number += 1
        return x * box.number

    assert [y.item() for y in refused(f, *[(shim.ones(1),)] * 8, match="changed from . to ., and would be frozen")] == list(range(1, 9))


def test_numbers_of_numpy():
    rng, other = np.random.default_rng(0), np.random.default_rng(0)
    results = refused(
        lambda x: x + shim.tensor(rng.random(2, np.float32)), *[(shim.zeros(2),)] * 8, match="made inside by Python or NumPy changed"
    )
    assert [y.tolist() for y in results] == [other.random(2, np.float32).tolist() for _ in range(8)]


def test_a_value_that_is_asked_for():
    def f(x):
        return x * 2 if x[0].item() > 3 else x

    results = refused(f, *[(shim.full((1,), float(i)),) for i in range(8)], match="are read inside")
    assert [y.item() for y in results] == [0, 1, 2, 3, 8, 10, 12, 14]


@pytest.mark.filterwarnings("ignore:torch.compile of .* a value is asked for")
def test_a_value_that_is_computed_and_asked_for():
    def f(x):
        return x * 2 if x.sum() > 3 else x

    assert [y.item() for y in refused(f, *[(shim.full((1,), float(i)),) for i in range(8)], match="are read inside")][-1] == 14


def test_a_result_that_can_be_differentiated():
    net = mlp(shim)
    results = refused(net.forward, *[(x,) for x, _ in batches(shim)], match="can still be differentiated")
    results[-1].sum().backward()
    assert net[0].weight.grad is not None


def test_hooks_and_a_seed():
    net, seen = mlp(shim), []
    net[0].register_forward_hook(lambda *args: seen.append(1))
    with shim.no_grad():
        refused(net.forward, *[(x,) for x, _ in batches(shim)], match="there are hooks")
    assert len(seen) == 8

    def f(x):
        shim.manual_seed(3)
        return x + shim.rand(1)

    assert len({y.item() for y in refused(f, *[(shim.zeros(1),)] * 8, match="sets the state of a generator")}) == 1


def test_an_exception_and_a_reset():
    flag, ran = shim.ones(1), Ran()

    @shim.compile(**MODE)
    def f(x, fail=False):
        ran.append(1)
        flag.add_(1)
        if fail:
            raise ValueError("no")
        return x + flag

    for _ in range(5):
        f(shim.ones(1))
    with pytest.raises(ValueError, match="no"):
        f(shim.ones(1), True)
    assert f(shim.ones(1)).item() == 9 and ran.count == 4
    shim.compiler.reset()
    assert f(shim.ones(1)).item() == 10 and ran.count == 5
    shim.compiler.cudagraph_mark_step_begin()
    assert f(shim.ones(1)).item() == 11


# -- whose memory it is


def test_what_others_hold_of_the_old_values():
    net, ran = mlp(shim), Ran()
    step = shim.compile(train_step(shim, net, shim.optim.SGD(net.parameters(), lr=0.1, momentum=0.9), ran), **MODE)
    (x, y), *_ = batches(shim)
    weight, kept = net[0].weight, []
    detached, data, view = weight.detach(), weight.data, weight[0]
    for _ in range(12):
        step(x, y)
        now = weight.tolist()
        kept.append(
            (
                now,
                weight.detach().numpy().copy(),
                weight.clone(),
                weight.detach() + 0,
                copy.deepcopy(net),
                {k: v.clone() for k, v in net.state_dict().items()},
                np.from_dlpack(weight.detach()._export()),
                weight.detach()._export(),
                weight * 1,
            )
        )
        kept.append((weight.grad.tolist(), weight.grad, weight.grad.numpy().copy(), *[None] * 6)) if len(kept) % 3 else None
        assert detached.tolist() == data.tolist() == now and view.tolist() == now[0]
    for now, array, clone, *rest in kept:
        assert array.tolist() == now and clone.tolist() == now
        if rest[0] is not None:
            plus, twin, state, taken, raw, times = rest
            assert (
                plus.tolist()
                == twin[0].weight.tolist()
                == state["0.weight"].tolist()
                == taken.tolist()
                == raw.tolist()
                == times.tolist()
                == now
            )
    assert ran.count == 3


def test_gradients_that_somebody_reads_and_changes():
    def program(torch, compiled, ran):
        net, seen, old = mlp(torch), [], None
        step = compiled(train_step(torch, net, torch.optim.SGD(net.parameters(), lr=0.1), ran))
        for number, batch in enumerate(batches(torch, 16)):
            step(*batch)
            grad = net[0].weight.grad
            if number in (5, 6):
                seen.append(grad.clone())
            if number == 8:
                grad.mul_(2)
                seen.append(net[0].weight.grad)
            if number == 10:
                old = grad
            if number == 12:
                net.zero_grad()
        return seen, old, net

    same(program)


def test_moving_averages_and_another_step():
    def program(torch, compiled, ran):
        net, average = mlp(torch), mlp(torch)
        one = compiled(train_step(torch, net, torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9), ran))
        two = compiled(train_step(torch, net, torch.optim.Adam(net.parameters(), lr=0.01), ran))
        for number, batch in enumerate(batches(torch, 20)):
            (two if number % 3 == 2 else one)(*batch)
            with torch.no_grad():
                for p, q in zip(average.parameters(), net.parameters(), strict=True):
                    p.lerp_(q, 0.1)
        return net, list(average.parameters())

    same(program)


def test_threads():
    net, ran, wrong = mlp(shim), Ran(), []
    step = shim.compile(train_step(shim, net, shim.optim.SGD(net.parameters(), lr=0.01, momentum=0.9), ran), **MODE)
    (x, y), *_ = batches(shim)
    for _ in range(4):
        step(x, y)
    done = threading.Event()

    def read():
        while not done.is_set():
            try:
                assert np.isfinite(sum((p.detach() * 2).sum().item() for p in net.parameters()))
            except Exception as error:
                wrong.append(error)

    def train():
        try:
            for _ in range(60):
                step(x, y)
        except Exception as error:
            wrong.append(error)

    reader, trainers = threading.Thread(target=read), [threading.Thread(target=train) for _ in range(2)]
    for thread in (reader, *trainers):
        thread.start()
    for thread in trainers:
        thread.join()
    done.set()
    reader.join()
    assert not wrong
    assert np.isfinite(step(x, y).item())


@pytest.mark.parametrize(
    ("width", "places"),
    [
        (4, [(Replayable, "compute"), (script, "pending"), (script, "fill"), (Unasked, "give")]),
        (200, [(Replayable, "own"), (Replayable, "compute"), (Replay, "flush"), (script, "fill")]),
    ],
    ids=["small", "overwritten"],
)
def test_an_interrupt(monkeypatch, width, places):
    """Wherever it comes, the call has happened or it has not."""
    results = []
    for where in (None, *places):
        monkeypatch.setattr(state, "reads_gradients", False)
        shim.manual_seed(0)
        net, ran = shim.nn.Sequential(shim.nn.Linear(4, width), shim.nn.Linear(width, 100), shim.nn.Linear(100, 3)), Ran()
        step = shim.compile(train_step(shim, net, shim.optim.SGD(net.parameters(), lr=0.1, momentum=0.9), ran), **MODE)
        (x, y), *_ = batches(shim)
        for _ in range(6):
            step(x, y)
        assert ran.count == 3
        if where is not None:
            with monkeypatch.context() as patch:

                def interrupt(*args):
                    raise KeyboardInterrupt

                patch.setattr(*where, interrupt)
                with pytest.raises(KeyboardInterrupt):
                    step(x, y)
                    step(x, y)
            assert all(p.grad is None or np.isfinite(p.grad.numpy()).all() for p in net.parameters())
        results.append([])
        for _ in range(4):
            results[-1].append([p.detach().numpy().copy() for p in net.parameters()])
            step(x, y)
    for found in results[1:]:
        done = [np.allclose(found[0][0], expected[0], rtol=1e-5, atol=1e-6) for expected in results[0]]
        assert sum(done[:3]) == 1
        for a, b in zip(found[1], results[0][done.index(True) + 1], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("width", [8, 200], ids=["small", "overwritten"])
def test_gradients_asked_for_late_and_by_others(monkeypatch, width):
    """Gradients that no replay computed are those of the step that left them out, whenever they are asked for and by whom."""

    def program(torch, compiled, ran):
        torch.manual_seed(0)
        net, seen = (
            torch.nn.Sequential(torch.nn.Linear(4, width), torch.nn.Tanh(), torch.nn.Linear(width, 100), torch.nn.Linear(100, 3)),
            [],
        )
        step = compiled(train_step(torch, net, torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9), ran))
        held = []
        for number, batch in enumerate(batches(torch, 16)):
            step(*batch)
            if number in (6, 7):
                held.append([p.grad for p in net.parameters()])  # asked for after other steps
            if number == 9:
                with torch.no_grad():
                    net[0].weight.add_(net[0].weight.grad, alpha=0.01)
            if number == 12:
                seen.append([p.grad.clone() for p in net.parameters()])
        asked = threading.Thread(target=lambda: seen.append([[float(grad.sum()) for grad in grads] for grads in held]))
        asked.start()
        asked.join()
        return seen, held, net

    monkeypatch.setattr(state, "reads_gradients", False)
    same(program)


def test_memory_stays_and_no_model_is_kept():
    net, ran = mlp(shim), Ran()
    step = shim.compile(train_step(shim, net, shim.optim.SGD(net.parameters(), lr=0.001, momentum=0.9), ran), **MODE)
    (x, y), *_ = batches(shim)
    for _ in range(10):
        step(x, y)

    def storages():
        return sum(type(item) is Storage for item in gc.get_objects())

    before = storages()
    for _ in range(2000):
        step(x, y)
    assert storages() == before and ran.count == 3

    model = mlp(shim)
    reference = weakref.ref(model[0].weight)
    forward = shim.compile(lambda net, x: net(x), **MODE)
    with shim.no_grad():
        for _ in range(6):
            forward(model, x)
    del model
    gc.collect()
    assert reference() is None


def test_explain_and_stances():
    net = mlp(shim)
    f = shim.compile(net.forward, **MODE)
    with shim.no_grad():
        (x, _), *_ = batches(shim)
        expected = net(x).numpy()
        for _ in range(4):
            np.testing.assert_allclose(f(x).numpy(), expected, rtol=1e-5, atol=1e-6)
        assert shim._dynamo.explain(f)(x).graph_count == 1
        with shim.compiler.set_stance("force_eager"):
            np.testing.assert_allclose(f(x).numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:torch.compile of .step.. a value is asked for at")
def test_a_scaler_asks_for_a_value_and_is_not_replayed():
    """Whether a gradient overflowed decides whether the optimizer's step happens: Python runs at every call, with PyTorch's numbers."""
    results = []
    for library in (theirs, shim):
        library.manual_seed(0)
        net, scaler = mlp(library), library.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=3)
        optimizer, data, found = library.optim.SGD(net.parameters(), lr=0.1, momentum=0.9), batches(library), []

        def step(x, y, library=library, net=net, scaler=scaler, optimizer=optimizer):
            optimizer.zero_grad()
            loss = library.nn.functional.cross_entropy(net(x), y)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            return loss

        run = shim.compile(step, **MODE) if library is shim else step
        with (
            pytest.warns(UserWarning, match="replays no such calls: a value is asked for inside")
            if library is shim
            else contextlib.nullcontext()
        ):
            for number in range(9):
                x, y = data[number % len(data)]
                loss = run(x * float("inf") if number == 5 else x, y)
                found.append((loss.item(), scaler.get_scale()))
        results.append((found, [p.detach().numpy() for p in net.parameters()]))
    (expected, parameters), (found, ours) = results
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    for a, b in zip(ours, parameters, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_indices_that_are_made_inside_are_looked_at_once():
    """Positions, as a GPT has them, are the same at every call; the words are not, and are looked at."""
    words, positions = shim.nn.Embedding(10, 4), shim.nn.Embedding(6, 4)

    def embed(x):
        return (words(x) + positions(shim.arange(x.shape[1]))).sum()

    run = shim.compile(embed, **MODE)
    with shim.no_grad():
        for number in range(8):
            x = shim.full((2, 6), number)
            np.testing.assert_allclose(run(x).item(), embed(x).item(), rtol=1e-5)
        with pytest.raises(IndexError):
            run(shim.full((2, 6), 10))


def test_what_is_left_of_a_transformation_is_nobodys_matter():
    """A tensor that somebody kept from inside vmap has no numbers any more; replays of other functions do not ask for them."""
    kept = []
    shim.vmap(lambda x: kept.append(x * 2) or x)(shim.ones(3, 2))
    ran = Ran()
    weight = shim.ones(3)
    run = shim.compile(lambda x: (ran.append(1), (x * weight).sum(), shim.rand(2))[1:], **MODE)
    for number in range(6):
        assert run(shim.full((3,), float(number)))[0].item() == 3 * number
    assert len(kept) == 1
