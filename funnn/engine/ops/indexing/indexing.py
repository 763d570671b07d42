"""``x[…]``, read and written: integers, slices, None and Ellipsis are views; index tensors and masks gather and scatter."""

from __future__ import annotations

import operator
from typing import Any

import jax
import numpy as np
from jax import Array

from funnn.engine.dispatch.autocast import WIDEST
from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.halves import answer_in_halves
from funnn.engine.dispatch.inplace import assign, check_overlap, check_writable
from funnn.engine.dispatch.op import Op
from funnn.engine.dispatch.public import overridable
from funnn.engine.memory.shared import SharedStorage
from funnn.engine.memory.strides import like_first, like_selected
from funnn.engine.memory.view_geometry import alias, select, slice_, unsqueeze
from funnn.engine.ops.kit.deprecated import deprecated
from funnn.engine.ops.kit.index_kernels import add_at, check_bounds, gather_from_memory, put_into_memory, read_at, set_at
from funnn.engine.ops.kit.table import publish
from funnn.engine.ops.views.views import make_view
from funnn.engine.program.outline import is_outline, outlined
from funnn.engine.program.value import Value, from_host
from funnn.engine.state import thread
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.casts import cast_on_host
from funnn.engine.types.dtype import NoArrays, int32, int64, number_for
from funnn.engine.types.sequences import is_sequence

_SEQUENCES = (list, tuple, range, str)


def _is_several(index: Any) -> bool:
    """Whether a list stands for a tuple of indices: it is short, and holds what no list of numbers does."""
    parts = (Tensor, slice, np.ndarray, *_SEQUENCES)
    return isinstance(index, list) and len(index) < 32 and any(item is None or item is ... or isinstance(item, parts) for item in index)


def _is_array(item: Any) -> bool:
    if isinstance(item, Tensor):
        return item.dim() > 0 or item.dtype.name == "bool" or _is_unknown(item)
    return isinstance(item, (np.ndarray, *_SEQUENCES)) and not (isinstance(item, np.ndarray) and item.ndim == 0 and item.dtype != bool)


def _is_flag(item: Any) -> bool:
    """Whether an index is a mask of no dimension."""
    return np.ndim(item) == 0 and not (isinstance(item, Tensor) and item.dtype.name != "bool")


def _is_unknown(item: Tensor) -> bool:
    """Whether a number has no one value now: inside vmap and compile it gathers, like an index tensor."""
    return item.dtype.category == 1 and item._operand().traced and item._read().to_concrete_value() is None


def _dimensions(item: Any) -> int:
    """How many dimensions of the tensor an index consumes."""
    if item is None or item is True or item is False:
        return 0
    if isinstance(item, str):
        raise TypeError(f"new(): invalid data type 'str' of an index, {item!r}")
    if _is_array(item):
        kind = item.dtype.name if isinstance(item, Tensor) else np.asarray(item).dtype.name
        return np.ndim(item) if kind == "bool" and not isinstance(item, Tensor) else item.dim() if kind == "bool" else 1
    return 1


def _expand(index: Any, rank: int) -> list:
    """The index with the Ellipsis written out."""
    several = not isinstance(index, tuple) and _is_several(index)
    if several:
        deprecated("lists of indices")
    items = list(index) if several or isinstance(index, tuple) else [index]
    used = sum(_dimensions(item) for item in items if item is not Ellipsis)
    if used > rank:
        raise IndexError(f"too many indices for tensor of dimension {rank}")
    return [part for item in items for part in ([slice(None)] * (rank - used) if item is Ellipsis else [item])]


def _number(value: Any) -> int | None:
    return None if value is None else operator.index(value)


def _basic(tensor: Tensor, items: list, written: Tensor | None = None) -> tuple[Tensor, list]:
    """The view that integers, slices and None make, and the index arrays that remain, at the dimensions of that view.

    What is ``written`` there needs the numbers of all indices first.
    """
    dim, arrays = 0, []
    for place, item in enumerate(items):
        if type(item) is int:
            tensor = _selected(tensor, dim, place, item)
        elif item is None:
            tensor = make_view(tensor, unsqueeze, (dim,), "UnsqueezeBackward0")
            arrays.append(None)
            dim += 1
        elif item is True or item is False or (_is_array(item) and _is_flag(item)):
            tensor = make_view(tensor, unsqueeze, (dim,), "UnsqueezeBackward0")
            arrays.append(np.array([0] if item else [], np.int64))
            dim += 1
        elif isinstance(item, slice):
            start, stop, step = _number(item.start), _number(item.stop), 1 if item.step is None else operator.index(item.step)
            if (start, stop, step) != (None, None, 1):
                tensor = make_view(tensor, slice_, (dim, start, stop, step), "SliceBackward0")
            arrays.append(None)
            dim += 1
        elif not _is_array(item) and hasattr(item, "__index__"):
            tensor = _selected(tensor, dim, place, item.__index__())
        else:
            item = item if _is_array(item) else _listed(item)
            _check_place(item, arrays)
            for array in _index_arrays(item, tensor, dim, written):
                arrays.append(array)
                dim += 1
    return tensor, arrays


