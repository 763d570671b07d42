"""torch.cuda: what can be asked of the accelerator that JAX sees."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import jax

from funnn.torch._dtype import device as _device
from funnn.torch._factories import legacy_types as _legacy_types
from funnn.torch.cuda import amp as amp

globals().update(_legacy_types("cuda"))


class OutOfMemoryError(RuntimeError):
    """torch's class, for scripts that catch it; JAX raises ``jax.errors.JaxRuntimeError`` instead."""


def is_available() -> bool:
    """Whether JAX runs on a GPU."""
    return jax.default_backend() == "gpu"


def is_initialized() -> bool:
    """Whether JAX runs on a GPU."""
    return is_available()


def device_count() -> int:
    """The number of GPUs."""
    return jax.device_count() if is_available() else 0


def _one(device: Any = None) -> jax.Device:
    """JAX's device for an index, a name such as 'cuda:0', or None."""
    if not is_available():
        raise AssertionError(
            "Torch not compiled with CUDA enabled: JAX sees no GPU. Ask torch.cuda.is_available() first, or use device='cpu'."
        )
    index = device if isinstance(device, int) else 0 if device is None else _device(device).index or 0
    if not 0 <= index < device_count():
        raise RuntimeError(f"invalid device ordinal {index}: JAX sees {device_count()} GPU(s)")
    return jax.devices()[index]


def current_device() -> int:
    """0: arrays are made on JAX's first device."""
    return _one().id


def set_device(device: Any) -> None:
    """Accepted for the first device; for others see jax.default_device."""
    if _one(device) is not _one():
        raise NotImplementedError(f"torch.cuda.set_device({device!r}) is not supported; use jax.config.update('jax_default_device', …)")


def get_device_name(device: Any = None) -> str:
    """What the GPU calls itself."""
    return _one(device).device_kind


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """The compute capability, (major, minor)."""
    major, minor = str(_one(device).compute_capability).split(".")
    return int(major), int(minor)


def get_device_properties(device: Any = None) -> SimpleNamespace:
    """Name, compute capability and memory in bytes."""
    major, minor = get_device_capability(device)
    return SimpleNamespace(
        name=get_device_name(device), major=major, minor=minor, total_memory=(_one(device).memory_stats() or {}).get("bytes_limit", 0)
    )


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether there is a GPU: XLA has bfloat16 on all of them."""
    return is_available()


def _memory(key: str, device: Any) -> int:
    return int((_one(device).memory_stats() or {}).get(key, 0)) if is_available() else 0


def memory_allocated(device: Any = None) -> int:
    """Bytes in use on the GPU; 0 without one."""
    return _memory("bytes_in_use", device)


def max_memory_allocated(device: Any = None) -> int:
    """The largest number of bytes that were in use; 0 without a GPU."""
    return _memory("peak_bytes_in_use", device)


def memory_reserved(device: Any = None) -> int:
    """Bytes that XLA holds on the GPU; 0 without one."""
    return _memory("pool_bytes", device)


def reset_peak_memory_stats(device: Any = None) -> None:
    """Nothing: XLA's peak counts from its start."""


def manual_seed(seed: int) -> None:
    """Nothing: there is one generator, and torch.manual_seed seeds it."""


manual_seed_all = manual_seed


def synchronize(device: Any = None) -> None:
    """Wait until all work that was started is done."""
    for array in jax.live_arrays():
        array.block_until_ready()


def empty_cache() -> None:
    """Nothing: XLA manages its memory."""
