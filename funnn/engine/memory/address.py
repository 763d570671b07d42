"""Addresses of storages, which libraries written in C read and write: ``tensor.data_ptr()``.

An array of JAX is replaced when it is written, while torch's memory stays where it is. So a storage whose address was asked for keeps its numbers in
memory on the host from then on (see ``shared``). On an accelerator that memory is a copy.
"""

from __future__ import annotations

import math
import weakref
from typing import Any

import jax
import numpy as np

from funnn.engine.memory.grown import whole_memory
from funnn.engine.memory.numpy_memory import address, share
from funnn.engine.memory.shared import SharedStorage
from funnn.engine.memory.storage import Storage
from funnn.engine.program.value import Value
from funnn.engine.state import thread

_ALIGNMENT = 64  # bytes, as torch's allocator


class _Reserved:
    """Host memory for the bytes of a storage.

    Attributes:
      memory: the bytes.
      copied: a weak reference to the value that the bytes were copied from, or None.
    """

    __slots__ = ("copied", "memory")

    def __init__(self, nbytes: int):
        block = np.empty(nbytes + _ALIGNMENT, np.uint8)  # untouched memory costs nothing
        start = -address(block) % _ALIGNMENT
        self.memory = block[start : start + nbytes]
        self.copied: weakref.ref[Value] | None = None


_reserved: weakref.WeakKeyDictionary[Storage, _Reserved] = weakref.WeakKeyDictionary()


def address_of(storage: Storage) -> int:
    """The address of a storage's numbers; what is pending runs.

    Inside a function that is being transformed or compiled there are no numbers yet, so there it is where they will lie. On an accelerator, and of
    arrays on several devices, the bytes are a copy as of this call, whose address stays the same.
    """
    storage = whole_memory(storage, None)[0]
    if type(storage) is not SharedStorage and (thread.tracing is not None or thread.region is not None):
        return address(_reserve(storage).memory)
    memory = share(storage, None if type(storage) is SharedStorage else _reserve(storage).memory)
    if memory is None:
        return _address_of_copy(storage)
    memory.owner = None  # nobody can tell for how long the address is used
    _reserved.pop(storage, None)
    return address(memory.bytes)


def _address_of_copy(storage: Storage) -> int:
    reserved, value = _reserve(storage), storage.value
    if type(value) is Value and (reserved.copied is None or reserved.copied() is not value):
        array = value.known()
        if _is_readable(array):
            reserved.memory[:] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            reserved.copied = weakref.ref(value)
    return address(reserved.memory)


def _reserve(storage: Storage) -> _Reserved:
    nbytes = math.prod(storage.shape) * storage.dtype.itemsize
    reserved = _reserved.get(storage)
    if reserved is None or reserved.memory.nbytes != nbytes:  # torch allocates anew too, when a storage is resized
        reserved = _reserved[storage] = _Reserved(nbytes)
    return reserved


def _is_readable(array: Any) -> bool:
    if isinstance(array, jax.core.Tracer):
        return False
    return isinstance(array, np.ndarray) or (isinstance(array, jax.Array) and array.is_fully_addressable)
