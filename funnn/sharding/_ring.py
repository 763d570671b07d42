"""Attention over sequences that are split over devices: keys and values go round a ring."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import AxisType, PartitionSpec

from funnn import functional as F
from funnn.errors import ShapeError
from funnn.functional import _checks as check


def ring_attention(q: Any, k: Any, v: Any, *, axis: str = "context", is_causal: bool = False, scale: float | None = None) -> Any:
    """softmax(q kᵀ · scale) v where the sequence is split over a mesh axis (context parallelism): no device sees all keys at once.

    Args:
      q: queries (*, H, L, E).
      k, v: keys (*, G, L, E) and values (*, G, L, E_v); G divides H, and each of them serves H/G heads in turn.
      axis: the mesh axis, of the mesh that is set (``with jax.set_mesh(mesh):``) or of the shard_map around. It must divide L.
      is_causal: whether a query sees no key behind it.
      scale: default 1/√E.

    Returns:
      (*, H, L, E_v) of the values' dtype, split as the queries are. Sums are taken in float32 at least. Each of the N devices keeps its L/N queries and
      passes its keys and values on N − 1 times; memory is linear in L/N, as scores are computed anew in the backward pass. Where no mesh with that axis
      is set, it is ``F.scaled_dot_product_attention``.

    Raises:
      ShapeError: L is not divisible by the axis, or the shapes do not fit.

    Source: Liu et al., "Ring attention with blockwise transformers for near-infinite context" (2023).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from funnn.sharding import make_mesh
      >>> q = jax.random.normal(jax.random.key(0), (2, 4, 8, 16))
      >>> with jax.set_mesh(make_mesh({"context": -1})):
      ...     y = ring_attention(q, q, q, is_causal=True)
      >>> bool(jnp.allclose(y, F.scaled_dot_product_attention(q, q, q, is_causal=True), atol=1e-5))
      True
    """
    if q.ndim < 3 or k.ndim != q.ndim or v.shape[:-1] != k.shape[:-1] or q.shape[-1] != k.shape[-1] or q.shape[-2] != k.shape[-2]:
        raise ShapeError(
            f"ring_attention takes q (*, H, L, E), k (*, G, L, E) and v (*, G, L, E_v), but got {check.shape(q)}, {check.shape(k)} and {check.shape(v)}"
        )
    if k.shape[-3] == 0 or q.shape[-3] % k.shape[-3]:
        raise ShapeError(f"ring_attention: the {k.shape[-3]} heads of the keys do not divide the {q.shape[-3]} heads of the queries")
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    mesh = jax.sharding.get_abstract_mesh()
    kinds = dict(zip(mesh.axis_names, mesh.axis_types, strict=True))
    if axis not in kinds:
        return F.scaled_dot_product_attention(q, k, v, is_causal=is_causal, scale=scale, enable_gqa=q.shape[-3] != k.shape[-3])
    run = functools.partial(_ring, axis=axis, count=mesh.shape[axis], is_causal=is_causal, scale=scale)
    if kinds[axis] == AxisType.Manual:
        return run(q, k, v)
    if q.shape[-2] % mesh.shape[axis]:
        raise ShapeError(
            f"ring_attention: the length {q.shape[-2]} is not divisible by the {mesh.shape[axis]} devices of mesh axis {axis!r}; pad it"
        )
    split = PartitionSpec(*(None,) * (q.ndim - 2), axis, None)
    return jax.shard_map(run, in_specs=(split, split, split), out_specs=split, axis_names={axis})(q, k, v)


def _ring(q: Any, k: Any, v: Any, *, axis: str, count: int, is_causal: bool, scale: float) -> Any:
    wide = check.accumulator(q.dtype)
    length, own = q.shape[-2], lax.axis_index(axis)
    groups = k.shape[-3]
    rows = q.reshape(*q.shape[:-3], groups, q.shape[-3] // groups, length, q.shape[-1])
    to_next = [(device, (device + 1) % count) for device in range(count)]
    positions = jnp.arange(length)

    @jax.checkpoint
    def add_block(sums: Any, k: Any, v: Any, turn: Any) -> Any:
        """The running sum of values, sum of weights and maximum, with one more block of keys."""
        total, weight, top = sums
        scores = jnp.einsum("...grle,...gse->...grls", rows, k, preferred_element_type=wide) * scale
        if is_causal:
            behind = positions[:, None] + length * own < positions[None, :] + length * ((own - turn) % count)
            scores = jnp.where(behind, -jnp.inf, scores)
        new_top = jnp.maximum(top, lax.stop_gradient(scores.max(-1)))
        base = jnp.where(new_top == -jnp.inf, 0, new_top)  # of a query that has seen no key yet
        weights, fade = jnp.exp(scores - base[..., None]), jnp.exp(top - base)
        added = jnp.einsum("...grls,...gse->...grle", weights.astype(v.dtype), v, preferred_element_type=wide)
        return total * fade[..., None] + added, weight * fade + weights.sum(-1), new_top

    def step(carry: Any, turn: Any) -> Any:
        sums, k, v = carry
        sums = add_block(sums, k, v, turn)
        return (sums, lax.ppermute(k, axis, to_next), lax.ppermute(v, axis, to_next)), None

    start = (
        jnp.zeros((*rows.shape[:-1], v.shape[-1]), wide) + 0 * rows[..., :1].astype(wide),  # which varies over the mesh as the queries do
        0 * rows[..., 0].astype(wide),
        jnp.full_like(rows[..., 0], -jnp.inf, wide) + 0 * rows[..., 0].astype(wide),
    )
    (sums, k, v), _ = lax.scan(step, (start, k, v), jnp.arange(count - 1))
    total, weight, _ = add_block(sums, k, v, count - 1)
    return (total / weight[..., None]).reshape(*q.shape[:-1], v.shape[-1]).astype(v.dtype)
