"""Resizing along axes: each output element is a weighted sum of a few input elements, its taps, that only the sizes determine.

The taps of an axis are NumPy constants, made with torch's own arithmetic (float32 positions, except for float64 input), because a position that
is rounded otherwise is another pixel. Floating arrays are multiplied by them as matrices, block by block along the diagonal; the transpose has
blocks of its own, so that the derivative is no scatter. One gather a tap is faster alone, but XLA then computes whatever made the input again for
each tap: between two convolutions a bicubic step took three to ten times as long. A matrix multiplies an infinity or NaN by the zeros beside its
taps, too, so an array that has one is resized by a gather instead.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from funnn.functional import _checks as check
from funnn.functional._linear_map import linear_map

#: Elements of an axis that one matrix covers: large enough for a fast product, small enough that it is not mostly zeros.
_BLOCK = 128


class Resize(NamedTuple):
    """How one axis is resized; hashable, for it is what a compiled program depends on."""

    axis: int
    size: int
    output: int
    mode: str
    scale: float | None = None
    align_corners: bool = False
    antialias: bool = False
    double: bool = False
    #: whether 'nearest' takes the ratios 1 and 2 of the sizes exactly, whatever the scale factor; torch does for small images
    exact_ratios: bool = False

    @property
    def real(self) -> Any:
        return np.float64 if self.double else np.float32

    def ratio(self) -> Any:
        """Input elements for one output element."""
        real = self.real
        if self.align_corners:
            return real(self.size - 1) / real(self.output - 1) if self.output > 1 else real(0)
        return real(1.0 / self.scale) if self.scale else real(self.size) / real(self.output)


class Taps(NamedTuple):
    """Of each output element, which inputs it reads: three arrays of shape (output, count)."""

    places: np.ndarray
    weights: np.ndarray
    #: whether it is a tap at all, and not only there because another element has more of them
    real: np.ndarray


def _positions(plan: Resize, *, below: bool) -> np.ndarray:
    """Where the outputs lie among the inputs; before the first one only if ``below``."""
    steps: np.ndarray = np.arange(plan.output).astype(plan.real)
    if plan.align_corners:
        exact: np.ndarray = plan.ratio() * steps
        return exact
    # in double, then rounded: torch's compiler fuses the product and the difference into one rounding
    found: np.ndarray = (np.float64(plan.ratio()) * (steps + plan.real(0.5)) - 0.5).astype(plan.real)
    return found if below else np.maximum(found, 0)


def _nearest(plan: Resize) -> Taps:
    steps = np.arange(plan.output)
    if plan.exact_ratios and plan.output in (plan.size, 2 * plan.size):
        found = steps * plan.size // plan.output
    else:
        found = np.floor((steps.astype(plan.real) * plan.ratio()).astype(np.float32)).astype(np.int64)
    return _single(np.minimum(found, plan.size - 1))


def _nearest_exact(plan: Resize) -> Taps:
    found = np.floor((_positions(plan, below=False) + plan.real(0.5)).astype(np.float32)).astype(np.int64)
    return _single(np.minimum(found, plan.size - 1))


def _single(index: np.ndarray) -> Taps:
    return _all_real(index[:, None], np.ones((len(index), 1)))


def _all_real(index: np.ndarray, weights: np.ndarray) -> Taps:
    return Taps(index, weights, np.ones(index.shape, bool))


def _floor(plan: Resize, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The element before each position, and how far behind it the position lies, in [0, 1]."""
    before = np.minimum(np.floor(positions.astype(np.float32)).astype(np.int64), plan.size - 1)
    return before, np.clip(positions - before.astype(plan.real), plan.real(0), plan.real(1))


def _linear(plan: Resize) -> Taps:
    if plan.size == plan.output:
        return _single(np.arange(plan.size))
    before, part = _floor(plan, _positions(plan, below=False))
    return _all_real(np.stack([before, np.minimum(before + 1, plan.size - 1)], 1), np.stack([1 - part, part], 1))


