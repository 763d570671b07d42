"""Addresses of storages, which libraries written in C read: ``tensor.data_ptr()``.

An array of JAX is replaced when it is written, while torch's memory stays where it is. So a storage whose address was asked for gets memory of
its own on the host, which keeps its place for as long as the storage lives and has a copy of the values whenever the address is asked for.
"""

from __future__ import annotations

import math
import weakref
from typing import Any

import jax
import numpy as np

from funnn.engine.memory.storage import Storage
from funnn.engine.program.value import Value
from funnn.engine.state import thread

_ALIGNMENT = 64  # bytes, as torch's allocator


class _Mirror:
    """Host memory for the bytes of a storage.

    Attributes:
      memory: the bytes; ``address``: of the first.
      copied: a weak reference to the value that the bytes were copied from, or None.
    """

    __slots__ = ("address", "copied", "memory")

    def __init__(self, nbytes: int):
        block = np.empty(nbytes + _ALIGNMENT, np.uint8)  # untouched memory costs nothing
        start = -block.ctypes.data % _ALIGNMENT
        self.memory = block[start : start + nbytes]
        self.address: int = self.memory.ctypes.data
        self.copied: weakref.ref[Value] | None = None


_mirrors: weakref.WeakKeyDictionary[Storage, _Mirror] = weakref.WeakKeyDictionary()


def address_of(storage: Storage) -> int:
    """A number that only this storage has while it lives: the address of its host memory, whose bytes :func:`readable_address` fills."""
    return _mirror(storage).address


def readable_address(storage: Storage) -> int:
    """The address of a host copy of the values, as they are now; what is pending runs.

    The address stays the same after writes in place, but the bytes change only at the next call, and writing to them changes no tensor. Inside a
    function that is being transformed or compiled there are no values yet, so there it is an identity and nothing to read.
    """
    mirror, value = _mirror(storage), storage.value
    if (
        type(value) is Value
        and thread.tracing is None
        and thread.region is None
        and (mirror.copied is None or mirror.copied() is not value)
    ):
        array = value.known()
        if _is_readable(array):
            mirror.memory[:] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            mirror.copied = weakref.ref(value)
    return mirror.address


def _mirror(storage: Storage) -> _Mirror:
    value = storage.value
    nbytes = math.prod(value.shape) * value.dtype.itemsize
    mirror = _mirrors.get(storage)
    if mirror is None or mirror.memory.nbytes != nbytes:  # torch allocates anew too, when a storage is resized
        mirror = _mirrors[storage] = _Mirror(nbytes)
    return mirror


def _is_readable(array: Any) -> bool:
    if isinstance(array, jax.core.Tracer):
        return False
    return isinstance(array, np.ndarray) or (isinstance(array, jax.Array) and array.is_fully_addressable)
