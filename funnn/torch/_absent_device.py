"""What ``torch.xpu``, ``torch.mps`` and ``torch.mtia`` say where there is no such device, as nowhere here: JAX's accelerator is ``torch.cuda``."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, NoReturn

from funnn.torch import _unsupported


def _false() -> bool:
    """False: there is no such device."""
    return False


def _zero(device: Any = None) -> int:
    """0: there is no such device."""
    return 0


def _nothing(*args: Any) -> None:
    """Nothing: there is no such device."""


def _no_states() -> list[Any]:
    """No states: there is no such device."""
    return []


#: What each answers, where nothing is refused; a function of torch's that is in neither table is missing here.
_ANSWERS: dict[str, dict[str, Callable[..., Any]]] = {
    "mps": {"is_available": _false, "device_count": _zero, "manual_seed": _nothing},
    "mtia": {
        **dict.fromkeys(("is_available", "is_initialized"), _false),
        **dict.fromkeys(("device_count", "memory_allocated", "max_memory_allocated"), _zero),
        **dict.fromkeys(("manual_seed", "manual_seed_all", "reset_peak_memory_stats"), _nothing),
        "get_rng_state_all": _no_states,
    },
    "xpu": {
        **dict.fromkeys(("is_available", "is_initialized", "is_bf16_supported"), _false),
        **dict.fromkeys(("device_count", "memory_allocated", "max_memory_allocated", "memory_reserved"), _zero),
        **dict.fromkeys(("manual_seed", "manual_seed_all", "empty_cache"), _nothing),
        "get_rng_state_all": _no_states,
    },
}
#: What each refuses, and with which error.
_REFUSED: dict[str, tuple[type[Exception], str]] = {
    "mps": (RuntimeError, "synchronize empty_cache get_rng_state current_allocated_memory driver_allocated_memory"),
    "mtia": (RuntimeError, "synchronize empty_cache current_device get_device_properties current_stream"),
    "xpu": (AssertionError, "synchronize init current_device get_device_name get_device_properties get_rng_state current_stream"),
}


def device_module(name: str) -> ModuleType:
    """The module ``torch.xpu`` and the like."""
    module = ModuleType(f"funnn.torch.{name}", f"torch.{name}: there is no such device here.")
    error, refused = _REFUSED[name]

    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise error(f"Torch not compiled with {name.upper()} enabled; the devices are 'cpu' and 'cuda', the accelerator that JAX sees")

    vars(module).update(_ANSWERS[name], **dict.fromkeys(refused.split(), refuse))
    _unsupported.watch(module)
    return module