def cubic_weights(part: Any, a: float = -0.75) -> list[Any]:
    """Keys's cubic convolution: the weights of the elements at −1, 0, 1 and 2 for a position ``part`` of the way from 0 to 1."""

    def near(x: Any) -> Any:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: Any) -> Any:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return [far(part + 1), near(part), near(1 - part), far(2 - part)]


def _cubic(plan: Resize) -> Taps:
    before, part = _floor(plan, _positions(plan, below=True))
    return _all_real(np.clip(before[:, None] + np.arange(-1, 3), 0, plan.size - 1), np.stack(cubic_weights(part), 1))


def _area(plan: Resize) -> Taps:
    steps = np.arange(plan.output)
    first, last = steps * plan.size // plan.output, -(-(steps + 1) * plan.size // plan.output)
    return _windows(first, last - first, lambda index: np.ones_like(index, np.float64))


def _windows(first: np.ndarray, count: np.ndarray, weigh: Callable[..., Any]) -> Taps:
    """Windows of elements with weights that add up to one; ``weigh`` gives them by the elements' indices."""
    offsets = np.arange(max(count.max(initial=1), 1))
    inside = offsets < count[:, None]
    index = first[:, None] + offsets
    weights = np.where(inside, weigh(index), 0)
    total = weights.sum(1, keepdims=True)
    weights = np.where(total == 0, weights, weights / np.where(total == 0, 1, total))
    return Taps(np.where(inside, index, (first + np.maximum(count, 1) - 1)[:, None]), weights, inside)


def _triangle(x: np.ndarray) -> np.ndarray:
    height: np.ndarray = np.maximum(1 - np.abs(x), 0)
    return height


def _keys(x: np.ndarray, a: float = -0.5) -> np.ndarray:
    x = np.abs(x)
    near, far = ((a + 2) * x - (a + 3)) * x * x + 1, ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def _lanczos(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)


#: The filters of antialiasing, with their reach on either side.
_FILTERS = {"linear": (_triangle, 1), "cubic": (_keys, 2), "lanczos": (_lanczos, 3)}


def _antialiased(plan: Resize) -> Taps:
    """The filter stretched over as many inputs as one output covers."""
    if plan.size == plan.output:
        return _single(np.arange(plan.size))
    real, ratio = plan.real, plan.ratio()
    weigh, reach = _FILTERS[plan.mode]
    stretch = max(ratio, real(1))
    support = real(reach) * stretch
    center = ratio * (np.arange(plan.output).astype(real) + real(0.5))
    first = np.maximum((center - support + real(0.5)).astype(np.int64), 0)
    last = np.minimum((center + support + real(0.5)).astype(np.int64), plan.size)
    most = int(np.ceil(support)) * 2 + 1
    count = np.clip(last - first, 0, most)
    return _windows(first, count, lambda index: weigh((index.astype(real) - center[:, None] + real(0.5)) * (real(1) / stretch)))


_MODES = {"nearest": _nearest, "nearest-exact": _nearest_exact, "linear": _linear, "cubic": _cubic, "area": _area}


@functools.lru_cache(maxsize=1024)
def taps(plan: Resize) -> Taps:
    """The taps of an axis."""
    return (_antialiased if plan.antialias else _MODES[plan.mode])(plan)


@functools.lru_cache(maxsize=1024)
def _transposed_taps(plan: Resize) -> Taps:
    """Of each input element, which outputs read it."""
    index, weights, real = taps(plan)
    targets, sources = index[real], np.broadcast_to(np.arange(plan.output)[:, None], index.shape)[real]
    order = np.argsort(targets, kind="stable")
    targets, sources, values = targets[order], sources[order], weights[real][order]
    count = np.bincount(targets, minlength=plan.size)
    place = np.arange(len(targets)) - (np.cumsum(count) - count)[targets]
    most = max(count.max(initial=1), 1)
    # a place without a tap repeats the row's first source, so that the row reaches no further than its own
    first = np.zeros(plan.size, np.int64)
    first[targets[place == 0]] = sources[place == 0]
    index, weights = np.repeat(first[:, None], most, 1), np.zeros((plan.size, most))
    index[targets, place], weights[targets, place] = sources, values
    return Taps(index, weights, np.arange(most) < count[:, None])


