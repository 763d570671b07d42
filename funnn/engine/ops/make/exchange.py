"""Memory of others: NumPy arrays, buffers, and DLPack."""

from __future__ import annotations

import array
import contextlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from funnn.engine.memory.numpy_memory import array_on
from funnn.engine.ops.kit.table import FUNCTIONS
from funnn.engine.ops.make.factories import as_tensor, finish, on_array, tensor, warn_unless_writable
from funnn.engine.program.value import is_on_cpu
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import device as _device
from funnn.engine.types import dtype as _dtype

_CPU = (1, 0)  # DLPack's name of it


def asarray(obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None, requires_grad: bool | None = None) -> Tensor:
    """A tensor of ``obj``: a tensor (itself where nothing changes) or storage, an array, an object with DLPack, a buffer, a number or sequences.

    It shares the memory of arrays, buffers and DLPack of that dtype.

    Args:
      copy: True makes new memory always; False refuses to.
      requires_grad: None keeps what a tensor has; False detaches it.
    """
    if hasattr(obj, "__funnn_memory__"):  # a storage, whose bytes are read as numbers of that type
        obj, dtype = obj.__funnn_memory__ if dtype is None else obj.__funnn_memory__.view(dtype), None
    if not isinstance(obj, (Tensor, np.ndarray, np.generic, jax.Array)):
        if hasattr(obj, "__dlpack__"):
            obj = from_dlpack(obj)
        elif isinstance(obj, (bytes, bytearray, memoryview, array.array)):
            obj = frombuffer(obj, dtype=_dtype.get_default_dtype() if dtype is None else dtype)
    if isinstance(obj, np.ndarray) and not copy and (is_on_cpu() or copy is None):
        obj = as_tensor(obj)
    if isinstance(obj, Tensor):
        if copy is False and dtype is not None and _dtype.as_dtype(dtype) is not obj.dtype:
            raise ValueError(f"can't alias tensor with dtype '{obj.dtype.legacy}' into dtype '{_dtype.as_dtype(dtype).legacy}'.")
        result = obj.clone() if copy else as_tensor(obj, dtype, device)
        return result.detach() if requires_grad is False else result._set_requires_grad() if requires_grad and result.is_leaf else result
    if copy is False:
        copied = isinstance(obj, (np.ndarray, np.generic, jax.Array))
        what = f"{type(obj).__name__}, whose values are copied here," if copied else "arbitrary sequence"
        raise ValueError(f"can't alias {what} into a tensor.")
    return tensor(obj, dtype=dtype, device=device, requires_grad=bool(requires_grad))


def frombuffer(buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Tensor:
    """The bytes of a buffer from ``offset`` on, as ``count`` numbers (all, if negative), in one dimension: a tensor on the buffer's memory.

    A buffer that is read-only stays as it is: writing to the tensor gives that memory of its own.
    """
    kind = _dtype.as_dtype(dtype)
    size = memoryview(buffer).nbytes
    if not 0 <= offset < size:
        raise ValueError(f"offset ({offset} bytes) must be non-negative and no greater than buffer length ({size} bytes) minus 1")
    if count < 0 and (size - offset) % kind.itemsize:
        raise ValueError(f"buffer size ({size}) minus offset ({offset}) must be a multiple of element size ({kind.itemsize})")
    if count == 0 or offset + count * kind.itemsize > size:
        raise ValueError(
            f"both buffer length ({size}) and count ({count}) must not be 0, and count elements must fit behind offset {offset}"
        )
    array = np.frombuffer(buffer, kind.numpy, count, offset)
    warn_unless_writable(array, "buffer", "you can write to the underlying (supposedly non-writable) buffer using the tensor")
    result = on_array(array)
    return result._set_requires_grad() if requires_grad else result


class _Capsule:
    """An object around what ``to_dlpack`` gives, since the protocol asks for one."""

    def __init__(self, capsule: Any):
        self.capsule = capsule

    def __dlpack__(self, **options: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return _CPU


class _Writable:
    """An array's memory, which may be written."""

    def __init__(self, array: np.ndarray):
        interface = array.__array_interface__
        self.array, self.__array_interface__ = array, {**interface, "data": (interface["data"][0], False)}


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor of an array of another library, or of the capsule that ``to_dlpack`` gave, on its memory if that is the CPU's.

    The values of JAX's arrays, of what lies on an accelerator and of types that NumPy does not have are copied.
    """
    if device is not None:
        _device.check_device(device)
    if isinstance(ext_tensor, Tensor):
        return ext_tensor.detach().clone() if copy else ext_tensor.detach()
    source = _Capsule(ext_tensor) if type(ext_tensor).__name__ == "PyCapsule" else ext_tensor
    if not hasattr(source, "__dlpack__"):
        raise RuntimeError(f"from_dlpack received an invalid capsule: expected an object with __dlpack__, got {type(source).__name__}")
    if isinstance(source, np.ndarray):
        return tensor(source) if copy else on_array(source)
    if not isinstance(source, jax.Array) and source.__dlpack_device__()[0] == _CPU[0]:
        with contextlib.suppress(RuntimeError, BufferError):  # NumPy has no bfloat16
            array = np.from_dlpack(source)
            if isinstance(source, _Capsule) and not array.flags.writeable:  # as of all capsules of DLPack's first version
                array = np.asarray(_Writable(array))
            return tensor(array) if copy else on_array(array)
    if copy is False:
        raise ValueError("copy=False is not possible: the values of such an array are copied here; leave it out")
    with jax.enable_x64(True):
        return finish(jnp.array(source if isinstance(source, jax.Array) else jax.dlpack.from_dlpack(source)))


def to_dlpack(tensor: Tensor) -> Any:
    """A capsule that ``from_dlpack`` of any library takes, once."""
    return tensor.__dlpack__()


def _dlpack(self: Tensor, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: bool | None = None) -> Any:
    if self.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    if self.is_conj():
        raise BufferError("Can't export tensors with the conjugate bit set; use tensor.resolve_conj()")
    self = FUNCTIONS["resolve_neg"](self)
    array = array_on(self._storage, self._window) if self.dtype.numpy.isbuiltin == 1 else None
    given: Any = self._export() if array is None else array
    return given.__dlpack__(stream=stream, max_version=max_version, dl_device=dl_device, copy=copy)


Tensor.__dlpack__ = _dlpack
Tensor.__dlpack_device__ = lambda self: _CPU if is_on_cpu() else self._export().__dlpack_device__()
for _function in (asarray, frombuffer, from_dlpack):
    FUNCTIONS[_function.__name__] = _function
