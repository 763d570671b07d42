"""Pooling to a given output size, over windows that cover the input evenly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np

from funnn._types import Arrays
from funnn.errors import ArgumentError, ShapeError, ShapeValueError
from funnn.functional import _checks as check
from funnn.functional import _windows as windows
from funnn.functional._dispatch import P, Public, PublicFunction, R, public
from funnn.functional._resize import Resize, resize

Sizes = int | Sequence[int | None]


class AdaptiveAvgPool(Public, Protocol):
    def __call__(self, input: jax.Array, output_size: Sizes) -> jax.Array: ...


class AdaptiveMaxPool(Public, Protocol):
    def __call__(self, input: jax.Array, output_size: Sizes, return_indices: bool = False) -> jax.Array | tuple[jax.Array, jax.Array]: ...


class AdaptiveMaxPoolWithIndices(Public, Protocol):
    def __call__(self, input: jax.Array, output_size: Sizes, return_indices: bool = False) -> tuple[jax.Array, jax.Array]: ...


def check_input(name: str, n: int, input: jax.Array) -> None:
    size = check.shape(input)
    if input.ndim not in (n + 1, n + 2):
        kind = ShapeValueError if len(size) <= n > 1 else ShapeError
        raise kind(f"{name}: Expected {n + 1}D or {n + 2}D tensor, but got {size}. {name} takes (N, C, *spatial) or (C, *spatial).")
    if 0 in size[-n - 1 :]:
        raise ShapeError(f"{name}: Expected input to have non-zero size for non-batch dimensions, but input has sizes {size}")


def _output_size(name: str, n: int, input: jax.Array, output_size: Sizes) -> tuple[int, ...]:
    """The size of each axis; None keeps the input's."""
    if output_size is None:
        raise TypeError(f"{name}: output_size must be an int or a sequence of {n}, not NoneType; None within it keeps a size")
    given = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,)
    given = given * n if len(given) == 1 and given != (None,) else given
    if len(given) != n:
        raise ShapeError(f"{name}: output_size must be an int or have {n} elements, but got {list(given)}")
    if not all(out is None or (hasattr(out, "__index__") and not isinstance(out, bool)) for out in given):
        raise TypeError(f"{name}(): argument 'output_size' must be tuple of ints, but got {output_size!r}")
    sizes = tuple(size if out is None else int(out) for out, size in zip(given, input.shape[-n:], strict=True))
    if min(sizes) < 0:
        raise ArgumentError(f"{name}: elements of output_size must be greater than or equal to 0, but got {list(sizes)}")
    return sizes


