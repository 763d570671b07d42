"""torch.backends.cuda: accepted settings; ``torch.set_float32_matmul_precision`` and JAX's own options choose precisions."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

from funnn.torch import cuda

matmul = SimpleNamespace(allow_tf32=False, allow_fp16_reduced_precision_reduction=True, allow_bf16_reduced_precision_reduction=True)


def is_built() -> bool:
    """Whether JAX has a GPU."""
    return cuda.is_available()


def is_flash_attention_available() -> bool:
    """Whether JAX has a GPU, for which XLA then chooses among the kinds of attention itself."""
    return cuda.is_available()


def _switch() -> tuple[Callable[[bool], None], Callable[[], bool]]:
    """Functions that set and give a flag which nobody reads."""
    flag = [True]
    return lambda enabled: flag.__setitem__(0, bool(enabled)), lambda: flag[0]


enable_cudnn_sdp, cudnn_sdp_enabled = _switch()
enable_flash_sdp, flash_sdp_enabled = _switch()
enable_math_sdp, math_sdp_enabled = _switch()
enable_mem_efficient_sdp, mem_efficient_sdp_enabled = _switch()
