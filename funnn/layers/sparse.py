"""Tables of vectors."""

from __future__ import annotations

from typing import Any

import jax

from funnn import functional as F
from funnn import init
from funnn.errors import AssertedError, ShapeError
from funnn.layers._layer import Layer, Param, Spec


class _Table(Layer):
    """What the layers share: a table ``weight`` from N(0, 1), with zeros in the padding row."""

    def __post_init__(self) -> None:
        for name in ("num_embeddings", "embedding_dim"):
            if getattr(self, name) < 0:
                raise ShapeError(f"Trying to create tensor with negative dimension {getattr(self, name)}: {name} must be at least 0")
        count = self.num_embeddings
        if self.padding_idx is not None:
            if not -count <= self.padding_idx < count:
                raise AssertedError(f"Padding_idx must be within num_embeddings; got {self.padding_idx} with {count} embeddings")
            self.padding_idx %= count

    def _draw(self, source: Any, shape: Any, *, dtype: Any) -> Any:
        weight = init.normal(source, shape, dtype=dtype)
        return weight if self.padding_idx is None else weight.at[self.padding_idx].set(0)

    def spec(self) -> Spec:
        return {"weight": Param((self.num_embeddings, self.embedding_dim), self._draw, ("vocabulary", "features"))}


class Embedding(_Table):
    """Looks up rows of a learned table: integers (*) -> vectors (*, embedding_dim).

    Args:
      num_embeddings, embedding_dim: rows and columns of ``weight``, drawn from N(0, 1).
      padding_idx: a row that starts at zero and gets no gradient; negative counts from the end.
      max_norm: rows with a larger norm are looked up scaled down to it. The parameters stay as they are; torch's Module writes the scaled rows back.
      norm_type: the p of that norm.
      scale_grad_by_freq: divide the gradient of each row by how often it is looked up.
      sparse: whether the torch.nn class gives a sparse gradient, of the rows looked up; those of ``apply`` are dense arrays.

    A table from elsewhere needs no constructor of its own: ``layer.apply({"weight": table}, {}, indices)``; it stays frozen as long as it is not
    differentiated. Source: torch.nn.Embedding.

    Example:
      >>> import jax.numpy as jnp
      >>> from funnn import layers
      >>> table = jnp.array([[1.0, 2.0], [3.0, 4.0]])
      >>> layers.Embedding(2, 2).apply({"weight": table}, {}, jnp.array([1, 0]))[0].tolist()
      [[3.0, 4.0], [1.0, 2.0]]
    """

    num_embeddings: int
    embedding_dim: int
    padding_idx: int | None = None
    max_norm: float | None = None
    norm_type: float = 2.0
    scale_grad_by_freq: bool = False
    sparse: bool = False

    def forward(self, input: jax.Array) -> jax.Array:
        return F.embedding(input, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse)

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        defaults = {"padding_idx": None, "max_norm": None, "norm_type": 2, "scale_grad_by_freq": False}
        text += "".join(f", {name}={getattr(self, name)}" for name, default in defaults.items() if getattr(self, name) != default)
        return text + ", sparse=True" if self.sparse else text


class EmbeddingBag(_Table):
    """Looks up bags of rows of a learned table and reduces each bag to one vector: integers (B, L), or (total,) with ``offsets``, -> (B, embedding_dim).

    Args:
      num_embeddings, embedding_dim: rows and columns of ``weight``, drawn from N(0, 1).
      max_norm, norm_type, scale_grad_by_freq, sparse: as Embedding has them.
      mode: 'sum', 'mean' or 'max'.
      include_last_offset: whether the last of the offsets is the end of the last bag.
      padding_idx: a row that starts at zero and does not count in any bag; negative counts from the end.

    ``forward`` takes input, offsets and per_sample_weights, factors of the rows in mode 'sum'. Source: torch.nn.EmbeddingBag.
    """

    num_embeddings: int
    embedding_dim: int
    max_norm: float | None = None
    norm_type: float = 2.0
    scale_grad_by_freq: bool = False
    mode: str = "mean"
    sparse: bool = False
    include_last_offset: bool = False
    padding_idx: int | None = None

    def forward(self, input: jax.Array, offsets: jax.Array | None = None, per_sample_weights: jax.Array | None = None) -> jax.Array:
        return F.embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    def extra_repr(self) -> str:
        defaults = {"max_norm": None, "norm_type": 2, "scale_grad_by_freq": False, "mode": "", "padding_idx": None}
        given = "".join(f", {name}={getattr(self, name)!r}" for name, default in defaults.items() if getattr(self, name) != default)
        return f"{self.num_embeddings}, {self.embedding_dim}{given}"
