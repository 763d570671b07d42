"""torch.backends.cuda: accepted settings; ``torch.set_float32_matmul_precision`` and JAX's own options choose precisions."""

from __future__ import annotations

from types import SimpleNamespace

from funnn.torch import cuda

matmul = SimpleNamespace(allow_tf32=False, allow_fp16_reduced_precision_reduction=True, allow_bf16_reduced_precision_reduction=True)


def is_built() -> bool:
    """Whether JAX has a GPU."""
    return cuda.is_available()


def is_flash_attention_available() -> bool:
    """Whether JAX has a GPU, for which XLA then chooses among the kinds of attention itself."""
    return cuda.is_available()


#: By kind of attention, what was set; nobody reads it, for XLA chooses the kind.
_enabled = {"cudnn": True, "flash": True, "math": True, "mem_efficient": True}


def enable_cudnn_sdp(enabled: bool) -> None:
    """Kept, and nothing else: XLA itself chooses whether to compute cuDNN's attention."""
    _enabled["cudnn"] = bool(enabled)


def cudnn_sdp_enabled() -> bool:
    """What ``enable_cudnn_sdp`` set; at first True."""
    return _enabled["cudnn"]


def enable_flash_sdp(enabled: bool) -> None:
    """Kept, and nothing else: XLA itself chooses whether to compute flash attention."""
    _enabled["flash"] = bool(enabled)


def flash_sdp_enabled() -> bool:
    """What ``enable_flash_sdp`` set; at first True."""
    return _enabled["flash"]


def enable_math_sdp(enabled: bool) -> None:
    """Kept, and nothing else: XLA itself chooses whether to compute attention by plain products."""
    _enabled["math"] = bool(enabled)


def math_sdp_enabled() -> bool:
    """What ``enable_math_sdp`` set; at first True."""
    return _enabled["math"]


def enable_mem_efficient_sdp(enabled: bool) -> None:
    """Kept, and nothing else: XLA itself chooses whether to compute memory-efficient attention."""
    _enabled["mem_efficient"] = bool(enabled)


def mem_efficient_sdp_enabled() -> bool:
    """What ``enable_mem_efficient_sdp`` set; at first True."""
    return _enabled["mem_efficient"]
