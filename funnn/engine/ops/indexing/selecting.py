"""Reading by index: gather, index_select, masks, and the indices of what is not zero."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.memory.strides import like_first
from funnn.engine.memory.view_geometry import wrap_dim
from funnn.engine.ops.kit.index_kernels import add_at, along, check_bounds, check_kind, gather_from_memory, grid, read_at, vector
from funnn.engine.ops.kit.table import FUNCTIONS, publish, row, write_out
from funnn.engine.program.outline import outlined
from funnn.engine.state import thread
from funnn.engine.tensor.sparse import NoDenseMemory
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.dtype import check_broadcast, int32, int64

_BOUNDS = "index {index} is out of bounds for dimension %d with size {size}"


def _gather(input, dim, index):
    if index.size == 0:
        return jnp.zeros(index.shape, input.dtype)
    return read_at(vector(input), grid(input.ndim, dim, index)).reshape(index.shape)


_gathered = Op(_gather, "GatherBackward0")


def gather(input, dim, index: Array, *, sparse_grad=False, out=None):
    """input[index[i, j, …], j, …] (for dim = 0): picks along ``dim`` by an index of its own for every element."""
    check_kind("gather", index, int32, int64)
    dim = wrap_dim(dim, input.dim())
    shape, other = (list(tensor.shape) or [1] for tensor in (input, index))
    if index.numel():
        if len(shape) != len(other):
            raise RuntimeError(f"Index tensor must have the same number of dimensions as input tensor, got {other} for {shape}")
        for axis, (size, most) in enumerate(zip(other, shape, strict=True)):
            if axis != dim and size > most:
                raise RuntimeError(
                    f"Size does not match at dimension {axis} expected index {other} to be no larger than self {shape} apart from dimension {dim}"
                )
        check_bounds(index, shape[dim], _BOUNDS % dim)
    if sparse_grad and thread.grad and input.requires_grad and thread.tracing is None:
        raise NoDenseMemory("gather() with sparse_grad")  # which sparse tensors answer
    result = call(_gathered, (input, dim, index), {})
    return result if out is None else write_out(out, result)


def take_along_dim(input, indices: Array, dim=None, *, out=None):
    """As ``gather``, after input and indices were broadcast in the other dimensions; of the flattened input by default."""
    if dim is None:
        return gather(input.reshape(-1), 0, indices.reshape(-1), out=out)
    if input.dim() != indices.dim():
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, "
            f"but got {input.dim()} dimensions for input, and {indices.dim()} dimensions for indices"
        )
    if indices.dtype is not int64:
        raise RuntimeError(f"torch.take_along_dim(): dtype of indices should be Long but got {indices.dtype.legacy}")
    dim = wrap_dim(dim, input.dim())
    shapes = [list(tensor.shape) for tensor in (input, indices)]
    shared = FUNCTIONS["broadcast_shapes"](*([1 if axis == dim else size for axis, size in enumerate(shape)] for shape in shapes))
    whole = [shared[:dim] + (shape[dim],) + shared[dim + 1 :] for shape in shapes]
    return gather(input.expand(whole[0]), dim, (indices % max(shapes[0][dim], 1)).expand(whole[1]), out=out)


def _index_select(input, dim, index):
    found = read_at(vector(input), along(input.ndim, dim, index))
    return found if input.ndim else found.reshape(())


_index_selected = Op(_index_select, "IndexSelectBackward0")


def index_select(input, dim, index: Array, *, out=None):
    """The slices along ``dim`` named by a vector of indices."""
    if index.dim() > 1:
        raise IndexError(f"index_select(): Index is supposed to be a vector, but got shape {list(index.shape)}")
    if index.dtype not in (int32, int64):
        raise RuntimeError(
            f"index_select(): Expected dtype int32 or int64 for index, but got {index.dtype.legacy}; convert it with .long()"
        )
    size = input.size(wrap_dim(dim, input.dim())) if input.dim() else 1
    if not input.dim() and index.numel() != 1:
        raise RuntimeError(f"index_select(): Index to scalar can have only 1 value, got {index.numel()} value(s)")
    check_bounds(index, size, f"index out of range in self: {_BOUNDS % dim}", IndexError)
    result = gather_from_memory(input, [*[None] * wrap_dim(dim, input.dim()), index._operand()]) if index.dim() else None
    result = call(_index_selected, (input, dim, index), {}) if result is None else result
    return result if out is None else write_out(out, result)


def _take(input, index):
    return input.reshape(-1)[index]


_taken = Op(_take, "TakeBackward0")


def take(input, index: Array, *, out=None):
    """The elements of the flattened input at the indices."""
    check_kind("take", index, int64)
    if not input.numel() and index.numel():
        raise IndexError("take(): tried to take from an empty tensor")
    check_bounds(index, input.numel(), "out of range: tried to access index {index} on a tensor of {size} elements.", IndexError, wrap=True)
    result = call(_taken, (input, index), {})
    return result if out is None else write_out(out, result)


def _pick(input, shape, indices):
    return jnp.broadcast_to(input, shape)[indices]


_masked_selected = Op(_pick, "MaskedSelectBackward0")


def masked_select(input, mask: Array, *, out=None):
    """The elements where ``mask``, which is broadcast with the input, is true, in one dimension."""
    if mask.dtype.name != "bool":
        raise RuntimeError(f"masked_select: expected BoolTensor for mask, but got {mask.dtype.legacy}Tensor")
    flags = mask._host()
    check_broadcast(input._operand(), flags)
    shape = np.broadcast_shapes(tuple(input.shape), flags.shape)
    where = np.nonzero(np.atleast_1d(np.broadcast_to(flags, shape)))
    result = call(_masked_selected, (input, shape or (1,), where), {})
    return result if out is None else write_out(out, result)


for _function in (gather, take_along_dim, index_select, take, masked_select):
    publish(_function.__name__, _function, exact_out=True)


# -- where something is not zero


def nonzero(input: Tensor, *, as_tuple: bool = False, out: Any = None) -> Any:
    """The indices of the elements that are not zero, one row each; with ``as_tuple`` one vector for each dimension."""
    values = input._host()
    columns = np.atleast_1d(values).nonzero()
    if as_tuple:
        return tuple(FUNCTIONS["tensor"](column) for column in columns)
    result = FUNCTIONS["tensor"](np.stack(columns, axis=1)[:, : values.ndim])
    return result if out is None else write_out(out, result)


def argwhere(input):
    """The indices of the elements that are not zero, one row each."""
    return nonzero(input)


def nonzero_static(input, *, size, fill_value=-1):
    """As ``nonzero`` with a known number of rows: cut, or filled up."""
    if input.size == 0:
        return jnp.full((size, input.ndim), fill_value, jnp.int64)
    found = jnp.nonzero(vector(input), size=size, fill_value=fill_value)
    return jnp.stack(found, axis=1)[:, : input.ndim].astype(jnp.int64)


def _unravel(indices, shape):
    rest, found = indices.astype(jnp.int64), []
    for size in reversed(shape):
        found.append(rest % size if size else rest)
        rest = rest // size if size else rest
    return tuple(reversed(found))


_unraveled = Op(_unravel)


def unravel_index(indices: Any, shape: Any) -> tuple:
    """Indices into the flattened form of a tensor of that shape, as one index for each dimension."""
    if not isinstance(indices, Tensor) or indices.dtype.category != 1:
        raise TypeError(f"expected 'indices' to be integer dtype, but got {getattr(indices, 'dtype', type(indices).__name__)}")
    if not isinstance(shape, (int, tuple, list)):
        raise TypeError(f"expected 'shape' to be int or sequence of ints, but got {type(shape).__name__}")
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    if any(not isinstance(size, int) for size in sizes):
        raise TypeError(f"expected 'shape' sequence to only contain ints, but got {sizes}")
    if any(size < 0 for size in sizes):
        raise ValueError(f"'shape' cannot have negative values, but got {sizes}")
    return call(_unraveled, (indices, sizes), {})


publish("nonzero", nonzero, exact_out=True)
publish("argwhere", argwhere)
publish("unravel_index", unravel_index, method=False)
row("nonzero_static", nonzero_static)


# -- elements repeated


_repeated = Op(lambda input, repeats, dim: jnp.repeat(vector(input), repeats, axis=dim), "ViewBackward0")


def repeat_interleave(input, repeats=None, dim=None, *, output_size=None):
    """Each element along ``dim`` (of the flattened tensor by default) repeated; of repeats alone: the index of each, so many times."""
    if repeats is None:
        if input.dim() != 1:
            raise RuntimeError(f"repeat_interleave only accept 1D vector as repeat, got {input.dim()} dimensions")
        if input.is_meta:
            return _unknown_index(input, output_size)
        return FUNCTIONS["tensor"](np.repeat(np.arange(input.numel()), _counts(input)))
    if dim is None:
        input, dim = input.reshape(-1), 0
    dim = wrap_dim(dim, input.dim())
    if isinstance(repeats, int):
        if repeats < 0:
            raise RuntimeError(f"Repeats must be non-negative, got {repeats}")
        return call(_repeated, (input, repeats, dim), {})
    if repeats.is_meta:
        return index_select(input, dim, _unknown_index(repeats, output_size))
    length, counts = input.size(dim) if input.dim() else 1, _counts(repeats)
    if counts.size not in (1, length) or counts.ndim > 1:
        raise RuntimeError(
            f"repeats must have the same size as input along dim, but got repeats.size(0) = {counts.size} and input.size({dim}) = {length}"
        )
    index = np.repeat(np.arange(length), counts)
    if output_size is not None and output_size != index.size:
        raise RuntimeError(f"allocated size does not match required size: output_size is {output_size}, the repeats sum to {index.size}")
    return index_select(input, dim, FUNCTIONS["tensor"](index))


def _unknown_index(repeats: Tensor, output_size: int | None) -> Tensor:
    """What there is of the indices that repeats without numbers make."""
    if output_size is None:
        raise RuntimeError("cannot repeat_interleave a meta tensor without output_size: pass the sum of the repeats, output_size=…")
    return Tensor._wrap(outlined((output_size,), repeats.dtype.numpy))


def _counts(repeats: Tensor) -> np.ndarray:
    if repeats.dtype not in (int32, int64):
        raise NotImplementedError(
            f"\"repeat_interleave_cpu\" not implemented for '{repeats.dtype.legacy}'; the repeats must be int32 or int64"
        )
    counts = repeats._host()
    if (counts < 0).any():
        raise RuntimeError(f"repeats can not be negative, got {counts.min()}")
    return counts


publish("repeat_interleave", repeat_interleave)


# -- indices that may lie outside where a mask is false


def _inside(input, indices):
    """The indices kept within their dimensions."""
    return tuple(item if item is None else jnp.clip(item, -size, size - 1) for item, size in zip(indices, input.shape, strict=False))


def _unsafe_masked_index(input, mask: Array, indices, fill):
    """input at the indices where ``mask`` is true, else ``fill``."""
    return jnp.where(mask, read_at(input, _inside(input, indices)), jnp.asarray(fill, input.dtype))


def _unsafe_masked_index_put_accumulate(input, mask: Array, indices, values: Array):
    """input with ``values`` added at the indices where ``mask`` is true."""
    return add_at(input, jnp.where(mask, values, 0), _inside(input, indices))


row("_unsafe_masked_index", _unsafe_masked_index, "UnsafeMaskedIndexBackward0", scalars=("fill",), method=False)
row(
    "_unsafe_masked_index_put_accumulate",
    _unsafe_masked_index_put_accumulate,
    "UnsafeMaskedIndexPutAccumulateBackward0",
    method=False,
    arrange=like_first,
)
