"""What linear algebra demands of its operands, and the error where a matrix cannot be factorised."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.memory.strides import in_columns
from funnn.engine.ops.kit.table import publish, write_out
from funnn.engine.state import thread
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype


class _LinAlgError(RuntimeError):
    """torch.linalg.LinAlgError: a matrix is not what the operation needs (singular, not positive-definite, not finite)."""


LinAlgError = _LinAlgError  # whose own name has the line in torch


def matrices(name: str, array: Any, what: str = "A", types: Callable | None = None) -> Any:
    """The array, if it is a matrix or a batch of them, of those types of numbers: float32, float64 or complex ones by default."""
    if array.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor {what} must have at least 2 dimensions.")
    return (types or precise)(name, array)


def inexact(name: str, array: Any) -> Any:
    """The array, if its numbers are floating-point or complex."""
    kind = _dtype.dtype.of(array.dtype)
    if kind.category < 2:
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got {kind.legacy}; convert it with .float()")
    return array


def precise(name: str, array: Any) -> Any:
    """The array, if its numbers are float32, float64 or complex."""
    kind = _dtype.dtype.of(inexact(name, array).dtype)
    if kind.itemsize < 4:
        raise NotImplementedError(f"{name}: Low precision dtypes not supported. Got {kind.legacy}; convert it with .float()")
    return array


def square(name: str, array: Any, what: str = "A", types: Callable = precise) -> Any:
    """The array, if it is a square matrix or a batch of them, of those types of numbers."""
    matrices(name, array, what, types)
    rows, columns = array.shape[-2:]
    if rows != columns:
        raise RuntimeError(f"{name}: {what} must be batches of square matrices, but they are {rows} by {columns} matrices")
    return array


def same_types(name: str, **arrays: Any) -> None:
    """Raise unless the two arrays, named as in torch's message, have the same dtype."""
    (first, a), (second, b) = arrays.items()
    if a.dtype != b.dtype:
        kinds = [_dtype.dtype.of(array.dtype).legacy for array in (a, b)]
        raise RuntimeError(
            f"{name}: Expected {first} and {second} to have the same dtype, but found {first} of type {kinds[0]} and {second} of type "
            f"{kinds[1]} instead; convert one with .to(dtype)"
        )


def adjoint(array: Any) -> Any:
    """The conjugate transpose."""
    return jnp.conj(jnp.swapaxes(array, -2, -1))


def tolerance_of(singular: Any, shape: tuple, atol: Any = None, rtol: Any = None) -> Any:
    """Below what a singular value counts as 0: max(atol, rtol·largest), with torch's defaults; one number for each matrix."""
    default = jnp.finfo(singular.dtype).eps * max(shape[-2:])
    if rtol is None:
        rtol = default if atol is None else jnp.where(jnp.asarray(atol) > 0, 0, default)
    atol = jnp.asarray(0 if atol is None else atol, singular.dtype)
    return jnp.maximum(atol, jnp.asarray(rtol, singular.dtype) * jnp.max(singular, -1, initial=0))


# -- results that are checked: outside a compiled function, where values are known


def _known(tensor: Tensor) -> np.ndarray | None:
    """The values, unless they are being traced, or there are none."""
    array = None if thread.tracing is not None or tensor.is_meta else tensor.detach()._read()
    return None if array is None or isinstance(array, jax.core.Tracer) else np.asarray(array)


def raise_failure(name: str, info: Tensor, text: Callable[[int], str], error: type[Exception] = LinAlgError) -> None:
    """Raise if some matrix's ``info`` is not 0; the text is a function of that number."""
    codes = _known(info)
    if codes is not None and codes.any():
        first = int(codes.reshape(-1).nonzero()[0][0])
        where = f"(Batch element {first}): " if codes.ndim else ""
        raise error(f"{name}: {where}{text(int(codes.reshape(-1)[first]))}")


def raise_unless_finite(name: str, result: Tensor) -> None:
    """Raise if a decomposition gave NaN, as LAPACK does for matrices that are not finite."""
    values = _known(result)
    if values is not None and np.isnan(values).any():
        raise LinAlgError(f"{name}: The algorithm failed to converge because the input matrix contained non-finite values.")


def checked_rows(
    name: str,
    pure: Callable,
    grad: str,
    text: Callable[[int], str],
    result: Callable | None = None,
    *,
    doc: str,
    label: str | None = None,
    error: type[Exception] = LinAlgError,
    aliases: tuple[str, ...] = (),
    autocast: Any = None,
) -> Callable:
    """Two rows of linear algebra from one function, whose last output ``info`` tells which matrices failed.

    ``name`` raises for those, ``name_ex`` only if asked to. ``result`` makes what ``name`` returns of the outputs but ``info``; by default
    it is the first of them. ``label`` is what the error calls the function. ``doc`` is the docstring of ``name``; ``name_ex`` has that of ``pure``.
    """
    op, label = Op(pure, grad, autocast=autocast), label or name

    def run_ex(*args: Any, check_errors: bool = False, out: Any = None, **kwargs: Any) -> Any:
        outputs = call(op, args, kwargs)
        if check_errors:
            raise_failure(label, outputs[-1], text, error)
        return outputs if out is None else write_out(out, outputs)

    def compute_and_check(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        outputs = call(op, args, kwargs)
        raise_failure(label, outputs[-1], text, error)
        value = outputs[0] if result is None else result(*outputs[:-1])
        return value if out is None else write_out(out, value)

    publish(name, compute_and_check, pure, aliases=aliases, exact_out=True, **in_columns(0)).__doc__ = doc
    shown = publish(f"{name}_ex", run_ex, pure, exact_out=True, **in_columns(0))
    check = inspect.Parameter("check_errors", inspect.Parameter.KEYWORD_ONLY, default=False)
    shown.__signature__ = inspect.signature(pure).replace(parameters=[*inspect.signature(pure).parameters.values(), check])
    return compute_and_check
