"""torch.random: the default generator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from funnn.engine.tensor.generator import Generator
from funnn.engine.tensor.generator import default_generator as default_generator
from funnn.engine.tensor.generator import get_rng_state as get_rng_state
from funnn.engine.tensor.generator import initial_seed as initial_seed
from funnn.engine.tensor.generator import manual_seed as manual_seed
from funnn.engine.tensor.generator import seed as seed
from funnn.engine.tensor.generator import set_rng_state as set_rng_state

__all__ = ["fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state", "thread_safe_generator"]


@contextmanager
def fork_rng(
    devices: Iterable | None = None,
    enabled: bool = True,
    _caller: str = "fork_rng",
    _devices_kw: str = "devices",
    device_type: str | None = None,
) -> Iterator[None]:
    """After the block, the generator continues as if the block had drawn nothing.

    Args:
      devices: accepted; one generator serves every device here.
      enabled: if False, nothing is kept.
      device_type: accepted, as ``devices``; for 'meta' nothing is kept.
    """
    if not enabled or device_type == "meta":
        yield
        return
    state = get_rng_state()
    try:
        yield
    finally:
        set_rng_state(state)


def thread_safe_generator() -> Generator | None:
    """The generator of the DataLoader's worker thread that this is; None outside of one."""
    return None
