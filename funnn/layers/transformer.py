"""The transformer: encoder and decoder layers, stacks of them, and the two together."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from funnn import functional as F
from funnn import init
from funnn.errors import ArgumentError, ShapeError
from funnn.layers._axes import Axes, between
from funnn.layers._layer import Layer
from funnn.layers.attention import MultiheadAttention
from funnn.layers.container import LayerList
from funnn.layers.dropout import Dropout
from funnn.layers.linear import Linear
from funnn.layers.normalization import LayerNorm


def _activation(activation: str | Callable[..., Any] | Layer) -> Callable[..., Any] | Layer:
    if not isinstance(activation, str):
        return activation
    if activation not in ("relu", "gelu"):
        raise ArgumentError(f"activation should be relu/gelu, not {activation}; any other can be given as a function or a layer")
    known: dict[str, Callable[..., Any]] = {"relu": F.relu, "gelu": F.gelu}
    return known[activation]


_ARGUMENTS = """
    Args:
      d_model: width of inputs and output.
      nhead: number of attention heads, a divisor of d_model.
      dim_feedforward: width of the hidden layer; default 2048.
      dropout: probability of dropping, in all places; default 0.1.
      activation: "relu", "gelu", a function or a layer; default relu.
      layer_norm_eps: eps of the normalisations; default 1e-5.
      batch_first: whether the batch is the first axis; default False.
      norm_first: whether each block normalises its input instead of its sum with the shortcut; default False.
      bias: whether the linear maps and normalisations have biases; default True.
