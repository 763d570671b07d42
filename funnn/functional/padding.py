"""Padding: more elements at the ends of the last axes, or fewer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from funnn.errors import ArgumentError, ShapeError
from funnn.functional import _checks as check
from funnn.functional._dispatch import public

_COMBINATIONS = """Supported combinations for non-constant padding:
  - 2D or 3D input: padding size = 2 (pads last dimension)
  - 3D or 4D input: padding size = 4 (pads last 2 dimensions)
  - 4D or 5D input: padding size = 6 (pads last 3 dimensions)"""


@public
def pad(input: jax.Array, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> jax.Array:
    """Pad the last axes of ``input``; negative amounts cut off.

    With ``pad = (l, r, t, b, …)`` the last axis gets l elements before and r after, the last but one t and b, and so on. An element at
    position i − l of an axis of length n is, by ``mode``: ``value`` outside [0, n) ('constant'); the nearest inside ('replicate'); mirrored
    at the first or last element, which is not repeated ('reflect'); or taken modulo n ('circular').

    Args:
      input: of any shape and dtype. The modes other than 'constant' take (N, C, *axes) or (C, *axes) and pad all of one to three ``axes``.
      pad: pairs of amounts (before, after), from the last axis forwards. 'reflect' takes less than the axis's length, 'circular' at most it.
      mode: 'constant', 'reflect', 'replicate' or 'circular'; default 'constant'.
      value: of new elements in mode 'constant'; default 0.

    Returns:
      An array of the input's dtype, each padded axis longer by before + after.

    Raises:
      ShapeError: pad has an odd length, is longer than the axes, exceeds what the mode allows, or leaves nothing of an axis.
      ArgumentError: a value in another mode than 'constant', or one that the dtype can't hold.
      NotImplementedError: an unknown mode, or one that does not pad as many axes of such an input.

    Source: torch.nn.functional.pad.

    Example:
      >>> import jax.numpy as jnp
      >>> pad(jnp.array([1, 2, 3]), (1, 2), value=9).tolist()
      [9, 1, 2, 3, 9, 9]
      >>> pad(jnp.array([[1, 2, 3]]), (2, 1), mode="reflect").tolist()
      [[3, 2, 1, 2, 3, 2]]
    """
    input, ends = check.array("input", input), _ends(input, pad)
    if mode == "constant":
        return _constant(input, ends, 0 if value is None else value)
    if mode not in _EDGES:
        raise NotImplementedError(f"Unrecognised padding mode {mode}; expected 'constant', {', '.join(map(repr, _EDGES))}")
    if value is not None and not (isinstance(value, (int, float)) and value == 0):
        raise ArgumentError(f'Padding mode "{mode}" doesn\'t take in value argument, but got value={value!r}; leave it out')
    if not ends or len(ends) > 3 or input.ndim - len(ends) not in (1, 2):
        raise NotImplementedError(f"Padding size {2 * len(ends)} is not supported for {input.ndim}D input tensor.\n{_COMBINATIONS}")
    if mode != "circular":
        _check_sizes(input, ends)
    for axis, (before, after) in ends.items():
        input = _extend(input, axis, before, after, mode)
    return input


def _ends(input: jax.Array, pad: Sequence[int]) -> dict[int, tuple[int, int]]:
    """The amounts (before, after) of each padded axis, from the last one forwards."""
    if not isinstance(pad, (tuple, list)) or not all(hasattr(amount, "__index__") for amount in pad):
        raise TypeError(f"pad(): argument 'pad' (position 2) must be tuple of ints, but got {pad!r}")
    if len(pad) % 2:
        raise ShapeError(f"Padding length must be divisible by 2: one pair (before, after) for each axis, but got pad={tuple(pad)}")
    if len(pad) > 2 * input.ndim:
        raise ShapeError(
            "Padding length should be less than or equal to two times the input dimension but got padding length "
            f"{len(pad)} and input of dimension {input.ndim}"
        )
    return {input.ndim - 1 - i // 2: (int(pad[i]), int(pad[i + 1])) for i in range(0, len(pad), 2)}


def _check_sizes(input: jax.Array, ends: dict[int, tuple[int, int]]) -> None:
    n, sizes = len(ends), input.shape
    if 0 in sizes[input.ndim - n - 1 :]:
        raise ShapeError(
            f"Expected {n + 1}D or {n + 2}D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, "
            f"but got: {check.shape(input)}"
        )
    totals = {axis: sizes[axis] + sum(amounts) for axis, amounts in ends.items()}
    if max(totals.values()) < 1 or min(totals.values()) < 0:  # as torch: an empty axis is refused only where no axis has an element
        names = {axis: "WHD"[input.ndim - 1 - axis] for axis in sorted(ends)}
        before, after = (" ".join(f"{name}: {of[axis]}" for axis, name in names.items()) for of in (sizes, totals))
        raise ShapeError(f"input ({before}) is too small. Calculated output {after}; cut off less with pad")


def _constant(input: jax.Array, ends: dict[int, tuple[int, int]], value: float) -> jax.Array:
    for axis, (before, after) in ends.items():
        size = input.shape[axis]
        if size + before + after < 0 or size + min(before, 0) + min(after, 0) < 0:
            raise ShapeError(
                f"The input size {size}, plus negative padding {before} and {after} resulted in a negative output size, "
                f"which is invalid. Check dimension {axis} of your input (torch: narrow(): length must be non-negative)."
            )
    return lax.pad(input, _element(value, input.dtype), [(*ends.get(axis, (0, 0)), 0) for axis in range(input.ndim)])


def _element(value: float, dtype: jnp.dtype) -> jax.Array:
    """A number as torch fills with it: cut to an integer, refused where the dtype can't hold it."""
    if isinstance(value, (int, float)) and math.isfinite(value) and dtype != jnp.bool_ and not jnp.issubdtype(dtype, jnp.complexfloating):
        limits = jnp.iinfo(dtype) if jnp.issubdtype(dtype, jnp.integer) else jnp.finfo(dtype)
        if not float(limits.min) <= value <= float(limits.max):
            raise ArgumentError(f"value cannot be converted to type {dtype} without overflow: it is {value}; give one in its range")
    return jnp.asarray(value).astype(dtype)


