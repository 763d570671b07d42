"""What libraries ask of torch's compiled part: names that are elsewhere here, and a few questions that have one answer."""

from __future__ import annotations

import sys
from typing import Any

from funnn.engine.ops.linalg.matrix_checks import _LinAlgError as _LinAlgError
from funnn.engine.state import thread
from funnn.engine.tensor.overrides import DisableTorchFunction as DisableTorchFunction
from funnn.engine.tensor.overrides import DisableTorchFunctionSubclass as DisableTorchFunctionSubclass
from funnn.torch import _unsupported
from funnn.torch._C import _nn as _nn
from funnn.torch._compiled_parts import _fft as _fft
from funnn.torch._compiled_parts import _linalg as _linalg
from funnn.torch._compiled_parts import _special as _special


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


@staticmethod  # so that it is one where a class has it as its __torch_function__
def _disabled_torch_function_impl(func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
    """The ``__torch_function__`` of a class whose results are plain tensors."""
    with DisableTorchFunctionSubclass():
        return func(*args, **(kwargs or {}))


def _are_functorch_transforms_active() -> bool:
    """Whether a function is being transformed by torch.func."""
    return bool(thread.levels)


def _is_torch_function_mode_enabled() -> bool:
    """Whether a mode is asked about functions."""
    return bool(thread.function_modes)


def _cuda_isInBadFork() -> bool:
    """False: a worker has a JAX of its own."""
    return False


def __getattr__(name: str) -> Any:
    torch = sys.modules["funnn.torch"]
    if name in _ELSEWHERE:
        return getattr(torch, name)
    return _unsupported.missing(sys.modules[__name__], "torch._C", name)


_ELSEWHERE = frozenset(("Generator", "Size", "device", "dtype", "layout", "memory_format", "finfo", "iinfo"))
