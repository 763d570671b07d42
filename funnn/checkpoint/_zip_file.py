"""The zip files that torch.save writes: uncompressed, with the members ``data.pkl`` and ``data/<key>`` in one folder."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from funnn.checkpoint._errors import CheckpointError
from funnn.checkpoint._source import Source
from funnn.checkpoint._tensors import Record, describe

_HEADER = struct.Struct("<4s5H3L2H")  # of each member, before its name
_LONG = 1 << 20  # bytes whose sum is worth a thread


class TorchZip:
    """The members of such a file, and its storages; a context that ends with the last look at the sums.

    Args:
      verify: whether to compare the sums of large members too.

    Raises:
      CheckpointError: it is damaged, or was not written by torch.save.
    """

    def __init__(self, source: Source, verify: bool = False):
        self.source, self.verify = source, verify
        try:
            self.archive = zipfile.ZipFile(source)
        except Exception as error:  # zipfile raises of many kinds
            raise CheckpointError(f"PytorchStreamReader failed reading zip archive: {str(error)[:200]}", "container") from None
        members = self.archive.namelist()
        folder = next((name.removesuffix("data.pkl") for name in members if name.count("/") == 1 and name.endswith("/data.pkl")), None)
        if folder is None:
            raise CheckpointError(
                "PytorchStreamReader failed locating file data.pkl: file not found", "container", "pass a file that torch.save wrote"
            )
        self.folder = folder
        if f"{folder}constants.pkl" in members:
            raise CheckpointError(
                "the file is a TorchScript archive, which only PyTorch's torch.jit.load can read",
                "container",
                "save the state_dict with torch.save",
            )
        if f"{folder}byteorder" in members and self.read("byteorder") != b"little":
            raise CheckpointError(
                "the file was written on a big-endian machine, which is not supported", "unsupported", "convert it with PyTorch"
            )
        self.records: dict[str, Record] = {}
        self._sums: list[tuple[str, int, Future[int]]] = []
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> TorchZip:
        return self

    def __exit__(self, kind: type | None, *exc: Any) -> None:
        if self._pool is not None:
            self._pool.shutdown()
        if kind is None:
            for name, expected, found in self._sums:
                _check_sum(name, expected, found.result())

    def read(self, name: str) -> bytes:
        """The bytes of a member."""
        position, size, expected = self._find(name)
        self.source.seek(position)
        content = self.source.read(size)
        if len(content) != size:
            raise CheckpointError(f"{name} ends after {len(content)} of {size} bytes", "container")
        _check_sum(name, expected, zlib.crc32(content))
        return content

    def load(self, identity: Any) -> Record:
        """The storage of a persistent id."""
        storage = describe(identity)
        name = f"data/{storage.key}"
        record = self.records.get(storage.key)
        if record is None:
            position, size, expected = self._find(name)
            if size != storage.nbytes:
                raise CheckpointError(f"{name} has {size} bytes, expected {storage.nbytes}")
            assert storage.kind.dtype is not None
            array = self.source.array(position, storage.kind.dtype, storage.length, name)
            self._check_later(name, expected, array)
            record = self.records[storage.key] = Record(array, storage.location)
        elif (record.array.dtype, record.array.size) != (storage.kind.dtype, storage.length):
            raise CheckpointError(f"{name} is said to be of two types")
        return record

    def pickle(self) -> io.BytesIO:
        """What describes the objects."""
        return io.BytesIO(self.read("data.pkl"))

    def _find(self, name: str) -> tuple[int, int, int]:
        """Position, size and sum of a member's bytes."""
        path = f"{self.folder}{name}"
        try:
            info = self.archive.getinfo(path)
        except KeyError:
            raise CheckpointError(f"PytorchStreamReader failed locating file {path}: file not found", "container") from None
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise CheckpointError(
                f"{path} is compressed or encrypted, which torch.save does not do", "unsupported", "store it as it is (zip -0)"
            )
        self.source.seek(info.header_offset)
        header = self.source.read(_HEADER.size)
        if len(header) != _HEADER.size or header[:4] != b"PK\3\4" or info.file_size != info.compress_size:
            raise CheckpointError(f"{path} is not where the zip file says that it is", "container")
        *_, name_length, extra_length = _HEADER.unpack(header)
        position = info.header_offset + _HEADER.size + name_length + extra_length
        if position + info.file_size > self.source.end:
            raise CheckpointError(f"{path} is said to have {info.file_size} bytes, more than there are", "container")
        return position, info.file_size, info.CRC

    def _check_later(self, name: str, expected: int, array: np.ndarray) -> None:
        """Compare the sum while what follows is read."""
        content = array.view(np.uint8).data
        if len(content) < _LONG and (self.verify or self.source.mapped is None):
            _check_sum(name, expected, zlib.crc32(content))
        elif expected and self.verify:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1)
            self._sums.append((name, expected, self._pool.submit(zlib.crc32, content)))


def _check_sum(name: str, expected: int, found: int) -> None:
    if expected not in (0, found):  # 0: torch.serialization.set_crc32_options(False)
        raise CheckpointError(f"{name} has another checksum than it was written with", "container")
