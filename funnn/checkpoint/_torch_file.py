"""PyTorch's .pt files without PyTorch: what is in one, with its tensors as NumPy arrays."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from funnn.checkpoint._errors import CheckpointError
from funnn.checkpoint._legacy_file import Legacy
from funnn.checkpoint._placing import Place, place_arrays
from funnn.checkpoint._source import File, Source, name_of, opened
from funnn.checkpoint._tensors import ARRAYS, Record
from funnn.checkpoint._unpickle import unpickle
from funnn.checkpoint._zip_file import TorchZip

#: What makes the object of a pickle: (its bytes, how many, persistent id -> Record) -> object
Decode = Callable[[IO[bytes], int, Callable[[Any], Record]], Any]


def load_pt(file: File, *, mmap: bool = False, verify: bool = False, device: Place | None = None) -> Any:
    """Read what ``torch.save`` wrote, without PyTorch: containers, numbers and strings as they are, tensors and Parameters as NumPy arrays.

    Tensors that share memory come back as views of one array. bfloat16 and float8 are the types of ml_dtypes, a ``torch.Size`` is a tuple, a
    device a string, a ``torch.dtype`` NumPy's. Nothing in the file is executed, and no memory is asked for that the file does not have numbers for.

    Args:
      file: a path, or a binary file open for reading; the zip format, or the one before PyTorch 1.6.
      mmap: map the file into memory instead of reading it: arrays are read from the disk when they are looked at, and writing into them does not change
        the file. Of a path, and of the zip format.
      verify: compare the checksums of all storages, at about a second for 2 GB. Else those of less than a megabyte are compared, and none of a file that
        is mapped; PyTorch compares none.
      device: where the arrays go, one after the other: a device or a sharding of JAX's, or a function of (key, array) that gives one; the key has the
        names and numbers that lead to the array, joined by ".". The arrays are then JAX's.

    Raises:
      CheckpointError: (a ValueError) for objects of other classes (a whole Module), for what is no such file, and for a damaged one.
      OSError: it cannot be opened.
    """
    if mmap and not isinstance(file, (str, os.PathLike)):
        raise ValueError("mmap=True needs a path, and got a file that is open; pass its path")
    mapped = mmap or (device is not None and isinstance(file, (str, os.PathLike)) and is_zip(file))
    tree = read(file, lambda stream, length, load: unpickle(stream, length, ARRAYS, load), mapped, verify)
    return tree if device is None else place_arrays(tree, device)


def read(file: File, decode: Decode, mmap: bool = False, verify: bool = False) -> Any:
    """The object in a file, as ``decode`` makes it of the pickle.

    Raises:
      CheckpointError: the file cannot be read; the message begins with its name.
    """
    with opened(file, "rb") as stream:
        try:
            return _read(stream, decode, file if mmap else None, verify)
        except CheckpointError as error:
            raise error.of(name_of(file)) from error.__cause__


def _read(stream: IO[bytes], decode: Decode, path: Any, verify: bool) -> Any:
    source = Source(stream)
    head = source.read(4)
    if not head:
        raise CheckpointError("Ran out of input: the file is empty", "empty")
    source.seek(source.start)
    if path is not None:
        source.mapped = np.memmap(path, np.uint8, "c")
    if head == b"PK\x03\x04":
        with TorchZip(source, verify) as archive:
            return _decode(archive, decode)
    return _decode(Legacy(source), decode)


def _decode(container: TorchZip | Legacy, decode: Decode) -> Any:
    pickle = container.pickle()
    try:
        return decode(pickle, pickle.getbuffer().nbytes, container.load)
    except CheckpointError as error:
        raise error.at("data.pkl") from error.__cause__


def is_zip(path: Any) -> bool:
    """Whether a file is of the newer format."""
    with open(path, "rb") as stream:
        return stream.read(4) == b"PK\x03\x04"
