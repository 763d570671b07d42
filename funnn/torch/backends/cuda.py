"""torch.backends.cuda: accepted settings; ``torch.set_float32_matmul_precision`` and JAX's own options choose precisions."""

from __future__ import annotations

from types import SimpleNamespace

from funnn.torch import cuda

matmul = SimpleNamespace(allow_tf32=False, allow_fp16_reduced_precision_reduction=True, allow_bf16_reduced_precision_reduction=True)


def is_built() -> bool:
    """Whether JAX has a GPU."""
    return cuda.is_available()
