"""Fractional max pooling: overlapping windows at pseudo-random places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax import lax

from funnn._types import Arrays, Ints
from funnn.errors import ArgumentError, ArgumentValueError, ShapeError
from funnn.functional import _checks as check
from funnn.functional import _random
from funnn.functional import _windows as windows
from funnn.functional._dispatch import Public, public
from funnn.functional.adaptive_pooling import check_input


class FractionalMaxPool(Public, Protocol):
    def __call__(
        self,
        input: jax.Array,
        kernel_size: Ints,
        output_size: Ints | None = None,
        output_ratio: float | Sequence[float] | None = None,
        return_indices: bool = False,
        _random_samples: jax.Array | None = None,
        *,
        key: jax.Array | None = None,
    ) -> jax.Array | tuple[jax.Array, jax.Array]: ...


class FractionalMaxPoolWithIndices(Public, Protocol):
    def __call__(
        self,
        input: jax.Array,
        kernel_size: Ints,
        output_size: Ints | None = None,
        output_ratio: float | Sequence[float] | None = None,
        return_indices: bool = False,
        _random_samples: jax.Array | None = None,
        *,
        key: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]: ...


def _starts(samples: jax.Array, size: int, out: int, kernel: int) -> jax.Array:
    """The first element of each of ``out`` windows, (*samples.shape, out): evenly spaced but for a random phase; the last one ends the axis."""
    if out == 1:
        return jnp.full((*samples.shape, 1), size - kernel)
    step = jnp.asarray(size - kernel, samples.dtype) / jnp.asarray(out - 1, samples.dtype)
    phase = samples[..., None]
    starts = jnp.floor((jnp.arange(out - 1, dtype=samples.dtype) + phase) * step) - jnp.floor(phase * step)
    last = jnp.full((*samples.shape, 1), size - kernel)
    return jnp.concatenate([starts.astype(last.dtype), last], -1)


def _fractional(
    name: str,
    n: int,
    input: jax.Array,
    kernel_size: Ints,
    output_size: Ints | None,
    output_ratio: float | Sequence[float] | None,
    samples: jax.Array | None,
    key: jax.Array | None,
) -> tuple[jax.Array, jax.Array]:
    """The maxima, and where they are."""
    input = check.floating(name, "input", input)
    check_input(name, n, input)
    kernels = check.ntuple(name, "kernel_size", kernel_size, n)
    if output_size is None:
        if output_ratio is None:
            raise ArgumentValueError(f"{name} requires specifying either an output_size or an output_ratio")
        ratios: tuple[Any, ...] = tuple(output_ratio) if isinstance(output_ratio, (tuple, list)) else (output_ratio,) * n
        if len(ratios) != n:
            raise ArgumentValueError(f"{name} requires output_ratio to either be a single number or a tuple of {n}, but got {output_ratio}")
        output_size = tuple(int(size * ratio) for size, ratio in zip(input.shape[-n:], ratios, strict=True))
    sizes = check.ntuple(name, "output_size", output_size, n)
    for size, out, kernel in zip(input.shape[-n:], sizes, kernels, strict=True):
        if out + kernel - 1 > size or out < 1 or kernel < 1:
            raise ArgumentError(
                f"{name}: pool size {list(kernels)} and output size {list(sizes)} are too large relative to input size {check.shape(input)}"
            )
    x = input if input.ndim == n + 2 else input[None]
    if samples is None:
        samples = _random.required(name, key, "_random_samples=None").uniform((*x.shape[:2], n), input.dtype)
    samples = check.like(name, "_random_samples", samples, input)
    if samples.shape[1:] != (x.shape[1], n) or samples.shape[0] < x.shape[0]:
        raise ShapeError(f"{name}: expected _random_samples of shape {[*x.shape[:2], n]}, but got {check.shape(samples)}")
    samples = samples[: x.shape[0]]  # there may be more than needed, as in torch
    arrays: Arrays = (x, jnp.broadcast_to(windows.positions(x.shape[2:], 2), x.shape))
    for axis in reversed(range(n)):
        # torch's planes take the samples of two axes the other way round, those of three in order
        sample = samples[..., n - 1 - axis if n == 2 else axis]
        starts = _starts(sample, x.shape[2 + axis], sizes[axis], kernels[axis])
        at = 2 + axis
        starts = lax.expand_dims(starts, [i for i in range(2, x.ndim) if i != at])

        def part(offset: int, starts: jax.Array = starts, at: int = at, arrays: Arrays = arrays) -> Arrays:
            return tuple(jnp.take_along_axis(a, starts + offset, at, mode="clip") for a in arrays)

        arrays = windows.fold([part(offset) for offset in range(kernels[axis])], windows.first_max_with_position)
    output, indices = arrays
    return (output, indices) if input.ndim == n + 2 else (output[0], indices[0])


_FRACTIONAL_DOC = """Take the maximum over overlapping windows at pseudo-random places of the last {n} axes{also}.

    Along an axis of ``size`` elements, window i of ``out`` starts at ``⌊(i + u) · a⌋ − ⌊u · a⌋`` with ``a = (size − k) / (out − 1)`` and u from
    U(0, 1), drawn for each item and channel; the last one ends the axis.

    Args:
      input: of shape (N, C, {axes}), or (C, {axes}) without a batch; floating point.
      kernel_size: k, an int or one per axis.
      output_size: the number of windows, an int or one per axis.
      output_ratio: instead of it, the number of windows as a part of the input's size.
      return_indices: {indices}
      _random_samples: the numbers u, of shape (N, C, {n}); default drawn by key.
      key: a JAX random key; needed without _random_samples.

    Returns:
      {returns}

    Raises:
      KeyRequiredError: neither key nor _random_samples.
      ArgumentError: neither output_size nor output_ratio, or the windows do not fit.
      ShapeError, DtypeError: input or _random_samples do not fit.

    Source: Graham, 2014; torch.nn.functional.{name}.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> {name}(jnp.ones((1, {eights})), 2, output_size=3, key=jax.random.key(0)){pick}.shape
      (1, {threes})
    """


def _fractional_rows(n: int) -> tuple[FractionalMaxPool, FractionalMaxPoolWithIndices]:
    def plain(
        input: jax.Array,
        kernel_size: Ints,
        output_size: Ints | None = None,
        output_ratio: float | Sequence[float] | None = None,
        return_indices: bool = False,
        _random_samples: jax.Array | None = None,
        *,
        key: jax.Array | None = None,
    ) -> jax.Array | tuple[jax.Array, jax.Array]:
        name = f"fractional_max_pool{n}d"
        output, indices = _fractional(name, n, input, kernel_size, output_size, output_ratio, _random_samples, key)
        return (output, indices) if return_indices else output

    def with_indices(
        input: jax.Array,
        kernel_size: Ints,
        output_size: Ints | None = None,
        output_ratio: float | Sequence[float] | None = None,
        return_indices: bool = False,
        _random_samples: jax.Array | None = None,
        *,
        key: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        name = f"fractional_max_pool{n}d"
        return _fractional(name, n, input, kernel_size, output_size, output_ratio, _random_samples, key)

    words = {
        "n": n,
        "axes": ", ".join("DHW"[-n:]),
        "eights": ", ".join(["1"] + ["8"] * n),
        "threes": ", ".join(["1"] + ["3"] * n),
    }
    plain.__name__ = plain.__qualname__ = f"fractional_max_pool{n}d"
    plain.__doc__ = _FRACTIONAL_DOC.format(
        name=plain.__name__,
        also="",
        indices="also return where each maximum is, counted over the flattened spatial axes; default False.",
        returns="An array of the output's size, of the input's dtype; with return_indices also the positions.",
        pick="",
        **words,
    )
    with_indices.__name__ = with_indices.__qualname__ = f"{plain.__name__}_with_indices"
    with_indices.__doc__ = _FRACTIONAL_DOC.format(
        name=with_indices.__name__,
        also=", and where it is",
        indices="accepted for torch's signature and ignored.",
        returns="(output, indices), where indices count over the flattened spatial axes.",
        pick="[1]",
        **words,
    )
    return public(plain), public(with_indices)


fractional_max_pool2d, fractional_max_pool2d_with_indices = _fractional_rows(2)
fractional_max_pool3d, fractional_max_pool3d_with_indices = _fractional_rows(3)
