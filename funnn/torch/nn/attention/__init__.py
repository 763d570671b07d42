"""torch.nn.attention: which kernel computes attention (here always the one that fits the device), causal masks, flexible attention."""

from __future__ import annotations

import contextlib
import enum
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["SDPBackend", "sdpa_kernel"]


class SDPBackend(enum.Enum):
    """torch's kernels of scaled dot-product attention."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4

    __str__ = enum.Enum.__str__

    def __int__(self) -> int:
        return self.value


#: The kernels of the innermost ``sdpa_kernel`` last, on each thread.
_CHOICES = threading.local()
_ALL = [SDPBackend(number) for number in (3, 1, 2, 0, 4)]  # by torch's priorities


def _cur_sdpa_kernel_backends(with_priority: bool = False) -> list[SDPBackend]:
    """The kernels that the innermost ``sdpa_kernel`` allows, in its order if ``with_priority``."""
    now = getattr(_CHOICES, "now", _ALL)
    return list(now) if with_priority else [backend for backend in _ALL if backend in now]


@contextlib.contextmanager
def sdpa_kernel(backends: Any, set_priority: bool = False) -> Iterator[dict]:
    """A context (and decorator) that asks for kernels of attention. All give the same numbers, so any choice of some is accepted as it is.

    Raises:
      AssertionError: no SDPBackend and no list.
      RuntimeError: a list without any kernel; torch raises it when attention is then called.
    """
    if not isinstance(backends, (list, SDPBackend)):
        raise AssertionError(f"Backend must be an instance of SDPBackend or a list of SDPBackend instances, got {type(backends).__name__}")
    chosen = [backends] if isinstance(backends, SDPBackend) else backends
    if not any(isinstance(backend, SDPBackend) and backend is not SDPBackend.ERROR for backend in chosen):
        raise RuntimeError(
            f"No viable backend for scaled_dot_product_attention was found in {chosen}. Name at least one, such as SDPBackend.MATH"
        )
    before = _cur_sdpa_kernel_backends(with_priority=True)
    _CHOICES.now = [backend for backend in (chosen if set_priority else _ALL) if backend in chosen]
    try:
        yield {}
    finally:
        _CHOICES.now = before
