"""Backward of repeated graphs as one program: the same gradients, errors and side effects as node by node."""

from __future__ import annotations

import numpy as np
import pytest

import funnn.torch as torch
from funnn.engine.backward import fused as _fused
from funnn.torch import nn


def forget() -> None:
    _fused._programs.clear()
    _fused._visits.clear()


@pytest.fixture(autouse=True)
def compile_at_the_third_visit(monkeypatch):
    monkeypatch.setattr(_fused, "_REPEATS", 3)
    forget()


def compiled_programs() -> int:
    return len(_fused._programs)


def gradients(build, leaves, times):
    """The gradients of each of several passes over the same graph on other values."""
    results = []
    for i in range(times):
        for leaf in leaves:
            leaf.grad = None
        build(1.0 + 0.1 * i).backward()
        results.append([None if leaf.grad is None else leaf.grad.numpy() for leaf in leaves])
    return results


def check(build, leaves, times=5):
    repeated = gradients(build, leaves, times)
    assert compiled_programs() == 1
    forget()
    for i, passes in enumerate(repeated):  # never the third time, so node by node
        forget()
        for leaf in leaves:
            leaf.grad = None
        build(1.0 + 0.1 * i).backward()
        for leaf, gradient in zip(leaves, passes, strict=True):
            np.testing.assert_allclose(gradient, leaf.grad.numpy(), rtol=1e-6, atol=1e-7)


def test_a_network():
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.LayerNorm(5), nn.Linear(5, 3))
    x, t = torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    check(lambda scale: nn.functional.cross_entropy(net(x * scale), t), list(net.parameters()))


def test_shared_leaves_views_and_operations_with_several_outputs():
    w = torch.randn(4, 3, requires_grad=True)
    v = torch.randn(3, requires_grad=True)

    def build(scale):
        values, _ = (w * scale).max(1)
        first, *_ = (w * v).unbind(0)
        return (values.sum() + (first * v).sum() + w.T[0].sum()) * scale

    check(build, [w, v])


def test_in_place_operations_inside():
    w = torch.randn(5, requires_grad=True)

    def build(scale):
        h = w * scale
        h[1:3] = h[0] * 2
        h.mul_(w)
        return h.sum()

    check(build, [w])


def test_other_shapes_of_the_same_structure():
    w = torch.randn(3, requires_grad=True)
    for size in (2, 3, 4, 5, 4, 3, 2):
        w.grad = None
        (torch.ones(size, 3) * w).sum().backward()
        assert w.grad.tolist() == [float(size)] * 3


def test_accumulates_and_keeps_or_frees_the_graph():
    w = torch.ones(2, requires_grad=True)
    for _ in range(4):
        (w * w).sum().backward()
    assert w.grad.tolist() == [8.0, 8.0]
    loss = (w * w).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    assert w.grad.tolist() == [12.0, 12.0]
    with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
        loss.backward()


def test_overwritten_saved_values_still_raise():
    w = torch.ones(2, requires_grad=True)

    def build(spoil):
        h = w * 2
        y = (h * h).sum()
        if spoil:
            h.add_(1)
        return y

    for _ in range(4):
        build(False).backward()
    assert compiled_programs() == 1
    with pytest.raises(RuntimeError, match="has been modified by an inplace operation"):
        build(True).backward()


def test_hooks_and_functions_of_ones_own_run_every_time():
    w = torch.ones(2, requires_grad=True)
    seen = []
    for _ in range(5):
        h = w * 2
        h.register_hook(lambda gradient: seen.append(gradient.tolist()))
        h.sum().backward()
    assert seen == [[1.0, 1.0]] * 5
    assert compiled_programs() == 0


def test_graphs_that_do_not_come_back_are_not_compiled():
    w = torch.ones(2, requires_grad=True)
    for length in range(1, 6):
        h = w
        for _ in range(length):
            h = h * 2
        h.sum().backward()
    assert compiled_programs() == 0


def test_very_large_graphs_go_node_by_node(monkeypatch):
    monkeypatch.setattr(_fused, "_LARGEST", 10)
    w = torch.ones(2, requires_grad=True)
    for _ in range(4):
        h = w
        for _ in range(20):
            h = h * 1.5
        h.sum().backward()
    assert compiled_programs() == 0
    np.testing.assert_allclose(w.grad.numpy(), 4 * 1.5**20, rtol=1e-6)
