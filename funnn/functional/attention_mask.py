"""Which tokens may attend to which, by their positions: causal, within a window, within a segment; and ALiBi's penalty of distance."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from funnn.errors import ArgumentError
from funnn.functional._dispatch import public


@public
def attention_mask(
    query_positions: jax.Array,
    key_positions: jax.Array,
    causal: bool = True,
    window: int | None = None,
    query_segments: jax.Array | None = None,
    key_segments: jax.Array | None = None,
) -> jax.Array:
    """True where a query at position i may attend to a key at position j.

    That is where j is not negative, for a negative position marks padding and free places of a cache; if causal, ``j ≤ i``; within a window,
    ``i − j < window`` (``|i − j| < window`` if not causal); and where both are of one segment.

    Args:
      query_positions: ``i``, integers of shape (*, L).
      key_positions: ``j``, integers of shape (*, S).
      causal: whether no query attends to keys after it; default True.
      window: how many positions a query sees, its own among them; None (default) for all.
      query_segments: integers of shape (*, L), which text each token is of where several are packed into one sequence; default one text.
      key_segments: the same for keys, (*, S); default query_segments.

    Returns:
      A boolean array of shape (*, L, S). For attention with heads put an axis before the last two: ``mask[..., None, :, :]``.

    Raises:
      ArgumentError: window is not positive, or key_segments is given alone.

    Source: Beltagy et al., "Longformer" (2020) and Jiang et al., "Mistral 7B" (2023) for the window; Krell et al., "Efficient sequence packing
    without cross-contamination" (2021) for segments.

    Example:
      >>> import jax.numpy as jnp
      >>> i = jnp.arange(4)
      >>> attention_mask(i, i, window=2).astype(int).tolist()
      [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    """
    if window is not None and window < 1:
        raise ArgumentError(f"attention_mask: window must be at least 1 (a token sees itself), but got window={window}")
    if query_segments is None and key_segments is not None:
        raise ArgumentError("attention_mask: key_segments were given without query_segments; give both, or query_segments alone for both")
    i, j = jnp.asarray(query_positions)[..., :, None], jnp.asarray(key_positions)[..., None, :]
    allowed = (j >= 0) & (i >= 0)
    if causal:
        allowed &= j <= i
    if window is not None:
        allowed &= (i - j if causal else abs(i - j)) < window
    if query_segments is not None:
        key_segments = query_segments if key_segments is None else key_segments
        allowed &= jnp.asarray(query_segments)[..., :, None] == jnp.asarray(key_segments)[..., None, :]
    return allowed


@public
def segment_positions(segments: jax.Array) -> jax.Array:
    """The position of each token within its own text, where several texts are packed into one sequence: 0, 1, … from where the number changes.

    Args:
      segments: integers of shape (*, L), which text each token is of; tokens of one text stand side by side.

    Returns:
      Integers (int32) of shape (*, L).

    Source: Krell et al., "Efficient sequence packing without cross-contamination" (2021).

    Example:
      >>> import jax.numpy as jnp
      >>> segment_positions(jnp.array([1, 1, 1, 2, 2, 0])).tolist()
      [0, 1, 2, 0, 1, 0]
    """
    segments = jnp.asarray(segments)
    places = jnp.broadcast_to(jnp.arange(segments.shape[-1], dtype=jnp.int32), segments.shape)
    begins = jnp.concatenate([jnp.ones_like(segments[..., :1], bool), segments[..., 1:] != segments[..., :-1]], -1)
    return places - jax.lax.cummax(jnp.where(begins, places, 0), axis=segments.ndim - 1)


@public
def alibi_slopes(num_heads: int) -> jax.Array:
    """ALiBi's penalty a position, one for each head: ``m_h = 2^(−8h/n)`` for h = 1 … n.

    Where n is not a power of two, those of the next smaller power p come first, and then the odd ones of 2p.

    Args:
      num_heads: ``n``.

    Returns:
      An array of shape (num_heads,), in JAX's default floating dtype.

    Raises:
      ArgumentError: num_heads is not positive.

    Source: Press et al., "Train short, test long: attention with linear biases" (2022), and its code for other numbers of heads.

    Example:
      >>> alibi_slopes(4).tolist()
      [0.25, 0.0625, 0.015625, 0.00390625]
    """
    if num_heads < 1:
        raise ArgumentError(f"alibi_slopes: num_heads must be positive, but got {num_heads}")
    power = 2 ** (num_heads.bit_length() - 1)
    slopes = 2.0 ** (-8 * np.arange(1, power + 1) / power)
    more = 2.0 ** (-4 * np.arange(1, 2 * power, 2) / power)[: num_heads - power]
    return jnp.asarray(np.concatenate([slopes, more]), jnp.result_type(float))


@public
def alibi_bias(query_positions: jax.Array, key_positions: jax.Array, num_heads: int) -> jax.Array:
    """What ALiBi adds to the scores of a query at position i and a key at position j: ``−m_h |i − j|``.

    Args:
      query_positions: ``i``, integers of shape (*, L).
      key_positions: ``j``, integers of shape (*, S).
      num_heads: of the queries.

    Returns:
      An array of shape (*, num_heads, L, S), in JAX's default floating dtype. It has no part that is causal; that is the mask's.

    Raises:
      ArgumentError: num_heads is not positive.

    Source: Press et al., "Train short, test long: attention with linear biases" (2022).

    Example:
      >>> import jax.numpy as jnp
      >>> alibi_bias(jnp.arange(2), jnp.arange(2), 1).tolist()
      [[[0.0, -0.00390625], [-0.00390625, 0.0]]]
    """
    slopes = alibi_slopes(num_heads)
    distance = jnp.asarray(query_positions)[..., :, None] - jnp.asarray(key_positions)[..., None, :]
    return slopes[:, None, None] * (-abs(distance))[..., None, :, :].astype(slopes.dtype)
