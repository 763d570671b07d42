"""PyTorch's .pt files without PyTorch: the two containers, and their tensors as NumPy arrays.

A file is a pickle of the object, in which each tensor is a call of ``torch._utils._rebuild_tensor_v2`` on a persistent id
``("storage", type, key, location, numel)``, plus the bytes of every storage under its key. Since PyTorch 1.6 it is an uncompressed zip file
with the members ``data.pkl`` and ``data/<key>``; before, five pickles in a row and then the bytes.
"""

from __future__ import annotations

import os
import pickle
import pickletools
import struct
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any, NamedTuple

import ml_dtypes
import numpy as np

from funnn.checkpoint._unpickle import unpickle

File = str | os.PathLike[str] | IO[bytes]
Unpickle = Callable[[bytes, Callable[[Any], Any]], Any]

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


class StorageType(NamedTuple):
    """A class of storages that a file names, such as ``torch.FloatStorage``: its name and the type of its numbers."""

    name: str
    dtype: np.dtype | None  # None where NumPy has no such numbers


UNTYPED = StorageType("UntypedStorage", np.dtype(np.uint8))
#: torch's name of a type, the name of its storages (None: they are untyped), NumPy's type
TYPES: dict[str, tuple[str | None, np.dtype]] = {
    name: (storage, np.dtype(kind))
    for name, storage, kind in (
        *(("float64", "Double", np.float64), ("float32", "Float", np.float32), ("float16", "Half", np.float16)),
        *(("bfloat16", "BFloat16", ml_dtypes.bfloat16), ("int64", "Long", np.int64), ("int32", "Int", np.int32)),
        *(("int16", "Short", np.int16), ("int8", "Char", np.int8), ("uint8", "Byte", np.uint8), ("bool", "Bool", np.bool_)),
        *(("complex128", "ComplexDouble", np.complex128), ("complex64", "ComplexFloat", np.complex64)),
        *((name, None, name) for name in ("uint16", "uint32", "uint64")),
        *((name, None, getattr(ml_dtypes, name)) for name in ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")),
    )
}
_UNKNOWN = ("QInt8", "QUInt8", "QInt32", "QUInt4x2", "QUInt2x4", "ComplexHalf")
STORAGES = {
    **{f"torch.{storage}Storage": StorageType(f"{storage}Storage", kind) for storage, kind in TYPES.values() if storage},
    **{f"torch.{storage}Storage": StorageType(f"{storage}Storage", None) for storage in _UNKNOWN},
    **{f"{module}.UntypedStorage": UNTYPED for module in ("torch", "torch.storage")},
}


class Record:
    """The memory of a storage, which several tensors may see.

    Attributes:
      array: its values, flat; bytes if it is not ``typed``.
      location: where the file says that it was ('cpu', 'cuda:0').
      made: what the reader made of it, for the next tensor that sees it.
    """

    __slots__ = ("array", "location", "made", "typed")

    def __init__(self, array: np.ndarray, location: str = "cpu", typed: bool = True):
        self.array, self.location, self.typed, self.made = array, location, typed, None


def check_window(count: int, offset: int, size: Sequence[int], stride: Sequence[int]) -> None:
    """Refuse a tensor that reaches outside its storage of ``count`` numbers."""
    if len(size) != len(stride) or min((offset, *size, *stride)) < 0:
        raise pickle.UnpicklingError(f"the file has a tensor of size {tuple(size)}, strides {tuple(stride)} and offset {offset}")
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if 0 not in size and last >= count:
        raise pickle.UnpicklingError(f"the file has a tensor that reaches to number {last} of a storage of {count}")


def rebuild_array(
    record: Record,
    offset: int,
    size: Sequence[int],
    stride: Sequence[int],
    requires_grad: Any = None,
    hooks: Any = None,
    metadata: Any = None,
) -> np.ndarray:
    """The tensor as a view of its storage's array."""
    memory = record.array
    check_window(memory.size, offset, size, stride)
    if 0 in size:
        return np.empty(tuple(size), memory.dtype)
    unit = memory.itemsize
    values = np.ndarray(tuple(size), memory.dtype, memory.view(np.uint8), offset * unit, [step * unit for step in stride])
    resolved: np.ndarray = resolve_flags(values, metadata)
    return resolved


def rebuild_typed(
    record: Record, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, dtype: Any, metadata: Any = None
) -> np.ndarray:
    """As :func:`rebuild_array`, of a storage of bytes."""
    return rebuild_array(Record(record.array.view(dtype)), offset, size, stride, metadata=metadata)


def resolve_flags(values: Any, metadata: Any) -> Any:
    """What torch leaves to be done when a tensor is read: conjugation and negation."""
    flags = metadata or {}
    values = values.conj() if flags.get("conj") else values
    return -values if flags.get("neg") else values


def rebuild_of_type(functions: Iterable[Callable[..., Any]]) -> Callable[..., Any]:
    """``_rebuild_from_type_v2``, which calls one of ``functions`` and drops the tensor's class and attributes."""
    known = set(map(id, functions))

    def rebuild(function: Callable[..., Any], kind: Any, arguments: tuple[Any, ...], state: Any) -> Any:
        if id(function) not in known:
            raise pickle.UnpicklingError(f"Trying to rebuild a tensor by unrecognized function {function!r}")
        return function(*arguments)

    return rebuild


def _first(data: Any, *rest: Any) -> Any:
    return data


def _refused(name: str) -> Callable[..., Any]:
    def refuse(*arguments: Any) -> Any:
        raise NotImplementedError(
            f"the file holds a tensor of a kind that is not supported ({name}); convert it to a dense one and save again"
        )

    return refuse


#: what any file may name; the shim replaces the part that makes tensors
PLAIN_NAMES: dict[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    "collections.Counter": Counter,
    "builtins.set": set,
    "builtins.complex": complex,
    "builtins.bytearray": bytearray,
    "_codecs.encode": lambda text, encoding: text.encode("latin1"),
    **STORAGES,
    **{
        f"torch._utils._rebuild_{name}": _refused(name)
        for name in ("qtensor", "sparse_tensor", "meta_tensor_no_storage", "nested_tensor", "wrapper_subclass", "device_tensor_from_numpy")
    },
}
ARRAY_NAMES: dict[str, Any] = {
    **PLAIN_NAMES,
    "torch._utils._rebuild_tensor": rebuild_array,
    "torch._utils._rebuild_tensor_v2": rebuild_array,
    "torch._utils._rebuild_tensor_v3": rebuild_typed,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._tensor._rebuild_from_type_v2": rebuild_of_type((rebuild_array, rebuild_typed, _first)),
    "torch.Tensor": np.ndarray,
    "torch.nn.parameter.Parameter": np.ndarray,
    "torch.Size": lambda sizes=(): tuple(sizes),
    "torch.device": lambda kind, index=None: kind if index is None else f"{kind}:{index}",
    "torch.serialization._get_layout": lambda name: name,
    **{f"torch.{name}": kind for name, (_, kind) in TYPES.items()},
}


def load_pt(file: File) -> Any:
    """Read what ``torch.save`` wrote, without PyTorch: containers, numbers and strings as they are, tensors and Parameters as NumPy arrays.

    Tensors that share memory come back as views of one array. bfloat16 and float8 are the types of ml_dtypes, a ``torch.Size`` is a tuple, a
    device a string, a ``torch.dtype`` NumPy's. Nothing in the file is executed.

    Args:
      file: a path, or a binary file open for reading; the zip format, or the one before PyTorch 1.6.

    Raises:
      pickle.UnpicklingError: for objects of other classes (a whole Module), and for what is no such file.
    """
    return read(file, lambda data, persistent_load: unpickle(data, ARRAY_NAMES, persistent_load)[0])


def read(file: File, decode: Unpickle) -> Any:
    """The object in a file; ``decode`` turns its pickle into it, given a function that turns persistent ids into Records."""
    with opened(file, "rb") as stream:
        start = stream.tell()
        head = stream.read(4)
        stream.seek(start)
        if not head:
            raise EOFError("Ran out of input: the file is empty")
        return _read_zip(stream, decode) if head == b"PK\x03\x04" else _read_legacy(stream.read(), decode)


@contextmanager
def opened(file: File, mode: str) -> Iterator[IO[bytes]]:
    """The file itself, or for the time of the block one open at that path."""
    if isinstance(file, (str, os.PathLike)):
        with open(file, mode) as stream:
            yield stream
        return
    missing = [name for name in (("read", "seek", "tell") if mode == "rb" else ("write",)) if not hasattr(file, name)]
    if missing:
        raise AttributeError(f"expected a path or a binary file, but {type(file).__name__} has no {missing[0]}()")
    yield file


def _read_zip(stream: IO[bytes], decode: Unpickle) -> Any:
    try:
        archive = zipfile.ZipFile(stream)
    except zipfile.BadZipFile as error:
        raise RuntimeError(f"PytorchStreamReader failed reading zip archive: {error}; the file is damaged or incomplete") from None
    members = archive.namelist()
    folder = next((name.removesuffix("data.pkl") for name in members if name.count("/") == 1 and name.endswith("/data.pkl")), None)
    if folder is None:
        raise RuntimeError("PytorchStreamReader failed locating file data.pkl: file not found; this zip file was not written by torch.save")
    if f"{folder}constants.pkl" in members:
        raise RuntimeError(
            "the file is a TorchScript archive, which only PyTorch's torch.jit.load can read; save the state_dict with torch.save"
        )
    if f"{folder}byteorder" in members and archive.read(f"{folder}byteorder") != b"little":
        raise NotImplementedError("the file was written on a big-endian machine, which is not supported; convert it with PyTorch")
    records: dict[str, Record] = {}

    def load(identity: Any) -> Record:
        kind, key, location, count = _fields(identity)
        if key not in records:
            array = np.empty(count, kind.dtype)
            raw = archive.read(f"{folder}data/{key}")
            if len(raw) != array.nbytes:
                raise pickle.UnpicklingError(f"storage {key} has {len(raw)} bytes, expected {array.nbytes}")
            array.view(np.uint8)[:] = np.frombuffer(raw, np.uint8)
            records[key] = Record(array, location)
        return records[key]

    return decode(archive.read(f"{folder}data.pkl"), load)


def _fields(identity: Any) -> tuple[StorageType, str, str, int]:
    if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] not in ("storage", b"storage"):
        raise pickle.UnpicklingError(f"Only persistent_load of storage is allowed, but got {identity!r}")
    kind, key, location, count = identity[1:5]
    if not isinstance(kind, StorageType) or kind.dtype is None:
        raise NotImplementedError(f"storages of type {getattr(kind, 'name', kind)} are not supported; convert the tensor and save it again")
    return kind, str(key), str(location), int(count)


