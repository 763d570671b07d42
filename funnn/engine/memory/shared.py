"""Storages whose numbers lie in memory that somebody outside sees and writes: a NumPy array, a buffer, an address.

That memory is the truth. A read copies what it reads when its line runs, since what is recorded runs later; a write runs what is pending and goes into
the memory at once. When nobody else holds the memory any more, the storage becomes an ordinary one again.
"""

from __future__ import annotations

import functools
import math
import sys
import weakref
from typing import Any

import numpy as np

from funnn.engine.memory.storage import Storage, Window
from funnn.engine.program.value import Value, as_numpy
from funnn.engine.state import thread

_KEPT = 1 << 28  # bytes of a copy that is kept, to be compared with the memory instead of copied again
_HELD = 1 << 26  # bytes that a recording for replays may copy as a whole
_AT_ONCE, _CHUNK = 1 << 16, 1 << 15  # bytes that are compared as Python's bytes; numbers of 64 bits that are compared at a time
_slot, _count = Storage.__dict__["value"], Storage.__dict__["writes"]  # what a SharedStorage hides
_new: Any = object.__new__


class Memory:
    """What a shared storage has in the place of its value.

    Args:
      bytes: the memory.
      shape, dtype: of the numbers in it.
      owner: the array that owns the memory, if all who see it hold that array; else the storage stays shared as long as it lives.

    Attributes:
      numbers: the memory as an array of that shape and dtype.
      unread: a weak reference to the value that the next read gets; its numbers are copied when they are asked for, which the line that records it does.
      last: the last copy, or what was written last.
      view: (window, array, value) of the last view of all of it: the value was read from the array, which is that of ``last``.
      pending: the value that the storage has while a transformation or torch.compile's region goes on; ``dirty``: whether it is to be written.
    """

    __slots__ = ("bytes", "dirty", "last", "numbers", "owner", "pending", "unread", "view")

    def __init__(self, bytes: np.ndarray, shape: tuple[int, ...], dtype: np.dtype, owner: np.ndarray | None):
        self.bytes, self.owner = bytes, owner
        self.numbers: np.ndarray = np.ndarray(shape, dtype, bytes)
        self.unread: Any = None
        self.last: Value | None = None
        self.view: Any = None
        self.pending: Any = None
        self.dirty = False

    def is_sole(self) -> bool:
        """Whether nobody else holds the memory."""
        return self.owner is not None and sys.getrefcount(self.owner) == _SOLE

    def count_holders(self) -> int:
        """References to the owner, and the one that is counted."""
        return sys.getrefcount(self.owner)

    def seen_by(self, window: Window | None) -> np.ndarray:
        """The memory through a window."""
        if window is None:
            return self.numbers
        dtype = self.numbers.dtype if window.dtype is None else window.dtype.numpy
        size = dtype.itemsize
        if 0 in window.shape:
            return np.empty(window.shape, dtype)
        return np.ndarray(window.shape, dtype, self.bytes, window.offset * size, [stride * size for stride in window.stride])

    def later(self) -> Value:
        """A value of the numbers as they will be when it is asked for them."""
        value = None if self.unread is None else self.unread()
        if value is None or value.array is not None:
            value = _new(Value)
            value.array = value.numbers = None
            value.shape, value.dtype = self.numbers.shape, self.numbers.dtype
            self.unread = weakref.ref(value)
            value.graph = _Read(self, self.unread)
        return value

    def copy_into(self, value: Value) -> None:
        """Let a value have the numbers as they are now."""
        if self.last is not None and self.is_as_read():
            value.array = self.last.array
        else:
            value.array = self.numbers.copy()
        self.remember(value)

    def is_as_read(self) -> bool:
        """Whether the numbers are those that were read last."""
        last = self.last
        return last is not None and last.array is not None and same_bits(self.numbers, as_numpy(last.array))

    def remember(self, value: Value | None) -> None:
        """The memory has these numbers."""
        self.last = value if self.bytes.nbytes <= _KEPT else None


class _Read:
    """What a value that is yet to be copied waits for, in the place of a graph."""

    __slots__ = ("memory", "value")

    def __init__(self, memory: Memory, value: weakref.ref[Value]):
        self.memory: Memory | None = memory
        self.value = value

    def flush(self) -> None:
        value, memory = self.value(), self.memory
        if value is not None and value.array is None and memory is not None:
            memory.copy_into(value)
        self.memory = None  # which may hold the value


def _count_sole() -> int:
    owner = np.empty(8, np.uint8)
    memory = Memory(np.ndarray((8,), np.uint8, owner), (8,), owner.dtype, owner)
    del owner
    return memory.count_holders()


