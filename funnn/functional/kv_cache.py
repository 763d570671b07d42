"""The memory of attention that reads a text piece by piece: keys and values of what was read, in arrays whose shapes do not change."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from funnn._types import DTypeLike, PyTree
from funnn.errors import ArgumentError, ShapeError
from funnn.functional._dispatch import public


class KVCache(NamedTuple):
    """Keys and values of one attention; a pytree. Made by :func:`init_kv_cache`, filled by :func:`update_kv_cache`.

    Attributes:
      key: (B, H, S, D); S is how many tokens there is room for.
      value: (B, H, S, D).
      positions: (B, S), integers; negative where nothing was written, and where padding was.
      length: (), how many tokens were written.
    """

    key: jax.Array
    value: jax.Array
    positions: jax.Array
    length: jax.Array


@public
def init_kv_cache(
    batch: int, num_heads: int, length: int, head_dim: int, dtype: DTypeLike = jnp.float32, *, layers: int | None = None
) -> KVCache:
    """An empty cache of keys and values.

    Args:
      batch: ``B``, number of sequences.
      num_heads: ``H``, of keys and values.
      length: ``S``, number of tokens for which there is room.
      head_dim: ``D``, features of a head.
      dtype: of keys and values; default float32.
      layers: of how many equal layers the caches are, stacked along a first axis, as ``Repeat`` gives each layer its own; default one without that axis.

    Returns:
      A KVCache with keys and values (B, H, S, D) of zeros, positions (B, S) of −1, and length 0, all behind an axis of ``layers`` if that is given.

    Raises:
      ArgumentError: a size is not positive.

    Source: Pope et al., "Efficiently scaling transformer inference" (2022).

    Example:
      >>> init_kv_cache(2, 1, 5, 4).key.shape, init_kv_cache(2, 1, 5, 4, layers=12).key.shape
      ((2, 1, 5, 4), (12, 2, 1, 5, 4))
    """
    sizes = {"batch": batch, "num_heads": num_heads, "length": length, "head_dim": head_dim, "layers": 1 if layers is None else layers}
    for name, size in sizes.items():
        if size < 1:
            raise ArgumentError(f"init_kv_cache: {name} must be positive, but got {name}={size}")
    stacked = () if layers is None else (layers,)
    shape = (*stacked, batch, num_heads, length, head_dim)
    positions = jnp.full((*stacked, batch, length), -1, jnp.int32)
    return KVCache(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype), positions, jnp.zeros(stacked, jnp.int32))


@public
def update_kv_cache(cache: KVCache, key: jax.Array, value: jax.Array, positions: jax.Array) -> KVCache:
    """The cache with the keys and values of L more tokens behind those that it has.

    Where there is no more room, the oldest tokens make room for new ones, so with a window of W positions a length of W is enough to go on token by
    token. A piece of L tokens overwrites L places before its first token attends, and needs a length of W + L − 1.

    Args:
      cache: what was read before.
      key: (B, H, L, D), L at most the cache's length.
      value: (B, H, L, D).
      positions: of the tokens, integers of shape (L,) or (B, L); negative for padding, to which nothing will attend.

    Returns:
      A KVCache of the same shapes and dtypes.

    Raises:
      ShapeError: the shapes do not fit.

    Source: Pope et al., "Efficiently scaling transformer inference" (2022).

    Example:
      >>> import jax.numpy as jnp
      >>> cache = update_kv_cache(init_kv_cache(1, 1, 3, 2), jnp.ones((1, 1, 2, 2)), jnp.ones((1, 1, 2, 2)), jnp.arange(2))
      >>> cache.positions.tolist(), cache.length.item()
      ([[0, 1, -1]], 2)
    """
    batch, heads, room, width = cache.key.shape
    length = key.shape[-2] if key.ndim == 4 else -1
    if key.shape != (batch, heads, length, width) or value.shape != key.shape or length > room:
        raise ShapeError(
            f"update_kv_cache: a cache with keys of shape {[*cache.key.shape]} takes key and value of shape [{batch}, {heads}, L, {width}] with L ≤ {room}, "
            f"but got {[*key.shape]} and {[*value.shape]}"
        )
    positions = jnp.broadcast_to(jnp.asarray(positions, jnp.int32), (batch, length))
    if length == 1:
        slot = cache.length % room

        def write(array: jax.Array, new: jax.Array, axis: int) -> jax.Array:
            return jax.lax.dynamic_update_slice_in_dim(array, new.astype(array.dtype), slot, array.ndim + axis)
    else:
        slots = (cache.length + jnp.arange(length, dtype=jnp.int32)) % room

        def write(array: jax.Array, new: jax.Array, axis: int) -> jax.Array:
            index: tuple[Any, ...] = (..., slots) if axis == -1 else (..., slots, slice(None))
            return array.at[index].set(new.astype(array.dtype), unique_indices=True)

    return KVCache(write(cache.key, key, -2), write(cache.value, value, -2), write(cache.positions, positions, -1), cache.length + length)


@public
def reorder_kv_cache(cache: PyTree, rows: jax.Array) -> PyTree:
    """Caches with other sequences in the place of theirs, as a beam search needs them: sequence b becomes what ``rows[b]`` was.

    Args:
      cache: a KVCache or any pytree of them, also with further axes before their own (of layers that are stacked).
      rows: integers of shape (B',).

    Returns:
      The same tree, for B' sequences.

    Raises:
      ShapeError: rows has another number of axes than one.

    Example:
      >>> import jax.numpy as jnp
      >>> cache = init_kv_cache(2, 1, 1, 1)._replace(positions=jnp.array([[5], [7]]))
      >>> reorder_kv_cache([cache], jnp.array([1, 1, 0]))[0].positions.tolist()
      [[7], [7], [5]]
    """
    rows = jnp.asarray(rows)
    if rows.ndim != 1:
        raise ShapeError(f"reorder_kv_cache: rows must be of shape (B,), but got {[*rows.shape]}")

    def take(entry: KVCache) -> KVCache:
        key, value = (jnp.take(x, rows, axis=x.ndim - 4) for x in (entry.key, entry.value))
        return KVCache(key, value, jnp.take(entry.positions, rows, axis=entry.positions.ndim - 2), entry.length)

    return jax.tree.map(take, cache, is_leaf=lambda entry: isinstance(entry, KVCache))
