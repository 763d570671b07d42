"""torch.accelerator: the accelerator that JAX sees, whatever its kind; for scripts it is 'cuda'."""

from __future__ import annotations

from typing import Any

import jax

from funnn.engine.types import device as _device
from funnn.torch.cuda import current_device, set_device
from funnn.torch.cuda import empty_cache as empty_cache
from funnn.torch.cuda import synchronize as synchronize


def is_available() -> bool:
    """Whether JAX runs on something else than a CPU."""
    return _device.accelerated()


def device_count() -> int:
    """The number of accelerators."""
    return jax.device_count() if is_available() else 0


def current_accelerator(check_available: bool = False) -> Any:
    """``device('cuda')``, or None on a CPU."""
    return _device.device("cuda") if is_available() else None


def current_device_index() -> int:
    """The index of the accelerator in use."""
    if not is_available():
        raise RuntimeError("Cannot access accelerator device when none is available.")
    return current_device()


def set_device_index(device: Any) -> None:
    """Accepted for the first device; where arrays lie on several is JAX's to say."""
    if not is_available():
        raise RuntimeError("Cannot access accelerator device when none is available.")
    set_device(device)


current_device_idx, set_device_idx = current_device_index, set_device_index
