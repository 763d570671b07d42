"""torch.library: operators of users, with derivatives and forms for shapes, and torch.ops."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from twin import same, same_error

import funnn.torch as shim

_numbers = itertools.count()


def scaled_square(t: Any) -> tuple[Any, Any]:
    """An operator with a derivative and a form for shapes, and torch.ops' way to it."""
    namespace = f"testlib{next(_numbers)}"

    def scaled_square(x, k=2.0):
        return t.from_numpy(np.square(x.detach().numpy() * k))

    scaled_square.__annotations__ = {"x": t.Tensor, "k": float, "return": t.Tensor}
    operator = t.library.custom_op(f"{namespace}::scaled_square", scaled_square, mutates_args=())

    def setup(ctx, inputs, output):
        ctx.save_for_backward(inputs[0])
        ctx.k = inputs[1]

    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * 2 * x * ctx.k**2, None

    operator.register_autograd(backward, setup_context=setup)
    operator.register_fake(lambda x, k=2.0: t.empty_like(x))
    return operator, getattr(t.ops, namespace).scaled_square


def values_and_gradients(t):
    operator, by_name = scaled_square(t)
    x = t.tensor([1.0, 2.0], requires_grad=True)
    y = operator(x)
    (y * t.tensor([1.0, 3.0])).sum().backward()
    return y, x.grad, by_name(x, 3.0), by_name.default(x.detach(), k=1.0), operator(t.ones(2, device="meta")).shape


def without_gradients(t):
    operator, _ = scaled_square(t)
    x = t.ones(2, requires_grad=True)
    with t.no_grad():
        return operator(x), operator(x.detach())


def that_write(t):
    def fill(x, v):
        x.numpy().fill(v)

    fill.__annotations__ = {"x": t.Tensor, "v": float, "return": None}
    operator = t.library.custom_op(f"testlib{next(_numbers)}::fill", fill, mutates_args={"x"})
    x = t.zeros(2)
    return operator(x, 3.0), x, x._version


def with_two_results(t):
    def two(x, *, n=1):
        return x.clone(), x + n

    two.__annotations__ = {"x": t.Tensor, "n": int, "return": tuple[t.Tensor, t.Tensor]}
    operator = t.library.custom_op(f"testlib{next(_numbers)}::two", two, mutates_args=(), device_types="cpu")
    return operator(t.ones(2)), operator(t.ones(2), n=3)


def declared(t):
    name = f"testlib{next(_numbers)}"
    library = t.library.Library(name, "DEF")
    library.define("double(Tensor x) -> Tensor")
    library.impl("double", lambda x: x * 2, "CompositeImplicitAutograd")
    x = t.ones(2, requires_grad=True)
    y = getattr(t.ops, name).double(x)
    y.sum().backward()
    return y, x.grad


def schemas(t):
    def f(x, y, n, *, flag=True, s=0.5):
        pass

    f.__annotations__ = {"x": t.Tensor, "y": t.Tensor | None, "n": list[int], "flag": bool, "s": float, "return": list[t.Tensor]}
    return t.library.infer_schema(f, mutates_args=()), t.library.infer_schema(f, mutates_args={"x"})


@pytest.mark.parametrize(
    "program",
    [values_and_gradients, without_gradients, that_write, with_two_results, declared, schemas],
    ids=lambda program: program.__name__,
)
def test_operators(program):
    same(program)


def no_derivative(t):
    def f(x):
        return x.clone()

    f.__annotations__ = {"x": t.Tensor, "return": t.Tensor}
    return t.library.custom_op(f"testlib{next(_numbers)}::f", f, mutates_args=())(t.ones(2, requires_grad=True))


def test_errors():
    same_error(
        lambda t: no_derivative(t).sum().backward(), RuntimeError, "no autograd formula was registered. Please use register_autograd"
    )
    same_error(
        lambda t: scaled_square(t)[0](3), RuntimeError, r"Expected a value of type 'Tensor' for argument 'x' but instead found type 'int'"
    )
    same_error(
        lambda t: scaled_square(t)[0](t.ones(1), 1.0, 2),
        RuntimeError,
        r"Declaration: testlib\d+::scaled_square\(Tensor x, float k=2\.\) -> Tensor",
    )
    same_error(lambda t: t.library.custom_op("a::b", lambda x: x, mutates_args=()), ValueError, "Parameter x must have a type annotation")
    same_error(lambda t: t.ops.testlib_no.such, AttributeError, "'_OpNamespace' 'testlib_no' object has no attribute 'such'")

    def itself(x):
        return x

    def aliased(t):
        itself.__annotations__ = {"x": t.Tensor, "return": t.Tensor}
        return t.library.custom_op(f"testlib{next(_numbers)}::itself", itself, mutates_args=())(t.ones(2))

    same_error(aliased, RuntimeError, "must not also be an input to this custom operator")


def test_the_names_of_nodes():
    operator, _ = scaled_square(shim)
    text = repr(operator(shim.ones(1, requires_grad=True)).grad_fn)
    assert "GeneratedBackwardFor_testlib" in text and "_scaled_square_defaultBackward" in text
    assert torch.library.custom_op is not shim.library.custom_op


def test_what_is_not_there_says_so():
    for call in (lambda: shim.library.opcheck(print), lambda: shim.ops.load_library("x.so"), shim.library.get_ctx):
        with pytest.raises(NotImplementedError, match=r"is not supported|tests operators"):
            call()
    with pytest.raises(AttributeError, match=r"torch.ops.aten.no_such is not supported: call the function"):
        shim.ops.aten.no_such  # noqa: B018


class Elsewhere:
    pass


def test_divergences_of_foreign_classes():
    def program(t):
        t.distributions.register_kl(Elsewhere, t.distributions.Normal)(lambda p, q: q.loc + 1)
        return t.distributions.kl_divergence(Elsewhere(), t.distributions.Normal(2.0, 1.0)), t.distributions.utils._standard_normal(
            (3,), t.float64, "cpu"
        )

    same(program)
