"""The files of PyTorch before 1.6: five pickles in a row, and then the bytes of every storage."""

from __future__ import annotations

import io
import struct
from typing import Any

from funnn.checkpoint._errors import CheckpointError
from funnn.checkpoint._source import Source
from funnn.checkpoint._tensors import STORAGES, Described, Name, Record, class_of, describe
from funnn.checkpoint._unpickle import Reader, Vocabulary, run, unpickle

MAGIC = 0x1950A86A20F9469CFC6C
_NOTHING = Vocabulary({}, {})
_TAR = 257, b"ustar"  # where a tar file says what it is


class Legacy:
    """Such a file.

    Attributes:
      records: the storages by their keys.

    Raises:
      CheckpointError: it is damaged, or something else.
    """

    def __init__(self, source: Source):
        if source.mapped is not None:
            raise CheckpointError("mmap can only be used with files saved with PyTorch 1.6 or newer", "container", "leave out mmap=True")
        self.source = source
        _refuse_tar(source)
        if self._plain("the magic number") != MAGIC:
            raise CheckpointError("Invalid magic number; corrupt file?", fix="pass a file that torch.save wrote")
        self._plain("the protocol's version")
        machine = self._plain("the machine's description")
        if isinstance(machine, dict) and machine.get("little_endian") is False:
            raise CheckpointError(
                "the file was written on a big-endian machine, which is not supported", "unsupported", "convert it with PyTorch"
            )
        start = source.tell()
        storages = self._look()
        end = source.tell()
        keys = self._plain("the list of storages")
        if (
            not isinstance(keys, list)
            or not all(type(key) is str for key in keys)
            or set(keys) != storages.keys()
            or len(keys) != len(storages)
        ):
            raise CheckpointError("the list of storages is damaged")
        self.records: dict[str, Record] = {}
        position = source.tell()
        for key in keys:
            position = self._read(key, storages[key], position)
        source.seek(start)
        self._pickle = source.read(end - start)

    def pickle(self) -> io.BytesIO:
        """What describes the objects."""
        return io.BytesIO(self._pickle)

    def load(self, identity: Any) -> Record:
        """The storage of a persistent id."""
        return self.records[describe(identity).key]

    def _plain(self, what: str) -> Any:
        try:
            return unpickle(self.source, self.source.end - self.source.tell(), _NOTHING, _refuse)
        except CheckpointError as error:
            if what == "the magic number":
                raise CheckpointError("Invalid magic number; corrupt file?", fix="pass a file that torch.save wrote") from None
            raise error.at(what) from None

    def _look(self) -> dict[str, Described]:
        """The storages that the next pickle mentions; nothing is built."""
        found: dict[str, Described] = {}

        def note(identity: Any) -> Any:
            if class_of(identity) is not None:
                return identity
            storage = describe(identity)
            if found.setdefault(storage.key, storage) != storage:
                raise CheckpointError(f"the storage {storage.key} is said to be of two types")
            return storage

        run(_Looking(_NOTHING, note, self.source.end - self.source.tell()), self.source)
        return found

    def _read(self, key: str, storage: Described, position: int) -> int:
        """Take the next storage, and say where the one after it begins."""
        place = f"the storage {key[:100]}"
        self.source.seek(position)
        head = self.source.read(8)
        if len(head) != 8 or struct.unpack("<q", head)[0] != storage.length:
            raise CheckpointError(f"{place} should begin with its length, {storage.length}", "container")
        assert storage.kind.dtype is not None
        array = self.source.array(position + 8, storage.kind.dtype, storage.length, place)
        self.records[key] = Record(array, storage.location)
        return position + 8 + storage.nbytes


def _refuse_tar(source: Source) -> None:
    start = source.tell()
    offset, word = _TAR
    if source.end - start <= offset:
        return
    source.seek(start + offset)
    is_tar = source.read(len(word)) == word
    source.seek(start)
    if is_tar:
        raise CheckpointError("the file is a tar file of PyTorch before 0.1.10", "container", "load it there and save it with a newer one")


def _refuse(identity: Any) -> Any:
    raise CheckpointError("unsupported persistent id encountered")


class _Thing:
    """What some call would give."""


class _Looking(Reader):
    """Takes note of persistent ids, and builds nothing else."""

    def check(self, result: Any) -> None:
        pass

    def name(self, module: str, name: str) -> None:
        path = f"{module}.{name}"
        self.stack.append(STORAGES.get(path) or Name(path))

    def append(self, items: list[Any]) -> None:
        self.top()

    def set_items(self, items: list[Any]) -> None:
        self.top()

    def add_items(self) -> None:
        self.since_mark()
        self.top()

    def freeze(self) -> None:
        self.since_mark()
        self.push(_Thing())

    def reduce(self) -> None:
        self.two()
        self.push(_Thing())

    new = reduce

    def build(self) -> None:
        self.pop()
        self.top()
