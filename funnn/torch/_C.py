"""What libraries ask of torch's compiled part: names that are elsewhere here, and a few questions that have one answer."""

from __future__ import annotations

import sys
from typing import Any

from funnn.torch import _unsupported


def _get_tracing_state() -> None:
    """None: no function is being traced for TorchScript."""


def _log_api_usage_once(event: str) -> None:
    """Nothing is logged."""


_log_api_usage_metadata = _log_api_usage_once


def _is_tracing() -> bool:
    """False: nothing is traced to TorchScript."""
    return False


def _cuda_isCurrentStreamCapturing() -> bool:
    """False: XLA captures its work itself."""
    return False


def __getattr__(name: str) -> Any:
    torch = sys.modules["funnn.torch"]
    if name in _ELSEWHERE:
        return getattr(torch, name)
    return _unsupported.missing(sys.modules[__name__], "torch._C", name)


__path__: list[str] = []  # there are modules within, which libraries mention (see _mentioned)
_ELSEWHERE = frozenset(("Generator", "Size", "device", "dtype", "layout", "memory_format", "finfo", "iinfo"))
