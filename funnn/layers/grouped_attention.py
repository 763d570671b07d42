"""Self-attention of language models: fewer heads of keys than of queries, rotary positions, windows, packed texts, and a cache."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from funnn import functional as F
from funnn._types import DTypeLike
from funnn.layers._axes import Axes, between
from funnn.layers._layer import Layer
from funnn.layers.linear import Linear
from funnn.layers.rotary import RotaryEmbedding


class GroupedQueryAttention(Layer):
    """Self-attention in which num_heads/num_kv_heads neighbouring heads of queries share a head of keys and values; ``(y, cache)``.

    ``forward(x, positions=None, segments=None, cache=None)``: x (B, L, embed_dim), and y of its shape. ``positions``, integers (L,) or (B, L), are 0, 1, …
    by default, or go on behind the cache's tokens; negative ones mark padding, to which nothing attends and which gets out(0).
    ``segments`` (B, L) say which text each token is of where several are packed into a sequence: none attends to another. With a ``cache`` from ``init_cache``
    the tokens attend to those that it has too, and are written into it; without one, None comes back.

    Args:
      embed_dim: width of input and output.
      num_heads: heads of queries.
      num_kv_heads: heads of keys and values, a divisor of num_heads; default num_heads, 1 for multi-query attention.
      head_dim: features of a head; default embed_dim / num_heads.
      bias: whether the maps to queries, keys and values have biases; default False.
      out_bias: whether the output's has; default as bias.
      packed: whether one Linear ``qkv`` makes queries, keys and values, in this order, instead of ``q``, ``k`` and ``v``; default False.
      rotary: a RotaryEmbedding for queries and keys; default none.
      window: how many positions a query sees, its own among them; default all.
      alibi: whether scores get ALiBi's penalty of distance; default False.
      causal: whether no query sees what comes after it; default True.
      dropout: probability of dropping an attention weight in training; ``apply`` then needs ``key``. Default 0.

    Parameters: Linears ``q`` (num_heads · head_dim), ``k`` and ``v`` (num_kv_heads · head_dim), ``out``; the initial values are theirs. Ainslie et al., "GQA"
    (2023); Shazeer, "Fast transformer decoding" (2019).

    Raises:
      ValueError: the numbers of heads do not divide, window is not positive, or segments come with a cache.

    >>> layer = GroupedQueryAttention(8, num_heads=4, num_kv_heads=2, rotary=RotaryEmbedding(2))
    >>> params, _ = layer.init(jax.random.key(0))
    >>> x = jax.random.normal(jax.random.key(1), (1, 3, 8))
    >>> (y, _), _ = layer.apply(params, {}, x)
    >>> (_, cache), _ = layer.apply(params, {}, x[:, :2], cache=layer.init_cache(1, 3))
    >>> (last, cache), _ = layer.apply(params, {}, x[:, 2:], cache=cache)
    >>> bool(jnp.allclose(last, y[:, 2:], atol=1e-6))
    True
    """

    embed_dim: int
    num_heads: int
    num_kv_heads: int | None = None
    head_dim: int | None = None
    bias: bool = False
    out_bias: bool | None = None
    packed: bool = False
    rotary: RotaryEmbedding | None = None
    window: int | None = None
    alibi: bool = False
    causal: bool = True
    dropout: float = 0.0

    def __post_init__(self) -> None:
        kv_heads = self.num_kv_heads = self.num_heads if self.num_kv_heads is None else self.num_kv_heads
        if min(self.num_heads, kv_heads) < 1 or self.num_heads % kv_heads:
            raise ValueError(f"num_heads must be divisible by num_kv_heads, but got num_heads={self.num_heads} and num_kv_heads={kv_heads}")
        if self.head_dim is None:
            if self.embed_dim % self.num_heads:
                raise ValueError(
                    f"embed_dim must be divisible by num_heads, but got embed_dim={self.embed_dim} and num_heads={self.num_heads}; or give head_dim"
                )
            self.head_dim = self.embed_dim // self.num_heads
        if self.window is not None and self.window < 1:
            raise ValueError(f"window must be at least 1 (a token sees itself), but got window={self.window}")
        queries, keys = self.num_heads * self.head_dim, kv_heads * self.head_dim
        if self.packed:
            self.qkv = Linear(self.embed_dim, queries + 2 * keys, self.bias)
        else:
            self.q = Linear(self.embed_dim, queries, self.bias)
            self.k = Linear(self.embed_dim, keys, self.bias)
            self.v = Linear(self.embed_dim, keys, self.bias)
        self.out = Linear(queries, self.embed_dim, self.bias if self.out_bias is None else self.out_bias)

    def logical_axes(self) -> dict[str, Axes]:
        queries = between("heads", ("qkv",) if self.packed else ("q",), "out")
        return queries if self.packed else {**between("kv_heads", ("k", "v"), "out"), **queries}

    def init_cache(self, batch: int, length: int, dtype: DTypeLike = jnp.float32, *, layers: int | None = None) -> F.KVCache:
        """An empty cache for ``batch`` sequences of up to ``length`` tokens; with a window and token by token, the window's length is enough. ``layers`` stacks
        those of as many equal layers along a first axis, as ``Repeat(block, layers)`` takes them by ``each``."""
        kv_heads, width = self._sizes()
        return F.init_kv_cache(batch, kv_heads, length, width, dtype, layers=layers)

    def forward(
        self,
        x: jax.Array,
        positions: jax.Array | None = None,
        segments: jax.Array | None = None,
        cache: F.KVCache | None = None,
    ) -> tuple[jax.Array, F.KVCache | None]:
        if segments is not None and cache is not None:
            raise ValueError("GroupedQueryAttention: segments are for whole sequences and can't be given together with a cache")
        q, k, v = self._queries_keys_values(x)
        whole = positions is None and segments is None and cache is None and not self.alibi
        if positions is None:
            positions = jnp.arange(x.shape[-2], dtype=jnp.int32)
            positions = positions if cache is None else positions + cache.length
        if self.rotary is not None:
            q, k = self.rotary(q, positions), self.rotary(k, positions)
        if whole:
            key = self.make_key() if self.dropout else None
            p = self.dropout if self.training else 0.0
            y = F.scaled_dot_product_attention(q, k, v, None, p, self.causal, enable_gqa=True, window=self.window, dropout_key=key)
        else:
            key_positions = positions
            if cache is not None:
                cache = F.update_kv_cache(cache, k, v, positions)
                k, v, key_positions = cache.key.astype(q.dtype), cache.value.astype(q.dtype), cache.positions
            y = self._attend(q, k, v, positions, key_positions, segments)
        y = y.swapaxes(-2, -3)
        return self.out(y.reshape(*y.shape[:-2], -1)), cache

    def _sizes(self) -> tuple[int, int]:
        """num_kv_heads and head_dim."""
        assert self.num_kv_heads is not None and self.head_dim is not None, "filled in by the constructor"
        return self.num_kv_heads, self.head_dim

    def _queries_keys_values(self, x: jax.Array) -> list[jax.Array]:
        """Each of shape (*, heads, L, head_dim)."""
        kv_heads, width = self._sizes()
        if self.packed:
            qkv, queries, keys = self.qkv(x), self.num_heads * width, kv_heads * width
            parts = qkv[..., :queries], qkv[..., queries : queries + keys], qkv[..., queries + keys :]
        else:
            parts = self.q(x), self.k(x), self.v(x)
        return [part.reshape(*x.shape[:-1], -1, width).swapaxes(-2, -3) for part in parts]

    def _attend(self, q: jax.Array, k: jax.Array, v: jax.Array, i: jax.Array, j: jax.Array, segments: jax.Array | None) -> jax.Array:
        """Attention under a mask."""
        mask = F.attention_mask(i, j, self.causal, self.window, segments)[..., None, :, :]
        if self.alibi:
            mask = jnp.where(mask, F.alibi_bias(i, j, self.num_heads), -math.inf).astype(q.dtype)
        key = self.make_key() if self.dropout else None
        p = self.dropout if self.training else 0.0
        return F.scaled_dot_product_attention(q, k, v, mask, p, enable_gqa=True, dropout_key=key)

    def extra_repr(self) -> str:
        parts = [f"{self.embed_dim}, num_heads={self.num_heads}, num_kv_heads={self.num_kv_heads}, head_dim={self.head_dim}"]
        parts += [f"{name}={getattr(self, name)}" for name in ("window", "alibi", "dropout") if getattr(self, name)]
        return ", ".join(parts if self.causal else [*parts, "causal=False"])
