"""Another dtype or place for all of a Module's tensors, in place."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Self

from funnn.engine.ops.make.factories import empty
from funnn.engine.tape.grad_mode import no_grad
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.device import device
from funnn.engine.types.dtype import dtype
from funnn.torch.nn.parameter import Parameter, is_lazy


class Conversion:
    """The part of Module that converts; all return the module."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Put ``fn(tensor)`` in the place of every parameter, gradient and buffer; parameters stay the same objects, but on their way to or from 'meta'."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        for name, parameter in self._parameters.items():
            if parameter is not None:
                self._parameters[name] = _converted(parameter, fn)
        for name, buffer in self._buffers.items():
            if is_lazy(buffer):
                buffer.convert(fn)
            elif buffer is not None:
                self._buffers[name] = fn(buffer)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Convert the floating-point parameters and buffers to a dtype, or move everything to a device, in place."""
        for value in (*args, *kwargs.values()):
            kind = value.dtype if isinstance(value, Tensor) else value
            if isinstance(kind, dtype) and not (kind.is_floating_point or kind.is_complex):
                raise TypeError(f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={kind}")
            if isinstance(kind, dtype) and kind.is_complex:
                warnings.warn(
                    "Complex modules are a new feature under active development whose design may change, and some modules might not work as "
                    "expected when using complex tensors as parameters or buffers. Please file an issue at "
                    "https://github.com/pytorch/pytorch/issues/new?template=bug-report.yml if a complex module does not work as expected.",
                    stacklevel=2,
                )
        layout = kwargs.pop("memory_format", None)

        def convert(tensor: Tensor) -> Tensor:
            if not is_lazy(tensor) and tensor.is_meta and _leaves_meta((*args, *kwargs.values())):
                raise NotImplementedError(
                    "Cannot copy out of meta tensor; no data! Please use torch.nn.Module.to_empty() instead of torch.nn.Module.to() when moving "
                    "module from meta to a different device."
                )
            moved = tensor.to(*args, **kwargs) if args or kwargs else tensor
            moved = moved if tensor.is_floating_point() or tensor.is_complex() or moved.dtype is tensor.dtype else tensor
            return moved if layout is None or moved.dim() not in (4, 5) else moved.to(memory_format=layout)

        return self._apply(convert)

    def to_empty(self, *, device: Any, recurse: bool = True) -> Self:
        """Move everything to a device without its values."""
        return self._apply(lambda tensor: empty(tuple(tensor.shape), dtype=tensor.dtype, device=device), recurse)

    def type(self, dst_type: Any) -> Self:
        """Convert all parameters and buffers to a dtype."""
        return self._apply(lambda tensor: tensor.type(dst_type))

    def float(self) -> Self:
        """Convert the floating-point parameters and buffers to float32."""
        return self._floats(Tensor.float)

    def double(self) -> Self:
        """Convert the floating-point parameters and buffers to float64."""
        return self._floats(Tensor.double)

    def half(self) -> Self:
        """Convert the floating-point parameters and buffers to float16."""
        return self._floats(Tensor.half)

    def bfloat16(self) -> Self:
        """Convert the floating-point parameters and buffers to bfloat16."""
        return self._floats(Tensor.bfloat16)

    def _floats(self, fn: Callable[[Tensor], Tensor]) -> Any:
        return self._apply(lambda tensor: fn(tensor) if tensor.is_floating_point() else tensor)

    def cpu(self) -> Self:
        """Everything on the CPU."""
        return self._apply(lambda tensor: tensor.cpu())

    def cuda(self, device: Any = None) -> Self:
        """Everything on the accelerator."""
        return self._apply(lambda tensor: tensor.cuda(device))

    def share_memory(self) -> Self:
        """Does nothing: JAX arrays are not shared between processes, and are copied when they are sent."""
        return self


def _other_device(kind: str) -> Callable:
    def move(self: Any, device: int | None = None) -> Any:
        return self.to(kind if device is None else f"{kind}:{device}")

    move.__name__ = move.__qualname__ = kind
    move.__doc__ = f"Everything on the device {kind}, if there is one."
    return move


for _kind in ("xpu", "ipu", "mtia"):
    setattr(Conversion, _kind, _other_device(_kind))


def _leaves_meta(targets: tuple[Any, ...]) -> bool:
    """Whether one of what ``to`` was given is a device with numbers."""
    found = [target.device if isinstance(target, Tensor) else target for target in targets if isinstance(target, (str, device, Tensor))]
    return any(device(place).type != "meta" for place in found)


def _converted(parameter: Any, fn: Callable[[Tensor], Tensor]) -> Any:
    """The parameter with what ``fn`` gives for it and its gradient; another one where that has numbers and the parameter had none, or the other way."""
    with no_grad():
        if is_lazy(parameter):
            parameter.convert(fn)
            return parameter
        found = fn(parameter)
        gradient = None if parameter._grad is None else fn(parameter._grad)
        if found.is_meta is not parameter.is_meta:
            parameter = Parameter(found, parameter.requires_grad)
            parameter._grad = gradient
            return parameter
        parameter._set_data(found)
        if gradient is not None:
            parameter._grad._set_data(gradient)
    return parameter
