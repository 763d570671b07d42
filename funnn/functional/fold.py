"""Sliding blocks of images laid out as columns, and columns summed back into images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from funnn._types import Ints
from funnn.errors import DtypeError, ShapeError
from funnn.functional import _checks as check
from funnn.functional._dispatch import public


class _Blocks(NamedTuple):
    """Where the blocks of one axis lie."""

    size: int
    kernel: int
    dilation: int
    padding: int
    stride: int

    @property
    def number(self) -> int:
        return (self.size + 2 * self.padding - self.dilation * (self.kernel - 1) - 1) // self.stride + 1


def _columns(function: str, input: jax.Array) -> jax.Array:
    input = check.array("input", input)
    if jnp.issubdtype(input.dtype, jnp.integer):
        raise DtypeError(f'"{function}" not implemented for {input.dtype}: convert input, e.g. input.astype(jnp.float32).')
    return input


def _blocks(function: str, sizes: Sequence[int], kernel_size: Ints, dilation: Ints, padding: Ints, stride: Ints) -> tuple[_Blocks, _Blocks]:
    given = {"kernel_size": kernel_size, "dilation": dilation, "padding": padding, "stride": stride}
    pairs = {name: check.ntuple(function, name, value, 2) for name, value in given.items()}
    for name, (height, width) in pairs.items():
        if min(height, width) < (0 if name == "padding" else 1):
            bound = "non-negative" if name == "padding" else "greater than zero"
            raise ShapeError(
                f"{function}: {name.replace('_', ' ')} should be {bound}, but got {name}_height: {height} {name}_width: {width}"
            )
    rows, columns = (_Blocks(size, *(pairs[name][i] for name in given)) for i, size in enumerate(sizes))
    return rows, columns


@public
def unfold(input: jax.Array, kernel_size: Ints, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1) -> jax.Array:
    """Lay out the sliding blocks of an image as columns (im2col): ``y[c·kH·kW + i·kW + j, l] = x[c, h_l + dilation·i, w_l + dilation·j]``,
    where block l starts at the position (h_l, w_l) of the padded image.

    Args:
      input: ``x``, of shape (N, C, H, W) or (C, H, W); floating point, complex or bool.
      kernel_size: (kH, kW) or one int for both, as all arguments here.
      dilation: step between the elements of a block; default 1.
      padding: zeros on both sides; default 0.
      stride: step between blocks; default 1.

    Returns:
      An array of shape (N, C·kH·kW, L) or (C·kH·kW, L), L = ∏ ⌊(size + 2·padding − dilation·(k − 1) − 1) / stride⌋ + 1.

    Raises:
      ShapeError: no block fits into the padded image, or an argument is out of range.
      DtypeError: input is integer.

    Source: torch.nn.functional.unfold.

    Example:
      >>> import jax.numpy as jnp
      >>> unfold(jnp.arange(9.0).reshape(1, 3, 3), 2)[:, 0].tolist()
      [0.0, 1.0, 3.0, 4.0]
    """
    input = _columns("unfold", input)
    if input.ndim not in (3, 4) or 0 in input.shape[-3:]:
        raise ShapeError(
            "unfold: Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, but got: "
            f"{check.shape(input)}"
        )
    blocks = _blocks("unfold", input.shape[-2:], kernel_size, dilation, padding, stride)
    counts = tuple(b.number for b in blocks)
    if not check.has_symbol(counts) and min(counts) < 1:
        raise ShapeError(
            f"Given input with spatial size {input.shape[-2:]}, {_words(blocks)}, calculated shape of the array of sliding blocks as {counts}, "
            "but its components must be at least one."
        )
    batch = input.shape[:-3]
    x = input.reshape(-1, *input.shape[-3:])
    pads = [(b.padding, b.padding, 0) for b in blocks]
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), (0, 0, 0), *pads])
    # One axis after the other: kH + kW strided slices, not kH·kW
    x = jnp.stack([_slice(x, 2, i, blocks[0]) for i in range(blocks[0].kernel)], 2)
    x = jnp.stack([_slice(x, 4, j, blocks[1]) for j in range(blocks[1].kernel)], 3)
    return x.reshape(*batch, x.shape[1] * x.shape[2] * x.shape[3], counts[0] * counts[1])


def _slice(x: jax.Array, axis: int, offset: int, b: _Blocks) -> jax.Array:
    start = offset * b.dilation
    return lax.slice_in_dim(x, start, start + (b.number - 1) * b.stride + 1, b.stride, axis)


def _words(blocks: tuple[_Blocks, _Blocks]) -> str:
    return ", ".join(f"{name}={tuple(getattr(b, field) for b in blocks)}" for name, field in (
        ("kernel_size", "kernel"), ("dilation", "dilation"), ("padding", "padding"), ("stride", "stride")
    ))  # fmt: skip


@public
def fold(input: jax.Array, output_size: Ints, kernel_size: Ints, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1) -> jax.Array:
    """Sum columns into an image where their blocks lie (col2im); the transpose of :func:`unfold`, not its inverse.

    Args:
      input: (N, C·kH·kW, L) or (C·kH·kW, L); floating point, complex or bool.
      output_size: (H, W) of the image.
      kernel_size: (kH, kW) of the blocks.
      dilation: step between the elements of a block; default 1.
      padding: zeros that unfold would add on both sides; default 0.
      stride: step between blocks; default 1.

    Returns:
      An array of shape (N, C, H, W) or (C, H, W). Half precision is summed in float32 and rounded once.

    Raises:
      ShapeError: the rows are not divisible by kH·kW, L is not the number of blocks, or an argument is out of range.
      DtypeError: input is integer.

    Source: torch.nn.functional.fold.

    Example:
      >>> import jax.numpy as jnp
      >>> fold(jnp.ones((4, 4)), (3, 3), 2)[0].tolist()
      [[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]
    """
    input = _columns("fold", input)
    if input.ndim not in (2, 3) or 0 in input.shape[-2:]:
        raise ShapeError(
            "fold: Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions for input, but got: "
            f"{check.shape(input)}"
        )
    output_size = check.ntuple("fold", "output_size", output_size, 2)
    blocks = height, width = _blocks("fold", output_size, kernel_size, dilation, padding, stride)
    rows, columns = input.shape[-2:]
    kernel = (height.kernel, width.kernel)
    if rows % (kernel[0] * kernel[1]):
        raise ShapeError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got "
            f"input.size(1)={rows} and kernel_size={kernel}."
        )
    counts = tuple(max(b.number, 0) for b in blocks)
    if columns != counts[0] * counts[1]:
        raise ShapeError(
            f"Given output_size={output_size}, {_words(blocks)}, expected size of input's dimension 2 to match the calculated number of "
            f"sliding blocks {counts[0]} * {counts[1]} = {counts[0] * counts[1]}, but got input.size(2)={columns}."
        )
    channels = rows // (kernel[0] * kernel[1])
    wide = check.accumulator(input.dtype) if jnp.issubdtype(input.dtype, jnp.floating) else input.dtype
    x = input.reshape(-1, channels, *kernel, *counts).astype(wide)
    x = _sum(x, 3, 5, width)
    x = _sum(x, 2, 3, height)
    return x.reshape(*input.shape[:-2], channels, *output_size).astype(input.dtype)


def _sum(x: jax.Array, along: int, axis: int, b: _Blocks) -> jax.Array:
    """Sum over the kernel's axis ``along``, each of its elements spread along ``axis`` to where it lies."""
    parts = []
    for offset in range(b.kernel):
        part = lax.index_in_dim(x, offset, along, keepdims=False)
        before = offset * b.dilation - b.padding
        after = b.size - before - ((b.number - 1) * b.stride + 1)  # negative amounts cut off what lies in the padding
        config = [(0, 0, 0)] * part.ndim
        config[axis - 1] = (before, after, b.stride - 1)
        parts.append(lax.pad(part, jnp.zeros((), part.dtype), config))
    return sum(parts[1:], parts[0]) if x.dtype != jnp.bool_ else jnp.any(jnp.stack(parts), 0)
