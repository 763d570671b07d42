"""LoRA: layers whose weights stay as they are, plus a product of two small matrices that is trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from funnn import functional as F
from funnn import init
from funnn.layers._layer import Layer, Param, Spec
from funnn.layers._wrapper import Wrapper
from funnn.layers.attention import MultiheadAttention
from funnn.layers.conv import ConvNd, ConvTransposeNd
from funnn.layers.dropout import Dropout
from funnn.layers.linear import Linear
from funnn.layers.sparse import Embedding


class LoRA(Wrapper):
    """What the LoRA layers share: W + (α/r) B A in the place of a weight W, where A and B have the rank r. Base of LoRALinear and its kin.

    Args:
      base_layer: the layer whose weight it is.
      rank: r, the rows of A and columns of B.
      alpha: α; default r, a factor of 1.
      dropout: probability of dropping an element of what goes into A, in training; ``apply`` then needs ``key``. Default 0.

    The layer's ``weight`` is W + (α/r) B A too, for code that reads it (the output layer that shares an embedding's table). Hu et al., "LoRA: Low-rank
    adaptation of large language models" (2021); names and initial values of parameters are those of Hugging Face's PEFT, without the name of the
    adapter.
    """

    base_layer: Layer
    rank: int = 8
    alpha: float | None = None
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.rank, bool) or not isinstance(self.rank, int) or self.rank < 1:
            raise ValueError(f"{type(self).__name__}: rank must be a positive integer, but got rank={self.rank!r}")
        self.alpha = float(self.rank if self.alpha is None else self.alpha)
        self._make_parts(self.base_layer)
        self.lora_dropout = Dropout(self.dropout) if self.dropout else None

    def _make_parts(self, base: Any) -> None:
        """Set ``lora_A`` and ``lora_B``; raises a TypeError for a base that they do not fit."""
        raise NotImplementedError("LoRA is the base of LoRALinear, LoRAEmbedding, LoRAConv and LoRAMultiheadAttention; use one of those")

    def _require(self, base: Any, kinds: type[Layer] | tuple[type[Layer], ...], wanted: str) -> None:
        if not isinstance(base, kinds):
            raise TypeError(f"{type(self).__name__} takes {wanted} as base_layer, got {base!r}")

    def redraw(self, name: str, shape: tuple[int, ...]) -> Callable[..., jax.Array] | None:
        return init.zeros if name == "lora_B.weight" else None

    @property
    def scaling(self) -> float:
        """The factor α/r of B A."""
        alpha: Any = self.alpha
        return float(alpha) / self.rank

    @property
    def weight(self) -> jax.Array:
        """W + (α/r) B A."""
        return self.base_layer.weight + self.scaling * self._product(self.lora_A.weight, self.lora_B.weight)

    @property
    def bias(self) -> Any:
        """The bias of the layer inside."""
        return self.base_layer.bias

    def _product(self, a: Any, b: Any) -> Any:
        """B A in the shape of W, of any number of stacked ones."""
        return b @ a

    def _add_product(self, input: Any) -> Any:
        x = input if self.lora_dropout is None else self.lora_dropout(input)
        return self.base_layer(input) + self.scaling * self.lora_B(self.lora_A(x))

    def merged(self, params: Any) -> dict[str, Any]:
        """The parameters of ``base_layer`` alone that compute the same, from the parameters of this layer."""
        base = params["base_layer"]
        return {**base, "weight": self._sum(base["weight"], params["lora_A"]["weight"], params["lora_B"]["weight"])}

    def _sum(self, weight: Any, a: Any, b: Any) -> Any:
        wide = jnp.promote_types(weight.dtype, jnp.float32)
        with jax.default_matmul_precision("highest"):
            return (weight.astype(wide) + self.scaling * self._product(a.astype(wide), b.astype(wide))).astype(weight.dtype)

    def extra_repr(self) -> str:
        return f"rank={self.rank}, alpha={self.alpha:g}" + (f", dropout={self.dropout}" if self.dropout else "")


class LoRALinear(LoRA):
    """y = W x + b + (α/r) B A x, of a Linear: (*, in_features) -> (*, out_features).

    Args:
      base_layer: the Linear.
      rank: r, the rows of A and columns of B; default 8.
      alpha: α; default r, a factor of 1.
      dropout: probability of dropping an element of A's input in training; default 0.

    Parameters: ``base_layer.weight`` and ``base_layer.bias``, ``lora_A.weight`` (r, in_features) from Linear's distribution, ``lora_B.weight``
    (out_features, r) zeros. Hu et al., "LoRA" (2021); source: PEFT's lora.Linear.

    Raises:
      TypeError: base_layer is no Linear.
      ValueError: rank is not positive.

    >>> layer = LoRALinear(Linear(4, 3), rank=2)
    >>> params, state = layer.init(jax.random.key(0))
    >>> params["lora_A"]["weight"].shape, params["lora_B"]["weight"].shape, layer.apply(params, state, jnp.ones(4))[0].shape
    ((2, 4), (3, 2), (3,))
    """

    def _make_parts(self, base: Any) -> None:
        self._require(base, Linear, "a Linear")
        self.lora_A = Linear(base.in_features, self.rank, bias=False)
        self.lora_B = Linear(self.rank, base.out_features, bias=False)

    def forward(self, input: jax.Array) -> jax.Array:
        return self._add_product(input)


class LoRAEmbedding(LoRA):
    """The rows of W + (α/r) (B A)ᵀ, of an Embedding: integers (*) -> vectors (*, embedding_dim).

    Args:
      base_layer: the Embedding, without max_norm.
      rank: r; default 8.
      alpha: α; default r, a factor of 1.

    Parameters: ``base_layer.weight``, ``lora_embedding_A`` (r, num_embeddings) zeros, ``lora_embedding_B`` (embedding_dim, r) from N(0, 1).
    Hu et al., "LoRA" (2021); source: PEFT's lora.Embedding.

    Raises:
      TypeError: base_layer is no Embedding, or has a max_norm.
      ValueError: rank is not positive, or dropout is given.

    >>> layer = LoRAEmbedding(Embedding(5, 3), rank=2)
    >>> params, state = layer.init(jax.random.key(0))
    >>> params["lora_embedding_A"].shape, layer.apply(params, state, jnp.array([1, 4]))[0].shape
    ((2, 5), (2, 3))
    """

    def _make_parts(self, base: Any) -> None:
        self._require(base, Embedding, "an Embedding")
        if base.max_norm is not None:
            raise TypeError(
                f"LoRAEmbedding takes an Embedding without max_norm, got max_norm={base.max_norm}: rows that are scaled can't be merged"
            )
        if self.dropout:
            raise ValueError(f"LoRAEmbedding has no dropout, because its input are integers, but got dropout={self.dropout}")

    def spec(self) -> Spec:
        base: Any = self.base_layer
        return {
            "lora_embedding_A": Param((self.rank, base.num_embeddings), init.zeros),
            "lora_embedding_B": Param((base.embedding_dim, self.rank), init.normal),
        }

    @property
    def weight(self) -> jax.Array:
        """W + (α/r) (B A)ᵀ."""
        return self.base_layer.weight + self.scaling * self._product(self.lora_embedding_A, self.lora_embedding_B)

    def _product(self, a: Any, b: Any) -> Any:
        return (b @ a).swapaxes(-1, -2)

    def forward(self, input: jax.Array) -> jax.Array:
        base: Any = self.base_layer
        rows = F.embedding(input, self.lora_embedding_A.swapaxes(0, 1), base.padding_idx, None, 2.0, base.scale_grad_by_freq)
        return base(input) + self.scaling * F.linear(rows, self.lora_embedding_B)

    def merged(self, params: Any) -> dict[str, Any]:
        """The parameters of ``base_layer`` alone that compute the same, from the parameters of this layer."""
        weight = self._sum(params["base_layer"]["weight"], params["lora_embedding_A"], params["lora_embedding_B"])
        return {"weight": weight}


class LoRAConv(LoRA):
    """A convolution plus α/r times a convolution to r channels and one of size 1 from there, of a Conv1d, Conv2d or Conv3d.

    Args:
      base_layer: the convolution, with groups=1.
      rank: r, the channels between; default 8.
      alpha: α; default r, a factor of 1.
      dropout: probability of dropping an element of A's input in training; default 0.

    Parameters: those of ``base_layer``, ``lora_A.weight`` (r, in_channels, *kernel_size) from the convolution's distribution, ``lora_B.weight``
    (out_channels, r, 1, …) zeros. Hu et al., "LoRA" (2021); source: PEFT's lora.Conv2d.

    Raises:
      TypeError: base_layer is no such convolution, is transposed, or has groups.
      ValueError: rank is not positive.

    >>> from funnn.layers import Conv2d
    >>> layer = LoRAConv(Conv2d(3, 6, 5, padding=2), rank=2)
    >>> params, state = layer.init(jax.random.key(0))
    >>> params["lora_A"]["weight"].shape, params["lora_B"]["weight"].shape
    ((2, 3, 5, 5), (6, 2, 1, 1))
    """

    def _make_parts(self, base: Any) -> None:
        self._require(base, ConvNd, "a Conv1d, Conv2d or Conv3d")
        if isinstance(base, ConvTransposeNd) or base.groups != 1:
            raise TypeError(f"LoRAConv takes a convolution that is not transposed and has groups=1, got {base!r}")
        kind = next(kind for kind in type(base).__mro__ if kind.__module__ == ConvNd.__module__)  # the library's own
        sizes = {name: getattr(base, name) for name in ("kernel_size", "stride", "padding", "dilation", "padding_mode")}
        self.lora_A = kind(base.in_channels, self.rank, bias=False, **sizes)
        self.lora_B = kind(self.rank, base.out_channels, 1, bias=False)

    def forward(self, input: jax.Array) -> jax.Array:
        return self._add_product(input)

    def _product(self, a: Any, b: Any) -> Any:
        spatial = self.base_layer.dimensions
        flat = b.reshape(b.shape[: b.ndim - spatial]) @ a.reshape(*a.shape[: a.ndim - spatial - 1], -1)
        return flat.reshape(*flat.shape[:-1], *a.shape[a.ndim - spatial - 1 :])


class LoRAMultiheadAttention(LoRA):
    """MultiheadAttention whose ``in_proj_weight``, of queries, keys and values, is W + (α/r) B A, and its output projection a LoRALinear.

    Args:
      base_layer: the MultiheadAttention, of one width: kdim and vdim are embed_dim.
      rank: r; default 8.
      alpha: α; default r, a factor of 1.

    Parameters: ``base_layer.in_proj_weight``, …, ``lora_A.weight`` (r, embed_dim), ``lora_B.weight`` (3·embed_dim, r) zeros, and
    ``base_layer.out_proj.base_layer.weight``, ``base_layer.out_proj.lora_A.weight``, … if the output projection is to have one too, as
    :func:`funnn.layers.lora` makes it. Hu et al., "LoRA" (2021); source: PEFT's lora.MultiheadAttention.

    Raises:
      TypeError: base_layer is no MultiheadAttention, or has other widths for keys and values.
      ValueError: rank is not positive, or dropout is given.

    >>> layer = LoRAMultiheadAttention(MultiheadAttention(4, 2), rank=2)
    >>> params, state = layer.init(jax.random.key(0))
    >>> params["lora_A"]["weight"].shape, params["lora_B"]["weight"].shape
    ((2, 4), (12, 2))
    """

    def _make_parts(self, base: Any) -> None:
        self._require(base, MultiheadAttention, "a MultiheadAttention")
        if not base._qkv_same_embed_dim:
            raise TypeError(
                f"LoRAMultiheadAttention takes kdim and vdim equal to embed_dim={base.embed_dim}, got {base.kdim} and {base.vdim}"
            )
        if self.dropout:
            raise ValueError(f"LoRAMultiheadAttention has no dropout, because it adds the weights, but got dropout={self.dropout}")
        self.lora_A = Linear(base.embed_dim, self.rank, bias=False)
        self.lora_B = Linear(self.rank, 3 * base.embed_dim, bias=False)

    @property
    def weight(self) -> jax.Array:
        """The in_proj_weight: W + (α/r) B A."""
        return self.base_layer.in_proj_weight + self.scaling * self._product(self.lora_A.weight, self.lora_B.weight)

    def forward(self, query: jax.Array, key: jax.Array, value: jax.Array, *args: Any, **kwargs: Any) -> tuple[jax.Array, jax.Array | None]:
        return self.base_layer._attend(self.weight, query, key, value, *args, **kwargs)

    def merged(self, params: Any) -> dict[str, Any]:
        """The parameters of ``base_layer`` alone that compute the same, from the parameters of this layer."""
        base = params["base_layer"]
        return {**base, "in_proj_weight": self._sum(base["in_proj_weight"], params["lora_A"]["weight"], params["lora_B"]["weight"])}
