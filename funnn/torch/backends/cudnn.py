"""torch.backends.cudnn: accepted settings. XLA chooses its algorithms itself, and deterministically unless told otherwise."""

from __future__ import annotations

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
