"""Operations that arrange elements anew, in memory of their own."""

from __future__ import annotations

import jax.numpy as jnp

from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.memory.strides import in_channels_last, preserved_stride, with_stride
from funnn.engine.memory.view_geometry import wrap_dim
from funnn.engine.ops.kit.table import FUNCTIONS, gather_sizes, publish, row


def repeat(input, repeats):
    """The tensor repeated repeats[i] times along each dimension."""
    if len(repeats) < input.ndim:
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    return jnp.tile(input, repeats)


row("repeat", repeat, "RepeatBackward0", function=False, sizes=1)


def tile(input, dims):
    """The tensor ``dims[i]`` times one after the other along dimension i; where dims are fewer than dimensions, 1 for the first ones."""
    return jnp.tile(input, dims)


row("tile", tile, "RepeatBackward0", sizes=1)


def flip(input, dims):
    """The order of the elements along the dimensions reversed."""
    axes = [wrap_dim(dim, input.ndim) for dim in dims]
    if len(set(axes)) != len(axes):
        raise RuntimeError(f"dim {max(axes, key=axes.count)} appears multiple times in the list of dims")
    return jnp.flip(input, axes) if input.ndim else input


def roll(input, shifts, dims=()):
    """The elements moved along ``dims`` (of the flattened tensor by default); those that leave one end enter at the other."""
    shifts, dims = (given if isinstance(given, (tuple, list)) else (given,) for given in (shifts, () if dims is None else dims))
    if not shifts:
        raise RuntimeError("`shifts` required: roll() got no shifts")
    if dims and not input.ndim:
        raise IndexError(f"Dimension specified as {dims[0]} but tensor has no dimensions")
    if len(shifts) != len(dims) and (dims or len(shifts) != 1):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(shifts)}, dims:{len(dims)}")
    if not dims:
        return jnp.roll(input, shifts[0])
    return jnp.roll(input, tuple(shifts), tuple(wrap_dim(dim, input.ndim) for dim in dims))


def rot90(input, k=1, dims=(0, 1)):
    """Turned by k · 90 degrees in the plane of two dimensions, from the first towards the second."""
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if input.ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {input.ndim}")
    axes = tuple(wrap_dim(dim, input.ndim) for dim in dims)
    if axes[0] == axes[1]:
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
    return jnp.rot90(input, k, axes)


row("flip", flip, "FlipBackward0", sizes=1, elementwise=True)
row("roll", roll, "RollBackward0", arrange=in_channels_last)


def _arrange_turned(result, args, kwargs):
    """As the input does, with the two dimensions exchanged after a quarter of a turn: torch gives a view of what it has flipped."""
    rest = dict(zip(("input", "k", "dims"), args, strict=False)) | kwargs
    if rest.get("k", 1) % 4 == 0:
        return result
    window = rest["input"]._view_window()
    stride = list(preserved_stride(window.shape, window.stride))
    if rest.get("k", 1) % 2:
        a, b = rest.get("dims", (0, 1))
        stride[a], stride[b] = stride[b], stride[a]
    return result if tuple(stride) == result.stride() else with_stride(result, tuple(stride))


row("rot90", rot90, "Rot90Backward0", arrange=_arrange_turned, arrange_always=True)


def fliplr(input):
    """The order of the columns reversed."""
    if input.dim() < 2:
        raise RuntimeError(f"Input must be >= 2-d, got {input.dim()} dimensions")
    return FUNCTIONS["flip"](input, (1,))


def flipud(input):
    """The order of the rows reversed."""
    if input.dim() < 1:
        raise RuntimeError("Input must be >= 1-d, got 0 dimensions")
    return FUNCTIONS["flip"](input, (0,))


def _sum_to(input, sizes):
    extra = input.ndim - len(sizes)
    axes = [axis for axis in range(input.ndim) if axis < extra or (sizes[axis - extra] == 1 != input.shape[axis])]
    input = input if jnp.issubdtype(input.dtype, jnp.inexact) else input.astype(jnp.int64)
    return jnp.sum(input, axis=tuple(axes), keepdims=True).reshape(sizes)


_summed = Op(_sum_to, "SumBackward1")


def sum_to_size(input, *size, **named):
    """Summed over the dimensions along which a tensor of that size would be expanded to this one's; the tensor itself if it has that size."""
    sizes, shape = gather_sizes(size, named), tuple(input.shape)
    fits = len(sizes) <= len(shape) and all(a in (1, b) for a, b in zip(reversed(sizes), reversed(shape), strict=False))
    if not fits:
        raise RuntimeError(f"size {list(sizes)} is not expandable to size {list(shape)}.")
    unchanged = sizes == shape and (sizes or input.dtype.category > 1)  # integers are summed up as int64, even a single one
    return input if unchanged else call(_summed, (input, sizes), {})


publish("fliplr", fliplr)
publish("flipud", flipud)
publish("sum_to_size", sum_to_size, function=False)
