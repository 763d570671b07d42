"""torch.cpu: what can be asked of the processor."""

from typing import Any

from funnn.torch.cpu import amp as amp


def is_available() -> bool:
    """True."""
    return True


def is_initialized() -> bool:
    """True."""
    return True


def device_count() -> int:
    """1."""
    return 1


def current_device() -> str:
    """'cpu'."""
    return "cpu"


def synchronize(device: Any = None) -> None:
    """Nothing: a value that Python reads is waited for."""
