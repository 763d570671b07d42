"""Attention with several heads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from funnn import functional as F
from funnn import init
from funnn.errors import AssertedError
from funnn.layers._axes import Axes, between
from funnn.layers._layer import Layer, Param, Spec
from funnn.layers.linear import Linear


class NonDynamicallyQuantizableLinear(Linear):
    """Linear, by the name that torch's MultiheadAttention prints for its output projection."""


class MultiheadAttention(Layer):
    """concat(head_1 … head_h) W_O + b_O, where head_i is the attention of a linear map of the query over linear maps of key and value.

    Inputs query (L, N, embed_dim), key (S, N, kdim), value (S, N, vdim), with N first if ``batch_first``, or without N; the output has the
    query's shape. ``forward`` returns it with the attention weights, (N, L, S) averaged over the heads, (N, num_heads, L, S) with
    ``average_attn_weights=False``, or None with ``need_weights=False``, which is faster. Masks: ``key_padding_mask`` (N, S) and ``attn_mask``
    (L, S) or (N·num_heads, L, S), True where attention is not allowed, or numbers that are added to the scores.

    Args:
      embed_dim: width of the query and the output.
      num_heads: h, a divisor of embed_dim.
      dropout: probability of dropping an attention weight in training; ``apply`` then needs ``key``. Default 0.
      bias: whether the projections have biases; default True.
      add_bias_kv: whether to add one learnt key and value to every sequence; default False.
      add_zero_attn: whether to add one key and value of zeros; default False.
      kdim, vdim: width of key and value; default embed_dim.
      batch_first: whether the batch is the first axis of inputs and output; default False.

    Parameters: ``in_proj_weight`` (3·embed_dim, embed_dim), or ``q_proj_weight``, ``k_proj_weight`` and ``v_proj_weight`` where kdim or vdim
    differ, xavier-uniform; ``in_proj_bias`` zeros; ``out_proj`` a Linear with zero bias; ``bias_k`` and ``bias_v`` (1, 1, embed_dim), xavier-normal.
    Vaswani et al., "Attention is all you need" (2017); source: torch.nn.MultiheadAttention.

    Raises:
      ValueError: a size is not positive.
      AssertedError: embed_dim is not divisible by num_heads.

    >>> import jax, jax.numpy as jnp
    >>> layer = MultiheadAttention(4, 2)
    >>> params, state = layer.init(jax.random.key(0))
    >>> x = jnp.ones((5, 3, 4))
    >>> (y, weights), _ = layer.apply(params, state, x, x, x)
    >>> y.shape, weights.shape
    ((5, 3, 4), (3, 5, 5))
    """

    embed_dim: int
    num_heads: int
    dropout: float = 0.0
    bias: bool = True
    add_bias_kv: bool = False
    add_zero_attn: bool = False
    kdim: int | None = None
    vdim: int | None = None
    batch_first: bool = False

    def __post_init__(self) -> None:
        if self.embed_dim <= 0 or self.num_heads <= 0:
            raise ValueError(
                f"embed_dim and num_heads must be greater than 0, got embed_dim={self.embed_dim} and num_heads={self.num_heads} instead"
            )
        if self.embed_dim % self.num_heads:
            raise AssertedError(
                f"embed_dim must be divisible by num_heads, but got embed_dim={self.embed_dim} and num_heads={self.num_heads}"
            )
        self.kdim = self.embed_dim if self.kdim is None else self.kdim
        self.vdim = self.embed_dim if self.vdim is None else self.vdim
        self.out_proj = NonDynamicallyQuantizableLinear(self.embed_dim, self.embed_dim, self.bias)

    @property
    def head_dim(self) -> int:
        """The number of features that belong to each head."""
        return self.embed_dim // self.num_heads

    @property
    def _qkv_same_embed_dim(self) -> bool:
        return self.kdim == self.vdim == self.embed_dim

    def spec(self) -> Spec:
        width, packed = self.embed_dim, self._qkv_same_embed_dim
        row = Param((1, 1, width), init.zeros) if self.add_bias_kv else None
        kdim: Any = self.kdim  # filled in by the constructor, as vdim
        vdim: Any = self.vdim
        return {
            "in_proj_weight": Param((3 * width, width), init.zeros) if packed else None,
            "q_proj_weight": None if packed else Param((width, width), init.zeros),
            "k_proj_weight": None if packed else Param((width, kdim), init.zeros),
            "v_proj_weight": None if packed else Param((width, vdim), init.zeros),
            "in_proj_bias": Param((3 * width,), init.zeros) if self.bias else None,
            "bias_k": row,
            "bias_v": row,
        }

    def logical_axes(self) -> dict[str, Axes]:
        own: dict[str, Axes] = {f"{name}_proj_weight": ("heads", "features") for name in ("in", "q", "k", "v")}
        return {**between("heads", (), "out_proj"), **own, "in_proj_bias": ("heads",)}

    def redraw(self, name: str, shape: tuple[int, ...]) -> Callable[..., jax.Array] | None:
        if name.endswith("proj_weight"):
            return init.xavier_uniform
        return {"out_proj.bias": init.zeros, "bias_k": init.xavier_normal, "bias_v": init.xavier_normal}.get(name)

    def forward(
        self,
        query: jax.Array,
        key: jax.Array,
        value: jax.Array,
        key_padding_mask: jax.Array | None = None,
        need_weights: bool = True,
        attn_mask: jax.Array | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[jax.Array, jax.Array | None]:
        masks = key_padding_mask, need_weights, attn_mask, average_attn_weights, is_causal
        return self._attend(self.in_proj_weight, query, key, value, *masks)

    def _attend(
        self,
        in_proj_weight: jax.Array | None,
        query: jax.Array,
        key: jax.Array,
        value: jax.Array,
        key_padding_mask: jax.Array | None = None,
        need_weights: bool = True,
        attn_mask: jax.Array | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[jax.Array, jax.Array | None]:
        """What ``forward`` does, with another ``in_proj_weight`` than the layer's own."""
        out_bias: Any = self.out_proj.bias  # here the array
        swapped = self.batch_first and query.ndim == 3
        if swapped:
            inputs = {id(x): x.swapaxes(0, 1) for x in (query, key, value)}  # what is one array stays one
            query, key, value = (inputs[id(x)] for x in (query, key, value))
        output, weights = F.multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            out_bias,
            training=self.training,
            key_padding_mask=key_padding_mask,
            need_weights=need_weights,
            attn_mask=attn_mask,
            use_separate_proj_weight=not self._qkv_same_embed_dim,
            q_proj_weight=self.q_proj_weight,
            k_proj_weight=self.k_proj_weight,
            v_proj_weight=self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
            dropout_key=self.make_key() if self.dropout else None,
        )
        return output.swapaxes(0, 1) if swapped else output, weights
