"""Vector quantisation: each vector becomes the nearest one of a codebook, which is learned."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from funnn import init
from funnn.errors import ShapeError
from funnn.functional import _checks as check
from funnn.layers._layer import Buffer, Layer, Param, Spec


class Quantized(NamedTuple):
    """What :class:`VectorQuantizer` gives.

    Attributes:
      quantized: the codebook's vectors, of the input's shape; gradients pass through to the input as they are.
      indices: which they are, int32, of the input's shape without its last axis.
      loss: the loss to add to that of the task, a float.
    """

    quantized: jax.Array
    indices: jax.Array
    loss: jax.Array


class VectorQuantizer(Layer):
    """z ↦ e_k with k = argmin_j ‖z − e_j‖, over the last axis: (*, embedding_dim) -> :class:`Quantized`.

    Args:
      num_embeddings: K, how many vectors the codebook has.
      embedding_dim: D, their size.
      commitment: β, the weight of the commitment loss ‖z − sg(e)‖², a mean over all numbers; default 0.25.
      decay: γ of the moving averages that the codebook is made of in training: N_k ← γ N_k + (1 − γ) n_k and m_k ← γ m_k + (1 − γ) Σ z, over the n_k
        vectors z that chose k, and e_k = m_k / N_k. None makes the codebook a parameter and adds the codebook loss ‖sg(z) − e‖². Default 0.99.
      eps: Laplace smoothing of the N_k; default 1e-5.

    State, with a ``decay``: ``codebook`` (K, D), from N(0, 1), ``cluster_size`` (K,), ones, and ``cluster_sum`` (K, D), the m_k. Without: the parameter
    ``codebook`` (K, D) from U(−1/K, 1/K). Within ``shard_map`` each device averages what it sees. Source: van den Oord et al., "Neural discrete
    representation learning" (2017), its appendix A.1 for the averages.

    Raises:
      ShapeError: the input's last axis is not embedding_dim.
      ValueError: decay is not in [0, 1), or num_embeddings or embedding_dim not positive.

    >>> layer = VectorQuantizer(8, 2)
    >>> params, state = layer.init(jax.random.key(0))
    >>> (quantized, indices, loss), state = layer.apply(params, state, jnp.ones((5, 3, 2)), train=True)
    >>> quantized.shape, indices.shape, loss.shape, sorted(state)
    ((5, 3, 2), (5, 3), (), ['cluster_size', 'cluster_sum', 'codebook'])
    """

    num_embeddings: int
    embedding_dim: int
    commitment: float = 0.25
    decay: float | None = 0.99
    eps: float = 1e-5

    def __post_init__(self) -> None:
        if min(self.num_embeddings, self.embedding_dim) < 1:
            raise ValueError(
                f"VectorQuantizer: num_embeddings and embedding_dim must be positive, but got {self.num_embeddings} and {self.embedding_dim}"
            )
        if self.decay is not None and not 0 <= self.decay < 1:
            raise ValueError(f"VectorQuantizer: decay must be in [0, 1), or None, but got decay={self.decay}")

    def spec(self) -> Spec:
        shape, bound = (self.num_embeddings, self.embedding_dim), 1 / self.num_embeddings
        if self.decay is None:
            return {"codebook": Param(shape, partial(init.uniform, a=-bound, b=bound))}
        return {
            "codebook": Buffer(shape, init.normal),
            "cluster_size": Buffer(shape[:1], init.ones),
            "cluster_sum": Buffer(shape, init.zeros),
        }

    def init(self, key: Any, *example: Any, dtype: Any = jnp.float32, **named: Any) -> tuple[Any, Any]:
        """As of every layer; each average begins as that of one vector, the codebook's."""
        params, state = super().init(key, *example, dtype=dtype, **named)
        return params, state if self.decay is None else {**state, "cluster_sum": state["codebook"] * state["cluster_size"][:, None]}

    def forward(self, input: jax.Array) -> Quantized:
        input = check.array("input", input)
        if not input.ndim or input.shape[-1] != self.embedding_dim:
            raise ShapeError(
                f"VectorQuantizer: the input's last axis must be embedding_dim={self.embedding_dim}, but got {check.shape(input)}"
            )
        z = input.reshape(-1, self.embedding_dim)
        codebook = self.codebook.astype(z.dtype)
        fixed = lax.stop_gradient(z)
        # ‖z − e‖² without ‖z‖², which is the same for every e
        indices = jnp.argmin(jnp.sum(codebook * codebook, 1) - 2 * z @ codebook.T, 1).astype(jnp.int32)
        chosen = codebook[indices]
        loss = self.commitment * jnp.mean(jnp.square(z - lax.stop_gradient(chosen)))
        if self.decay is None:
            loss = loss + jnp.mean(jnp.square(fixed - chosen))
        elif self.training:
            self._learn(fixed, indices)
        quantized = lax.stop_gradient(chosen) + (z - fixed)
        return Quantized(quantized.reshape(input.shape), indices.reshape(input.shape[:-1]), loss)

    def _learn(self, z: jax.Array, indices: jax.Array) -> None:
        """Move the averages, and the codebook with them."""
        decay: Any = self.decay
        z = z.astype(self.cluster_sum.dtype)
        counts = jax.ops.segment_sum(jnp.ones(len(z), z.dtype), indices, self.num_embeddings)
        sums = jax.ops.segment_sum(z, indices, self.num_embeddings)
        self.cluster_size: Any = decay * self.cluster_size + (1 - decay) * counts.astype(self.cluster_size.dtype)
        self.cluster_sum: Any = decay * self.cluster_sum + (1 - decay) * sums
        total = jnp.sum(self.cluster_size)
        smooth = (self.cluster_size + self.eps) / (total + self.num_embeddings * self.eps) * total
        self.codebook: Any = (self.cluster_sum / smooth[:, None]).astype(self.codebook.dtype)

    def lookup(self, indices: jax.Array) -> jax.Array:
        """The codebook's vectors of these indices: (*) -> (*, embedding_dim), as a decoder needs them: ``apply(…, method="lookup")``."""
        return self.codebook[indices]
