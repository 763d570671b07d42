"""Memory that has grown: ``resize_`` gives a tensor more of it, and the tensors that were on the smaller memory see the beginning of the larger.

A Storage holds an array of one shape, by which tensors without a window see it. So the larger memory is a storage of its own, on which the resized
tensor is from then on, and the smaller one becomes a part of it: it reads and writes there, whoever asks. Windows count from the first element, so
they are the same on both.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from funnn.engine.memory.storage import Storage, Window, whole
from funnn.engine.program.form import forms_of
from funnn.engine.program.graph import run
from funnn.engine.program.outline import is_outline, outlined
from funnn.engine.program.value import Value

_slot, _version, _writes = (Storage.__dict__[name] for name in ("value", "version", "writes"))  # what a PartStorage hides

#: The numbers of an array, row after row, and zeros behind them.
_with_zeros = forms_of(lambda count: lambda array: ((jnp.pad(array.reshape(-1), (0, count - array.size)),), None))


class _Beginning:
    """What a part has in the place of its value.

    Attributes:
      larger: the storage that it is the beginning of; window: as which.
      read: the last value that was read there, and how often the larger one had been written then.
    """

    __slots__ = ("larger", "read", "window")

    def __init__(self, larger: Storage, window: Window):
        self.larger, self.window = larger, window
        self.read: tuple[int, Value] | None = None


class PartStorage(Storage):
    """A storage that is the beginning of a larger one; its class changes when it becomes that."""

    __slots__ = ()

    part: Any = _slot  # a _Beginning, in the place of the value

    @property
    def value(self) -> Value:
        part = self.part
        writes = part.larger.writes
        if part.read is None or part.read[0] != writes:
            part.read = writes, part.larger.read(part.window)
        found: Value = part.read[1]
        return found

    @value.setter
    def value(self, value: Value) -> None:
        self.part.larger.write(self.part.window, value, False)

    @property
    def version(self) -> int:
        count: int = self.part.larger.version
        return count

    @version.setter
    def version(self, count: int) -> None:
        self.part.larger.version = count

    @property
    def writes(self) -> int:
        count: int = self.part.larger.writes
        return count

    @writes.setter
    def writes(self, count: int) -> None:
        self.part.larger.writes = count


def whole_memory(storage: Storage, window: Window | None) -> tuple[Storage, Window | None]:
    """The storage that has all of the memory, and the window on it that is that window on ``storage``."""
    while isinstance(storage, PartStorage):
        window = storage.part.window if window is None else window
        storage = storage.part.larger
    return storage, window


def lengthened(storage: Storage, count: int) -> Storage:
    """A storage of ``count`` numbers, at first those of ``storage``, and then zeros."""
    value = storage.value
    larger = Storage(outlined((count,), value.dtype) if is_outline(value) else run(_with_zeros(count), [value]))
    larger.version, larger.writes = storage.version, storage.writes + 1
    return larger


def grow(storage: Storage, count: int) -> Storage:
    """The same, of whose memory that of ``storage`` is the beginning from now on."""
    larger, shape = lengthened(storage, count), storage.shape
    larger.inference, larger.level = storage.inference, storage.level
    part: Any = storage
    part.__class__, part.part = PartStorage, _Beginning(larger, whole(shape))  # in one breath
    return larger
