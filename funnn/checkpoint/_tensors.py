"""What the pickle of a .pt file says of tensors: types, storages and the calls that rebuild them, as NumPy arrays.

Each tensor is a call of ``torch._utils._rebuild_tensor_v2`` on a persistent id ``("storage", type, key, location, numel)``. Everything that such a call
is given is checked against the storage before an array is made.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from funnn.checkpoint._errors import CheckpointError, shown
from funnn.checkpoint._unpickle import Vocabulary, ordered, set_of


class StorageType(NamedTuple):
    """A class of storages that a file names, such as ``torch.FloatStorage``: its name and the type of its numbers."""

    name: str
    dtype: np.dtype | None  # None where NumPy has no such numbers


class Name(NamedTuple):
    """A name in a file that stands for nothing that could be called: a class, a layout."""

    name: str


UNTYPED = StorageType("UntypedStorage", np.dtype(np.uint8))
#: torch's name of a type, the name of its storages (None: they are untyped), NumPy's type
TYPES: dict[str, tuple[str | None, np.dtype]] = {
    name: (storage, np.dtype(kind))
    for name, storage, kind in (
        *(("float64", "Double", np.float64), ("float32", "Float", np.float32), ("float16", "Half", np.float16)),
        *(("bfloat16", "BFloat16", ml_dtypes.bfloat16), ("int64", "Long", np.int64), ("int32", "Int", np.int32)),
        *(("int16", "Short", np.int16), ("int8", "Char", np.int8), ("uint8", "Byte", np.uint8), ("bool", "Bool", np.bool_)),
        *(("complex128", "ComplexDouble", np.complex128), ("complex64", "ComplexFloat", np.complex64)),
        ("complex32", None, [("real", np.float16), ("imag", np.float16)]),
        *((name, None, name) for name in ("uint16", "uint32", "uint64")),
        *((name, None, getattr(ml_dtypes, name)) for name in ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")),
        ("float8_e8m0fnu", None, ml_dtypes.float8_e8m0fnu),
    )
}
_UNKNOWN = ("QInt8", "QUInt8", "QInt32", "QUInt4x2", "QUInt2x4", "ComplexHalf")
STORAGES = {
    **{f"torch.{storage}Storage": StorageType(f"{storage}Storage", kind) for storage, kind in TYPES.values() if storage},
    **{f"torch.{storage}Storage": StorageType(f"{storage}Storage", None) for storage in _UNKNOWN},
    **{f"{module}.UntypedStorage": UNTYPED for module in ("torch", "torch.storage")},
}
_DTYPES = {kind: name for name, (_, kind) in TYPES.items()}
_MOST_DIMENSIONS = 64  # that NumPy knows
_MOST_WAYS = 2  # in which tensors of one storage are conjugated and negated; each is a copy
_LONGEST = 1 << 62  # bytes that a tensor can be said to reach over


class Record:
    """The memory of a storage, which several tensors may see.

    Attributes:
      array: its values, flat; bytes if it is not ``typed``.
      location: where the file says that it was ('cpu', 'cuda:0').
      made: what the reader made of it, for the next tensor that sees it.
      ways: its numbers conjugated and negated, for :func:`_resolve`.
    """

    __slots__ = ("array", "location", "made", "typed", "ways")

    def __init__(self, array: np.ndarray, location: str = "cpu", typed: bool = True):
        self.array, self.location, self.typed, self.made = array, location, typed, None
        self.ways: dict[Any, Any] = {}


class Described(NamedTuple):
    """A storage as a persistent id describes it."""

    kind: StorageType
    key: str
    location: str
    length: int

    @property
    def nbytes(self) -> int:
        """The bytes that it says it has."""
        assert self.kind.dtype is not None
        return self.length * self.kind.dtype.itemsize


def class_of(identity: Any) -> Any:
    """The class that a persistent id of the older format is of, which comes with its source; None for a storage's."""
    return identity[1] if isinstance(identity, tuple) and len(identity) == 4 and identity[0] in ("module", b"module") else None


def describe(identity: Any) -> Described:
    """What a persistent id says.

    Raises:
      CheckpointError: it is of something else, or of a kind that is not supported.
    """
    if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] not in ("storage", b"storage"):
        raise CheckpointError(f"Only persistent_load of storage is allowed, but got {shown(identity)}")
    kind, key, location, count = identity[1:5]
    if not isinstance(kind, StorageType) or kind.dtype is None:
        name = shown(getattr(kind, "name", kind))
        raise CheckpointError(f"storages of type {name} are not supported", "unsupported", "convert the tensor and save it again")
    if len(identity) > 5 and identity[5] is not None:
        raise CheckpointError("the file has a view of a storage, as PyTorch 0.3 wrote", "unsupported", "load and save it with a newer one")
    key, location = (item.decode("latin1") if isinstance(item, bytes) else item for item in (key, location))
    if not (isinstance(key, str) and isinstance(location, str) and type(count) is int and 0 <= count < _LONGEST):
        raise CheckpointError(f"the storage {shown(key)} at {shown(location)} is said to have {shown(count)} numbers")
    return Described(kind, key, location, count)


# -- tensors


def check_window(count: int, offset: Any, size: Any, stride: Any) -> None:
    """Refuse a tensor that reaches outside its storage of ``count`` numbers.

    Raises:
      CheckpointError: for it, and for what is no offset, size or stride.
    """
    whole = isinstance(size, (tuple, list)) and isinstance(stride, (tuple, list)) and len(size) == len(stride) <= _MOST_DIMENSIONS
    if not whole or not all(type(n) is int and 0 <= n < _LONGEST for n in (offset, *size, *stride)):
        raise CheckpointError(f"the file has a tensor of {_said(offset, size, stride)}")
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if last >= count and 0 not in size:
        text = f"which reaches to number {last} of a storage of {count}"
        raise CheckpointError(f"the file has a tensor of {_said(offset, size, stride)}, {text}")
    if math.prod(length for length in size if length) >= _LONGEST:
        raise CheckpointError(f"the file has a tensor of {_said(offset, size, stride)}: no array is so large")


def _said(offset: Any, size: Any, stride: Any) -> str:
    return f"size {shown(size)}, strides {shown(stride)} and offset {shown(offset)}"


def check_flags(requires_grad: Any, metadata: Any) -> tuple[bool, bool]:
    """Whether a tensor is to be conjugated, and negated, which torch leaves to be done when it is read.

    Raises:
      CheckpointError: for what is no such flag.
    """
    flags = {} if metadata is None else metadata
    if type(requires_grad) is not bool and requires_grad is not None:
        raise CheckpointError(f"requires_grad of a tensor is {shown(requires_grad)}")
    if not isinstance(flags, dict) or not flags.keys() <= {"conj", "neg"}:
        raise CheckpointError(f"a tensor has the flags {shown(metadata)}, which are not supported", "unsupported")
    return bool(flags.get("conj")), bool(flags.get("neg"))


def typed(memory: np.ndarray, dtype: Any) -> np.ndarray:
    """A storage of bytes as numbers of one of torch's types; bytes at the end that make no whole number are left out.

    Raises:
      CheckpointError: it is no such type.
    """
    if not isinstance(dtype, np.dtype) or dtype not in _DTYPES:
        raise CheckpointError(f"{shown(dtype)} is no type of numbers that torch has")
    return memory[: memory.nbytes // dtype.itemsize * dtype.itemsize // memory.itemsize].view(dtype)


def _resolve(ways: dict[Any, np.ndarray], memory: np.ndarray, flags: tuple[bool, bool]) -> np.ndarray:
    """All numbers of a storage, conjugated and negated as the flags say.

    Args:
      ways: what was made of this storage so far.

    Raises:
      CheckpointError: it is the third way in which this storage is seen; each takes memory.
    """
    key = memory.dtype, *flags
    if key not in ways:
        if len(ways) == _MOST_WAYS:
            raise CheckpointError(f"a storage is seen in more than {_MOST_WAYS} ways, conjugated or negated")
        conj, neg = flags
        memory = memory.conj() if conj else memory
        ways[key] = -memory if neg else memory
    return ways[key]


def rebuild_array(
    record: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = None, hooks: Any = None, metadata: Any = None, dtype: Any = None
) -> np.ndarray:
    """The tensor as a view of its storage's array."""
    if not isinstance(record, Record):
        raise CheckpointError(f"a tensor is to be rebuilt on {shown(record)}, which is no storage")
    memory = record.array if dtype is None else typed(record.array, dtype)
    check_window(memory.size, offset, size, stride)
    flags = check_flags(requires_grad, metadata)
    if any(flags):
        memory = _resolve(record.ways, memory, flags)
    if 0 in size:
        return np.empty(tuple(size), memory.dtype)
    unit = memory.itemsize
    return np.ndarray(tuple(size), memory.dtype, memory.view(np.uint8), offset * unit, [step * unit for step in stride])


def rebuild_typed(
    record: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, dtype: Any, metadata: Any = None
) -> np.ndarray:
    """As :func:`rebuild_array`, of a storage of bytes."""
    return rebuild_array(record, offset, size, stride, requires_grad, hooks, metadata, dtype)


def _rebuild_parameter(data: Any, requires_grad: Any = None, hooks: Any = None, state: Any = None) -> np.ndarray:
    if not isinstance(data, np.ndarray):
        raise CheckpointError(f"a parameter is to be rebuilt of {shown(data)}, which is no tensor")
    return data


def rebuild_of_type(functions: Iterable[Callable[..., Any]]) -> Callable[..., Any]:
    """``_rebuild_from_type_v2``, which calls one of ``functions`` and drops the tensor's class and attributes."""
    known = set(map(id, functions))

    def rebuild(function: Any, kind: Any, arguments: Any, state: Any) -> Any:
        if id(function) not in known or type(arguments) is not tuple:
            raise CheckpointError(f"Trying to rebuild a tensor by unrecognized function {shown(function)}")
        return function(*arguments)

    return rebuild


def _refused(name: str) -> Callable[..., Any]:
    def refuse(*arguments: Any) -> Any:
        raise CheckpointError(
            f"the file holds a tensor of a kind that is not supported ({name})", "unsupported", "convert it to a dense one and save again"
        )

    return refuse


# -- plain data


def _only(value: Any, *kinds: type) -> Any:
    if type(value) not in kinds:
        raise CheckpointError(f"{shown(value)} stands where {' or '.join(kind.__name__ for kind in kinds)} is expected")
    return value


def _counter(counts: Any = None) -> Counter[Any]:
    return Counter({} if counts is None else _only(counts, dict))


def _bytearray(source: Any = b"", encoding: Any = "latin-1") -> bytearray:
    return bytearray(_encode(source, encoding) if type(source) is str else _only(source, bytes, bytearray))


def _complex(real: Any, imag: Any = 0.0) -> complex:
    return complex(_only(real, float, int), _only(imag, float, int))


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise CheckpointError(f"bytes in a file are encoded as latin1, not {shown(encoding)}")
    encoded: bytes = _only(text, str).encode("latin1")
    return encoded


_FACTORIES = {kind.__name__: kind for kind in (list, dict, int, float, str, set, tuple, bool)}


def _defaultdict(factory: Any = None) -> defaultdict[Any, Any]:
    if factory is set_of:
        return defaultdict(set)
    if factory is not None and not (isinstance(factory, Name) and factory.name in _FACTORIES):
        raise CheckpointError(f"a defaultdict of {shown(factory)} is not supported", "unsupported", "save a dict")
    return defaultdict(None if factory is None else _FACTORIES[factory.name])


def sizes(numbers: Any = ()) -> tuple[int, ...]:
    """A torch.Size, as a tuple."""
    return tuple([_only(number, int) for number in _only(numbers, tuple, list)])


def device_name(kind: Any, index: Any = None) -> str:
    """A torch.device, as a text such as "cuda:1"."""
    return f"{_only(kind, str)}" if index is None else f"{_only(kind, str)}:{_only(index, int)}"


#: what any file may call
PLAIN_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": ordered,
    "collections.Counter": _counter,
    "builtins.set": set_of,
    "builtins.complex": _complex,
    "builtins.bytearray": _bytearray,
    "_codecs.encode": _encode,
    **{
        f"torch._utils._rebuild_{name}": _refused(name)
        for name in ("qtensor", "sparse_tensor", "meta_tensor_no_storage", "nested_tensor", "wrapper_subclass", "device_tensor_from_numpy")
    },
}
_BUILDERS = rebuild_array, rebuild_typed, _rebuild_parameter
#: what a file may name where tensors become arrays
ARRAYS = Vocabulary(
    values={
        **STORAGES,
        **{f"torch.{name}": kind for name, (_, kind) in TYPES.items()},
        **{name: Name(name) for name in ("torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer")},
        **{f"builtins.{name}": Name(name) for name in _FACTORIES if name != "set"},
    },
    functions={
        **PLAIN_FUNCTIONS,
        "collections.defaultdict": _defaultdict,
        "torch._utils._rebuild_tensor": rebuild_array,
        "torch._utils._rebuild_tensor_v2": rebuild_array,
        "torch._utils._rebuild_tensor_v3": rebuild_typed,
        "torch._utils._rebuild_parameter": _rebuild_parameter,
        "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
        "torch._tensor._rebuild_from_type_v2": rebuild_of_type(_BUILDERS),
        "torch.Size": sizes,
        "torch.device": device_name,
        "torch.serialization._get_layout": lambda name: _only(name, str),
    },
)
