"""The exponential moving average of parameters, with the numbers of torch.optim.swa_utils."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

#: A decay in [0, 1], or a function of the number of averaged updates.
Decay = float | Callable[[jax.Array], Any]


class Ema(NamedTuple):
    """An exponential moving average of parameters.

    Attributes:
      params: the average, in the structure of the parameters; those of 16 bits are averaged in float32, where small changes are not lost.
      updates: how many updates it has seen, an int32 array.
    """

    params: Any
    updates: jax.Array


def start_ema(params: Any) -> Ema:
    """The average before the first update: a copy of the parameters."""
    return Ema(jax.tree.map(lambda leaf: jnp.array(leaf, dtype=jnp.promote_types(leaf.dtype, jnp.float32)), params), jnp.int32(0))


def move_ema(ema: Ema, params: Any, decay: Decay, updated: Any) -> Ema:
    """e₁ = θ₁ and eₜ = d·eₜ₋₁ + (1 − d)·θₜ, where θ was updated; else as it was. The first one needs no correction, as in torch's AveragedModel."""
    rate = jnp.asarray(decay(ema.updates) if callable(decay) else decay, jnp.float32)
    share = jnp.where(updated, jnp.where(ema.updates == 0, 1, 1 - rate), 0)

    def moved(average: jax.Array, param: jax.Array) -> jax.Array:
        whole = param.astype(average.dtype)
        part = average + share.astype(jnp.finfo(average.dtype).dtype) * (whole - average)
        return jnp.where(share == 1, whole, part)  # exactly, and whatever the average was

    return Ema(jax.tree.map(moved, ema.params, params), ema.updates + jnp.asarray(updated, jnp.int32))


def check_decay(decay: Any) -> None:
    """Raise ValueError for a number that is no decay."""
    if decay is not None and not callable(decay) and not 0 <= decay <= 1:
        raise ValueError(f"train_step: ema must be a decay in [0, 1] such as 0.999, or a function of the number of updates, got {decay!r}")
