"""Gradients that an optimizer has used are computed only if somebody asks, and are then what they would have been."""

import collections
import copy
import gc
import threading
import weakref

import numpy as np
import pytest
import torch

import funnn.torch as ft
from funnn.engine.program import graph, states
from funnn.engine.program.unread import Unread
from funnn.engine.state import thread

STEPS = 12


@pytest.fixture(autouse=True)
def nobody_has_asked(monkeypatch):
    """What earlier tests asked for is forgotten."""
    monkeypatch.setattr(thread, "reads_gradients", False)
    monkeypatch.setattr(graph, "starts", collections.defaultdict(lambda: states.State(None, None, 0, 0)))


def model(t, width=3):
    t.manual_seed(0)
    net = t.nn.Sequential(t.nn.Linear(width, width), t.nn.Tanh(), t.nn.Linear(width, 1)).double()
    return net, t.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)


def data(t, step):
    return t.tensor(np.random.default_rng(step).standard_normal((4, 3)))


def steps(t, net, optimizer, count=STEPS, zero=True):
    for step in range(count):
        if zero:
            optimizer.zero_grad()
        loss = net(data(t, step)).square().mean()
        loss.backward()
        optimizer.step()
        yield step, loss.item()


def gradients(net):
    return [parameter.grad.tolist() for parameter in net.parameters()]


def read_each_step(t):
    net, optimizer = model(t)
    for _, loss in steps(t, net, optimizer):
        yield loss, gradients(net)


def read_now_and_then(t):
    net, optimizer = model(t)
    for step, loss in steps(t, net, optimizer):
        yield loss, gradients(net) if step in (5, 9) else None


def read_once_at_the_end(t):
    net, optimizer = model(t)
    yield [loss for _, loss in steps(t, net, optimizer)], gradients(net)


def accumulated(t):
    net, optimizer = model(t)
    for _, loss in steps(t, net, optimizer, zero=False):
        yield loss
    yield gradients(net)


def kept_from_step_to_step(t):
    """What is held is what it was when it was computed, though parameters have changed since."""
    net, optimizer = model(t)
    held = []
    for _ in steps(t, net, optimizer):
        held.append([parameter.grad for parameter in net.parameters()])
    yield [[grad.tolist() for grad in each] for each in held]


def written_after_the_step(t):
    net, optimizer = model(t)
    for step, loss in steps(t, net, optimizer, zero=False):
        for parameter in net.parameters():
            parameter.grad.mul_(0.5) if step % 3 else parameter.grad.zero_()
        yield loss
    yield gradients(net)


def used_by_two_optimizers(t):
    net, optimizer = model(t)
    other = t.optim.Adam(net.parameters(), lr=0.01)
    for step, loss in steps(t, net, optimizer):
        other.step()
        yield loss, gradients(net) if step == 7 else None


def copied(t):
    net, optimizer = model(t)
    for step, loss in steps(t, net, optimizer):
        if step == 6:
            yield [grad.tolist() for grad in copy.deepcopy([parameter.grad for parameter in net.parameters()])]
        yield loss
    yield [parameter.grad.numpy().copy().tolist() for parameter in net.parameters()]


def clipped(t):
    net, optimizer = model(t)
    for step in range(STEPS):
        optimizer.zero_grad()
        net(data(t, step)).square().mean().backward()
        norm = t.nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        optimizer.step()
        yield norm.item(), gradients(net) if step == 8 else None


def dropout_in_between(t):
    """Random numbers are those that were drawn."""
    net, optimizer = model(t)
    net.append(t.nn.Dropout(0.5))
    for step, loss in steps(t, net, optimizer):
        yield loss, gradients(net) if step == 10 else None


def in_parts(t):
    """Some parameters have an optimizer of their own."""
    net, _ = model(t)
    first, second = (t.optim.SGD(layer.parameters(), lr=0.1) for layer in (net[0], net[2]))
    for step in range(STEPS):
        first.zero_grad()
        second.zero_grad()
        net(data(t, step)).square().mean().backward()
        first.step()
        second.step()
        yield gradients(net) if step in (3, 4, 9) else None


PROGRAMS = [
    read_each_step,
    read_now_and_then,
    read_once_at_the_end,
    accumulated,
    kept_from_step_to_step,
    written_after_the_step,
    used_by_two_optimizers,
    copied,
    clipped,
    dropout_in_between,
    in_parts,
]


def assert_close(found, expected):
    assert type(found) is type(expected)
    if isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other)
    elif expected is not None:
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_programs(program):
    assert_close(list(program(ft)), list(program(torch)))


def values(net):
    return [parameter.grad._storage.value for parameter in net.parameters()]


def test_nothing_computes_them_until_somebody_asks():
    net, optimizer = model(ft)
    for _ in steps(ft, net, optimizer, 30):
        assert all(type(value.graph) is Unread and value.array is None for value in values(net))
    kept = values(net)
    net[0].weight.grad.tolist()
    assert all(value.array is not None and value.graph is None for value in kept)
    for _ in steps(ft, net, optimizer, 3):
        assert all(value.array is not None for value in values(net))


def test_a_thread_that_reads_them_computes_them_in_its_new_graphs():
    net, optimizer = model(ft)
    for _ in steps(ft, net, optimizer, 1):
        gradients(net)
    other, optimizer = model(ft)
    for step in range(3):
        optimizer.zero_grad()
        other(data(ft, step)[:2]).abs().mean().backward()
        optimizer.step()
        assert all(value.array is not None for value in values(other))


def test_what_they_are_computed_from_goes_with_them():
    net, optimizer = model(ft)
    for _ in steps(ft, net, optimizer, 3):
        pass
    before = weakref.ref(net[0].weight._storage.value)
    for _ in steps(ft, net, optimizer, 1):
        pass
    gc.collect()
    assert before() is not None
    optimizer.zero_grad()
    gc.collect()
    assert before() is None


def test_large_parameters_are_overwritten_instead():
    net, optimizer = model(ft, 200)
    x = ft.ones(2, 200, dtype=ft.float64)
    for _ in range(3):
        optimizer.zero_grad()
        net(x).mean().backward()
        optimizer.step()
        assert all(value.array is not None for value in values(net))


def test_another_thread_reads_them():
    net, optimizer = model(ft)
    expected = model(torch)
    for _ in zip(steps(ft, net, optimizer), steps(torch, *expected), strict=True):
        pass
    found = []
    threads = [threading.Thread(target=lambda: found.append(gradients(net))) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 4
    for each in found:
        assert_close(each, gradients(expected[0]))
