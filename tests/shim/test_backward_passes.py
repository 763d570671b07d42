"""Backward passes that begin where an earlier one did: what is recorded at one go is what the walk would have recorded."""

import weakref

import numpy as np
import pytest
import torch

import funnn.torch as ft
from funnn.engine.backward import walk

STEPS = 12


def weights(t):
    return [t.tensor(np.arange(1.0, 5.0, dtype=np.float64) * factor, requires_grad=True) for factor in (0.5, -0.25)]


def plain(t):
    """The same step again and again."""
    a, b = weights(t)
    for _ in range(STEPS):
        a.grad = b.grad = None
        ((a * b).tanh() * a).sum().backward()
        yield a.grad, b.grad


def accumulated(t):
    """Gradients are added up."""
    a, b = weights(t)
    for _ in range(STEPS):
        (a * b).exp().sum().backward()
        yield a.grad, b.grad


def cut(t):
    """Every other step, the history ends in the middle, where a new leaf begins."""
    a, b = weights(t)
    for step in range(STEPS):
        a.grad = b.grad = None
        middle = a * 2
        if step % 2:
            middle = middle.detach().requires_grad_()
        (middle * b).tanh().sum().backward()
        yield a.grad, b.grad, middle.grad if step % 2 else None


def shared_memory(t):
    """Two operands are one leaf, or two that share their memory."""
    a, _ = weights(t)
    for step in range(STEPS):
        a.grad = None
        other = a.detach().requires_grad_() if step % 2 else a
        (a * other.exp()).sum().backward()
        yield a.grad, other.grad


def hooked(t):
    """A tensor on the way gets a hook, a leaf gets one, a gradient on the way is kept."""
    a, b = weights(t)
    seen = []
    for step in range(STEPS):
        a.grad = b.grad = None
        middle = a * b
        if step == 2:
            middle.register_hook(lambda gradient: gradient * 3)
        if step == 3:
            a.register_hook(lambda gradient: gradient * 2)
        if step == 4:
            middle.retain_grad()
        if step == 5:
            b.register_post_accumulate_grad_hook(lambda leaf: seen.append(leaf.grad * 1))
        middle.tanh().sum().backward()
        yield a.grad, b.grad, middle.grad if step == 4 else None, *seen


def hooked_node(t):
    """A node gets a hook, of one kind or of the other."""
    a, b = weights(t)
    for step in range(STEPS):
        a.grad = b.grad = None
        middle = (a * b).tanh()
        if step == 3:
            middle.grad_fn.register_hook(lambda inputs, outputs: tuple(gradient * 2 for gradient in inputs))
        if step == 4:
            middle.grad_fn.register_prehook(lambda outputs: tuple(gradient * 5 for gradient in outputs))
        middle.sum().backward()
        yield a.grad, b.grad


def kept(t):
    """A graph is walked twice."""
    a, b = weights(t)
    for _ in range(STEPS):
        a.grad = b.grad = None
        loss = (a * b).exp().sum()
        loss.backward(retain_graph=True)
        first = a.grad.clone()
        loss.backward()
        yield first, a.grad, b.grad


def two_roots(t):
    """Two losses at once, and then one of them alone, from the same graph."""
    a, b = weights(t)
    for step in range(STEPS):
        a.grad = b.grad = None
        first, second = (a * b).sum(), (a + b).exp().sum()
        if step % 3 < 2:
            t.autograd.backward([first, second], retain_graph=True)
        else:
            second.backward()
        yield a.grad, b.grad


def given_gradient(t):
    """Gradients to start from, which are computed, known, or one for two roots."""
    a, b = weights(t)
    for step in range(STEPS):
        a.grad = b.grad = None
        start = a.detach().cos() if step % 2 else t.ones(4, dtype=t.float64)
        (a * b).tanh().backward(start)
        yield a.grad, b.grad


def only_one(t):
    """Gradients of one leaf alone."""
    a, b = weights(t)
    for step in range(STEPS):
        a.grad = b.grad = None
        (a * b).tanh().sum().backward(inputs=[a] if step % 2 else None)
        yield a.grad, b.grad


def views_and_writes(t):
    """Views, and tensors that are written on the way."""
    a, b = weights(t)
    for _ in range(STEPS):
        a.grad = b.grad = None
        x = (a * b).reshape(2, 2)
        y = x.clone()
        y[0] += a[:2]
        y.mul_(2)
        (y @ x).sum().backward()
        yield a.grad, b.grad


def frozen(t):
    """A parameter is frozen for some steps."""
    a, b = weights(t)
    for step in range(STEPS):
        a.grad = b.grad = None
        b.requires_grad_(step % 3 != 1)
        (a * b).tanh().sum().backward()
        yield a.grad, b.grad


