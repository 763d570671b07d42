"""Functions that torch.func transforms and that write in place: into what they made, into arguments, and into tensors from outside."""

from __future__ import annotations

import re

import jax
import pytest
import torch

import funnn.torch as shim


def without(t, function):
    with t.no_grad():
        return function()


#: (torch, argument, tensor from outside, one that was computed with gradients) -> output
FUNCTIONS = {
    "a number": lambda t, x, c, d: c.add_(1) * x,
    "a number into a computed one": lambda t, x, c, d: d.add_(1) * x,
    "zeros": lambda t, x, c, d: c.zero_() + x,
    "a fill": lambda t, x, c, d: c.fill_(2.0) * x,
    "a copy": lambda t, x, c, d: c.copy_(t.ones(3)) * x,
    "an index": lambda t, x, c, d: (c.__setitem__(0, 1), c * x)[1],
    "a mask": lambda t, x, c, d: (c.__setitem__(c > 5, 1), c * x)[1],
    "in no_grad": lambda t, x, c, d: without(t, lambda: c.add_(1)) * x,
    "through data": lambda t, x, c, d: (c.data.add_(1), c * x)[1],
    "through detach": lambda t, x, c, d: (c.detach().add_(1), c * x)[1],
    "through a view": lambda t, x, c, d: (c[:2].add_(1), c * x)[1],
    "the shape": lambda t, x, c, d: c.unsqueeze_(0) * x,
    "other memory": lambda t, x, c, d: c.set_(t.zeros(3)) + x,
    "relu": lambda t, x, c, d: t.nn.functional.relu(c, inplace=True) * x,
    "out=": lambda t, x, c, d: t.add(t.ones(3), 1, out=c) * x,
    "into what it made": lambda t, x, c, d: x.new_zeros(3).add_(x) * x,
    "into a clone": lambda t, x, c, d: (y := x.clone(), y.mul_(c), y.__setitem__(0, c[1]), y * x)[-1],
    "into its argument": lambda t, x, c, d: x.add_(c) * x,
    "into a view of its argument": lambda t, x, c, d: (x[:2].mul_(2), x * x)[1],
}
STACKED = [[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]]
TRANSFORMATIONS = {
    "grad": lambda t, f, x: t.func.grad(lambda x: f(x).sum())(x),
    "vjp": lambda t, f, x: (found := t.func.vjp(f, x), found[0], found[1](t.ones_like(found[0]))[0])[1:],
    "jvp": lambda t, f, x: t.func.jvp(f, (x,), (t.ones(3),)),
    "vmap": lambda t, f, x: t.vmap(f)(t.tensor(STACKED)),
    "jacrev": lambda t, f, x: t.func.jacrev(f)(x),
    "jacfwd": lambda t, f, x: t.func.jacfwd(f)(x),
    "hessian": lambda t, f, x: t.func.hessian(lambda x: f(x).sum())(x),
    "grad of vmap": lambda t, f, x: t.func.grad(lambda y: t.vmap(f)(y).sum())(t.tensor(STACKED)),
    "vmap of grad": lambda t, f, x: t.vmap(t.func.grad(lambda x: f(x).sum()))(t.tensor(STACKED)),
    "grad of grad": lambda t, f, x: t.func.grad(lambda x: t.func.grad(lambda y: f(y).sum())(x).sum())(x),
}


def listed(value):
    return value.tolist() if hasattr(value, "tolist") else [listed(item) for item in value]


def outcome(program, t):
    """What the program gives, or the class and text of its error: without overloads of operations, and without our advice."""
    try:
        return program(t)
    except RuntimeError as error:
        return type(error), re.sub(r"(aten::\w+)[.\w]*|\.? Do it under .*", r"\1", str(error)).rstrip(". ")


def alike(program):
    assert outcome(program, shim) == outcome(program, torch)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
def test_writes(function, transformation):
    def program(t):
        c, d = t.ones(3), t.ones(3, requires_grad=True) * 1
        x = t.arange(3.0)
        found = TRANSFORMATIONS[transformation](t, lambda x: FUNCTIONS[function](t, x, c, d), x)
        return listed(found), listed((c, d)), c.requires_grad, d.requires_grad

    alike(program)


@pytest.mark.parametrize("transformation", ["grad", "vjp", "jvp", "jacrev", "jacfwd", "hessian", "vmap of grad", "grad of grad"])
@pytest.mark.parametrize(
    "write", [lambda c, x: c.add_(x), lambda c, x: c.copy_(x), lambda c, x: c.__setitem__(0, x[0])], ids=["add_", "copy_", "setitem"]
)
def test_a_value_from_inside_is_not_written_outside(transformation, write):
    def program(t):
        c = t.ones(3)
        TRANSFORMATIONS[transformation](t, lambda x: (write(c, x), c * x)[1], t.arange(3.0))

    alike(program)


@pytest.mark.parametrize("transformation", ["grad", "vjp", "jvp", "jacrev", "jacfwd", "grad of grad"])
@pytest.mark.parametrize("training", [True, False])
def test_running_statistics_are_outside(transformation, training):
    """Training, batch normalisation writes them; PyTorch says to pass them as arguments. Nothing is written."""

    def program(t):
        norm = t.nn.BatchNorm1d(1).train(training)
        try:
            return listed(TRANSFORMATIONS[transformation](t, lambda x: norm(x[:, None]).pow(2)[:, 0], t.arange(3.0)))
        finally:
            assert norm.running_mean.tolist() == [0] and norm.num_batches_tracked.item() == 0

    if training:
        alike(program)
    else:
        for got, expected in zip(jax.tree.leaves(program(shim)), jax.tree.leaves(program(torch)), strict=True):
            assert got == pytest.approx(expected, rel=1e-5)


def test_a_function_inside_may_not_write_what_one_around_it_made():
    def program(t, inside):
        def outer(x):
            made = t.zeros(3)

            def inner(y):
                return (made.add_(1) * y).sum()

            if inside:
                return t.func.grad(inner)(x).sum()
            return (made.add_(t.func.grad(lambda y: (y * y).sum())(x)) * x).sum()

        return t.func.grad(outer)(t.ones(3)).tolist()

    alike(lambda t: program(t, True))
    alike(lambda t: program(t, False))


def test_what_was_made_inside_is_from_outside_afterwards():
    def program(t):
        kept = []
        t.func.grad(lambda x: (kept.append(t.zeros(3)), (x * x).sum())[1])(t.ones(3))
        kept[0].add_(1)
        return kept[0].tolist(), t.func.grad(lambda x: (kept[0].add_(1), (x * x).sum())[1])(t.ones(3)).tolist()

    alike(program)


def test_arguments_that_are_not_differentiated_may_be_written():
    def program(t):
        def function(x, out, count=None):
            count.add_(1)
            return out.copy_(x * 2).sum()

        out, count = t.zeros(3), t.zeros(2)
        found = t.func.grad(function)(t.ones(3), out, count=count)
        return listed((found, out, count)), out.requires_grad, out._version

    alike(program)
