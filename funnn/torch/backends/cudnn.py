"""torch.backends.cudnn: accepted settings. XLA chooses its algorithms itself, and deterministically unless told otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from funnn.torch import cuda

enabled = True
benchmark = False
deterministic = False
allow_tf32 = True


def is_available() -> bool:
    """Whether XLA has an NVIDIA GPU to use it on."""
    return cuda.is_available()


def version() -> int | None:
    """Not known to JAX: None."""
    return None


@contextmanager
def flags(
    enabled: bool = False, benchmark: bool = False, benchmark_limit: int = 10, deterministic: bool = False, allow_tf32: bool = True
) -> Iterator[None]:
    """A block with these settings, after which they are what they were; as everywhere here, they are kept and change nothing.

    ``benchmark_limit`` is accepted; without cuDNN, PyTorch does not keep it either.

    Example:
      >>> import funnn.torch as torch
      >>> with torch.backends.cudnn.flags(enabled=False):
      ...     print(torch.backends.cudnn.enabled)
      False
      >>> torch.backends.cudnn.enabled
      True
    """
    settings = {"enabled": enabled, "benchmark": benchmark, "deterministic": deterministic, "allow_tf32": allow_tf32}
    before = {name: globals()[name] for name in settings}
    globals().update(settings)
    try:
        yield
    finally:
        globals().update(before)
