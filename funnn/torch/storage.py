"""torch.storage: the memory of a tensor as a sequence of bytes, or of numbers."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from funnn.engine.memory.grown import whole_memory
from funnn.engine.memory.numpy_memory import on_memory_of, part_of
from funnn.engine.memory.shared import SharedStorage
from funnn.engine.memory.storage import Storage, Window
from funnn.engine.program.value import is_on_cpu
from funnn.engine.tensor.pickling import on_memory
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import device as _device
from funnn.engine.types import dtype as _dtype
from funnn.engine.types.warning import say


class _Storage:
    """A flat view of a tensor's memory; two are equal when they are of the same memory."""

    is_cuda = is_sparse = False

    def __init__(self, size: int = 0, *, dtype: Any = None, device: Any = None):
        kind = self._kind(dtype)
        with jax.enable_x64(True):
            self._see(Storage(jnp.zeros((size, 2), jnp.float16) if kind is _dtype.complex32 else jnp.zeros(size, kind.numpy)), kind)

    def _kind(self, dtype: Any) -> _dtype.dtype:
        raise NotImplementedError

    def _see(self, storage: Storage, kind: _dtype.dtype) -> Any:
        storage = whole_memory(storage, None)[0]
        own = None if kind.in_memory == storage.dtype else kind
        nbytes = math.prod(storage.shape) * storage.dtype.itemsize
        self._tensor = on_memory(Tensor, storage, Window((nbytes // kind.itemsize,), (1,), 0, own))
        self._tensor._tracked = False
        return self

    @classmethod
    def _of(cls, tensor: Tensor) -> Any:
        """The storage of a tensor."""
        made = object.__new__(cls)
        return made._see(tensor._storage, made._kind(tensor.dtype))

    @property
    def dtype(self) -> _dtype.dtype:
        """The type of the numbers."""
        return self._tensor.dtype

    @property
    def device(self) -> _device.device:
        """Where the numbers are."""
        return self._tensor.device

    def size(self) -> int:
        """The number of elements."""
        return self._tensor.numel()

    __len__ = size

    def element_size(self) -> int:
        return self._tensor.element_size()

    def nbytes(self) -> int:
        """The number of bytes."""
        return self.size() * self.element_size()

    def data_ptr(self) -> int:
        """The address of the first number, 0 if there is none; all views of this memory share it."""
        return self._tensor.data_ptr()

    @property
    def _cdata(self) -> int:
        """A number that all views of this memory share."""
        return id(self._tensor._storage)

    @property
    def __funnn_memory__(self) -> Tensor:
        """The memory as a flat tensor, for ``torch.asarray``."""
        return self._tensor

    def tolist(self) -> list:
        """The values as Python numbers."""
        return self._tensor.tolist()

    def __iter__(self) -> Iterator:
        return iter(self.tolist())

    def __setitem__(self, index: Any, value: Any) -> None:
        self._tensor[index] = value

    def fill_(self, value: Any) -> Any:
        """One value everywhere, in place."""
        self._tensor.fill_(value)
        return self

    def copy_(self, source: Any, non_blocking: bool = False) -> Any:
        """The values of another storage, in place."""
        self._tensor.copy_(source._tensor)
        return self

    def clone(self) -> Any:
        """A storage of its own with the same values."""
        return type(self)._of(self._tensor.clone())

    def cpu(self) -> Any:
        return self

    def is_shared(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._tensor._storage is other._tensor._storage

    def __hash__(self) -> int:
        return hash(self._tensor._storage)

    def __deepcopy__(self, memo: dict) -> Any:
        copied = object.__new__(type(self))
        copied._tensor = self._tensor.__deepcopy__(memo)
        return copied

    def __repr__(self) -> str:
        lines = "".join(f" {value}\n" for value in self.tolist())
        return f"{lines}[torch.storage.{type(self).__name__}({self._details()}device={self.device}) of size {self.size()}]"

    def _details(self) -> str:
        return ""


class UntypedStorage(_Storage):
    """The bytes of a tensor's memory: ``tensor.untyped_storage()``, or new ones of zeros, ``UntypedStorage(size)``."""

    def _kind(self, dtype: Any) -> _dtype.dtype:
        return _dtype.uint8

    @classmethod
    def from_file(cls, filename: str | os.PathLike[str], shared: bool = False, nbytes: int = 0) -> UntypedStorage:
        """The first ``nbytes`` bytes of a file, mapped into memory: each is read when something asks for it.

        Args:
          shared: whether what is written to the storage is written to the file, which is made, or made longer, where it must.

        Raises:
          NotImplementedError: with ``shared=True`` on an accelerator.
          RuntimeError: there is no such file, or it is shorter; or with ``shared=True`` it can't be written.
        """
        name = os.fspath(filename)
        if shared and not is_on_cpu():
            raise NotImplementedError("from_file(shared=True) is not supported on an accelerator; leave it out and save the result")
        try:
            if shared:
                with open(os.open(filename, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as file:
                    file.truncate(max(nbytes, os.path.getsize(filename)))
            size = os.path.getsize(filename)
        except OSError as error:
            mode = "read-write" if shared else "read-only"
            raise RuntimeError(f"unable to open file <{name}> in {mode} mode: {error.strerror} ({error.errno})") from None
        if nbytes > size:
            raise RuntimeError(f"file <{name}> size <{size}> is smaller than the required mapping size <{nbytes}>")
        mapped = np.memmap(filename, np.uint8, "r+" if shared else "r", shape=nbytes) if nbytes else np.empty(0, np.uint8)
        # where it is not shared, on the host: parts go to the device when they are used
        return object.__new__(cls)._see(on_memory_of(mapped)[0] if shared else Storage(np.asarray(mapped)), _dtype.uint8)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return object.__new__(UntypedStorage)._see(self._part(index), _dtype.uint8)
        return self._tensor[index].item()

    def _part(self, index: slice) -> Storage:
        """The same memory from the first to the last byte of a slice; a copy where it can't be shared."""
        if index.step not in (None, 1):
            raise RuntimeError(f"Trying to slice with a step of {index.step}, but only a step of 1 is supported")
        storage = self._tensor._storage
        array = None if isinstance(storage, SharedStorage) else storage.array
        if type(array) is np.ndarray and not array.flags.writeable:  # of a file; nobody writes there
            return Storage(np.ascontiguousarray(array).reshape(-1).view(np.uint8)[index])
        found = part_of(storage, index)
        return self._tensor[index].clone()._storage if found is None else found

    def untyped(self) -> UntypedStorage:
        """The storage itself."""
        return self


class TypedStorage(_Storage):
    """The numbers in a tensor's memory: ``tensor.storage()``; torch calls it deprecated."""

    def _kind(self, dtype: Any) -> _dtype.dtype:
        return _dtype.get_default_dtype() if dtype is None else dtype

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            raise RuntimeError("slices are only supported in UntypedStorage.__getitem__")
        return self._tensor[index].item()

    def untyped(self) -> UntypedStorage:
        """The same memory as bytes."""
        return UntypedStorage._of(self._tensor)

    def pickle_storage_type(self) -> str:
        """The name that files have for storages of this type."""
        return f"{self.dtype.legacy}Storage"

    def _details(self) -> str:
        return f"dtype={self.dtype}, "


def _untyped_storage(self: Tensor) -> UntypedStorage:
    """The memory that this tensor sees, as bytes."""
    return UntypedStorage._of(self)


def _storage(self: Tensor) -> TypedStorage:
    """The memory that this tensor sees, as numbers of its type."""
    say(
        "TypedStorage is deprecated. It will be removed in the future and UntypedStorage will be the only storage class. This should only matter to you "
        "if you are using storages directly.  To access UntypedStorage directly, use tensor.untyped_storage() instead of tensor.storage()",
        once=True,
    )
    return TypedStorage._of(self)


Tensor.untyped_storage = _untyped_storage
Tensor.storage = Tensor._typed_storage = _storage


def from_file(
    filename: str | os.PathLike[str],
    shared: bool | None = None,
    size: int = 0,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """The first ``size`` numbers of a file of bytes, mapped into memory; see :meth:`UntypedStorage.from_file`.

    Args:
      shared: whether what is written to the tensor is written to the file, which is made, or made longer, where it must.
      dtype: of the numbers; by default that of new tensors.
      layout: torch.strided; device: 'cpu'; pin_memory: accepted.

    Raises:
      RuntimeError: as there, and where ``size`` is negative.
    """
    _device.check_device(_device.device("cpu" if device is None else device))
    kind = _dtype.get_default_dtype() if dtype is None else _dtype.as_dtype(dtype)
    if size < 0:
        raise RuntimeError(f"unable to mmap {size * kind.itemsize} bytes from file <{os.fspath(filename)}>: size must not be negative")
    storage = UntypedStorage.from_file(filename, bool(shared), size * kind.itemsize)
    made: Any = Tensor._wrap(np.empty(0, kind.numpy))
    return made.set_(storage).requires_grad_(requires_grad)


def is_storage(obj: Any) -> bool:
    """Whether an object is a storage."""
    return isinstance(obj, _Storage)
