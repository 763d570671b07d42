"""Tensors and leaves that lose their history, or their wish for a gradient, between an operation and its backward pass."""

from __future__ import annotations

import re

import pytest
import torch

import funnn.torch as shim


def leaf(t):
    return t.arange(1.0, 4.0).requires_grad_()


def saved(t, x):
    y = x * 2
    z = y * y
    y.detach_()
    z.sum().backward()


def saved_once(t, x):
    y = x * 2
    z = y * y
    z.sum().backward(retain_graph=True)
    y.detach_()
    z.sum().backward()


def saved_and_written(t, x):
    y = x * 2
    z = y**2
    y.detach_()
    y.requires_grad_()
    z.sum().backward()


def saved_of_grad(t, x):
    y = x * 2
    total = (y * y).sum()
    y.detach_()
    return t.autograd.grad(total, x)


def saved_and_transformed(t, x):
    def function(x):
        y = x * 2
        z = y * y
        y.detach_()
        return (z * y).sum()

    return t.func.grad(function)(x.detach())


REFUSED = [saved, saved_once, saved_and_written, saved_of_grad, saved_and_transformed]


@pytest.mark.parametrize("program", REFUSED, ids=lambda program: program.__name__)
def test_a_saved_tensor_that_was_detached_is_refused(program):
    for t in (torch, shim):
        with pytest.raises(
            RuntimeError, match=re.escape("Trying to use a saved tensor that has been detached in-place, i.e. with .detach_()")
        ):
            program(t, leaf(t))


def not_saved(t, x):
    y = x * 2
    y.retain_grad()
    calls = []
    y.register_hook(lambda g: calls.append(g.tolist()) or g * 3)
    total = y.sum()
    y.detach_()
    total.backward()
    return calls, y.grad, y.requires_grad, y.is_leaf


def a_result(t, x):
    y = x.sqrt()
    total = y.sum()
    y.detach_()
    total.backward()


def a_neighbour(t, x):
    y = x * 2
    w = y * 1
    z = w * w
    y.detach_()
    z.sum().backward()


def a_new_leaf(t, x):
    y = x * 2
    y.detach_().requires_grad_()
    (y * y).sum().backward()
    return y


def views(t, x):
    y = x * 2
    v = y[1:]
    y.detach_()
    v.sum().backward()
    return v.requires_grad, y.requires_grad, v.grad_fn.name()


def written_afterwards(t, x):
    y = x * 2
    v = y[1:]
    y.detach_()
    y.mul_(x)
    v.sum().backward()
    return y.grad_fn.name()


def in_a_function(t, x):
    function = type(
        "F",
        (t.autograd.Function,),
        {
            "forward": staticmethod(lambda ctx, x: (y := x * 2, ctx.save_for_backward(x, y))[0]),
            "backward": staticmethod(lambda ctx, g: g * ctx.saved_tensors[1] + ctx.saved_tensors[0]),
        },
    )
    z = x * 1
    y = function.apply(z)
    total = y.sum()
    y.detach_()
    z.detach_()
    total.backward()


def recurrent(t, x):
    cell, h = t.nn.RNNCell(3, 2), t.zeros(1, 2)
    for _ in range(3):
        h = cell(x[None], h)
        h.sum().backward()
        h.detach_()
    return h, h.is_leaf


def a_leaf(t, x):
    total = (x * x).sum()
    x.detach_()
    total.backward()


def a_leaf_frozen(t, x):
    calls = []
    x.register_hook(lambda g: calls.append("hook"))
    x.register_post_accumulate_grad_hook(lambda p: calls.append("after"))
    total = (x * x).sum()
    x.grad = t.ones(3)
    x.requires_grad_(False)
    total.backward()
    return calls


def a_leaf_frozen_for_a_while(t, x):
    total = (x * x).sum()
    x.requires_grad_(False)
    total.backward(retain_graph=True)
    x.requires_grad_()
    total.backward()


def a_parameter_frozen(t, x):
    linear = t.nn.Linear(3, 1)
    total = linear(x).sum()
    linear.weight.requires_grad_(False)
    total.backward()
    return linear.weight.grad, linear.bias.grad


TAKEN = [not_saved, a_result, a_neighbour, a_new_leaf, views, written_afterwards, in_a_function, recurrent, a_leaf, a_leaf_frozen]
TAKEN += [a_leaf_frozen_for_a_while, a_parameter_frozen]


def shown(value):
    if isinstance(value, (tuple, list)):
        return [shown(item) for item in value]
    if hasattr(value, "tolist"):
        return [[round(float(n), 4) for n in value.detach().flatten()], shown(value.grad) if value.is_leaf else None, value.requires_grad]
    return value


@pytest.mark.parametrize("program", TAKEN, ids=lambda program: program.__name__)
def test_others_are_as_in_torch(program):
    def run(t):
        t.manual_seed(0)
        x = leaf(t)
        return shown([program(t, x), x])

    assert run(shim) == run(torch)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_parameter_that_is_frozen_between_loss_and_backward_gets_no_gradient(compiled):
    def run(t):
        t.manual_seed(0)
        linear = t.nn.Linear(2, 2)
        optimizer = t.optim.SGD(linear.parameters(), lr=0.1)
        forward = t.compile(linear) if compiled and t is shim else linear
        for step in range(6):
            optimizer.zero_grad()
            loss = forward(t.ones(3, 2) * step).square().mean()
            linear.weight.requires_grad_(step % 2 == 0)
            loss.backward()
            linear.weight.requires_grad_(True)
            optimizer.step()
        return [[round(number, 4) for number in parameter.flatten().tolist()] for parameter in linear.parameters()]

    assert run(shim) == run(torch)
