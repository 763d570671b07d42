"""torch.cuda: what can be asked of the accelerator that JAX sees."""

from __future__ import annotations

import jax


def is_available() -> bool:
    """Whether JAX runs on a GPU."""
    return jax.default_backend() == "gpu"


def device_count() -> int:
    """The number of GPUs."""
    return jax.device_count() if is_available() else 0


def manual_seed(seed: int) -> None:
    """Nothing: there is one generator, and torch.manual_seed seeds it."""


manual_seed_all = manual_seed


def synchronize(device: object = None) -> None:
    """Wait until all work that was started is done."""
    for array in jax.live_arrays():
        array.block_until_ready()


def empty_cache() -> None:
    """Nothing: XLA manages its memory."""