def in_turns(t):
    """Leaves change their places."""
    a, b = weights(t)
    for step in range(STEPS):
        a.grad = b.grad = None
        x, y = (a, b) if step % 2 else (b, a)
        (x * y.exp()).sum().backward()
        yield a.grad, b.grad


def several_outputs(t):
    """Operations of several results, some of which nobody uses."""
    a, b = weights(t)
    for _ in range(STEPS):
        a.grad = b.grad = None
        first, second = (a * b).chunk(2)
        values, _ = t.cat([first, second * 2]).sort()
        (values[:3] * values[1:]).sum().backward()
        yield a.grad, b.grad


def double(t):
    """Gradients of gradients, between plain passes."""
    a, b = weights(t)
    for step in range(STEPS):
        a.grad = b.grad = None
        loss = (a * b).tanh().sum()
        if step % 2:
            (gradient,) = t.autograd.grad(loss, a, create_graph=True)
            loss = (gradient**2).sum()
        loss.backward()
        yield a.grad, b.grad


def asked_before(t):
    """The loss is looked at before the backward pass, at some steps."""
    a, b = weights(t)
    for step in range(STEPS):
        a.grad = b.grad = None
        loss = (a * b).tanh().sum()
        if step % 2:
            loss.item()
        loss.backward()
        yield a.grad, b.grad


def hooked_ends(t):
    """Hooks of the node that accumulates, of either kind, and what a captured gradient meets."""
    a, b = weights(t)
    log = []
    for step in range(STEPS):
        a.grad = b.grad = None
        product = a * b
        end = product.grad_fn.next_functions[0][0]
        if step % 3 == 1:
            end.register_prehook(lambda outputs: (log.append(("pre", outputs[0].clone())), tuple(gradient * 2 for gradient in outputs))[1])
            end.register_hook(lambda inputs, outputs: log.append(("post", inputs, outputs[0].clone(), a.grad.clone())))
        if step == 4:
            a.register_hook(lambda gradient: log.append(("tensor", gradient.clone())))
        if step % 2:
            product.grad_fn.register_prehook(lambda outputs: log.append(("node", outputs[0].clone())))
        if step % 4 == 3:
            gradients = t.autograd.grad(product.tanh().sum(), [product, a] if step % 8 == 3 else [product])
        else:
            product.tanh().sum().backward()
            gradients = a.grad, b.grad
        found = [item for entry in log for item in entry if isinstance(item, t.Tensor)]
        yield *gradients, t.tensor([float(len(entry[0])) for entry in log]), *found


PROGRAMS = [
    plain,
    hooked_ends,
    accumulated,
    cut,
    shared_memory,
    hooked,
    hooked_node,
    kept,
    two_roots,
    given_gradient,
    only_one,
    views_and_writes,
    frozen,
    in_turns,
    several_outputs,
    double,
    asked_before,
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_programs(program, monkeypatch):
    taken = []

    def begin(*args):
        known, following = original(*args)
        taken.extend([] if known is None else [1])
        return known, following

    list(program(ft))  # passes are known when they come again, whichever tests have run before
    original = walk.begin
    monkeypatch.setattr(walk, "begin", begin)
    ours, theirs = list(program(ft)), list(program(torch))
    assert len(ours) == len(theirs) == STEPS
    for step, (mine, wanted) in enumerate(zip(ours, theirs, strict=True)):
        assert len(mine) == len(wanted)
        for number, (value, expected) in enumerate(zip(mine, wanted, strict=True)):
            assert (value is None) == (expected is None), (step, number)
            if value is not None:
                np.testing.assert_allclose(
                    value.detach().numpy(), expected.detach().numpy(), rtol=1e-12, err_msg=f"step {step}, result {number}"
                )
    assert len(taken) >= STEPS // 3


@pytest.mark.parametrize("t", [ft, torch], ids=["funnn", "torch"])
def test_errors_come_though_the_pass_is_known(t):
    a, b = weights(t)
    for step in range(STEPS):
        loss = (a * b).exp().sum()
        loss.backward()
        if step > 2:
            with pytest.raises(RuntimeError, match="second time"):
                loss.backward()
    for step in range(STEPS):
        middle = (a * b).exp()
        loss = middle.sum()
        if step == STEPS - 1:
            with t.no_grad():
                middle.add_(1)
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                loss.backward()
        else:
            loss.backward()


def test_a_known_pass_frees_what_the_graph_kept():
    a, b = weights(ft)
    for _ in range(STEPS):
        middle = (a * b).exp()
        loss = middle.sum()
        node = loss.grad_fn.next_functions[0][0]
        loss.backward()
        assert node.vjp is None
    gone = weakref.ref(middle)
    del middle, node, loss
    assert gone() is None
