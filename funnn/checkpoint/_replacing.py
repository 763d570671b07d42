"""Writing files so that what was there stays whole until the new ones are."""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO

_LONGEST_NAME = 200  # of which file systems take 255 bytes
_LARGE = 1 << 24  # bytes from which on room is reserved
_KEEP_SIZE = 1  # fallocate's flag: the file's length stays what was written
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PAUSE = 0.05  # seconds between the times that what is written is sent to the disk


@contextmanager
def replacements() -> Iterator[Callable[[str], str]]:
    """Gives a function from a file's path to that of an empty file beside it, which takes its place where the block ends without an error.

    Those files are brought to the disk before any takes its place. A full disk, an error or a killed process so leaves the files that were there; a
    killed process also leaves the unfinished ones, ``.<name>.<8 digits>.tmp``. Links are followed; permissions stay what they were.

    Raises:
      OSError: what the file system says: there is no such folder, it cannot be written, the disk is full.
    """
    files: dict[str, str] = {}

    def begin(path: str) -> str:
        target = os.path.realpath(path)
        folder, name = os.path.split(target)
        if not os.path.isdir(folder):
            raise FileNotFoundError(2, f"there is no folder {folder!r} to write {name!r} in; make it first", path)
        temporary = os.path.join(folder, f".{name[:_LONGEST_NAME]}.{secrets.token_hex(4)}.tmp")
        with open(temporary, "xb"):
            files[target] = temporary
        if os.path.exists(target):
            os.chmod(temporary, os.stat(target).st_mode & 0o7777)
        return temporary

    try:
        yield begin
        for temporary in files.values():
            _sync(temporary)
        for target, temporary in files.items():
            os.replace(temporary, target)
        for folder in {os.path.dirname(target) for target in files}:
            with suppress(OSError):  # not every system lets a folder be brought to the disk
                _sync(folder)
    finally:
        for temporary in files.values():
            with suppress(OSError):
                os.remove(temporary)


@contextmanager
def replacing(path: str | os.PathLike[str], size: int = 0) -> Iterator[IO[bytes]]:
    """A binary file that takes the place of the one at ``path`` when the block ends well, as :func:`replacements` say; a device or a pipe is written.

    ``size`` says how many bytes at least will be written: a disk that has no room for them says so before the first.
    """
    target = os.path.realpath(path)
    if os.path.exists(target) and not os.path.isfile(target):
        with open(target, "wb") as stream:
            yield stream
        return
    with replacements() as begin, open(begin(os.fspath(path)), "wb") as stream, _sent_ahead(stream):
        _reserve(stream, size)
        yield stream


def _reserve(stream: IO[bytes], size: int) -> None:
    """Ask the file system for ``size`` bytes at once, where it can give them; a third of a large file's time goes into asking piece by piece.

    Raises:
      OSError: there is no room.
    """
    if size < _LARGE or not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)  # os.posix_fallocate writes to every block where the system cannot reserve
    if libc.fallocate(stream.fileno(), _KEEP_SIZE, ctypes.c_int64(0), ctypes.c_int64(size)) and ctypes.get_errno() in _NO_ROOM:
        raise OSError(ctypes.get_errno(), f"{os.strerror(ctypes.get_errno())}: there is no room for {size} bytes", stream.name)


@contextmanager
def _sent_ahead(stream: IO[bytes]) -> Iterator[None]:
    """What the block writes goes to the disk while it writes more, so that less is left to wait for at its end."""
    done = threading.Event()

    def send() -> None:
        while not done.wait(_PAUSE):
            with suppress(OSError):  # which the last wait will meet again
                os.fdatasync(stream.fileno())

    sender = threading.Thread(target=send, daemon=True)
    if hasattr(os, "fdatasync"):
        sender.start()
    try:
        yield
    finally:
        done.set()
        if sender.ident is not None:
            sender.join()


def _sync(path: str) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDWR if os.path.isfile(path) else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
