"""From a list of samples to a batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from funnn.torch import _dtype
from funnn.torch._factories import as_tensor, tensor
from funnn.torch._ops.table import FUNCTIONS
from funnn.torch._tensor import Tensor

_UNKNOWN = "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}; pass a collate_fn of your own"


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
    first = batch[0]
    if isinstance(first, Tensor):
        return _stack(batch)
    if isinstance(first, np.ndarray):
        if first.dtype.kind in "SUO":
            raise TypeError(_UNKNOWN.format(first.dtype))
        return default_collate([as_tensor(item) for item in batch])
    if isinstance(first, (np.bool_, np.number)):
        return as_tensor(np.asarray(batch))
    if isinstance(first, (float, int)):
        return tensor(list(batch), dtype=_dtype.float64 if isinstance(first, float) else None)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        return _like_mapping(first, {key: default_collate([item[key] for item in batch]) for key in first})
    if isinstance(first, Sequence):
        lengths = {len(item) for item in batch}
        if len(lengths) > 1 and not hasattr(first, "_fields"):
            raise RuntimeError(
                f"each element in list of batch should be of equal size; got lengths {sorted(lengths)}; pass a collate_fn that pads"
            )
        fields = [default_collate(field) for field in zip(*batch, strict=False)]
        return fields if type(first) is tuple else _like_sequence(first, fields)
    raise TypeError(_UNKNOWN.format(type(first)))


def _stack(batch: Sequence[Tensor]) -> Tensor:
    first = batch[0].shape
    for entry, item in enumerate(batch):
        if item.shape != first:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(first)} at entry 0 and {list(item.shape)} at entry {entry}; "
                "pass a collate_fn that pads or crops"
            )
    return FUNCTIONS["stack"](list(batch), 0)


def default_convert(data: Any) -> Any:
    """NumPy arrays and scalars inside ``data`` as tensors; what a DataLoader does to a sample when it makes no batches."""
    if isinstance(data, Tensor):
        return data
    if isinstance(data, (np.ndarray, np.generic)):
        return data if isinstance(data, np.ndarray) and data.dtype.kind in "SUO" else as_tensor(data)
    if isinstance(data, Mapping):
        return _like_mapping(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        items = [default_convert(item) for item in data]
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
