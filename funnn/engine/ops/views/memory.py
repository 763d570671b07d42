"""Writing whole tensors, and moving them between types and devices."""

from __future__ import annotations

import functools
from typing import Any

import jax.numpy as jnp

from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.inplace import assign, check_overlap, check_writable
from funnn.engine.dispatch.op import Op
from funnn.engine.memory.storage import Storage, whole
from funnn.engine.memory.strides import suggests_channels_last
from funnn.engine.memory.view_geometry import expand
from funnn.engine.ops.elementwise.pointwise import convert
from funnn.engine.ops.kit.table import add_method, publish
from funnn.engine.ops.views.layouts import in_format
from funnn.engine.program.outline import outline_of
from funnn.engine.state import thread
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import device as _device
from funnn.engine.types import dtype as _dtype
from funnn.engine.types.casts import cast
from funnn.engine.types.dtype import number_for
from funnn.engine.types.layout import contiguous_format


def copy(source, like):
    """``source`` in the shape and dtype of ``like``."""
    expand(whole(source.shape), like.shape)  # raises torch's error
    return cast(jnp.broadcast_to(source, like.shape), like.dtype)


def filled(input, value):
    """One number everywhere, in the shape and dtype of the input."""
    return jnp.broadcast_to(cast(jnp.asarray(value), input.dtype), input.shape)


_copy = Op(copy, "CopyBackwards")
_filled = Op(filled, "FillBackward2", scalars=("value",))
_fill = Op(filled, lambda input, value: f"FillBackward{int(isinstance(value, Tensor))}", scalars=("value",))
_zeroed = Op(lambda like: jnp.zeros(like.shape, like.dtype), "ZeroBackward0")


def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Write the values of ``src``, broadcast and converted, in place."""
    if isinstance(src, Tensor):
        if src.is_meta is not self.is_meta:
            check_writable(self, "copy_")
            return self if self.is_meta else cpu(src)  # there is nothing to write, or nothing to read
        check_overlap(self, (src,))
        if _goes_as_it_is(src, self):
            check_writable(self, "copy_", False, False)
            self._write(src._operand())
            return self
        return assign(self, call(_copy, (src, self), {}), "copy_")  # of self, too: it keeps its history, with a gradient of zero
    if isinstance(src, (int, float, complex)):
        return fill_(self, src)
    raise TypeError(f"copy_(): argument 'other' (position 1) must be Tensor, not {type(src).__name__}")


def _goes_as_it_is(source: Tensor, view: Tensor) -> bool:
    """Whether the numbers can be written into the view without another operation, and nothing else need know."""
    if type(view._storage) is not Storage or view._window is None or source.dtype is not view.dtype:
        return False
    if thread.tracing is not None or (thread.grad and (source.requires_grad or view.requires_grad)):
        return False
    shape, wanted = source._shape(), view._shape()
    return shape == wanted or shape == () or _broadcasts(shape, wanted)


@functools.lru_cache(maxsize=1024)
def _broadcasts(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) <= len(wanted) and all(n in (1, m) for n, m in zip(reversed(shape), reversed(wanted), strict=False))


def fill_(self: Tensor, value: Any) -> Tensor:
    """Write one number everywhere, in place."""
    if isinstance(value, Tensor):
        if value.dim():
            raise RuntimeError(f"fill_ only supports 0-dimension value tensor but got tensor with {value.dim()} dimensions.")
        return copy_(self, value)
    value = number_for(value, self.dtype, self.numel() == 1)
    return assign(self, call(_filled, (self, value), {}), "fill_", overlapping=True)


def fill(input: Tensor, value: Any) -> Tensor:
    """One number everywhere, in the shape and dtype of the input."""
    if not isinstance(value, Tensor):
        value = number_for(value, input.dtype, input.numel() == 1)
    elif value.dim():
        raise RuntimeError(f"fill_ only supports 0-dimension value tensor but got tensor with {value.dim()} dimensions.")
    return call(_fill, (input, value), {})


def zero_(self: Tensor) -> Tensor:
    """Write zeros, in place."""
    return assign(self, call(_zeroed, (self,), {}), "zero_", overlapping=True)


add_method("copy_", copy_)
publish("fill", fill, method=False)
publish("fill_", fill_)
publish("zero_", zero_)


def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The tensor in another dtype, on another device, like another tensor or in a memory format; itself where nothing changes."""
    if unknown := kwargs.keys() - {"dtype", "copy", "memory_format", "device", "tensor", "non_blocking"}:
        raise TypeError(f"to() received an invalid combination of arguments: unknown keyword {sorted(unknown)[0]!r}")
    flags = [arg for arg in args if isinstance(arg, bool)]  # non_blocking, copy
    kind, copied, format = kwargs.get("dtype"), kwargs.get("copy", len(flags) > 1 and flags[1]), kwargs.get("memory_format")
    targets = [*args, *(kwargs[name] for name in ("device", "tensor") if kwargs.get(name) is not None)]
    place = None
    for target in targets:
        if isinstance(target, Tensor):
            kind, place = target.dtype, target.is_meta
        elif isinstance(target, _dtype.dtype):
            kind = target
        elif isinstance(target, (str, int, _device.device)):
            if not isinstance(target, bool):
                place = _device.wants_outline(target)
        elif target in _dtype.PYTHON or target is float:
            kind = _dtype.as_dtype(target)
        elif target is not None:
            raise TypeError(f"to(): a target must be a dtype, a device or a Tensor, not {type(target).__name__}")
    result = self if kind is None else convert(self, kind)
    if place is not None and place is not result.is_meta:
        result = _to_meta(result) if place else cpu(result)
    result = result.clone() if copied and result is self else result
    if result is self and format is contiguous_format and not suggests_channels_last(self._view_window()):
        return self  # torch asks for no more
    return in_format(result, format, fresh=result is not self)


