"""Writing a file so that what was there stays whole until the new one is."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

_LONGEST_NAME = 200  # of which file systems take 255 bytes


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A binary file that takes the place of the one at ``path`` when the block ends well, and else is gone.

    It is written beside it, brought to the disk and renamed, so that a full disk, an error or a killed process leaves the file that was there. A killed
    process also leaves the unfinished one, ``.<name>.<8 digits>.tmp``. A link is followed; permissions stay what they were; a device or a pipe is written
    as it is.

    Raises:
      OSError: what the file system says: there is no such folder, it cannot be written, the disk is full.
    """
    target = os.path.realpath(path)
    if os.path.exists(target) and not os.path.isfile(target):
        with open(target, "wb") as stream:
            yield stream
        return
    folder, name = os.path.split(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(2, f"there is no folder {folder!r} to write {name!r} in; make it first", os.fspath(path))
    temporary = os.path.join(folder, f".{name[:_LONGEST_NAME]}.{secrets.token_hex(4)}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(handle, "wb") as stream:
            if os.path.exists(target) and hasattr(os, "fchmod"):
                os.fchmod(handle, os.stat(target).st_mode & 0o7777)
            yield stream
            stream.flush()
            os.fsync(handle)
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    with suppress(OSError):  # not every system lets a folder be brought to the disk
        entry = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(entry)
        finally:
            os.close(entry)
