"""torch.cpu: what can be asked of the processor."""

from typing import Any

from funnn.torch.cpu import amp as amp


def is_available() -> bool:
    """True: there always is a CPU."""
    return True


def is_initialized() -> bool:
    """True: there always is a CPU."""
    return True


def device_count() -> int:
    """1: the CPU is one device, whatever its cores."""
    return 1


def current_device() -> str:
    """The name 'cpu': there is no other."""
    return "cpu"


def synchronize(device: Any = None) -> None:
    """Nothing: a value that Python reads is waited for."""
