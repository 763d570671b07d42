"""What a call is known by: the kinds of the tensors among its arguments, and the values of all else."""

from __future__ import annotations

import dataclasses
import enum
import types
import weakref
from typing import Any

import numpy as np

from funnn.engine.memory.storage import Storage, Window, is_contiguous
from funnn.engine.program.value import Value
from funnn.engine.state import thread
from funnn.engine.tensor.overrides import overriding
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import device as _device
from funnn.engine.types import dtype as _dtype
from funnn.engine.types import layout as _layout
from funnn.engine.types import settings as _settings

_VALUES = (int, bool, str, bytes, complex, type(None), _dtype.dtype, _device.device, range, types.BuiltinFunctionType)


class Refused(Exception):
    """A call cannot be replayed; why."""


def is_plain() -> bool:
    """Whether nothing else changes on this thread what operations do, or hears of them."""
    t = thread
    return (
        t.region is None
        and t.tracing is None
        and t.autocast is None
        and not t.function_modes
        and not t.immediate
        and not t.saved_hooks
        and not t.levels
        and t.anomaly is None
        and t.duals is None
        and t.lent is None
        and t.walk is None
    )


class Signature:
    """The arguments of a call.

    Attributes:
      key: what calls have in common that do the same; leaves: the tensors and floats among the arguments, in order.
      objects: other objects among them, which the key knows by their numbers; overlap: whether two of the tensors see the same memory.
    """

    __slots__ = ("key", "leaves", "objects", "overlap")

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]):
        self.leaves: list[Any] = []
        self.objects: list[Any] = []
        key: list[Any] = [thread.grad, thread.inference, _dtype._default, _settings.running]
        for value in args:
            self._add(value, key)
        for name, value in kwargs.items():
            key.append(name)
            self._add(value, key)
        storages = [id(leaf._storage) for leaf in self.leaves if type(leaf) is not float]
        self.overlap = len(set(storages)) < len(storages)
        if self.overlap:
            key.append(tuple(map(storages.index, storages)))
            key += [leaf._window for leaf in self.leaves if type(leaf) is not float]
        self.key = tuple(key)

    def _add(self, value: Any, key: list[Any]) -> None:
        kind = type(value)
        if isinstance(value, Tensor):
            self.leaves.append(value)
            if thread.ask is not None and overriding(kind):
                raise Refused("the class of an argument overrides functions of torch, in Python")
            if value._grad_fn is not None or (value._base is not None and value.requires_grad and thread.grad):
                raise Refused("an argument was computed with gradients, which would flow out of the call")
            if value.layout is not _layout.strided:
                raise Refused("an argument is a sparse tensor")
            array, window = value._storage.value, value._window
            seen: Any = array.shape
            if window is not None:
                seen = window[:2] if is_slice(value) else window
            key.append((kind, array.dtype, seen, value._leaf_requires_grad, value._grad is None))
        elif kind is float:
            self.leaves.append(value)
            key.append(float)
        elif kind in (tuple, list) or (isinstance(value, tuple) and hasattr(value, "_fields")):
            key.append((kind, len(value)))
            for item in value:
                self._add(item, key)
        elif isinstance(value, dict):
            key.append((kind, *value))
            for item in value.values():
                self._add(item, key)
        elif isinstance(value, (*_VALUES, enum.Enum)):
            key.append((kind, value))
        elif kind is slice:
            self._add((value.start, value.stop, value.step), key)
        elif isinstance(value, (np.ndarray, np.generic)):
            raise Refused("an argument is a NumPy array, whose numbers may change; pass a tensor")
        elif dataclasses.is_dataclass(value) and not isinstance(value, type) and not hasattr(value, "param_groups"):
            key.append(kind)
            for field in dataclasses.fields(value):
                self._add(getattr(value, field.name), key)
        else:
            try:
                weakref.ref(value)
            except TypeError:
                raise Refused(f"an argument is of type {kind.__name__}, which may have changed without notice") from None
            key.append((kind, id(value)))
            self.objects.append(value)


def is_slice(tensor: Tensor) -> bool:
    """Whether a tensor is a contiguous part of a larger one, which may be any part."""
    window = tensor._window
    return window is not None and window.dtype is None and not window.turned and not tensor._leaf_requires_grad and is_contiguous(window)


def stand_in(tensor: Tensor) -> Tensor:
    """A tensor of the same values with memory of its own."""
    made = object.__new__(type(tensor))
    made.__dict__.update(tensor.__dict__)
    made._storage, made._window, made._value, made._base = Storage(Value(tensor._operand().known())), None, None, None
    return made


def give_back(result: Any, places: dict[int, tuple[Storage, Window]]) -> None:
    """Tensors of a result that see memory of a stand-in see that of the tensor that it stood for."""
    if isinstance(result, Tensor):
        place = places.get(id(result._storage))
        if place is not None:
            storage, window = place
            seen = result._view_window()
            result._storage, result._window = storage, seen._replace(offset=seen.offset + window.offset)
            result._value, result._value_writes = None, -1
    elif isinstance(result, dict):
        for item in result.values():
            give_back(item, places)
    elif isinstance(result, (tuple, list)):
        for item in result:
            give_back(item, places)


def replaced(value: Any, stand_ins: dict[int, Tensor]) -> Any:
    """An argument with the stand-ins for tensors in it; a container in which there is none stays the same object."""
    if isinstance(value, Tensor):
        return stand_ins.get(id(value), value)
    if isinstance(value, dict):
        items = {name: replaced(item, stand_ins) for name, item in value.items()}
        if all(items[name] is item for name, item in value.items()) or type(value) is not dict:
            return value
        return items
    if type(value) in (tuple, list) or (isinstance(value, tuple) and hasattr(value, "_fields")):
        found = [replaced(item, stand_ins) for item in value]
        if all(a is b for a, b in zip(found, value, strict=True)):
            return value
        return type(value)(*found) if hasattr(value, "_fields") else type(value)(found)
    return value
