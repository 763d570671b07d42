"""Memory of others: NumPy arrays, buffers, and DLPack. Arrays are immutable here, so values are copied in and go out as read-only snapshots."""

from __future__ import annotations

import array
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from funnn.engine.ops.kit.table import FUNCTIONS
from funnn.engine.ops.make.factories import as_tensor, finish, tensor
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype

_CPU = (1, 0)  # DLPack's name of it


def asarray(obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None, requires_grad: bool | None = None) -> Tensor:
    """A tensor of ``obj``: a tensor (itself where nothing changes) or storage, an array, an object with DLPack, a buffer, a number or sequences.

    Args:
      copy: True makes new memory always; False refuses to, which only a tensor of that dtype allows here.
      requires_grad: None keeps what a tensor has; False detaches it.
    """
    if hasattr(obj, "__funnn_memory__"):  # a storage, whose bytes are read as numbers of that type
        obj, dtype = obj.__funnn_memory__ if dtype is None else obj.__funnn_memory__.view(dtype), None
    if isinstance(obj, Tensor):
        if copy is False and dtype not in (None, obj.dtype):
            raise ValueError(f"can't alias tensor with dtype '{obj.dtype}' into dtype '{dtype}'; leave out copy=False")
        result = obj.clone() if copy else as_tensor(obj, dtype, device)
        return result.detach() if requires_grad is False else result.requires_grad_() if requires_grad and result.is_leaf else result
    if copy is False:
        raise ValueError(f"can't alias {type(obj).__name__} into a tensor: values are copied here; leave out copy=False")
    if not isinstance(obj, (np.ndarray, np.generic, jax.Array)):
        if hasattr(obj, "__dlpack__"):
            obj = from_dlpack(obj)
        elif isinstance(obj, (bytes, bytearray, memoryview, array.array)):
            obj = frombuffer(obj, dtype=_dtype.get_default_dtype() if dtype is None else dtype)
    return tensor(obj, dtype=dtype, device=device, requires_grad=bool(requires_grad))


def frombuffer(buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Tensor:
    """The bytes of a buffer from ``offset`` on, as ``count`` numbers (all, if negative), in one dimension. They are copied, unlike in torch."""
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
    return tensor(np.frombuffer(buffer, kind.numpy, count, offset), requires_grad=requires_grad)


class _Capsule:
    """An object around what ``to_dlpack`` gives, since the protocol asks for one."""

    def __init__(self, capsule: Any):
        self.capsule = capsule

    def __dlpack__(self, **options: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return _CPU


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor of an array of another library, or of the capsule that ``to_dlpack`` gave. The values are copied, unlike in torch."""
    if copy is False:
        raise ValueError("copy=False is not possible: values are copied here; leave it out")
    if isinstance(ext_tensor, Tensor):
        return finish(ext_tensor.detach().clone()._read(), device=device)
    source = _Capsule(ext_tensor) if type(ext_tensor).__name__ == "PyCapsule" else ext_tensor
    if not hasattr(source, "__dlpack__"):
        raise RuntimeError(f"from_dlpack received an invalid capsule: expected an object with __dlpack__, got {type(source).__name__}")
    with jax.enable_x64(True):
        if isinstance(source, np.ndarray):
            return tensor(source, device=device)
        if isinstance(source, jax.Array):
            return finish(jnp.array(source), device=device)
        on_cpu = source.__dlpack_device__()[0] == _CPU[0]
        try:
            array = (
                jnp.array(np.from_dlpack(source))
                if on_cpu and not isinstance(source, _Capsule)
                else jnp.array(jax.dlpack.from_dlpack(source))
            )
        except (RuntimeError, BufferError):  # NumPy has no bfloat16
            array = jnp.array(jax.dlpack.from_dlpack(source))
    return finish(array, device=device)


def to_dlpack(tensor: Tensor) -> Any:
    """A capsule that ``from_dlpack`` of any library takes, once."""
    return tensor.__dlpack__()


def _dlpack(self: Tensor, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: bool | None = None) -> Any:
    if self.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    return self._export().__dlpack__(stream=stream, max_version=max_version, dl_device=dl_device, copy=copy)


Tensor.__dlpack__ = _dlpack
Tensor.__dlpack_device__ = lambda self: self._export().__dlpack_device__()
for _function in (asarray, frombuffer, from_dlpack):
    FUNCTIONS[_function.__name__] = _function
