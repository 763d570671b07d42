"""Tables of vectors."""

from __future__ import annotations

from typing import Any

from funnn import functional as F
from funnn import init
from funnn.layers._layer import Layer, Param


class Embedding(Layer):
    """Looks up rows of a learned table: integers (*) -> vectors (*, embedding_dim).

    Args:
      num_embeddings, embedding_dim: rows and columns of ``weight``, drawn from N(0, 1).
      padding_idx: a row that starts at zero and gets no gradient; negative counts from the end.
      max_norm, norm_type, scale_grad_by_freq, sparse: as torch.nn.functional.embedding; not supported yet (NotImplementedError).

    Source: torch.nn.Embedding.
    """

    num_embeddings: int
    embedding_dim: int
    padding_idx: int | None = None
    max_norm: float | None = None
    norm_type: float = 2.0
    scale_grad_by_freq: bool = False
    sparse: bool = False

    def __post_init__(self):
        if self.padding_idx is not None:
            if not -self.num_embeddings <= self.padding_idx < self.num_embeddings:
                raise ValueError(f"Padding_idx must be within num_embeddings; got {self.padding_idx} with {self.num_embeddings} embeddings")
            self.padding_idx %= self.num_embeddings

    def _table(self, source: Any, shape: Any, *, dtype: Any) -> Any:
        weight = init.normal(source, shape, dtype=dtype)
        return weight if self.padding_idx is None else weight.at[self.padding_idx].set(0)

    def spec(self):
        return {"weight": Param((self.num_embeddings, self.embedding_dim), self._table)}

    def forward(self, x):
        return F.embedding(x, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse)

    def extra_repr(self):
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        defaults = {"padding_idx": None, "max_norm": None, "norm_type": 2, "scale_grad_by_freq": False}
        text += "".join(f", {name}={getattr(self, name)}" for name, default in defaults.items() if getattr(self, name) != default)
        return text + ", sparse=True" if self.sparse else text