def _read_legacy(data: bytes, decode: Unpickle) -> Any:
    try:
        magic, start = unpickle(data, {}, _refuse)
    except pickle.UnpicklingError:
        magic, start = None, 0
    if magic != _LEGACY_MAGIC:
        raise pickle.UnpicklingError("Invalid magic number; corrupt file? This was not written by torch.save")
    for _ in range(2):  # the version of the protocol, and what the machine was
        start += unpickle(data[start:], {}, _refuse)[1]
    end = start + next(position or 0 for opcode, _, position in pickletools.genops(data[start:]) if opcode.name == "STOP") + 1
    keys, taken = unpickle(data[end:], {}, _refuse)
    records = _legacy_records(data, end + taken, keys, _kinds_of(data[start:end]))
    return decode(data[start:end], lambda identity: records[_fields(identity)[1]])


def _refuse(identity: Any) -> Any:
    raise pickle.UnpicklingError(f"unsupported persistent id encountered: {identity!r}")


def _kinds_of(data: bytes) -> dict[str, tuple[StorageType, str]]:
    """The types and locations of the storages that a pickle mentions, by key; nothing is built."""
    found: dict[str, tuple[StorageType, str]] = {}
    memo: dict[int, Any] = {}
    recent: list[Any] = []  # the literals and names since the last tuple began
    argument: Any
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = recent[-1] if recent else None
        elif opcode.name in ("BINGET", "LONG_BINGET"):
            recent.append(memo.get(argument))
        elif opcode.name == "GLOBAL":
            recent.append(STORAGES.get(argument.replace(" ", ".")))
        elif opcode.name == "MARK":
            recent = []
        elif opcode.name == "BINPERSID":
            kind, key, location, _ = _fields(tuple(recent[:5]))
            found[key] = kind, location
        elif argument is not None or opcode.name == "NONE":
            recent.append(argument)
    return found


def _legacy_records(data: bytes, position: int, keys: list[Any], kinds: dict[str, Any]) -> dict[str, Record]:
    records = {}
    for key in keys:
        kind, location = kinds[key]
        (count,) = struct.unpack_from("<q", data, position)
        array = np.frombuffer(data, kind.dtype, count, position + 8).copy()
        records[key] = Record(array, location)
        position += 8 + array.nbytes
    return records