#: What ``sys.getrefcount`` says in ``Memory.is_sole`` of an array that nothing but the Memory holds.
_SOLE = _count_sole()


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two contiguous arrays of one shape and dtype are the same to the bit."""
    if a.nbytes <= _AT_ONCE:
        return a.tobytes() == b.tobytes()
    wide = np.uint8 if a.nbytes % 8 else np.uint64
    one, other = (array.reshape(-1).view(np.uint8).view(wide) for array in (a, b))
    return all(bool((one[at : at + _CHUNK] == other[at : at + _CHUNK]).all()) for at in range(0, one.size, _CHUNK))


class SharedStorage(Storage):
    """A storage on memory that others see; its class changes when it becomes one and when it no longer is."""

    __slots__ = ()

    memory: Any = _slot  # a Memory, in the place of the value

    @property
    def value(self) -> Value:
        """The numbers, to be recorded at this line, or to be asked for their shape: see ``snapshot``."""
        memory = self.memory
        if memory.pending is not None:
            return _pending(memory)
        if memory.is_sole():
            return self._keep(memory)
        return memory.later()

    @value.setter
    def value(self, value: Value) -> None:
        memory = self.memory
        if type(value) is not Value or value.traced:  # inside a transformation, which puts back what was there
            memory.pending = value
        elif thread.region is not None and not thread.immediate:
            memory.pending, memory.dirty = value, True
            thread.unsettled.append(functools.partial(_settle, self))
        else:
            memory.pending, memory.dirty = None, False
            self._store(memory, value)

    @property
    def writes(self) -> int:
        """As of any storage; another number, too, where NumPy is seen to have written since the memory was last read."""
        count: int = _count.__get__(self)
        memory = self.memory
        if memory.pending is None and memory.last is not None and not memory.is_as_read():
            count += 1
            _count.__set__(self, count)
        return count

    @writes.setter
    def writes(self, count: int) -> None:
        _count.__set__(self, count)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.memory.numbers.shape

    @property
    def dtype(self) -> np.dtype:
        return self.memory.numbers.dtype

    def snapshot(self) -> Value:
        value = self.value
        if type(getattr(value, "graph", None)) is _Read:  # else it is immutable, even where it is pending
            value.known()
        return value

    def first_read(self) -> Value:
        memory = self.memory
        return self.snapshot() if memory.bytes.nbytes <= _HELD else self.value

    def read(self, window: Window) -> Value:
        memory = self.memory
        if memory.pending is not None and (memory.dirty or not _is_too_large(memory)):
            return super().read(window)
        if memory.pending is None and memory.is_sole():
            self._keep(memory)
            return self.read(window)
        if memory.pending is None and _AT_ONCE < memory.bytes.nbytes <= _KEPT and math.prod(window.shape) >= memory.numbers.size:
            whole = self.snapshot()  # which is the last one, where nothing has changed
            if memory.view is None or memory.view[0] != window or memory.view[1] is not whole.array:
                memory.view = window, whole.array, super().read(window)
            found: Value = memory.view[2]
            return found
        return super().read(window) if window.turned else Value(np.array(memory.seen_by(window), order="C"))

    def write(self, window: Window, values: Value, tracked: bool) -> None:
        plain = type(values) is Value and not values.traced and thread.region is None
        numbers = self.written(window, tracked) if plain else None
        if numbers is None:
            super().write(window, values, tracked)
        else:
            numbers[...] = as_numpy(values.known())

    def live(self, window: Window | None) -> np.ndarray | None:
        """The numbers where they lie, to be looked at and not kept; None where they are elsewhere, or conjugates and negatives of those that do."""
        memory = self.memory
        if memory.pending is not None or thread.tracing is not None or (window is not None and window.turned):
            return None
        return memory.seen_by(window)

    def written(self, window: Window | None, tracked: bool) -> np.ndarray | None:
        """The memory, to be written at once by whoever asks; None where a write has to be recorded."""
        memory = self.memory
        turned = window is not None and window.turned
        if turned or memory.is_sole() or not memory.bytes.flags.writeable or memory.pending is not None or thread.tracing is not None:
            return None
        self.writes += 1
        self.version += tracked
        return memory.seen_by(window)

    def settle(self) -> bool:
        """Write what is pending; False inside a transformation, where it has no numbers."""
        memory = self.memory
        pending: Value | None = memory.pending
        dirty = memory.dirty
        if pending is not None and (type(pending) is not Value or pending.traced):
            return False
        memory.pending, memory.dirty = None, False
        if dirty and pending is not None:
            self._store(memory, pending)
        return True

    def hold(self) -> None:
        """Have one value, until it is settled, for as long as the memory stays as it is."""
        memory = self.memory
        if memory.pending is None:
            memory.pending = memory.later()
            thread.unsettled.append(functools.partial(_settle, self))

    def _store(self, memory: Memory, value: Value) -> None:
        if memory.is_sole() or value.shape != memory.numbers.shape:
            _become_ordinary(self, value)
        elif memory.bytes.flags.writeable:
            memory.numbers[...] = as_numpy(value.known())
            memory.remember(value)
        elif not same_bits(memory.numbers, as_numpy(value.known())):
            _become_ordinary(self, value)

    def _keep(self, memory: Memory) -> Value:
        """Become an ordinary storage of the numbers as they are."""
        sole = memory.is_sole()
        last, owner, numbers = memory.last, memory.owner, memory.numbers
        same = memory.is_as_read()
        if last is not None and not same:  # others wrote: what views have read is out of date
            _count.__set__(self, _count.__get__(self) + 1)
        if not sole or owner is None:
            value = Value(numbers.copy())
        elif same and last is not None:
            value = last
        else:
            value = Value(owner if owner.shape == numbers.shape and owner.dtype == numbers.dtype else numbers)
        _become_ordinary(self, value)
        return value


def become_shared(storage: Storage, memory: Memory) -> None:
    """Let a storage have that memory."""
    shared: Any = storage
    shared.__class__, shared.memory = SharedStorage, memory  # in one breath: no interrupt comes in between


def _become_ordinary(storage: Storage, value: Value) -> None:
    storage.__class__, storage.value = Storage, value  # in one breath


def _settle(storage: Storage) -> None:
    if isinstance(storage, SharedStorage):
        storage.settle()


def _is_too_large(memory: Memory) -> bool:
    """Whether a recording for replays does without the memory, since it would copy it as a whole."""
    if memory.bytes.nbytes <= _HELD or thread.region is None:
        return False
    thread.region.refuse("it reads a part of a large array that is shared with NumPy")
    return True


def _pending(memory: Memory) -> Value:
    value: Value = memory.pending
    held = not memory.dirty and type(value) is Value and value.array is not None and memory.last is value
    if held and not same_bits(memory.numbers, as_numpy(value.array)):  # NumPy has written while a call is recorded
        value = memory.pending = memory.later()
    return value