"""


class _TransformerLayer(Layer):
    """What encoder and decoder layers share: attentions, a feed-forward block, and a normalisation and a dropout for each."""

    attentions: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.__doc__ = (cls.__doc__ or "").replace("\n{arguments}\n", _ARGUMENTS)  # Python's -OO has no docstrings

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[..., Any] | Layer = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
    ):
        numbers = range(1, len(self.attentions) + 2)
        for name in self.attentions:
            setattr(self, name, MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first))
        self.linear1 = Linear(d_model, dim_feedforward, bias)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias)
        self.norm_first = norm_first
        for number in numbers:
            setattr(self, f"norm{number}", LayerNorm(d_model, layer_norm_eps, bias=bias))
        for number in numbers:
            setattr(self, f"dropout{number}", Dropout(dropout))
        self.activation = _activation(activation)

    def logical_axes(self) -> dict[str, Axes]:
        return between("hidden", ("linear1",), "linear2")

    def _attend(
        self, attention: Layer, x: jax.Array, memory: jax.Array, mask: jax.Array | None, padding: jax.Array | None, is_causal: bool
    ) -> jax.Array:
        return attention(x, memory, memory, attn_mask=mask, key_padding_mask=padding, need_weights=False, is_causal=is_causal)[0]

    # The blocks have torch's names, for subclasses that put others in their places.

    def _sa_block(
        self, x: jax.Array, attn_mask: jax.Array | None, key_padding_mask: jax.Array | None, is_causal: bool = False
    ) -> jax.Array:
        return self.dropout1(self._attend(self.self_attn, x, x, attn_mask, key_padding_mask, is_causal))

    def _mha_block(
        self, x: jax.Array, mem: jax.Array, attn_mask: jax.Array | None, key_padding_mask: jax.Array | None, is_causal: bool = False
    ) -> jax.Array:
        return self.dropout2(self._attend(self.multihead_attn, x, mem, attn_mask, key_padding_mask, is_causal))

    def _ff_block(self, x: jax.Array) -> jax.Array:
        dropout = self.dropout2 if len(self.attentions) == 1 else self.dropout3
        return dropout(self.linear2(self.dropout(self.activation(self.linear1(x)))))


class TransformerEncoderLayer(_TransformerLayer):
    """Self-attention and a feed-forward block of two linear maps, each with dropout, a shortcut and a LayerNorm.

        ``y = norm1(x + attention(x)); z = norm2(y + linear2(activation(linear1(y))))``, or with ``norm_first`` ``y = x + attention(norm1(x))`` and so
        on. Input ``src`` (S, N, d_model), (N, S, d_model) if ``batch_first``, or (S, d_model). ``src_mask`` is MultiheadAttention's ``attn_mask``.
        (torch evaluates it without gradients by a fused kernel; the numbers are the same.)

    {arguments}
        Vaswani et al., "Attention is all you need" (2017); Xiong et al., 2020, for norm_first; source: torch.nn.TransformerEncoderLayer.

        >>> import jax, jax.numpy as jnp
        >>> layer = TransformerEncoderLayer(4, 2, 8)
        >>> params, state = layer.init(jax.random.key(0))
        >>> layer.apply(params, state, jnp.ones((5, 3, 4)))[0].shape
        (5, 3, 4)
    """

    attentions = ("self_attn",)

    def forward(
        self, src: jax.Array, src_mask: jax.Array | None = None, src_key_padding_mask: jax.Array | None = None, is_causal: bool = False
    ) -> jax.Array:
        x = src
        if self.norm_first:
            x = x + self._sa_block(self.norm1(x), src_mask, src_key_padding_mask, is_causal=is_causal)
            return x + self._ff_block(self.norm2(x))
        x = self.norm1(x + self._sa_block(x, src_mask, src_key_padding_mask, is_causal=is_causal))
        return self.norm2(x + self._ff_block(x))


class TransformerDecoderLayer(_TransformerLayer):
    """Self-attention, attention over the encoder's output and a feed-forward block, each with dropout, a shortcut and a LayerNorm.

        Inputs ``tgt`` (T, N, d_model) and ``memory`` (S, N, d_model), with N first if ``batch_first``, or without N.

    {arguments}
        Vaswani et al., "Attention is all you need" (2017); source: torch.nn.TransformerDecoderLayer.

        >>> import jax, jax.numpy as jnp
        >>> layer = TransformerDecoderLayer(4, 2, 8)
        >>> params, state = layer.init(jax.random.key(0))
        >>> layer.apply(params, state, jnp.ones((5, 3, 4)), jnp.ones((6, 3, 4)))[0].shape
        (5, 3, 4)
    """

    attentions = ("self_attn", "multihead_attn")

    def forward(
        self,
        tgt: jax.Array,
        memory: jax.Array,
        tgt_mask: jax.Array | None = None,
        memory_mask: jax.Array | None = None,
        tgt_key_padding_mask: jax.Array | None = None,
        memory_key_padding_mask: jax.Array | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> jax.Array:
        x = tgt
        if self.norm_first:
            x = x + self._sa_block(self.norm1(x), tgt_mask, tgt_key_padding_mask, tgt_is_causal)
            x = x + self._mha_block(self.norm2(x), memory, memory_mask, memory_key_padding_mask, memory_is_causal)
            return x + self._ff_block(self.norm3(x))
        x = self.norm1(x + self._sa_block(x, tgt_mask, tgt_key_padding_mask, tgt_is_causal))
        x = self.norm2(x + self._mha_block(x, memory, memory_mask, memory_key_padding_mask, memory_is_causal))
        return self.norm3(x + self._ff_block(x))


class TransformerEncoder(Layer):
    """``num_layers`` encoder layers one after the other, then ``norm``.

    Args:
      encoder_layer: a TransformerEncoderLayer, or any layer with the same forward. All copies start from equal initial values, as in torch.
      num_layers: how many.
      norm: a layer for the output; default none.
      enable_nested_tensor, mask_check: torch's switches of a faster evaluation, which leaves out padded positions; they change nothing here, where
        those hold what the layers compute. (The torch.nn class gives zeros for them, as torch does.)

    ``is_causal=None``, torch's search for a causal mask among its values, takes the mask as it is: the numbers are the same.
    Vaswani et al., "Attention is all you need" (2017); source: torch.nn.TransformerEncoder.
    """

    alike = ("layers",)

    def __init__(
        self,
        encoder_layer: Layer,
        num_layers: int,
        norm: Layer | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ):
        self.layers = LayerList(*[copy.deepcopy(encoder_layer) for _ in range(num_layers)])
        self.num_layers = num_layers
        self.norm = norm
        self.enable_nested_tensor = enable_nested_tensor
        self.mask_check = mask_check

    def forward(
        self, src: jax.Array, mask: jax.Array | None = None, src_key_padding_mask: jax.Array | None = None, is_causal: bool | None = None
    ) -> jax.Array:
        output = src
        for layer in self.layers:
            output = layer(output, src_mask=mask, is_causal=bool(is_causal), src_key_padding_mask=src_key_padding_mask)
        return output if self.norm is None else self.norm(output)


class TransformerDecoder(Layer):
    """``num_layers`` decoder layers one after the other, each over the same ``memory``, then ``norm``.

    Args:
      decoder_layer: a TransformerDecoderLayer, or any layer with the same forward. All copies start from equal initial values, as in torch.
      num_layers: how many.
      norm: a layer for the output; default none.

    Vaswani et al., "Attention is all you need" (2017); source: torch.nn.TransformerDecoder.
    """

    alike = ("layers",)

    def __init__(self, decoder_layer: Layer, num_layers: int, norm: Layer | None = None):
        self.layers = LayerList(*[copy.deepcopy(decoder_layer) for _ in range(num_layers)])
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt: jax.Array,
        memory: jax.Array,
        tgt_mask: jax.Array | None = None,
        memory_mask: jax.Array | None = None,
        tgt_key_padding_mask: jax.Array | None = None,
        memory_key_padding_mask: jax.Array | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> jax.Array:
        output = tgt
        for layer in self.layers:
            output = layer(
                output,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
                tgt_is_causal=bool(tgt_is_causal),
                memory_is_causal=memory_is_causal,
            )
        return output if self.norm is None else self.norm(output)


class Transformer(Layer):
    """An encoder of ``src`` and a decoder of ``tgt`` that attends to the encoder's output.

    Inputs ``src`` (S, N, d_model) and ``tgt`` (T, N, d_model), with N first if ``batch_first``, or without N; output of tgt's shape.

    Args:
      d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias: of every layer, as
        TransformerEncoderLayer takes them; defaults 512, 8, 2048, 0.1, relu, 1e-5, False, False and True.
      num_encoder_layers, num_decoder_layers: how many; default 6.
      custom_encoder, custom_decoder: layers to take in the place of those; default none.

    All parameters of more than one axis are drawn xavier-uniform. Vaswani et al., "Attention is all you need" (2017); source:
    torch.nn.Transformer.

    Raises:
      ShapeError: src and tgt differ in their batch size, or their width is not d_model.

    >>> import jax, jax.numpy as jnp
    >>> layer = Transformer(4, 2, 1, 1, 8)
    >>> params, state = layer.init(jax.random.key(0))
    >>> mask = layer.generate_square_subsequent_mask(5)
    >>> layer.apply(params, state, jnp.ones((6, 3, 4)), jnp.ones((5, 3, 4)), tgt_mask=mask)[0].shape
    (5, 3, 4)
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[..., Any] | Layer = F.relu,
        custom_encoder: Layer | None = None,
        custom_decoder: Layer | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
    ):
        settings = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias)
        norm = LayerNorm(d_model, layer_norm_eps, bias=bias)
        self.encoder = custom_encoder or TransformerEncoder(TransformerEncoderLayer(*settings), num_encoder_layers, norm)
        self.decoder = custom_decoder or TransformerDecoder(TransformerDecoderLayer(*settings), num_decoder_layers, norm)
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first

    def redraw(self, name: str, shape: tuple[int, ...]) -> Callable[..., jax.Array] | None:
        return init.xavier_uniform if len(shape) > 1 else None

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Any:
        """The causal mask (sz, sz) to add to scores: −∞ above the diagonal, else 0. ``device`` is where JAX puts it if None."""
        mask = jnp.triu(jnp.full((sz, sz), -jnp.inf, jnp.float32 if dtype is None else dtype), 1)
        return mask if device is None else jax.device_put(mask, device)

    def forward(
        self,
        src: jax.Array,
        tgt: jax.Array,
        src_mask: jax.Array | None = None,
        tgt_mask: jax.Array | None = None,
        memory_mask: jax.Array | None = None,
        src_key_padding_mask: jax.Array | None = None,
        tgt_key_padding_mask: jax.Array | None = None,
        memory_key_padding_mask: jax.Array | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> jax.Array:
        batch = 0 if self.batch_first else 1
        if src.ndim == 3 and src.shape[batch] != tgt.shape[batch]:
            raise ShapeError(f"the batch number of src and tgt must be equal, but got {src.shape[batch]} and {tgt.shape[batch]}")
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise ShapeError(
                f"the feature number of src and tgt must be equal to d_model={self.d_model}, but got {src.shape[-1]} and {tgt.shape[-1]}"
            )
        memory = self.encoder(src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal)
        return self.decoder(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )
