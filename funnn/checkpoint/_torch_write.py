"""Writing PyTorch's .pt files without PyTorch: a pickler that can mention torch's names without importing them, and the zip container."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from funnn.checkpoint._replacing import replacing
from funnn.checkpoint._source import File, opened
from funnn.checkpoint._tensors import TYPES, UNTYPED, Record

_PIECE = 1 << 19  # bytes whose check sum is taken and that are written before the processor's cache has lost them
_ALIGNMENT = 64  # of each member's bytes, so that the file can be mapped into memory


class Global:
    """A name that the pickle mentions: ``module.name``, which need not exist here."""

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str):
        self.module, self.name = module, name

    def __call__(self, *arguments: Any) -> Any:
        raise TypeError(f"{self.module}.{self.name} is a name in a file, not a function")


REBUILD = Global("torch._utils", "_rebuild_tensor_v2")
REBUILD_TYPED = Global("torch._utils", "_rebuild_tensor_v3")
DTYPES = {kind: Global("torch", name) for name, (_, kind) in TYPES.items()}
_STORAGES = {kind: Global("torch", f"{storage}Storage") for storage, kind in TYPES.values() if storage}
_DICT = Global("collections", "OrderedDict")
UNTYPED_STORAGE = Global("torch.storage", UNTYPED.name)


class TorchPickler(pickle._Pickler):
    """Pickles an object for a .pt file and collects the storages on the way; what is a tensor is for subclasses to say.

    ``name_of`` gives the Global that stands for an object, ``describe`` the (Global, arguments) that rebuild it; None leaves it to pickle.
    """

    def __init__(self, file: Any, protocol: int = 2):
        super().__init__(file, protocol)
        self.records: dict[int, tuple[str, Record]] = {}
        self.of_a_storage: tuple[Any, ...] = ()  # what a file says of each storage beside the rest

    def name_of(self, obj: Any) -> Global | None:
        """The name under which an object is written; None where it has none."""
        return None

    def describe(self, obj: Any) -> tuple[Any, ...] | None:
        """The call that rebuilds an object; None where pickle knows one."""
        return None

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        """Write an object, or the name that stands for it."""
        super().save(self.name_of(obj) or obj, save_persistent_id)

    def reducer_override(self, obj: Any) -> Any:
        """The call that rebuilds an object, as pickle asks for it."""
        return self.describe(obj) or NotImplemented

    def persistent_id(self, obj: Any) -> tuple[Any, ...] | None:
        """What the file says of a storage, whose bytes lie beside the pickle; None for other objects."""
        if not isinstance(obj, Record):
            return None
        key, _ = self.records.setdefault(id(obj), (str(len(self.records)), obj))
        kind = _STORAGES[obj.array.dtype] if obj.typed else UNTYPED_STORAGE
        return "storage", kind, key, obj.location, obj.array.size, *self.of_a_storage

    def save_name(self, obj: Global) -> None:
        """Write the name of something that the reader imports."""
        self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
        self.memoize(obj)

    dispatch: ClassVar[Any] = pickle._Pickler.dispatch | {Global: save_name}


def tensor_call(
    record: Record,
    offset: int,
    size: tuple[Any, ...],
    stride: tuple[Any, ...],
    dtype: np.dtype,
    requires_grad: bool = False,
    conj: bool = False,
    neg: bool = False,
) -> tuple[Any, ...]:
    """The (Global, arguments) of a dense tensor in a storage, of whose numbers it may show the conjugates, and the negatives."""
    arguments: tuple[Any, ...] = (record, offset, tuple(size), tuple(stride), requires_grad, OrderedDict())
    flags = {name: True for name, is_set in (("conj", conj), ("neg", neg)) if is_set}
    if dtype in _STORAGES:
        return REBUILD, (*arguments, flags) if flags else arguments
    return REBUILD_TYPED, (*arguments, DTYPES[dtype], flags) if flags else (*arguments, DTYPES[dtype])


def record_for(array: np.ndarray) -> Record:
    """A storage of an array's values, in torch's types: of bytes where torch has no storage of that type."""
    if array.dtype not in DTYPES:
        raise TypeError(f"arrays of type {array.dtype} cannot be saved, because torch has no such type; use one of {', '.join(TYPES)}")
    flat = np.ascontiguousarray(array).reshape(-1)
    return Record(flat) if flat.dtype in _STORAGES else Record(flat.view(np.uint8), typed=False)


class _ArrayPickler(TorchPickler):
    """NumPy and JAX arrays as tensors; arrays that are views of one array share a storage. NamedTuples and random keys are written as dicts, since a
    reader that only builds data knows no classes of theirs."""

    def __init__(self, file: Any):
        super().__init__(file)
        self.memories: dict[int, tuple[np.ndarray, Record]] = {}

    def name_of(self, obj: Any) -> Global | None:
        return DTYPES.get(obj) if isinstance(obj, np.dtype) else None

    def describe(self, obj: Any) -> tuple[Any, ...] | None:
        if isinstance(obj, tuple) and hasattr(obj, "_fields"):
            return _DICT, (list(zip(obj._fields, obj, strict=True)),)
        if not isinstance(obj, (np.ndarray, np.generic, jax.Array)):
            return None
        if isinstance(obj, jax.Array) and jnp.issubdtype(obj.dtype, jax.dtypes.prng_key):
            return _DICT, ([(str(jax.random.key_impl(obj)), jax.random.key_data(obj))],)
        array = np.asarray(obj)
        memory = array
        while isinstance(memory.base, np.ndarray):
            memory = memory.base
        start = array.__array_interface__["data"][0] - memory.__array_interface__["data"][0]
        steps = (start, *(step for length, step in zip(array.shape, array.strides, strict=True) if length > 1))
        if not memory.flags.c_contiguous or memory.dtype != array.dtype or any(step < 0 or step % array.itemsize for step in steps):
            memory, start = np.ascontiguousarray(array), 0
            array = memory
        if id(memory) not in self.memories:
            self.memories[id(memory)] = memory, record_for(memory)
        size, stride = array.shape, tuple(max(step // array.itemsize, 0) for step in array.strides)
        return tensor_call(self.memories[id(memory)][1], start // array.itemsize, size, stride, array.dtype)


def save_pt(tree: Any, file: File) -> None:
    """Write a file that ``torch.load`` reads (with weights_only=True), without PyTorch.

    Args:
      tree: containers, numbers and strings; NumPy and JAX arrays become tensors, views of one array tensors that share memory. A NamedTuple, such as
        a TrainState or an optimizer's state, is written as a dict of its fields, and a typed random key as ``{implementation: data}``:
        ``from_arrays(flatten(load_pt(file)), like)`` gives them back.
      file: a path, or a binary file open for writing. What is at a path stays whole until the new file is: see the note.

    Note:
      A file at a path is written beside the old one, brought to the disk and renamed. A full disk, an error or a killed process leaves the old one.

    Raises:
      TypeError: an array of a type that torch does not have; the arguments in another order.
      OSError: what the file system says.

    Example:
      >>> import io, numpy as np
      >>> file = io.BytesIO()
      >>> save_pt({"weight": np.ones((2, 3), np.float32), "epoch": 3}, file)
      >>> from funnn.checkpoint import load_pt
      >>> _ = file.seek(0)
      >>> load_pt(file)["weight"].shape
      (2, 3)
    """
    if isinstance(tree, (str, os.PathLike)) and not isinstance(file, (str, os.PathLike)) and not hasattr(file, "write"):
        raise TypeError(f"save_pt(tree, file) takes the tree first, as torch.save does; got the path {os.fspath(tree)!r} in its place")
    write(tree, file, _ArrayPickler)


def write(tree: Any, file: File, pickler: Any) -> None:
    """Pickle ``tree`` by ``pickler(stream)``, a TorchPickler, and write that and its storages into a zip file."""
    stream = io.BytesIO()
    job = pickler(stream)
    job.dump(tree)
    members: dict[str, Any] = {"data.pkl": stream.getvalue(), ".format_version": b"1", ".storage_alignment": b"64", "byteorder": b"little"}
    members |= {f"data/{key}": record.array.view(np.uint8).data for key, record in job.records.values()}
    members["version"] = b"3\n"
    folder, place = "archive", opened(file, "wb")
    if isinstance(file, (str, os.PathLike)):
        folder, place = os.path.splitext(os.path.basename(file))[0], replacing(file, sum(map(len, members.values())))
    with place as target, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        assert archive.fp is not None
        for name, content in members.items():
            entry = zipfile.ZipInfo(f"{folder}/{name}")
            padding = -(archive.fp.tell() + 30 + len(entry.filename.encode()) + 4) % _ALIGNMENT
            entry.extra = struct.pack("<2sH", b"FB", padding) + bytes(padding)
            entry.file_size = len(content)
            with archive.open(entry, "w") as part:
                for start in range(0, len(content), _PIECE):
                    part.write(content[start : start + _PIECE])
