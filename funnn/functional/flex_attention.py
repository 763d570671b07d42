"""Attention whose scores and mask are functions of the place: batch, head, query and key."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from funnn.errors import ArgumentError, DtypeError, ShapeError
from funnn.functional import _checks as check
from funnn.functional._attention_block import Band
from funnn.functional._attention_kernel import attend
from funnn.functional._dispatch import public

NAME = "flex_attention"


@public
def flex_attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    score_mod: Callable[..., Any] | None = None,
    mask_mod: Callable[..., Any] | None = None,
    scale: float | None = None,
    enable_gqa: bool = False,
    return_lse: bool = False,
) -> jax.Array | tuple[jax.Array, jax.Array]:
    """``softmax(s') v`` over the keys j that a query may attend to, with ``s'_ij = score_mod(scale · q_i·k_j, b, h, i, j)``.

    Args:
      query: ``q``, of shape (B, H_q, L, E).
      key: ``k``, of shape (B, H, S, E); B may be 1.
      value: ``v``, of shape (B, H, S, E_v).
      score_mod: a function of one score and its place (b, h, q_idx, kv_idx), all arrays without axes, that returns the new score. It is mapped over
        all places by jax.vmap and may use arrays of its own, which are differentiated too. Default none.
      mask_mod: a function of (b, h, q_idx, kv_idx) that returns whether the query may attend to the key. Default all may.
      scale: of the scores; default 1/√E.
      enable_gqa: whether H may be a divisor of H_q; each key and value then serves H_q/H neighbouring queries' heads. Default False.
      return_lse: whether to return the log of the sums of exp(s') too; −∞ where a query may attend to nothing.

    Returns:
      An array of shape (B, H_q, L, E_v) and the query's dtype; with return_lse, also one of shape (B, H_q, L) in float32 at least.
      A query that may attend to nothing gets zeros.

    Raises:
      ShapeError: the shapes do not fit.
      NotImplementedError: another rank than 4.
      DtypeError: the dtypes differ, or are not floating point.

    Source: Dong et al., "Flex Attention" (2024); torch.nn.attention.flex_attention. Scores are computed in float32 at least.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.ones((1, 1, 3, 2))
      >>> values = jnp.arange(3.0).reshape(1, 1, 3, 1)
      >>> flex_attention(x, x, values, mask_mod=lambda b, h, q, k: q >= k)[0, 0, :, 0].tolist()
      [0.0, 0.5, 1.0]
    """
    scale = default_scale(query) if scale is None else scale
    check_shapes(query, key, value, enable_gqa)
    shape = (*query.shape[:-1], key.shape[-2])
    mask = None if mask_mod is None else at_all_places(mask_mod, shape)
    if score_mod is None and not return_lse:
        return attention(query, key, value, mask, scale)
    scores = attention_scores(query, key, scale)
    if score_mod is not None:
        scores = at_all_places(score_mod, shape, scores)
    output = weighted_values(scores, value, mask)
    return (output, log_sum_exp(scores, mask)) if return_lse else output


def default_scale(query: Any) -> float:
    """1/√E."""
    return 1 / math.sqrt(query.shape[-1]) if query.shape[-1] else 1.0


def at_all_places(
    function: Callable[..., Any],
    shape: tuple[int, ...],
    *scores: jax.Array,
    vmap: Callable[..., Any] = jax.vmap,
    arange: Callable[..., Any] = jnp.arange,
) -> Any:
    """``function(*scores, b, h, i, j)`` for all indices (b, h, i, j) of ``shape``."""
    for place in (3, 2, 1, 0):
        function = vmap(function, (*[0] * len(scores), *(0 if axis == place else None for axis in range(4))))
    return function(*scores, *(arange(size) for size in shape))


def check_shapes(query: Any, key: Any, value: Any, enable_gqa: bool) -> None:
    """The operands have four axes that fit; for anything with a shape."""
    shapes = [tuple(x.shape) for x in (query, key, value)]
    if not query.dtype == key.dtype == value.dtype:
        raise DtypeError(f"Expected query, key, and value to have the same dtype, but got {query.dtype}, {key.dtype} and {value.dtype}")
    if any(len(shape) != 4 for shape in shapes):
        raise NotImplementedError(
            f"{NAME}: query, key, and value must be 4D tensors (batch, heads, length, features), but got shapes {shapes}"
        )
    (batch, heads, _, width), (key_batch, key_heads, length, key_width), other = shapes
    if width != key_width:
        raise ShapeError(f"Expect query and key/value to have the same embedding dimension but got E={width} and E={key_width}.")
    if other[:3] != (key_batch, key_heads, length):
        raise ShapeError(f"{NAME}: key and value must agree in batch, heads and length, but got shapes {shapes[1]} and {shapes[2]}")
    if heads != key_heads and not enable_gqa:
        raise ArgumentError(
            f"Expect query and key/value to have the same number of heads but got Hq={heads} and Hkv={key_heads}. Try setting enable_gqa=True"
        )
    if key_heads == 0 or heads % key_heads:
        raise ArgumentError(f"Expect number of query heads to be a multiple of kv heads for GQA but got Hq={heads} and Hkv={key_heads}.")
    if key_batch not in (1, batch):
        raise ShapeError(f"{NAME}: Bq and Bkv must broadcast. Got Bq={batch} and Bkv={key_batch}")


def attention(query: jax.Array, key: jax.Array, value: jax.Array, mask: jax.Array | None, scale: Any) -> jax.Array:
    """Attention with plain scores."""
    q: jax.Array = _wide("query", query) * scale
    return attend(q, _for_queries("key", key, query), _for_queries("value", value, query), None, mask, None, Band()).astype(query.dtype)


def attention_scores(query: jax.Array, key: jax.Array, scale: Any) -> jax.Array:
    """``scale · q kᵀ``, in float32 at least."""
    scores: jax.Array = jnp.matmul(_wide("query", query), jnp.swapaxes(_for_queries("key", key, query), -1, -2)) * scale
    return scores


def weighted_values(scores: jax.Array, value: jax.Array, mask: jax.Array | None) -> jax.Array:
    """``softmax(scores) v``, in the values' dtype."""
    v = _for_queries("value", value, scores)
    none = jnp.zeros((*scores.shape[:-1], 0), v.dtype), jnp.zeros((*v.shape[:-1], 0), v.dtype)  # no features: the scores are the bias alone
    return attend(*none, v, scores.astype(v.dtype), mask, None, Band()).astype(value.dtype)


def log_sum_exp(scores: jax.Array, mask: jax.Array | None) -> jax.Array:
    """``log Σ_j exp(s_ij)`` over the keys that may be attended to."""
    scores = scores if mask is None else jnp.where(mask, scores, -jnp.inf)
    largest = largest_score(jax.lax.stop_gradient(scores), None)
    largest = jnp.where(jnp.isinf(largest), 0, largest)
    total = jnp.sum(jnp.exp(scores - largest[..., None]), -1)
    return jnp.where(total == 0, -jnp.inf, jnp.log(jnp.where(total == 0, 1, total)) + largest)


def largest_score(scores: jax.Array, mask: jax.Array | None) -> jax.Array:
    """``max_j s_ij`` over the keys that may be attended to."""
    return jnp.max(scores if mask is None else jnp.where(mask, scores, -jnp.inf), -1, initial=-jnp.inf)


def _wide(name: str, x: jax.Array) -> jax.Array:
    x = check.floating(NAME, name, x)
    return x.astype(check.accumulator(x.dtype))


def _for_queries(name: str, x: jax.Array, like: jax.Array) -> jax.Array:
    """Keys or values with the batch and the heads of queries or scores."""
    x, (batch, heads) = _wide(name, x), like.shape[:2]
    x = x if x.shape[1] == heads else jnp.repeat(x, heads // x.shape[1], axis=1)
    return jnp.broadcast_to(x, (batch, *x.shape[1:]))
