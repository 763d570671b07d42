"""Similarities and distances as layers."""

from __future__ import annotations

import jax

from funnn import functional as F
from funnn.layers._layer import Layer


class CosineSimilarity(Layer):
    """Σ x₁·x₂/(max(‖x₁‖, eps)·max(‖x₂‖, eps)) along ``dim``. Source: torch.nn.CosineSimilarity."""

    dim: int = 1
    eps: float = 1e-8

    def forward(self, x1: jax.Array, x2: jax.Array) -> jax.Array:
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Layer):
    """‖x₁ − x₂ + eps‖_p along the last axis, which ``keepdim`` keeps. Source: torch.nn.PairwiseDistance."""

    p: float = 2.0
    eps: float = 1e-6
    keepdim: bool = False

    def forward(self, x1: jax.Array, x2: jax.Array) -> jax.Array:
        return F.pairwise_distance(x1, x2, self.p, self.eps, self.keepdim)