def _selected(tensor: Tensor, dim: int, place: int, index: int) -> Tensor:
    """The view without a dimension, for the index that stands at ``place`` among all."""
    size = tensor._shape()[dim]
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of bounds for dimension {place} with size {size}")
    return make_view(tensor, select, (dim, index), "SelectBackward0")


def _listed(item: Any) -> list:
    """A sequence of another kind than Python's, as a list."""
    if is_sequence(item):
        return list(item)
    raise IndexError(
        f"only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got {type(item).__name__})"
    )


def _index_arrays(item: Any, tensor: Tensor, dim: int, written: Tensor | None) -> tuple:
    """An index as integer arrays, a tensor as its value: a mask becomes the positions of its True elements."""
    if isinstance(item, Tensor) and item.dtype.name not in ("bool", "uint8"):
        if item.dtype not in (int64, int32):
            raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
        value = item._operand()
        if written is not None and value.array is None and not is_outline(value):
            if thread.region is not None:
                thread.region.end_program("indices that are computed inside are checked before a tensor is written")
            value.known()
        return (value,)
    if isinstance(item, Tensor) and item.dtype.name == "uint8":
        deprecated("uint8 index")
    if isinstance(item, Tensor) and written is not None and item.is_meta and tensor.is_meta:
        _check_mask(item._shape(), tensor, dim)
        return _as_many(written, item.dim(), tensor.dim() - dim - item.dim())
    array = item._host() if isinstance(item, Tensor) else np.asarray(_plain(item))
    if isinstance(item, _SEQUENCES) and array.dtype.kind == "f":
        array = array.astype(np.int64)
    if array.dtype not in (np.bool_, np.uint8):
        if array.size == 0:
            array = array.astype(np.int64)
        if array.dtype.kind not in "iu":
            raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
        return (array,)
    _check_mask(array.shape, tensor, dim)
    return array.nonzero()


def _check_mask(shape: tuple[int, ...], tensor: Tensor, dim: int) -> None:
    if tensor._shape()[dim : dim + len(shape)] != shape:
        raise IndexError(
            f"The shape of the mask {list(shape)} at index 0 does not match the shape of the indexed tensor {list(tensor.shape)} at index 0"
        )


def _as_many(written: Tensor, rank: int, after: int) -> tuple:
    """Indices for a mask without numbers, of as many places as are written: there, a dimension of ``written`` with so many ``after`` it says."""
    count = written._shape()[-after - 1] if written.dim() > after else 1
    return tuple([outlined((count,), np.int64) for _ in range(rank)])


def _check_place(item: Any, before: list) -> None:
    """A number that gathers would take its dimension elsewhere than a number that selects, if a slice parts it from a longer index."""
    lengths = [np.ndim(array) for array in before if array is not None]
    if before and before[-1] is None and lengths and (0 in lengths or np.ndim(item) == 0) and max(*lengths, np.ndim(item)) > 0:
        raise NotImplementedError(
            "an index of numbers that are known later (inside vmap or compile) and of tensors, with slices between, is not supported; "
            "index in two steps, x[i][:, j]"
        )


def _plain(item: Any) -> Any:
    return [_plain(part) for part in item] if isinstance(item, (list, tuple)) else item.item() if isinstance(item, Tensor) else item


def _check_bounds(tensor: Tensor, arrays: list) -> None:
    shapes = {np.shape(array): None for array in arrays if array is not None}
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        shown = ", ".join(str(list(shape)) for shape in shapes)
        raise IndexError(f"shape mismatch: indexing tensors could not be broadcast together with shapes {shown}") from None
    for dim, array in enumerate(arrays):
        if isinstance(array, Value):
            text = f"index {{index}} is out of bounds for dimension {dim} with size {{size}}"
            check_bounds(Tensor._wrap(array), tensor._shape()[dim], text, IndexError, wrap=True)
        elif array is not None and array.size:
            size = tensor._shape()[dim]
            for index in (array.min(), array.max()):
                if not -size <= index < size:
                    raise IndexError(f"index {index} is out of bounds for dimension {dim} with size {size}")


def index(input, indices):
    """input[indices] for integer arrays; None stands for a whole dimension."""
    return read_at(input, indices)


def index_put(input, values, indices, accumulate=False):
    """input with ``values`` at ``indices``, added to what is there if ``accumulate``."""
    return (add_at if accumulate else set_at)(input, values.astype(input.dtype), indices)


_index = Op(index, "IndexBackward0")
_index_written = Op(index_put, "IndexPutBackward0", autocast={"cuda": WIDEST})