def _to_meta(tensor: Tensor) -> Tensor:
    """What is known of a tensor without its numbers, without history."""
    result = Tensor._wrap(outline_of(tensor._storage.value))
    result._window = tensor._window
    return result


def type_(self: Tensor, dtype: Any = None, non_blocking: bool = False, *, memory_format: Any = None) -> Any:
    """The legacy type name (``'torch.FloatTensor'``), or the tensor converted to a type."""
    if dtype is None:
        return f"torch.{'meta.' if self.is_meta else ''}{self.dtype.legacy}Tensor"
    if isinstance(dtype, str):
        legacy = dtype.removeprefix("torch.").removesuffix("Tensor")
        dtype = next((kind for kind in (*_dtype.ALL, _dtype.complex32) if kind.legacy == legacy), None)
    elif isinstance(dtype, type) and hasattr(dtype, "kind"):
        dtype = dtype.kind
    if dtype is None:
        raise ValueError("invalid type: expected a dtype, a tensor type such as torch.FloatTensor, or its name")
    return self.to(_dtype.as_dtype(dtype), memory_format=memory_format)


add_method("to", to)
add_method("type", type_)


def type_as(self: Tensor, other: Tensor) -> Tensor:
    """The tensor in the dtype of another."""
    return convert(self, other.dtype)


publish("type_as", type_as, function=False)


def cpu(self: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor itself: JAX holds the values, on whichever device it runs."""
    if self.is_meta:
        raise NotImplementedError("Cannot copy out of meta tensor; no data! Make one with numbers: torch.empty_like(x, device='cpu')")
    return self


def cuda(self: Tensor, device: Any = None, non_blocking: bool = False, memory_format: Any = None) -> Tensor:
    """The tensor on the accelerator; an error where JAX has none."""
    _device.check_device("cuda")
    return cpu(self)


add_method("cpu", cpu)
add_method("cuda", cuda)


def _converter(name: str, kind: _dtype.dtype) -> Any:
    def convert_to(self: Tensor, memory_format: Any = None) -> Tensor:
        return to(self, kind, memory_format=memory_format)

    convert_to.__name__ = convert_to.__qualname__ = name
    convert_to.__doc__ = f"The tensor converted to {kind!r}; itself where it is of that type already."
    return convert_to


for _name, _kind in {
    **{"half": _dtype.float16, "bfloat16": _dtype.bfloat16, "float": _dtype.float32, "double": _dtype.float64, "bool": _dtype.bool_},
    **{"byte": _dtype.uint8, "char": _dtype.int8, "short": _dtype.int16, "int": _dtype.int32, "long": _dtype.int64},
    **{"cfloat": _dtype.complex64, "cdouble": _dtype.complex128},
}.items():
    add_method(_name, _converter(_name, _kind))


def chalf(self: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor converted to torch.complex32; itself where it is of that type already."""
    return self.to(_dtype.complex32, memory_format=memory_format)


add_method("chalf", chalf)
