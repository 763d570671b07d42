"""Metrics averaged over an epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp


class MeanMetrics(NamedTuple):
    """The weighted mean of metrics over batches, as a value: each ``add`` gives a new one.

    With W the sum of weights so far, ``add(m, w)`` is W ← W + w; mean ← mean + (w / W) · (m − mean), in float32 at least. A batch of weight 0
    counts for nothing, whatever its metrics are.

    Attributes:
      values: the mean of each metric, by name; ``{}`` before the first ``add``.
      weight: the sum of weights, such as the number of samples.

    Example:
      >>> mean = MeanMetrics()
      >>> for loss, samples in ((1.0, 32), (2.0, 32), (9.0, 8)):
      ...     mean = mean.add({"loss": jnp.asarray(loss)}, weight=samples)
      >>> f"{mean.values['loss']:.4f} over {mean.weight:.0f}"
      '2.3333 over 72'

      In a scan the first value needs the metrics' structure:

      >>> def body(mean, x):
      ...     return mean.add({"loss": x}), None
      >>> jax.lax.scan(body, MeanMetrics.zeros({"loss": 0.0}), jnp.arange(4.0))[0].values["loss"].item()
      1.5
    """

    values: dict[str, Any] = {}  # noqa: RUF012 (of a tuple, and never written to)
    weight: Any = 0.0

    @classmethod
    def zeros(cls, metrics: Mapping[str, Any]) -> Self:
        """The mean of nothing, shaped as these metrics: arrays, numbers or ``jax.ShapeDtypeStruct``, as ``jax.eval_shape`` gives them."""
        return cls(jax.tree.map(lambda m: jnp.zeros(jnp.shape(m), _wide(m)), dict(metrics)), jnp.float32(0))

    def add(self, metrics: Mapping[str, Any], weight: Any = 1) -> Self:
        """The mean with one batch more.

        Args:
          metrics: arrays or numbers by name, as ``step`` and ``evaluate`` give them.
          weight: of this batch, such as its number of samples; a number or an array of rank 0, at least 0.

        Raises:
          ValueError: the metrics have other names than those before.
        """
        before = self if self.values else type(self).zeros(metrics)
        if before.values.keys() != metrics.keys():
            raise ValueError(f"MeanMetrics: the metrics so far are {sorted(before.values)}, and now came {sorted(metrics)}")
        return type(self)(*_added(before.values, before.weight, dict(metrics), weight))


def _wide(metric: Any) -> Any:
    return jnp.promote_types(jnp.result_type(metric), jnp.float32)


@jax.jit
def _added(values: Any, weight: Any, metrics: Any, more: Any) -> tuple[Any, jax.Array]:
    more = jnp.asarray(more, jnp.float32)
    total = weight + more
    share = jnp.where(more > 0, more / total, 0)
    moved = jax.tree.map(lambda old, new: jnp.where(more > 0, old + share.astype(old.dtype) * (new - old), old), values, metrics)
    return moved, total