def _reflect(input: jax.Array, axis: int, before: int, after: int) -> tuple[jax.Array, jax.Array]:
    size = input.shape[axis]
    left = lax.rev(lax.slice_in_dim(input, 1, before + 1, axis=axis), (axis,))
    return left, lax.rev(lax.slice_in_dim(input, size - 1 - after, size - 1, axis=axis), (axis,))


def _replicate(input: jax.Array, axis: int, before: int, after: int) -> tuple[jax.Array, jax.Array]:
    def repeat(position: int, count: int) -> jax.Array:
        edge = lax.index_in_dim(input, position, axis)
        return jnp.broadcast_to(edge, (*input.shape[:axis], count, *input.shape[axis + 1 :]))

    return repeat(0, before), repeat(-1, after)


def _circular(input: jax.Array, axis: int, before: int, after: int) -> tuple[jax.Array, jax.Array]:
    size = input.shape[axis]
    return lax.slice_in_dim(input, size - before, size, axis=axis), lax.slice_in_dim(input, 0, after, axis=axis)


#: What a mode puts before and after an axis. Pieces joined, not a gather, so that the derivative is slices and sums.
_EDGES = {"reflect": _reflect, "replicate": _replicate, "circular": _circular}


def _extend(input: jax.Array, axis: int, before: int, after: int, mode: str) -> jax.Array:
    """Pad one axis by the elements that it has."""
    size, total = input.shape[axis], input.shape[axis] + before + after
    if mode == "reflect" and max(before, after) >= size:
        raise ShapeError(
            "Argument #4: Padding size should be less than the corresponding input dimension, but got: "
            f"padding ({before}, {after}) at dimension {axis} of input {check.shape(input)}"
        )
    if mode == "circular":
        cut = size + min(before, 0) + min(after, 0)
        if max(before, after) > max(cut, 0):
            raise ShapeError(
                "Padding value causes wrapping around more than once: a circular padding is at most as long as the axis, but got "
                f"({before}, {after}) at dimension {axis} of input {check.shape(input)}"
            )
        if cut < 0:
            raise ShapeError(
                f"Negative padding value is resulting in an empty dimension: got ({before}, {after}) at dimension {axis} of input "
                f"{check.shape(input)}"
            )
        input = lax.slice_in_dim(input, max(-before, 0), size - max(-after, 0), axis=axis)  # what is cut off does not come back
    left, right = _EDGES[mode](input, axis, max(before, 0), max(after, 0))
    pieces = [piece for piece in (left, input, right) if piece.shape[axis]]
    joined = lax.concatenate(pieces, axis) if len(pieces) > 1 else input
    if mode == "circular":
        return joined
    start = max(-before, 0)
    return lax.slice_in_dim(joined, start, start + total, axis=axis)
