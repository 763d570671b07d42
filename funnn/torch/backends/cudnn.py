"""torch.backends.cudnn: accepted settings. XLA chooses its algorithms itself, and deterministically unless told otherwise."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from funnn.torch import cuda

enabled = True
benchmark = False
benchmark_limit: int | None = None
deterministic = False
allow_tf32 = True
fp32_precision = "none"
depthwise_kernel = "auto"

_Flags = tuple[bool, bool, int | None, bool, bool, str, str]


def is_available() -> bool:
    """Whether XLA has an NVIDIA GPU to use it on."""
    return cuda.is_available()


def version() -> int | None:
    """Not known to JAX: None."""
    return None


def set_flags(
    _enabled: bool | None = None,
    _benchmark: bool | None = None,
    _benchmark_limit: int | None = None,
    _deterministic: bool | None = None,
    _allow_tf32: bool | None = None,
    _fp32_precision: str | None = "none",
    _depthwise_kernel: str | None = None,
) -> _Flags:
    """Set those flags that are not None, and give what all of them were; they are kept, and change nothing.

    ``benchmark_limit`` is kept only where there is a GPU, as in torch.

    >>> import funnn.torch as torch
    >>> torch.backends.cudnn.set_flags(_benchmark=True)[:2], torch.backends.cudnn.benchmark
    ((True, False), True)
    >>> _ = torch.backends.cudnn.set_flags(_benchmark=False)
    """
    global enabled, benchmark, benchmark_limit, deterministic, allow_tf32, fp32_precision, depthwise_kernel
    before = enabled, benchmark, benchmark_limit, deterministic, allow_tf32, fp32_precision, depthwise_kernel
    enabled = enabled if _enabled is None else _enabled
    benchmark = benchmark if _benchmark is None else _benchmark
    if _benchmark_limit is not None and is_available():
        benchmark_limit = _benchmark_limit
    deterministic = deterministic if _deterministic is None else _deterministic
    allow_tf32 = allow_tf32 if _allow_tf32 is None else _allow_tf32
    fp32_precision = fp32_precision if _fp32_precision is None else _fp32_precision
    depthwise_kernel = depthwise_kernel if _depthwise_kernel is None else _depthwise_kernel
    return before


@contextlib.contextmanager
def flags(
    enabled: bool = False,
    benchmark: bool = False,
    benchmark_limit: int = 10,
    deterministic: bool = False,
    allow_tf32: bool = True,
    fp32_precision: str = "none",
    depthwise_kernel: str = "auto",
) -> Iterator[None]:
    """The context in which the flags are these; what is not said is torch's default for it, which is ``enabled=False``.

    >>> import funnn.torch as torch
    >>> with torch.backends.cudnn.flags(enabled=True, deterministic=True):
    ...     print(torch.backends.cudnn.deterministic)
    True
    >>> torch.backends.cudnn.deterministic
    False
    """
    before = set_flags(enabled, benchmark, benchmark_limit, deterministic, allow_tf32, fp32_precision, depthwise_kernel)
    try:
        yield
    finally:
        set_flags(*before)
