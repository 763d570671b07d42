"""Leaves that a function makes while torch.func transforms it: modules, parameters and tensors of their own gradients; and optimizers there."""

from __future__ import annotations

import pytest
from twin import same, same_error

import funnn.torch as shim


def stepped(t, x, **options):
    weight = t.nn.Parameter(t.ones(2))
    weight.grad = t.ones(2)
    t.optim.SGD([weight], lr=0.1, **options).step()
    return weight * x


def differentiated(t, x):
    weight = t.ones(2, requires_grad=True)
    (gradient,) = t.autograd.grad((weight * 3).sum(), weight)
    return gradient * x


FUNCTIONS = {
    "a module": lambda t, x: t.nn.Linear(2, 2)(x),
    "a parameter": lambda t, x: t.nn.Parameter(t.ones(2)) * x,
    "a factory": lambda t, x: t.ones(2, requires_grad=True) * x,
    "a tensor of numbers": lambda t, x: t.tensor([1.0, 2.0], requires_grad=True) * x,
    "the attribute": lambda t, x: (y := t.ones(2), setattr(y, "requires_grad", True), y * x)[-1],
    "a parameter of the argument": lambda t, x: t.nn.Parameter(x) * 3,
    "a gradient inside": differentiated,
    "a step inside": stepped,
}
TRANSFORMATIONS = {
    "grad": lambda t, f: t.func.grad(lambda x: f(x).sum())(t.ones(2)),
    "value": lambda t, f: t.func.grad_and_value(lambda x: f(x).sum())(t.ones(2)),
    "vjp": lambda t, f: t.func.vjp(f, t.ones(2))[1](t.ones(2)),
    "jacrev": lambda t, f: t.func.jacrev(f)(t.ones(2)),
    "grad of grad": lambda t, f: t.func.grad(lambda x: t.func.grad(lambda y: (f(y) * y).sum())(x).sum())(t.ones(2)),
    "vmap": lambda t, f: t.func.vmap(f, randomness="same")(t.ones(3, 2)).detach(),
}


@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_it_makes_may_require_gradients(function, transformation):
    same(lambda t: TRANSFORMATIONS[transformation](t, lambda x: FUNCTIONS[function](t, x)))


def test_gradients_are_no_part_of_a_graph_that_ends_inside():
    gradient = shim.func.grad(lambda x: shim.nn.Linear(2, 1)(x).sum())(shim.ones(2))
    assert not gradient.requires_grad


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])
@pytest.mark.parametrize("foreach", [None, True])
def test_an_optimizer_of_captured_parameters(name, foreach):
    """PyTorch refuses the writes one by one, and lets those of lists through."""

    def program(t):
        weight = t.ones(2, requires_grad=True)
        weight.grad = t.ones(2)
        optimizer = getattr(t.optim, name)([weight], lr=0.1, foreach=foreach)

        def function(x):
            optimizer.step()
            return (x * 2).sum()

        try:
            return t.func.grad(function)(t.ones(2)), weight.detach()
        except RuntimeError as error:
            assert "would mutate a captured Tensor" in str(error)
            return weight.detach()

    same(program)


def test_the_method_is_refused_there():
    same_error(
        lambda t: t.func.grad(lambda x: (t.ones(2).requires_grad_() * x).sum())(t.ones(2)),
        RuntimeError,
        r"attempting to call Tensor.requires_grad_\(\)",
    )