def getitem(self: Tensor, key: Any) -> Tensor:
    """``self[key]``."""
    if thread.ask is not None:
        result = thread.ask(Tensor.__getitem__, (self, key), {})
        if result is not NotImplemented:
            return result
    try:
        if type(key) is int and self._shape():  # what most calls are
            return make_view(self, select, (0, key), "SelectBackward0")
        view, arrays = _basic(self, _expand(key, self.dim()))
        if all(array is None for array in arrays):
            return view if view is not self else make_view(self, alias, (), "AliasBackward0")
        _check_bounds(view, arrays)
        found = gather_from_memory(view, arrays)
        return like_selected(call(_index, (view, tuple(arrays)), {}) if found is None else found, view, arrays)
    except NoArrays as error:
        return answer_in_halves(getitem, (self, key), {}, error)


def setitem(self: Tensor, key: Any, value: Any) -> None:
    """``self[key] = value``; the value is broadcast and converted."""
    if not isinstance(value, (Tensor, int, float, complex, np.integer, jax.Array)):
        kind = type(value).__name__ if type(value).__module__ == "builtins" else f"{type(value).__module__}.{type(value).__name__}"
        raise TypeError(f"can't assign a {kind} to a torch.{self.dtype.legacy}Tensor; use torch.tensor(…)")
    source = value if isinstance(value, Tensor) else as_values(value, self)
    view, arrays = _basic(self, _expand(key, self.dim()), source)
    if all(array is None for array in arrays):
        source = _drop_ones(source, view.dim())
        if type(view._storage) is SharedStorage and source._shape() in ((), view._shape()):
            check_writable(view, "copy_")
            if put_into_memory(view, arrays, source):
                return
        view.copy_(source)
        return
    _check_bounds(view, arrays)
    if source.dtype is not self.dtype and not (isinstance(key, Tensor) and key.dtype.name == "bool" and source.numel() == 1):
        _refuse_types(self, source)
    _check_source(view, arrays, source)
    check_overlap(view, (source,))
    if type(view._storage) is SharedStorage:
        check_writable(view, "index_put_")
        if put_into_memory(view, arrays, source):
            return
    assign(view, call(_index_written, (view, source, tuple(arrays)), {}), "index_put_")


def _check_source(view: Tensor, arrays: list, source: Tensor) -> None:
    """Where no place is written, a source that would not fit is an error too."""
    if source.numel() > 1 and any(array is not None and 0 in np.shape(array) for array in arrays):
        one = np.broadcast_to(np.zeros((), np.int8), view._shape())
        places = [array.known() if isinstance(array, Value) else array for array in arrays]
        shape = one[tuple(slice(None) if array is None else np.asarray(array) for array in places)].shape
        pairs = zip(reversed(shape), reversed(source._shape()), strict=False)
        if source.dim() > len(shape) or any(size not in (1, wanted) for wanted, size in pairs):
            raise RuntimeError(
                f"shape mismatch: value tensor of shape {list(source.shape)} cannot be broadcast to indexing result of shape {list(shape)}"
            )


def _refuse_types(input: Tensor, values: Tensor) -> None:
    raise RuntimeError(
        f"Index put requires the source and destination dtypes match, got {input.dtype.legacy} for the destination and "
        f"{values.dtype.legacy} for the source."
    )


def _drop_ones(source: Tensor, rank: int) -> Tensor:
    """torch lets a value have extra leading dimensions of size 1."""
    while source.dim() > rank and source.size(0) == 1:
        source = source[0]
    return source


def as_values(value: Any, like: Tensor) -> Tensor:
    """A number, list or array as a tensor of ``like``'s dtype."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(f"Overflow when unpacking long long: {value} does not fit into 63 bits and a sign; give a float")
    if isinstance(value, (int, float, complex)):
        value = number_for(value, like.dtype, alone=True)
    return Tensor._wrap(from_host(cast_on_host(_plain(value), like.dtype.numpy)))


getitem.__name__, setitem.__name__ = "__getitem__", "__setitem__"
Tensor.__getitem__ = getitem
Tensor.__setitem__ = overridable(setitem)


def _delitem(self: Tensor, key: Any) -> None:
    raise TypeError("Tensor does not support deleting items; select what stays, x[keep]")


Tensor.__delitem__ = _delitem


def _index_put(input, indices, values: Array, accumulate=False):
    """input with ``values`` at index tensors, added to what is there if ``accumulate``."""
    if input.dtype is not values.dtype:
        _refuse_types(input, values)
    view, arrays = _basic(input, _expand(tuple(slice(None) if item is None else item for item in indices), input.dim()), values)
    _check_bounds(view, arrays)
    return call(_index_written, (view, values, tuple(arrays), accumulate), {})


publish("index_put", _index_put, inplace=True, arrange=like_first)
