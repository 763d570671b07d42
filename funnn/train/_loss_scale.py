"""Dynamic loss scale for float16, with the defaults and numbers of torch.amp.GradScaler."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class LossScale:
    """How :func:`train_step` scales the loss, so that small gradients are not 0 in float16.

    The loss is multiplied by a scale S before it is differentiated, and the gradients by 1/S after. Where a gradient is not finite, S was too
    large: the step is skipped and S ← backoff_factor · S. After ``growth_interval`` good steps in a row S ← growth_factor · S.

    Args:
      init_scale: the first S, above 0.
      growth_factor: above 1.
      backoff_factor: in (0, 1).
      growth_interval: good steps until S grows, at least 1.

    Raises:
      ValueError: a number out of its range.

    Source: torch.amp.GradScaler.

    Example:
      >>> scaling = LossScale(init_scale=8.0, growth_interval=2)
      >>> state = scaling.init()
      >>> for finite in (True, True, False):
      ...     state = scaling.update(state, finite)
      ...     print(state.scale, state.good_steps)
      8.0 1
      16.0 0
      8.0 0
    """

    init_scale: float = 2.0**16
    growth_factor: float = 2.0
    backoff_factor: float = 0.5
    growth_interval: int = 2000

    def __post_init__(self) -> None:
        for name, fits, range_ in (
            ("init_scale", self.init_scale > 0, "above 0"),
            ("growth_factor", self.growth_factor > 1, "above 1"),
            ("backoff_factor", 0 < self.backoff_factor < 1, "between 0 and 1"),
            ("growth_interval", self.growth_interval >= 1, "at least 1"),
        ):
            if not fits:
                raise ValueError(f"LossScale: {name} must be {range_}, got {getattr(self, name)}")

    def init(self) -> LossScaleState:
        """The state before the first step."""
        return LossScaleState(jnp.float32(self.init_scale), jnp.int32(0))

    def update(self, state: LossScaleState, finite: Any) -> LossScaleState:
        """The state after a step, whose gradients were finite or not. A scale that would become infinite stays."""
        good = jnp.where(finite, state.good_steps + 1, 0)
        grown = state.scale * self.growth_factor
        larger = jnp.where((good == self.growth_interval) & jnp.isfinite(grown), grown, state.scale)
        return LossScaleState(jnp.where(finite, larger, state.scale * self.backoff_factor), good % self.growth_interval)


class LossScaleState(NamedTuple):
    """What changes of a loss scale.

    Attributes:
      scale: S, a float32 array.
      good_steps: steps since S changed, an int32 array.
    """

    scale: jax.Array
    good_steps: jax.Array


def scaled(value: jax.Array, state: LossScaleState | None) -> jax.Array:
    """The loss times the scale, in float32 at least."""
    return value if state is None else value.astype(jnp.promote_types(value.dtype, jnp.float32)) * state.scale


def unscaled(grads: Any, state: LossScaleState | None) -> Any:
    """The gradients over the scale, in their types."""
    if state is None:
        return grads
    factor = 1 / state.scale
    return jax.tree.map(lambda grad: (grad.astype(jnp.promote_types(grad.dtype, jnp.float32)) * factor).astype(grad.dtype), grads)