Blocks = tuple[tuple[int, int, np.ndarray], ...]  # of the inputs from the first to the second number, a matrix (outputs, inputs)


def _blocks(taps: Taps) -> Blocks:
    """The matrix of an axis, cut along its diagonal into blocks of outputs with the inputs that they reach."""
    index, weights = taps.places, taps.weights
    outputs = len(index)
    reach = (index.max() + 1) / outputs
    step = max(int(_BLOCK / max(reach, 1)), 1)
    blocks = []
    for start in range(0, outputs, step):
        at, by = index[start : start + step], weights[start : start + step]
        low, high = at.min(), at.max() + 1
        matrix = np.zeros((len(at), high - low))
        np.add.at(matrix, (np.arange(len(at))[:, None], at - low), by)
        blocks.append((int(low), int(high), matrix))
    return tuple(blocks)


@functools.lru_cache(maxsize=1024)
def _forward_blocks(plan: Resize) -> Blocks:
    return _blocks(taps(plan))


@functools.lru_cache(maxsize=1024)
def _backward_blocks(plan: Resize) -> Blocks:
    return _blocks(_transposed_taps(plan))


def _multiply(x: jax.Array, axis: int, blocks: Blocks) -> jax.Array:
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    x = x.reshape(math.prod(before), x.shape[axis], math.prod(after))
    pieces = []
    for low, high, matrix in blocks:
        part, matrix = x[:, low:high], matrix.astype(x.dtype)
        if part.shape[2] == 1:
            pieces.append(jnp.matmul(part[..., 0], matrix.T, precision=lax.Precision.HIGHEST)[..., None])
        else:
            pieces.append(jnp.einsum("mn,anb->amb", matrix, part, precision=lax.Precision.HIGHEST))
    joined = lax.concatenate(pieces, 1) if len(pieces) > 1 else pieces[0]
    return joined.reshape(*before, joined.shape[1], *after)


def _take(x: jax.Array, axis: int, index: np.ndarray) -> jax.Array:
    # clip spares the check of indices that are known to be inside; of 32 bits, they are the same whatever JAX takes for whole numbers
    return jnp.take(x, index.astype(np.int32), axis, mode="clip")


def _gather(x: jax.Array, axis: int, taps: Taps) -> jax.Array:
    """What ``_multiply`` computes, of the taps alone."""
    along = (*taps.places.shape, *[1] * (x.ndim - axis - 1))
    products = _take(x, axis, taps.places) * taps.weights.astype(x.dtype).reshape(along)
    return jnp.where(taps.real.reshape(along), products, 0).sum(axis + 1)


class _Axis(NamedTuple):
    axis: int
    taps: Taps
    blocks: Blocks


