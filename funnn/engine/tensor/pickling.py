"""Tensors and their memory under copy, deepcopy and pickle: what shares memory before shares it after."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from funnn.engine.memory.grown import whole_memory
from funnn.engine.memory.storage import Storage, Window
from funnn.engine.memory.strides import like_operands
from funnn.engine.program.outline import is_outline, outlined
from funnn.engine.program.value import from_host
from funnn.engine.state import thread
from funnn.engine.tensor.sparse import SparseTensor
from funnn.engine.tensor.tensor import Tensor

_OWN = {"_storage", *SparseTensor.__annotations__}


def is_own(name: str) -> bool:
    """Whether a name in a Tensor's ``__dict__`` is the library's; the others are attributes that a program gave it."""
    return name in _OWN or (name[0] == "_" and hasattr(Tensor, name))


def attributes(tensor: Tensor) -> dict[str, Any]:
    """What a program hung on a tensor, by name."""
    return {name: value for name, value in tensor.__dict__.items() if not is_own(name)}


def on_memory(kind: type, storage: Storage, window: Window | None, requires_grad: bool = False) -> Tensor:
    """A leaf of class ``kind`` on a storage."""
    tensor: Any = object.__new__(kind)
    tensor._storage, tensor._window = storage, window
    if requires_grad:
        tensor._leaf_requires_grad = True
    return tensor


def _deepcopy(self: Tensor, memo: dict[Any, Any]) -> Tensor:
    if not self.is_leaf:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment; use tensor.detach()"
        )
    if id(self) not in memo:
        storage, window = whole_memory(self._storage, self._window)
        if window is not None and window.turned:  # torch copies what it shows
            copied = like_operands(on_memory(type(self), Storage(self._operand()), None, self._leaf_requires_grad), (self,), {})
        else:
            copied = on_memory(type(self), copy.deepcopy(storage, memo), window, self._leaf_requires_grad)
        memo[id(self)] = copied
        copied.__dict__.update(copy.deepcopy(attributes(self), memo))
        if self._grad is not None:
            copied._grad = copy.deepcopy(self._grad, memo)
    return memo[id(self)]


def _reduce(self: Tensor, protocol: int) -> tuple[Any, ...]:
    if not self.is_meta:
        self._shown()  # raises while compiling, when there are no values
    return _rebuild, (type(self), *whole_memory(self._storage, self._window), self.requires_grad, attributes(self))


def _rebuild(kind: type, storage: Storage, window: Window | None, requires_grad: bool, state: dict[Any, Any]) -> Tensor:
    tensor = on_memory(kind, storage, window, requires_grad)
    tensor.__dict__.update(state)
    return tensor


def _deepcopy_storage(self: Storage, memo: dict[Any, Any]) -> Storage:
    if thread.tracing is not None:
        thread.tracing.read(self)
    memo[id(self)] = copied = Storage(self.snapshot())  # which is immutable
    return copied


def _reduce_storage(self: Storage) -> tuple[Any, ...]:
    if is_outline(self.value):
        return _rebuild_outline, (self.shape, self.dtype)
    return _rebuild_storage, (np.asarray(self.array),)


def _rebuild_outline(shape: tuple[int, ...], dtype: np.dtype) -> Storage:
    return Storage(outlined(shape, dtype))


def _rebuild_storage(values: np.ndarray) -> Storage:
    return Storage(from_host(values))


Tensor.__deepcopy__ = _deepcopy
Tensor.__reduce_ex__ = _reduce
Storage.__deepcopy__ = _deepcopy_storage
Storage.__reduce__ = _reduce_storage
