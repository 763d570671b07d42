"""A file as it is read: nothing is asked of it that it does not have, and what cannot be read is an error that names it."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import numpy as np

from funnn.checkpoint._errors import CheckpointError

File = str | os.PathLike[str] | IO[bytes]
_ALIGNMENT = 64  # bytes; XLA uses such memory as it is


class Source(io.RawIOBase):
    """A binary file from where it stands to its end.

    Args:
      stream: can be read and moved in.
      mapped: the whole file in memory, of which arrays are parts; None: they are read.

    Attributes:
      start, end: where it begins and ends.
      left: the bytes of arrays that may still be read: all together no more than the file has.
    """

    def __init__(self, stream: IO[bytes], mapped: np.ndarray | None = None):
        self.stream, self.mapped = stream, mapped
        self.start = stream.tell()
        self.end = stream.seek(0, os.SEEK_END)
        if not isinstance(self.end, int):  # a file object whose seek gives nothing
            self.end = stream.tell()
        stream.seek(self.start)
        self.left = self.end - self.start

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.stream.tell()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move there.

        Raises:
          CheckpointError: that is outside the file.
        """
        if whence == os.SEEK_SET and not 0 <= offset <= self.end:
            raise CheckpointError(f"the file refers to its byte {offset} and has {self.end}", "container")
        self.stream.seek(offset, whence)
        return self.stream.tell()

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes, of which no more are asked for than there are."""
        rest = max(self.end - self.tell(), 0)
        return self.stream.read(rest if size is None or size < 0 else min(size, rest))

    def readline(self, size: int | None = -1) -> bytes:
        """The bytes to the next end of a line; the names in a pickle are short."""
        return self.stream.readline(4096)

    def array(self, position: int, dtype: np.dtype, count: int, place: str) -> np.ndarray:
        """The numbers at a position.

        Raises:
          CheckpointError: the file has not so many.
        """
        size = count * dtype.itemsize
        if position + size > self.end or size > self.left:
            raise CheckpointError(f"{place} is said to have {size} bytes, more than there are", "container")
        if self.mapped is not None:
            part = self.mapped[position : position + size]
            return part.view(dtype) if part.ctypes.data % max(dtype.alignment, 1) == 0 else part.copy().view(dtype)
        self.left -= size
        memory = np.empty(size + _ALIGNMENT, np.uint8)
        start = -memory.ctypes.data % _ALIGNMENT
        array = memory[start : start + size].view(dtype)
        self.seek(position)
        self._fill(memory[start : start + size], place)
        return array

    def _fill(self, memory: np.ndarray, place: str) -> None:
        view, done = memory.data, 0
        while done < len(view):
            if hasattr(self.stream, "readinto"):
                taken = self.stream.readinto(view[done:])
            else:
                content = self.stream.read(len(view) - done)
                taken = len(content)
                view[done : done + taken] = content
            if not taken:
                raise CheckpointError(f"{place} ends after {done} of {len(view)} bytes", "container")
            done += taken


@contextmanager
def opened(file: File, mode: str) -> Iterator[IO[bytes]]:
    """The file itself, or for the time of the block one open at that path.

    Raises:
      AttributeError: for what is neither a path nor a binary file.
    """
    if isinstance(file, (str, os.PathLike)):
        with open(file, mode) as stream:
            yield stream
        return
    missing = [name for name in (("read", "seek", "tell") if mode == "rb" else ("write",)) if not hasattr(file, name)]
    if missing:
        raise AttributeError(f"expected a path or a binary file, but {type(file).__name__} has no {missing[0]}()")
    yield file


def name_of(file: Any) -> str:
    """What to call a file in an error."""
    name = file if isinstance(file, (str, os.PathLike)) else getattr(file, "name", None)
    return os.fspath(name) if isinstance(name, (str, os.PathLike)) else "the file"