def _along(x: jax.Array, axes: list[_Axis]) -> jax.Array:
    """The products along axes, one after the other; by gathers, if x has an infinity or NaN."""
    product = functools.reduce(lambda x, each: _multiply(x, each.axis, each.blocks), axes, x)
    total = jnp.sum(x.reshape(-1, x.shape[-1]) @ jnp.ones(x.shape[-1], x.dtype))  # a product reads x faster than a test of each element

    def gathered(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        return jnp.zeros_like(state[0]), functools.reduce(lambda x, each: _gather(x, each.axis, each.taps), axes, x).reshape(-1)

    # A loop of at most one turn, which copies nothing if there is none, and has none under vmap either; flat, so that XLA changes no layout for it.
    return lax.while_loop(lambda state: state[0], gathered, (~jnp.isfinite(total), product.reshape(-1)))[1].reshape(product.shape)


def _add_taps(x: jax.Array, axis: int, index: np.ndarray, weights: np.ndarray) -> jax.Array:
    """The same for integers, which no processor multiplies by matrices."""
    across = [1] * x.ndim
    across[axis] = -1
    parts = [_take(x, axis, index[:, k]) * weights[:, k].astype(x.dtype).reshape(across) for k in range(index.shape[1])]
    return functools.reduce(jnp.add, parts)


def _forward(linear: tuple[jax.Array], residuals: tuple[Any, ...], plans: tuple[Resize, ...]) -> tuple[jax.Array]:
    x = linear[0].astype(check.accumulator(linear[0].dtype))
    for plan in plans:
        if taps(plan).places.shape[1] == 1:
            x = _take(x, plan.axis, taps(plan).places[:, 0])
    axes = [_Axis(plan.axis, taps(plan), _forward_blocks(plan)) for plan in plans if taps(plan).places.shape[1] > 1]
    return ((_along(x, axes) if axes else x).astype(linear[0].dtype),)


def _backward(cotangents: tuple[jax.Array], residuals: tuple[Any, ...], plans: tuple[Resize, ...]) -> tuple[jax.Array]:
    x = cotangents[0].astype(check.accumulator(cotangents[0].dtype))
    axes = [_Axis(plan.axis, _transposed_taps(plan), _backward_blocks(plan)) for plan in reversed(plans)]
    return (_along(x, axes).astype(cotangents[0].dtype),)


def resize(x: jax.Array, plans: tuple[Resize, ...]) -> jax.Array:
    """``x`` resized along the axes of the plans, one after the other; half precision is rounded once."""
    left = []
    for plan in plans:
        index, weights, _ = taps(plan)
        picked = _regular(x, plan, index) if index.shape[1] == 1 and (weights == 1).all() else None
        if picked is not None:
            x = (
                picked + 0 * picked if plan.mode == "linear" and not plan.antialias else picked
            )  # with torch's second tap, whose weight is 0
        elif not jnp.issubdtype(x.dtype, jnp.floating):
            x = _take(x, plan.axis, index[:, 0])
        else:
            left.append(plan)
    return linear_map(_forward, _backward, (x,), (), plans=tuple(left))[0] if left else x


def _regular(x: jax.Array, plan: Resize, index: np.ndarray) -> jax.Array | None:
    """Elements all repeated as often, or every so-manieth element, without a gather."""
    axis, size, output = plan.axis, plan.size, plan.output
    if size == output and np.array_equal(index[:, 0], np.arange(size)):
        return x
    if output % size == 0 and np.array_equal(index[:, 0], np.arange(output) // (output // size)):
        spread = (*x.shape[: axis + 1], output // size, *x.shape[axis + 1 :])
        return jnp.broadcast_to(lax.expand_dims(x, (axis + 1,)), spread).reshape(*x.shape[:axis], output, *x.shape[axis + 1 :])
    step = size // output
    if step and np.array_equal(index[:, 0], np.arange(output) * step):
        return lax.slice_in_dim(x, 0, (output - 1) * step + 1, step, axis)
    return None


def resize_bytes(x: jax.Array, plans: tuple[Resize, ...]) -> jax.Array:
    """uint8 as torch resizes it: whole-numbered weights of 16 bits, and a rounded byte after each axis."""
    for plan in plans:
        if plan.size == plan.output:
            continue
        index, weights = _merged(taps(plan._replace(double=True)))
        largest, precision = weights.max(), 0
        while precision < 22 and int(0.5 + largest * (1 << (precision + 1))) < 1 << 15:
            precision += 1
        scaled = weights * (1 << precision)
        whole = np.trunc(scaled + np.where(scaled < 0, -0.5, 0.5))
        total = _add_taps(x.astype(jnp.int32), plan.axis, index, whole) + (1 << (precision - 1))
        x = jnp.clip(total >> precision, 0, 255).astype(jnp.uint8)
    return x


def _merged(taps: Taps) -> tuple[np.ndarray, np.ndarray]:
    """Indices and weights, with the taps of an output on the same element as one, which counts where weights are rounded."""
    index, weights = taps.places, taps.weights
    same = index[:, :, None] == index[:, None, :]
    first = same.argmax(2) == np.arange(index.shape[1])
    return index, np.where(first, (same * weights[:, None, :]).sum(2), 0)
