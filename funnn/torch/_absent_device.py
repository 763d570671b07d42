"""What ``torch.xpu``, ``torch.mps`` and ``torch.mtia`` say where there is no such device, as nowhere here: JAX's accelerator is ``torch.cuda``."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NoReturn

from funnn.torch import _unsupported


def _is_available() -> bool:
    """False: the devices are 'cpu' and 'cuda', the accelerator that JAX sees."""
    return False


def _device_count() -> int:
    """0."""
    return 0


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Nothing: there is no such device."""


def _no_states() -> list[Any]:
    """No states: there is no such device."""
    return []


_ANSWERS = {
    **dict.fromkeys(("is_available", "is_initialized", "is_bf16_supported", "is_built"), _is_available),
    **dict.fromkeys(("device_count", "memory_allocated", "max_memory_allocated", "memory_reserved"), _device_count),
    **dict.fromkeys(("manual_seed", "manual_seed_all", "init"), _nothing),
    "get_rng_state_all": _no_states,
}
_REFUSED = (
    *("current_device", "set_device", "synchronize", "get_device_name", "get_device_properties", "get_rng_state", "set_rng_state"),
    *("empty_cache", "current_allocated_memory", "driver_allocated_memory", "reset_peak_memory_stats", "current_stream"),
)


def device_module(name: str) -> ModuleType:
    """The module ``torch.xpu`` and the like."""
    module = ModuleType(f"funnn.torch.{name}", f"torch.{name}: there is no such device here.")

    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise AssertionError(
            f"Torch not compiled with {name.upper()} enabled; the devices are 'cpu' and 'cuda', the accelerator that JAX sees"
        )

    vars(module).update(_ANSWERS, **dict.fromkeys(_REFUSED, refuse))
    _unsupported.watch(module)
    return module
