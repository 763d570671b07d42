"""From arrays of NumPy to storages on their memory, and from storages to arrays on theirs."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax.sharding import SingleDeviceSharding
from numpy.lib.stride_tricks import as_strided

from funnn.engine.memory.grown import whole_memory
from funnn.engine.memory.shared import Memory, SharedStorage, become_shared
from funnn.engine.memory.storage import Storage, Window, contiguous_stride, whole
from funnn.engine.program.references import are_sole
from funnn.engine.program.value import as_numpy, is_on_cpu
from funnn.engine.state import thread

# -- arrays that come in


def check_order(array: np.ndarray) -> None:
    """Raise torch's errors for an array with a negative stride, or whose order of bytes is not this machine's."""
    if min(array.strides, default=0) < 0:
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative strides are not currently supported. "
            "(You can probably work around this by making a copy of your array  with array.copy().) "
        )
    if not array.dtype.isnative:
        raise ValueError(
            "given numpy array has byte order different from the native byte order. Conversion between byte orders is currently not supported."
        )


def on_memory_of(array: np.ndarray) -> tuple[Storage, Window | None]:
    """A storage on the memory that an array of NumPy sees, from its first element to its last, and the window that the array is.

    Raises:
      ValueError: a stride is no multiple of the size of a number.
    """
    strides, size = array.strides, array.itemsize
    if any(stride % size for stride in strides):
        raise ValueError(
            "given numpy array strides not a multiple of the element byte size. Copy the numpy array to reallocate the memory."
        )
    shape, stride = array.shape, tuple([step // size for step in strides])
    if array.flags.c_contiguous:
        memory = Memory(np.ndarray((array.nbytes,), np.uint8, array), shape, array.dtype, _owner_of(array))
        window = None if stride == contiguous_stride(shape) else Window(shape, stride, 0)
    else:
        count = 0 if 0 in shape else 1 + sum((length - 1) * step for length, step in zip(shape, stride, strict=True))
        stretch, owner = _stretch(array, count)
        memory = Memory(stretch, (count,), array.dtype, owner)
        window = Window(shape, stride, 0)
    storage = Storage(memory.numbers)
    storage.foreign = True
    become_shared(storage, memory)
    return storage, window


def _owner_of(array: np.ndarray) -> np.ndarray | None:
    """The array that owns the memory, if it is a plain one of NumPy's."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array if type(array) is np.ndarray and array.flags.owndata else None


def _stretch(array: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray | None]:
    """The bytes of ``count`` numbers from the first one of an array on, and what owns them; with an owner, nothing else is held."""
    owner, size = _owner_of(array), count * array.itemsize
    if owner is not None and owner.flags.forc and owner.flags.writeable == array.flags.writeable and count:
        block = owner if owner.flags.c_contiguous else owner.T
        return np.ndarray((size,), np.uint8, block, address(array) - address(block)), owner
    return as_strided(array, (count,), (array.itemsize,)).view(np.uint8), None


def address(array: np.ndarray) -> int:
    """Of the first number."""
    found: int = array.__array_interface__["data"][0]
    return found


# -- arrays that go out


def array_on(storage: Storage, window: Window | None) -> np.ndarray | None:
    """An array on the memory of a storage, which is shared from now on; None where it can't be (see ``share``)."""
    storage, window = whole_memory(storage, window)
    memory = share(storage)
    if memory is None:
        return None
    return memory.seen_by(whole(memory.numbers.shape) if window is None else window)


def part_of(storage: Storage, part: slice) -> Storage | None:
    """A storage on some of the bytes of another, which is shared from now on; None where it can't be."""
    memory = share(whole_memory(storage, None)[0])
    if memory is None:
        return None
    bytes = memory.bytes[part]
    made = Storage(bytes)
    become_shared(made, Memory(bytes, bytes.shape, bytes.dtype, _owner_of(bytes)))
    return made


def share(storage: Storage, into: np.ndarray | None = None) -> Memory | None:
    """Let the numbers of a storage lie in memory that others may see; what is pending runs.

    None inside a transformation, where there are no numbers, and where they lie on an accelerator or on several devices.

    Args:
      into: bytes where they are to lie, unless they are shared already.
    """
    if isinstance(storage, SharedStorage) and not storage.settle():
        return None
    if isinstance(storage, SharedStorage):
        return storage.memory
    if thread.tracing is not None or not is_on_cpu():
        return None
    storage.value.known()
    held = [storage.value]
    held[0].numbers = None
    arrays = [held[0].array]
    if not _is_here(arrays[0]):
        return None
    last = None
    if into is None and are_sole(held)[0] and are_sole(arrays)[0] and _is_whole(arrays[0]):
        [array] = arrays
        array.setflags(write=True)
    else:
        last, array = held[0], np.array(as_numpy(arrays[0]), order="C")
        if into is not None:
            into[:] = array.reshape(-1).view(np.uint8)
            array = np.ndarray(array.shape, array.dtype, into)
    memory = Memory(array.reshape(-1).view(np.uint8), array.shape, array.dtype, _owner_of(array))
    memory.remember(last)
    become_shared(storage, memory)
    return memory


def _is_here(array: Any) -> bool:
    """Whether the numbers lie in this machine's memory, as those of new tensors do."""
    if isinstance(array, np.ndarray | np.generic):
        return True
    if isinstance(array, jax.core.Tracer) or type(array.sharding) is not SingleDeviceSharding:
        return False
    [device] = array.devices()
    return bool(device.platform == "cpu" and device.id == 0)


def _is_whole(array: Any) -> bool:
    """Whether an array is all of the memory that it owns, or a part of a file that nobody else writes."""
    if type(array) is not np.ndarray or not array.flags.c_contiguous:
        return False
    return bool(array.flags.owndata or (type(array.base) is np.memmap and array.flags.writeable))
