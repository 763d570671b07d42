"""Batches on their way between processes: pickle's protocol 5, whose large buffers go through shared memory, and Tensors as arrays."""

from __future__ import annotations

import contextlib
import io
import multiprocessing.reduction
import os
import pickle
import sys
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np

from funnn.engine.program.value import from_host
from funnn.engine.tensor.pickling import attributes, on_memory
from funnn.engine.tensor.sparse import SparseTensor
from funnn.engine.tensor.tensor import Tensor

_INLINE = 16384  # bytes; what is smaller goes through the pipe
_ALIGNMENT = 64
_NO_NAME = (
    "a worker could not find a class or function by its name: if it is defined in a notebook, on the command line or under the main guard, "
    "move it to a module or (for the first two) install cloudpickle; num_workers=0 needs neither"
)


class Pending:
    """An array that arrives as a Tensor; the process that sends it needs no JAX."""

    def __init__(self, array: np.ndarray):
        self.array = array

    def __reduce__(self) -> tuple:
        return _adopt, (self.array,)


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, Tensor) or isinstance(value, SparseTensor):  # which is made of others
            return NotImplemented
        if value.requires_grad and not value.is_leaf:
            raise RuntimeError(
                "Cowardly refusing to serialize non-leaf tensor which requires_grad: a worker's graph stays there; detach() it"
            )
        return _tensor, (type(value), np.ascontiguousarray(value._host()).reshape(value.shape), value.requires_grad, attributes(value))


def _adopt(array: np.ndarray) -> Tensor:
    """A tensor of an array that nobody else holds."""
    return Tensor._wrap(from_host(array))


def _tensor(kind: type, array: np.ndarray, requires_grad: bool, state: dict) -> Tensor:
    tensor = on_memory(kind, _adopt(array)._storage, None, requires_grad)
    tensor.__dict__.update(state)
    return tensor


def pack(value: Any, name: str) -> bytes:
    """A message for :func:`unpack`; what is large lies in a new shared memory block of that name, which unpacking removes."""
    stream, buffers = io.BytesIO(), []
    _Pickler(stream, 5, buffer_callback=buffers.append).dump(value)
    parts = [stream.getbuffer(), *(buffer.raw() for buffer in buffers)]
    places, size = [], 0
    for part in parts:
        places.append((size, size + part.nbytes))
        size += -(-part.nbytes // _ALIGNMENT) * _ALIGNMENT
    if size <= _INLINE or not _has_room(size):
        return pickle.dumps((name, None, [bytes(part) for part in parts]))
    block = SharedMemory(name, create=True, size=size)
    for part, (start, end) in zip(parts, places, strict=True):
        block.buf[start:end] = part
    block.close()
    return pickle.dumps((name, places, None))


def unpack(message: bytes) -> tuple[str, Any]:
    """The name that was given and what was packed; its arrays are writable."""
    name, places, parts = pickle.loads(message)
    if places is not None:
        block = SharedMemory(name)
        memory = memoryview(bytearray(block.buf))
        block.close()
        block.unlink()
        parts = [memory[start:end] for start, end in places]
    else:
        parts = [parts[0], *map(bytearray, parts[1:])]
    return name, pickle.loads(parts[0], buffers=parts[1:])


def remove(name: str) -> None:
    """The block of a message that nobody will unpack, if there is one."""
    with contextlib.suppress(FileNotFoundError):
        block = SharedMemory(name)
        block.close()
        block.unlink()


def _has_room(size: int) -> bool:
    """Whether the system's shared memory holds ``size`` more bytes; writing to a block that it doesn't hold would kill the process."""
    if os.name == "nt":  # where a block goes with the last process that has it open
        return False
    try:
        room = os.statvfs("/dev/shm")
    except (OSError, AttributeError):  # not Linux
        return True
    return room.f_bavail * room.f_frsize > 2 * size


class Parcel:
    """Values that start a process. One that is forked has them; for others they are pickled while it starts, so that multiprocessing's locks and
    queues may be among them, and unpickled by the process when it asks, so that what fails there can be reported. Lambdas, local classes and what
    a notebook defines go by cloudpickle if it is there.
    """

    def __init__(self, values: Any):
        self.values, self._pickled = values, None

    def __getstate__(self) -> bytes:
        interactive = not hasattr(sys.modules["__main__"], "__file__")
        if interactive and (by_value := _by_value(self.values)) is not None:
            return by_value
        try:
            return bytes(multiprocessing.reduction.ForkingPickler.dumps(self.values))
        except (AttributeError, TypeError, pickle.PicklingError) as error:
            by_value = _by_value(self.values)
            if by_value is not None:
                return by_value
            raise type(error)(
                f"{error}: workers that are not forked get the dataset, collate_fn and worker_init_fn by pickle; define them at the top level of a "
                "module, install cloudpickle, or use num_workers=0"
            ) from error

    def __setstate__(self, pickled: bytes) -> None:
        self._pickled = pickled

    def open(self) -> Any:
        """The values, in the process that was started."""
        if self._pickled is None:
            return self.values
        try:
            return pickle.loads(self._pickled)
        except AttributeError as error:
            error.add_note(_NO_NAME)
            raise


def _by_value(values: Any) -> bytes | None:
    try:
        import cloudpickle
    except ImportError:
        return None
    return cloudpickle.dumps(values)
