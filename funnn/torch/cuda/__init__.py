"""torch.cuda: what can be asked of the accelerator that JAX sees."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import jax

from funnn.engine.ops.make.factories import legacy_types as _legacy_types
from funnn.engine.tensor import generator as _random
from funnn.engine.types.device import accelerated
from funnn.engine.types.device import device as _device
from funnn.torch.cuda import amp as amp

globals().update(_legacy_types("cuda"))


class AcceleratorError(RuntimeError):
    """torch's class, for scripts that catch it; JAX raises ``jax.errors.JaxRuntimeError`` instead."""


class OutOfMemoryError(RuntimeError):
    """As AcceleratorError."""


def is_available() -> bool:
    """Whether JAX runs on an accelerator."""
    return accelerated()


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


def max_memory_reserved(device: Any = None) -> int:
    """The largest number of bytes that XLA held on the GPU; 0 without one."""
    return _memory("peak_pool_bytes", device)


memory_cached, max_memory_cached = memory_reserved, max_memory_reserved


def memory_stats(device: Any = None) -> dict[str, int]:
    """What JAX counts on the GPU, by its own names ('bytes_in_use', …); empty without one."""
    return dict(_one(device).memory_stats() or {}) if is_available() else {}


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """The bytes of the GPU's memory that are free, and all."""
    stats = _one(device).memory_stats() or {}
    limit = stats.get("bytes_limit", 0)
    return limit - stats.get("bytes_in_use", 0), limit


def reset_peak_memory_stats(device: Any = None) -> None:
    """Nothing: XLA's peak counts from its start."""


reset_max_memory_allocated = reset_max_memory_cached = reset_accumulated_memory_stats = reset_peak_memory_stats


class device:
    """A context that chooses a GPU; for the first one, a negative index and None it does nothing, others are not supported."""

    def __init__(self, device: Any):
        self.idx = device if isinstance(device, int) else None if device is None else _device(device).index or 0

    def __enter__(self) -> None:
        if self.idx is not None and self.idx >= 0:
            set_device(self.idx)

    def __exit__(self, *exc: Any) -> None:
        pass


def get_arch_list() -> list[str]:
    """Empty: XLA compiles for the GPU that is there."""
    return []


def init() -> None:
    """An error without a GPU; else nothing, as JAX has done it."""
    _one()


def ipc_collect() -> None:
    """An error without a GPU; else nothing: memory is not shared between processes."""
    _one()


def is_tf32_supported() -> bool:
    """Whether there is a GPU of compute capability 8 or above."""
    return is_available() and get_device_capability()[0] >= 8


has_half, has_magma = True, False


def get_rng_state(device: Any = "cuda") -> Any:
    """The state of the one generator, which all devices share; an error without a GPU."""
    _one(device)
    return _random.get_rng_state()


def get_rng_state_all() -> list:
    """The state of the one generator for each GPU."""
    return [_random.get_rng_state() for _ in range(device_count())]


def set_rng_state(new_state: Any, device: Any = "cuda") -> None:
    """Set the one generator's state; nothing without a GPU."""
    if is_available():
        _random.set_rng_state(new_state)


def set_rng_state_all(new_states: Any) -> None:
    """Set the one generator's state to the last of these."""
    for state in new_states:
        set_rng_state(state)


def initial_seed() -> int:
    """The seed of the one generator; an error without a GPU."""
    _one()
    return _random.initial_seed()


def manual_seed(seed: int) -> None:
    """Nothing: there is one generator, and torch.manual_seed seeds it."""


def seed() -> None:
    """Nothing: there is one generator, and torch.seed seeds it."""


manual_seed_all, seed_all = manual_seed, seed


def synchronize(device: Any = None) -> None:
    """Wait until all work that was started is done."""
    for array in jax.live_arrays():
        array.block_until_ready()


def empty_cache() -> None:
    """Nothing: XLA manages its memory."""
