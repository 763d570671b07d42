"""A mixture of experts in the place of a feed-forward part."""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from funnn import functional as F
from funnn import init
from funnn.layers._layer import Layer, Param, Spec
from funnn.layers.linear import Linear


class RouterLosses(NamedTuple):
    """What a MixtureOfExperts gives besides its output; each a number. Add the first two, times small factors, to the training loss.

    Attributes:
      load_balancing: k where all experts get the same share of the tokens, more otherwise; a usual factor is 0.01.
      router_z: mean of (log Σ exp(logits))²; a usual factor is 0.001.
      dropped: which share of the choices found no place, without a derivative; 0 without a capacity.
    """

    load_balancing: jax.Array
    router_z: jax.Array
    dropped: jax.Array


class MixtureOfExperts(Layer):
    """y = Σ_e w_e · SwiGLU_e(x) over the ``k`` of ``num_experts`` experts that a router likes best for a token; (y, RouterLosses).

    Input (*, L, features); the output has its shape. ``forward(x, mask)``: mask (*, L), False for padding, which no expert reads.

    Args:
      features: width of input and output.
      hidden_features: width inside an expert.
      num_experts: E.
      k: how many experts a token goes to; default 2.
      capacity_factor: None (default): every expert computes every token, and nothing is dropped. A number c: each takes at most
        ⌈c · k · L / E⌉ tokens of a sequence, first come first served, and the rest are dropped for it; the work is c · k instead of E experts' a token.
      normalize: whether the weights w_e sum to 1 (default); otherwise they are the router's probabilities.

    Parameters: ``router`` a Linear without bias; ``gate`` and ``up`` (E, hidden_features, features), ``down`` (E, features, hidden_features), each
    expert's as a Linear draws them. Rules such as ``(r"\\.(gate|up|down)$", P("expert"))`` put the experts on different devices. Shazeer et al.,
    "Outrageously large neural networks" (2017); Lepikhin et al., "GShard" (2020); Jiang et al., "Mixtral of experts" (2024).

    Raises:
      ValueError: k is not in 1 … num_experts, or capacity_factor is not positive.

    >>> layer = MixtureOfExperts(3, 8, num_experts=4)
    >>> (y, losses), _ = layer.apply(*layer.init(jax.random.key(0)), jnp.ones((2, 5, 3)))
    >>> y.shape, losses.dropped.item()
    ((2, 5, 3), 0.0)
    """

    features: int
    hidden_features: int
    num_experts: int
    k: int = 2
    capacity_factor: float | None = None
    normalize: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.num_experts:
            raise ValueError(f"MixtureOfExperts: k must be between 1 and num_experts={self.num_experts}, but got k={self.k}")
        if self.capacity_factor is not None and self.capacity_factor <= 0:
            raise ValueError(f"MixtureOfExperts: capacity_factor must be positive or None, but got {self.capacity_factor}")
        self.router = Linear(self.features, self.num_experts, bias=False)

    def spec(self) -> Spec:
        inner, outer = 1 / math.sqrt(self.features), 1 / math.sqrt(self.hidden_features)
        wide = Param(
            (self.num_experts, self.hidden_features, self.features),
            partial(init.uniform, a=-inner, b=inner),
            ("experts", "hidden", "features"),
        )
        down = Param(
            (self.num_experts, self.features, self.hidden_features),
            partial(init.uniform, a=-outer, b=outer),
            ("experts", "features", "hidden"),
        )
        return {"gate": wide, "up": wide, "down": down}

    def capacity(self, length: int) -> int | None:
        """How many tokens of a sequence of this length an expert takes; None for no bound."""
        if self.capacity_factor is None:
            return None
        return min(length, math.ceil(self.capacity_factor * self.k * length / self.num_experts))

    def forward(self, x: jax.Array, mask: jax.Array | None = None) -> tuple[jax.Array, RouterLosses]:
        logits = self.router(x)
        weights, experts = F.top_k_routing(logits, self.k, self.normalize)
        capacity = self.capacity(x.shape[-2])
        y = F.mixture_of_experts(x, weights, experts, self.gate, self.up, self.down, capacity, mask)
        dropped = jnp.zeros((), jnp.float32)
        if capacity is not None:
            wanted = experts.size if mask is None else self.k * jnp.maximum(jnp.sum(mask), 1)
            dropped = 1 - F.expert_slots(experts, self.num_experts, capacity, mask).sum() / wanted
        return y, RouterLosses(F.load_balancing_loss(logits, experts, mask), F.router_z_loss(logits, mask), dropped)

    def extra_repr(self) -> str:
        return (
            f"{self.features}, {self.hidden_features}, num_experts={self.num_experts}, k={self.k}, capacity_factor={self.capacity_factor}"
        )
