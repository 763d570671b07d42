"""One file of safetensors, as the package safetensors knows it: eight bytes with the length of a header in JSON, the header, the arrays' bytes.

The package checks a file (the header's length, types, that the arrays' bytes follow each other and fill the file) and writes it. Arrays are read
here, from the file mapped into memory, because the package gives NumPy no float8.
"""

from __future__ import annotations

import json
import math
import os
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from funnn.checkpoint._errors import CheckpointError

Path = str | os.PathLike[str]

#: the format's name of a type, NumPy's type
TYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(kind)
    for name, kind in {
        **{"BOOL": np.bool_, "U8": np.uint8, "I8": np.int8, "U16": np.uint16, "I16": np.int16, "U32": np.uint32, "I32": np.int32},
        **{"U64": np.uint64, "I64": np.int64, "F16": np.float16, "F32": np.float32, "F64": np.float64, "C64": np.complex64},
        **{"BF16": ml_dtypes.bfloat16, "F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E5M2": ml_dtypes.float8_e5m2},
        **{"F8_E4M3FNUZ": ml_dtypes.float8_e4m3fnuz, "F8_E5M2FNUZ": ml_dtypes.float8_e5m2fnuz, "F8_E8M0": ml_dtypes.float8_e8m0fnu},
    }.items()
}
_FIX = "copy or download the file again"


def package() -> Any:
    """The package safetensors, with its part for NumPy.

    Raises:
      ImportError: it is not installed.
    """
    try:
        import safetensors.numpy
    except ModuleNotFoundError as error:
        if error.name not in ("safetensors", "safetensors.numpy"):
            raise
        raise ImportError(
            "files of safetensors need the package safetensors; install it with: pip install 'funnn[safetensors]'", name="safetensors"
        ) from None
    return safetensors


class Entry(NamedTuple):
    """What the header says of an array; ``begin`` and ``end`` count bytes from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class TensorFile:
    """A file whose header was read and checked, mapped into memory.

    Attributes:
      path: where it is; metadata: its texts; entries: its arrays' descriptions by key, in the order of their bytes.

    Raises:
      CheckpointError: the file is damaged, or none of safetensors.
    """

    def __init__(self, path: Path):
        library = package()
        self.path = os.fspath(path)
        if os.path.isdir(self.path):
            raise IsADirectoryError(f"{self.path} is a folder; give the path of a file in it")
        size = os.path.getsize(self.path)
        try:
            with library.safe_open(self.path, framework="numpy"):
                pass
        except library.SafetensorError as error:
            raise CheckpointError(
                f"{self.path}, of {size} bytes, is damaged or no file of safetensors: {error}; {_FIX}, or upgrade the package safetensors"
            ) from None
        self._bytes = np.memmap(self.path, np.uint8, "r")
        self._start = 8 + int.from_bytes(self._bytes[:8].tobytes(), "little")
        header = json.loads(self._bytes[8 : self._start].tobytes())
        self.metadata: dict[str, str] = header.pop("__metadata__", None) or {}
        entries = {key: Entry(item["dtype"], tuple(item["shape"]), *item["data_offsets"]) for key, item in header.items()}
        self.entries = dict(sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)))

    def view(self, key: str) -> np.ndarray:
        """An array of the file, read-only: its pages are read when its values are.

        Raises:
          CheckpointError: its type is none that NumPy has, or its bytes are not those of its shape.
        """
        name, shape, begin, end = self.entries[key]
        if name not in TYPES and name != "F4":
            raise CheckpointError(
                f"{self.path}: {key!r} is of type {name}, which NumPy does not have; convert it to one of {', '.join(TYPES)}"
            )
        count = math.prod(shape)
        nbytes = count // 2 if name == "F4" else count * TYPES[name].itemsize
        raw = self._bytes[self._start + begin : self._start + end]
        if raw.size != nbytes or end - begin != nbytes:
            raise CheckpointError(f"{self.path}: {key!r} of shape {shape} and type {name} has {raw.size} bytes, expected {nbytes}; {_FIX}")
        return _unpacked(raw).reshape(shape) if name == "F4" else np.asarray(raw).view(TYPES[name]).reshape(shape)


def _unpacked(raw: np.ndarray) -> np.ndarray:
    """Numbers of 4 bits, two of which are in a byte (the first in its lower half), as an array of ml_dtypes.float4_e2m1fn."""
    halves = np.stack([raw & 15, raw >> 4], axis=-1)
    return halves.reshape(-1).view(ml_dtypes.float4_e2m1fn)