def _bounds(size: int, out: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each of ``out`` windows over ``size`` elements starts and ends."""
    i = np.arange(out)
    return i * size // out, -(-(i + 1) * size // out)


def _adaptive_max(name: str, n: int, input: jax.Array, output_size: Sizes, return_indices: bool) -> Arrays:
    """The maxima, and with ``return_indices`` where they are."""
    input = check.floating(name, "input", input)
    check_input(name, n, input)
    sizes = _output_size(name, n, input, output_size)
    rank = input.ndim - n
    arrays: Arrays = (input, windows.positions(input.shape[rank:], rank)) if return_indices else (input,)
    combine = windows.first_max_with_position if return_indices else windows.first_max
    for axis in reversed(range(n)):
        size, out = input.shape[rank + axis], sizes[axis]
        if out and size % out == 0:
            arrays = windows.regular(arrays, rank + axis, out, size // out, size // out, 1, combine)
            continue
        start, end = _bounds(size, out)
        longest = max(end - start, default=1)
        # a shorter window repeats its last element, which changes no maximum
        taken = np.minimum(start[:, None] + np.arange(longest), end[:, None] - 1)
        arrays = windows.gathered(arrays, rank + axis, taken, combine)
    return (arrays[0], jnp.broadcast_to(arrays[1], arrays[0].shape)) if return_indices else arrays


def _adaptive_avg(name: str, n: int, input: jax.Array, output_size: Sizes) -> jax.Array:
    input = check.floating(name, "input", input)
    check_input(name, n, input)
    sizes = _output_size(name, n, input, output_size)
    wide = check.accumulator(input.dtype)
    x, rank = input.astype(wide), input.ndim - n
    if 0 in sizes:
        return jnp.zeros((*input.shape[:rank], *sizes), input.dtype)
    uneven = []
    for axis in reversed(range(n)):
        size, out, at = input.shape[rank + axis], sizes[axis], rank + axis
        if size % out == 0:
            x = x.reshape(*x.shape[:at], out, size // out, *x.shape[at + 1 :]).mean(at + 1)
            continue
        uneven.append(Resize(at, size, out, "area"))
    x = resize(x, tuple(uneven))
    return x.astype(input.dtype)


_ADAPTIVE_DOC = """{what} over windows that cover the last {n} axes of ``input`` evenly.

    Window i of ``out`` along an axis of ``size`` elements goes from ``⌊i · size / out⌋`` to ``⌈(i + 1) · size / out⌉``.

    Args:
      input: of shape (N, C, {axes}), or (C, {axes}) without a batch; floating point.
      output_size: the number of windows, an int or one per axis, of which None keeps the input's size.{extra}

    Returns:
      {returns}

    Raises:
      ShapeError: the rank is wrong, or the input is empty.
      ArgumentError: output_size is negative.
      DtypeError: input is not floating point.

    Source: torch.nn.functional.{name}.

    Example:
      >>> import jax.numpy as jnp
      >>> {name}(jnp.arange(8.0).reshape(1, {ones}8), {size}){pick}.squeeze().tolist()
      {result}
    """


def _document(
    function: Callable[P, R], name: str, n: int, what: str, extra: str = "", returns: str = "", pick: str = "", result: str = ""
) -> PublicFunction[P, R]:
    function.__name__ = function.__qualname__ = name
    axes = ", ".join("DHW"[-n:])
    shape = f"an array of shape (N, C, {', '.join(f'{a}_out' for a in 'DHW'[-n:])}), or without N, of the input's dtype"
    function.__doc__ = _ADAPTIVE_DOC.format(
        what=what,
        n=n,
        axes=axes,
        extra=extra,
        name=name,
        returns=returns.format(shape) or f"{shape[0].upper()}{shape[1:]}.",
        ones="1, " * (n - 1),
        size=f"({'1, ' * (n - 1)}2)" if n > 1 else "2",
        pick=pick,
        result=result,
    )
    return public(function)


def _adaptive_rows(n: int) -> tuple[AdaptiveAvgPool, AdaptiveMaxPool, AdaptiveMaxPoolWithIndices]:
    def avg(input: jax.Array, output_size: Sizes) -> jax.Array:
        return _adaptive_avg(f"adaptive_avg_pool{n}d", n, input, output_size)

    def maximum(input: jax.Array, output_size: Sizes, return_indices: bool = False) -> jax.Array | tuple[jax.Array, jax.Array]:
        if return_indices:
            return with_indices(input, output_size)
        return _adaptive_max(f"adaptive_max_pool{n}d", n, input, output_size, False)[0]

    def with_indices(input: jax.Array, output_size: Sizes, return_indices: bool = False) -> tuple[jax.Array, jax.Array]:
        values, positions = _adaptive_max(f"adaptive_max_pool{n}d", n, input, output_size, True)
        return values, positions

    where = "where each maximum is, counted over the flattened spatial axes"
    name = f"adaptive_max_pool{n}d"
    return (
        _document(avg, f"adaptive_avg_pool{n}d", n, "Average", result="[1.5, 5.5]"),
        _document(
            maximum,
            name,
            n,
            "Take the maximum",
            extra=f"\n      return_indices: also return {where}; default False.",
            returns=f"{{}}; with return_indices also {where}.",
            result="[3.0, 7.0]",
        ),
        _document(
            with_indices,
            f"{name}_with_indices",
            n,
            "Take the maximum, and where it is,",
            extra="\n      return_indices: accepted for torch's signature and ignored.",
            returns=f"(output, indices): {{}}; {where}.",
            pick="[1]",
            result="[3, 7]",
        ),
    )


adaptive_avg_pool1d, adaptive_max_pool1d, adaptive_max_pool1d_with_indices = _adaptive_rows(1)
adaptive_avg_pool2d, adaptive_max_pool2d, adaptive_max_pool2d_with_indices = _adaptive_rows(2)
adaptive_avg_pool3d, adaptive_max_pool3d, adaptive_max_pool3d_with_indices = _adaptive_rows(3)
