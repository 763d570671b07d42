"""Max unpooling: the way back from a maximum to its place."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from funnn._types import Ints
from funnn.errors import ArgumentError, ArgumentValueError, ShapeError
from funnn.functional import _checks as check
from funnn.functional._dispatch import Public, public
from funnn.functional._linear_map import linear_map


def _scatter(linear: tuple[Any, ...], residuals: tuple[Any, ...], size: int) -> tuple[Any, ...]:
    (values,), (places,) = linear, residuals
    rows = jnp.arange(values.shape[0])[:, None]
    return (jnp.zeros((values.shape[0], size), values.dtype).at[rows, places].set(values, mode="drop"),)


def _gather(linear: tuple[Any, ...], residuals: tuple[Any, ...], size: int) -> tuple[Any, ...]:
    return (jnp.take_along_axis(linear[0], residuals[0], 1, mode="fill", fill_value=0),)


@functools.partial(jax.jit, static_argnums=(2,), inline=True)
def _unpool_rows(values: jax.Array, places: jax.Array, size: int) -> jax.Array:
    # Not the derivative that JAX has for a scatter: of values at one place each gets the whole gradient, as in torch.
    return linear_map(_scatter, _gather, (values,), (places,), size=size)[0]


def _max_unpool(
    name: str,
    n: int,
    input: jax.Array,
    indices: jax.Array,
    kernel_size: Ints,
    stride: Ints | None,
    padding: Ints,
    output_size: Sequence[int] | None,
) -> jax.Array:
    input, indices = check.array("input", input), check.array("indices", indices)
    if not jnp.issubdtype(indices.dtype, jnp.integer):
        raise ArgumentError(f"{name}: elements in indices should be type int64 but got: {indices.dtype}")
    if input.ndim not in (n + 1, n + 2):
        raise ShapeError(f"Input to {name} should be a {n + 1}d or {n + 2}d Tensor, but got {check.shape(input)}")
    if input.shape != indices.shape:
        raise ShapeError(f"{name}: Expected shape of indices to be: {check.shape(input)} but got: {check.shape(indices)}")
    if 0 in input.shape[-n - 1 :]:
        raise ShapeError(f"{name}: Expected input to have non-zero size for non-batch dimensions, but got {check.shape(input)}")
    kernels = check.ntuple(name, "kernel_size", kernel_size, n)
    strides = kernels if stride is None else check.ntuple(name, "stride", stride, n)
    pads = check.ntuple(name, "padding", padding, n)
    if min(strides) < 1:
        raise ArgumentError(f"{name}: strides should be greater than zero, but got stride: {list(strides)}")
    default = [(size - 1) * s + k - 2 * p for size, s, k, p in zip(input.shape[-n:], strides, kernels, pads, strict=True)]
    sizes = default
    if output_size is not None:
        sizes = list(output_size)
        sizes = sizes[2:] if len(sizes) == n + 2 else sizes
        if len(sizes) != n:
            raise ArgumentValueError(
                f"output_size should be a sequence containing {n} or {n + 2} elements, but it has a length of '{len(output_size)}'"
            )
        for d, (size, usual, s) in enumerate(zip(sizes, default, strides, strict=True)):
            if not usual - s < size < usual + s:
                raise ArgumentValueError(f'invalid output_size "{sizes}" (dim {d} must be between {usual - s} and {usual + s})')
    if min(sizes) < 0:
        raise ArgumentError(f"max_unpooling: output_size must contain non-negative spatial dimensions, but got {sizes}")
    lead, total = input.shape[:-n], math.prod(sizes)
    rows = math.prod(lead), math.prod(input.shape[-n:])
    places = jnp.where(indices < 0, total, indices)  # a negative index is out of range, and does not count from the end
    output: jax.Array = _unpool_rows(input.reshape(rows), places.reshape(rows), total)
    return output.reshape(*lead, *sizes)


class MaxUnpool(Public, Protocol):
    def __call__(
        self,
        input: jax.Array,
        indices: jax.Array,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        output_size: Sequence[int] | None = None,
    ) -> jax.Array: ...


def _unpool_row(n: int) -> MaxUnpool:
    def max_unpool(
        input: jax.Array,
        indices: jax.Array,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        output_size: Sequence[int] | None = None,
    ) -> jax.Array:
        return _max_unpool(f"max_unpool{n}d", n, input, indices, kernel_size, stride, padding, output_size)

    axes = ", ".join("DHW"[-n:])
    ones = "1, " * n
    max_unpool.__name__ = max_unpool.__qualname__ = f"max_unpool{n}d"
    max_unpool.__doc__ = f"""Put maxima back where max_pool{n}d found them, and zeros elsewhere.

    Args:
      input: the maxima, of shape (N, C, {axes}), or (C, {axes}) without a batch.
      indices: their places, of input's shape, as max_pool{n}d gives them with return_indices; one out of range is left out.
      kernel_size: of the pool, an int or one per axis.
      stride: of the pool; default kernel_size.
      padding: of the pool; default 0.
      output_size: the size of the result, which the pool's arguments leave open by up to a stride; default
        ``(L − 1) · stride + k − 2 · padding`` along each axis.

    Returns:
      An array of shape (N, C, *output_size), or without N, of the input's dtype.

    Raises:
      ShapeError: input and indices do not fit.
      ArgumentError: output_size or stride is out of range.

    Source: torch.nn.functional.max_unpool{n}d.

    Example:
      >>> import jax.numpy as jnp
      >>> max_unpool{n}d(jnp.full((1, {ones}2), 5.0), jnp.array([1, 2]).reshape(1, {ones}2), {f"({'1, ' * (n - 1)}2)" if n > 1 else 2}).squeeze().tolist()
      [0.0, 5.0, 5.0, 0.0]
    """
    return public(max_unpool)


max_unpool1d, max_unpool2d, max_unpool3d = (_unpool_row(n) for n in (1, 2, 3))
