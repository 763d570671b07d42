"""torch._utils: what scripts and libraries import of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from funnn.engine.ops.kit.table import FUNCTIONS
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import device as _device
from funnn.engine.types import dtype as _dtype


def _flatten_dense_tensors(tensors: Sequence[Tensor]) -> Tensor:
    """All values of the tensors in one vector, in order."""
    return FUNCTIONS["cat"]([tensor.contiguous().view(-1) for tensor in tensors])


def _unflatten_dense_tensors(flat: Tensor, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The parts of a vector, in the sizes of the tensors."""
    parts = flat.split([tensor.numel() for tensor in tensors])
    return tuple(part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True))


def _get_available_device_type() -> str | None:
    """ "cuda" where JAX sees an accelerator, else None."""
    return "cuda" if _device.accelerated() else None


def _get_device_module(device_type: str) -> Any:
    """``torch.cuda`` and the like."""
    module = getattr(sys.modules["funnn.torch"], device_type, None)
    if module is None:
        raise RuntimeError(f"Device '{device_type}' does not have a corresponding module registered as 'torch.{device_type}'.")
    return module


def _get_device_index(device: Any, optional: bool = False, allow_cpu: bool = False) -> int:
    """The number of a device; -1 for 'cpu' with ``allow_cpu``, the present one with ``optional`` where it has none."""
    if isinstance(device, int) and not isinstance(device, bool):
        return device
    place = None if device is None else _device.device(device)
    if place is not None and place.type == "cpu":
        if allow_cpu:
            return -1
        raise ValueError(f"Expected a non cpu device, but got: {device}")
    if place is not None and place.index is not None:
        return int(place.index)
    if not optional:
        text = "Expected a torch.device with a specified index or an integer, but got:"
        raise ValueError(f"{text}{device}")
    return 0


def _element_size(dtype: _dtype.dtype) -> int:
    """Bytes of a number."""
    return dtype.itemsize
