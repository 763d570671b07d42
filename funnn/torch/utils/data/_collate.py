"""From a list of samples to a batch."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from funnn.engine.ops.kit.table import FUNCTIONS
from funnn.engine.ops.make.factories import as_tensor, tensor
from funnn.engine.tensor.sparse import SparseTensor
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype

_UNKNOWN = "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}; pass a collate_fn of your own"
_NUMBERS = {float: np.float64, int: np.int64, bool: np.bool_}

#: What to do with samples of further types, beside those that are known: ``function(batch, *, collate_fn_map)`` by type, or tuple of types.
default_collate_fn_map: dict[type | tuple[type, ...], Callable] = {}


def default_collate(batch: Sequence[Any]) -> Any:
    """Put samples together along a new first dimension.

    Tensors and NumPy arrays are stacked; Python floats become float64, ints int64, bools bool; strings stay a list. Mappings, named tuples
    and sequences are collated field by field, a tuple into a list.

    >>> default_collate([(1, 2.5), (3, 4.5)])
    [tensor([1, 3]), tensor([2.5000, 4.5000], dtype=torch.float64)]

    Raises:
      TypeError: a sample of another type.
      RuntimeError: tensors of different shapes, or sequences of different lengths.
    """
    return collate(batch, as_tensor, stack)


def collate(
    batch: Sequence[Any],
    leaf: Callable[[np.ndarray], Any],
    stack: Callable[[list[Tensor]], Any],
    further: Mapping[type | tuple[type, ...], Callable] = default_collate_fn_map,
) -> Any:
    """:func:`default_collate` with what to make of a stacked array and of a list of tensors; a worker makes neither a Tensor."""
    first = batch[0]
    if further:
        known = [type(first)] if type(first) in further else [kind for kind in further if isinstance(first, kind)]
        if known:
            return further[known[0]](batch, collate_fn_map=further)
    if isinstance(first, Tensor):
        for entry, item in enumerate(batch):
            if not isinstance(item, Tensor):
                raise TypeError(f"expected Tensor as element {entry} in argument 0, but got {type(item).__name__}")
        _check_shapes(batch)
        return stack(list(batch))
    if isinstance(first, np.ndarray):
        if first.dtype.kind in "SUO":
            raise TypeError(_UNKNOWN.format(first.dtype))
        batch = [np.asarray(item) for item in batch]
        _check_shapes(batch)
        if any(item.dtype != first.dtype for item in batch):
            return stack([as_tensor(item) for item in batch])
        return leaf(np.stack(batch))
    if isinstance(first, (np.bool_, np.number)):
        return leaf(np.asarray(batch))
    if isinstance(first, (float, int)):
        return _of_numbers(batch, leaf)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        return _like_mapping(first, {key: collate([item[key] for item in batch], leaf, stack, further) for key in first})
    if isinstance(first, Sequence):
        lengths = {len(item) for item in batch}
        if len(lengths) > 1 and not hasattr(first, "_fields"):
            raise RuntimeError(
                f"each element in list of batch should be of equal size; got lengths {sorted(lengths)}; pass a collate_fn that pads"
            )
        fields = [collate(field, leaf, stack, further) for field in zip(*batch, strict=False)]
        return fields if type(first) is tuple else _like_sequence(first, fields)
    raise TypeError(_UNKNOWN.format(type(first)))


def _of_numbers(batch: Sequence[float], leaf: Callable) -> Any:
    kind = type(batch[0])
    if kind in _NUMBERS and all(type(number) is kind for number in batch):
        with contextlib.suppress(OverflowError):
            return leaf(np.array(batch, dtype=_NUMBERS[kind]))
    return tensor(list(batch), dtype=_dtype.float64 if isinstance(batch[0], float) else None)


def _check_shapes(batch: Sequence[Any]) -> None:
    first = batch[0].shape
    for entry, item in enumerate(batch):
        if item.shape != first:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(first)} at entry 0 and {list(item.shape)} at entry {entry}; "
                "pass a collate_fn that pads or crops"
            )


def stack(tensors: list[Tensor]) -> Tensor:
    if any(isinstance(item, SparseTensor) for item in tensors):
        raise RuntimeError(
            "Batches of sparse tensors are not currently supported by the default collate_fn; please provide a custom collate_fn to handle them "
            "appropriately."
        )
    return FUNCTIONS["stack"](tensors, 0)


def default_convert(data: Any) -> Any:
    """NumPy arrays and scalars inside ``data`` as tensors; what a DataLoader does to a sample when it makes no batches."""
    return convert(data, as_tensor)


def convert(data: Any, leaf: Callable[[np.ndarray], Any]) -> Any:
    """:func:`default_convert` with what to make of an array."""
    if isinstance(data, Tensor):
        return data
    if isinstance(data, (np.ndarray, np.generic)) and type(data).__module__ == "numpy":
        return data if data.dtype.kind in "SUO" else leaf(np.asarray(data))
    if isinstance(data, Mapping):
        return _like_mapping(data, {key: convert(value, leaf) for key, value in data.items()})
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        items = [convert(item, leaf) for item in data]
        return items if type(data) is tuple else _like_sequence(data, items)
    return data


def _like_mapping(original: Mapping, values: dict) -> Any:
    """The values in the original's type, with what else a mutable one carries."""
    return _or_plain(values, lambda: _updated(original, values) if isinstance(original, MutableMapping) else type(original)(values))


def _like_sequence(original: Sequence, values: list) -> Any:
    if isinstance(original, tuple):
        return type(original)(*values) if hasattr(original, "_fields") else values
    return _or_plain(values, lambda: _assigned(original, values) if isinstance(original, MutableSequence) else type(original)(values))


def _or_plain(plain: Any, build: Callable) -> Any:
    try:
        return build()
    except TypeError:  # the type takes no values, or can't be copied
        return plain


def _updated(original: MutableMapping, values: dict) -> MutableMapping:
    clone = copy.copy(original)
    clone.update(values)
    return clone


def _assigned(original: MutableSequence, values: list) -> MutableSequence:
    clone = copy.copy(original)
    for position, value in enumerate(values):
        clone[position] = value
    return clone
