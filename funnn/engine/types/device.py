"""Devices, as torch names them: 'cpu' or 'cuda', whichever JAX computes on, and 'meta', which has no numbers."""

from __future__ import annotations

import functools
import re
from typing import Any

import jax

from funnn.engine.state import thread
from funnn.engine.types.dtype import TorchType

#: The types that torch knows by name.
_TYPES = (
    *("cpu", "cuda", "ipu", "xpu", "mkldnn", "opengl", "opencl", "ideep", "hip", "ve", "fpga", "maia", "xla", "lazy", "vulkan", "mps"),
    *("meta", "hpu", "mtia", "privateuseone"),
)
_TEXT = re.compile(r"([a-z_]+)(?::(0|[1-9]\d*))?")


class device(metaclass=TorchType):
    """Where a tensor lives: a type ('cpu', 'cuda') and an index.

    Args:
      type: a name with or without an index ('cuda:0'), the number of an accelerator, or a device.
      index: which one of that type, where the name does not say it.

    Raises:
      TypeError: the arguments are of other kinds.
      RuntimeError: there is no such type, the index is negative, or a number is given and there is no accelerator.
    """

    type: Any
    index: int | None

    def __init__(self, type: Any, index: int | None = None):
        if index is not None and not _is_number(index):
            raise TypeError(f"device(): argument 'index' (position 2) must be int, not {index.__class__.__name__}")
        if isinstance(type, device) and index is None:
            self.type, self.index = type.type, type.index
        elif isinstance(type, str):
            self.type, self.index = _parsed(type, index)
        elif index is not None:
            raise TypeError(f"device(): argument 'type' (position 1) must be str, not {_kind(type)}")
        elif not _is_number(type):
            raise TypeError(
                f"device() received an invalid combination of arguments - got ({_kind(type)}), but expected one of:\n"
                " * (torch.device device)\n * (str type, int index = -1)\n"
            )
        elif not accelerated():
            raise RuntimeError("Cannot access accelerator device when none is available. JAX sees no GPU; write device='cpu'.")
        else:
            self.type, self.index = _parsed("cuda", type)

    def __repr__(self) -> str:
        return f"device(type={self.type!r}{'' if self.index is None else f', index={self.index}'})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __reduce__(self) -> tuple[Any, ...]:
        return (device, (self.type, self.index))

    def __enter__(self) -> device:
        """Inside, tensors are made on this device: 'meta', or the one that JAX chooses, which need only be there."""
        check_device(self)
        thread.devices = (*thread.devices, self)
        return self

    def __exit__(self, *exc: Any) -> None:
        thread.devices = thread.devices[:-1]


def _is_number(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)


def _kind(value: Any) -> str:
    return "torch.device" if isinstance(value, device) else type(value).__name__


def _parsed(text: str, index: int | None) -> tuple[str, int | None]:
    """Type and index, of which the text may say both."""
    if not text:
        raise RuntimeError("Device string must not be empty; write 'cpu', 'cuda' or 'meta'.")
    name = text.partition(":")[0]
    found = _TEXT.fullmatch(text)
    if found is None and ":" in text:
        raise RuntimeError(f"Invalid device string: {text!r}; write a type and a number, as in 'cuda:0'.")
    if name not in _TYPES:
        raise RuntimeError(f"Expected one of {', '.join(_TYPES)} device type at start of device string: {text}")
    if index is None:
        return name, None if found is None or found[2] is None else int(found[2])
    if ":" in text:
        raise RuntimeError(f"type (string) must not include an index because index was passed explicitly: {text}")
    if index < 0:
        raise RuntimeError(f"Device index must not be negative, got {index}.")
    return name, index.__index__()


CPU, META = device("cpu"), device("meta")


def accelerated() -> bool:
    """Whether JAX has an accelerator, which is called 'cuda' here."""
    return jax.default_backend() != "cpu"


@functools.cache
def here() -> device:
    """The one device, that of JAX's arrays."""
    return device("cuda", 0) if accelerated() else CPU


class NoCudaError(AssertionError, RuntimeError):
    """There is no accelerator: an AssertionError in PyTorch's builds for CPUs, and a RuntimeError in its others."""


def check_device(value: Any) -> None:
    """Accept the devices that hold data here; 'cuda' only where JAX has an accelerator."""
    kind = device(value).type
    if kind in ("cpu", "meta") or (kind == "cuda" and accelerated()):
        return
    if kind == "cuda":
        raise NoCudaError(
            "Torch not compiled with CUDA enabled. CUDA is not available: JAX sees no GPU. Install a CUDA build of jaxlib, or use device='cpu'."
        )
    if kind in ("xpu", "mtia"):
        raise NoCudaError(f"Torch not compiled with {kind.upper()} enabled: funnn knows 'cpu', 'cuda' (JAX's accelerator) and 'meta'.")
    raise NotImplementedError(
        f"device {str(value)!r} is not supported; funnn knows 'cpu', 'cuda' (JAX's accelerator) and 'meta' (no numbers)"
    )


def check_pinned(pin_memory: Any) -> None:
    """RuntimeError where memory is to be pinned and there is no accelerator to copy it to."""
    if pin_memory and not accelerated():
        raise RuntimeError(
            "pin_memory=True requires a CUDA or other accelerator backend; no pinned memory allocator is available on this system."
        )


def wants_outline(value: Any) -> bool:
    """Whether a tensor made for that device, or for None, has no numbers: it is on 'meta'. Raises for a device that isn't there."""
    if value is None:
        value = thread.devices[-1] if thread.devices else thread.default_device
        return value is not None and value.type == "meta"
    check_device(value)
    return device(value).type == "meta"
