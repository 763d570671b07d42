"""What operations element by element share: which types they take, in which type they compute, what has no derivative."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype
from funnn.engine.types.dtype import promoted


def named(function: Callable, name: str, doc: str | None = None) -> Callable:
    """The function under a name, and with a docstring where it has none of its own."""
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc or function.__doc__
    return function


def factor(number: Any, kind: Any) -> Any:
    """A number to multiply by, as one of an array's type; RuntimeError for a complex one where that is real."""
    if jnp.issubdtype(jnp.result_type(number), jnp.complexfloating) and not jnp.issubdtype(kind, jnp.complexfloating):
        raise RuntimeError("value cannot be converted to type float without overflow: it is complex")
    return jnp.asarray(number, kind)


def floating(function: Callable, name: str | None = None, doc: str | None = None) -> Callable:
    """The function with the default floating-point type in place of integers in its first argument.

    ``name`` and ``doc`` are for one that has none of its own.
    """

    def apply(input, *args, **kwargs):
        return function(promoted(input, floating=True)[0], *args, **kwargs)

    if name is None:
        return functools.update_wrapper(apply, function)
    apply.__signature__ = inspect.Signature([inspect.Parameter("input", inspect.Parameter.POSITIONAL_OR_KEYWORD)])
    return named(apply, name, doc)


def wide_type(kind: Any) -> Any:
    """The type in which numbers of a type are computed with: float32 for the floats of 16 bits, which are rounded once, at the end."""
    return jnp.dtype(jnp.float32) if kind in (jnp.float16, jnp.bfloat16) else jnp.dtype(kind)


def widened(function: Callable) -> Callable:
    """The function with floats of 16 bits computed in float32; its results of that type come back in the narrow one."""

    @functools.wraps(function)
    def apply(input: Any, *args: Any, **kwargs: Any) -> Any:
        kind = input.dtype
        wide = wide_type(kind)
        if wide == kind:
            return function(input, *args, **kwargs)
        args = [arg.astype(wide) if getattr(arg, "dtype", None) == kind else arg for arg in args]
        result = function(input.astype(wide), *args, **kwargs)
        return jax.tree.map(lambda array: array.astype(kind) if array.dtype == wide else array, result)

    return apply


def not_implemented(name: str, kind: Any) -> NotImplementedError:
    """torch's error for a type of numbers that an operation does not take."""
    return NotImplementedError(f"\"{name}\" not implemented for '{_dtype.dtype.of(kind).legacy}'; convert the tensor with .to(dtype)")


def require(name: str, array: Any, kinds: str) -> None:
    """Raise unless the numbers of an array or Tensor are of one of those kinds: b(ool), i(nteger), f(loat), c(omplex)."""
    kind = array.dtype.numpy if isinstance(array.dtype, _dtype.dtype) else array.dtype
    if "bifc"[_dtype.dtype.of(kind).category] not in kinds:
        raise not_implemented(name, kind)


def refusing(error: Callable[[], Exception]) -> Callable:
    """A decorator: asking for a gradient of the function raises."""

    def decorate(function: Callable) -> Callable:
        guarded = jax.custom_vjp(function)

        def refuse(residuals: None, gradient: Any) -> Any:
            raise error()

        guarded.defvjp(lambda *arrays: (function(*arrays), None), refuse)
        return guarded

    return decorate


def without_derivative(what: str) -> Callable:
    """A decorator: asking for a gradient of the function raises, as in torch where a derivative is not implemented."""
    return refusing(lambda: NotImplementedError(f"the derivative for '{what}' is not implemented."))


def by_operand(name: str, both: int = 0, number_other: int = 1, number_input: int | None = None) -> Callable:
    """torch's grad_fn names of an operation of two: by whether both are tensors, ``other`` is a number, or ``input`` is one."""

    def grad(input, other, **rest):
        return f"{name}Backward{number_input if not isinstance(input, Tensor) else both if isinstance(other, Tensor) else number_other}"

    return grad
