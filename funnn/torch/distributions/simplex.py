"""Distributions of shares that add up to 1."""

from __future__ import annotations

from typing import Any, ClassVar

from funnn.torch import _namespace as torch
from funnn.torch import nn
from funnn.torch.distributions import constraints
from funnn.torch.distributions.categories import ExpRelaxedCategorical
from funnn.torch.distributions.composed import TransformedDistribution, part
from funnn.torch.distributions.distribution import ExponentialFamily
from funnn.torch.distributions.transforms import ExpTransform

__all__ = ["Dirichlet", "RelaxedOneHotCategorical"]


class Dirichlet(ExponentialFamily):
    """The density Γ(Σα)/ΠΓ(αᵢ)·Πxᵢ^(αᵢ−1) of shares x of shape (…, K), with α = concentration."""

    arg_constraints: ClassVar = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, concentration: torch.Tensor, validate_args: bool | None = None):
        if concentration.dim() < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self._set(validate_args, concentration.shape[-1:], concentration=concentration)

    @property
    def mean(self):
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def mode(self):
        above = (self.concentration - 1).clamp(min=0.0)
        corner = nn.functional.one_hot(torch.zeros_like(above[..., 0], dtype=torch.long), above.shape[-1]).to(above.dtype)
        return torch.where((self.concentration < 1).all(-1, True), corner, above / above.sum(-1, True))

    @property
    def variance(self):
        total = self.concentration.sum(-1, True)
        return self.concentration * (total - self.concentration) / (total.pow(2) * (total + 1))

    def rsample(self, sample_shape=()):
        return torch._sample_dirichlet(self.concentration.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value):
        alpha = self.concentration
        density = torch.xlogy(alpha - 1.0, self._checked(value)).sum(-1)
        return density + torch.lgamma(alpha.sum(-1)) - torch.lgamma(alpha).sum(-1)

    def entropy(self):
        alpha, total, k = self.concentration, self.concentration.sum(-1), self.concentration.shape[-1]
        log_beta = torch.lgamma(alpha).sum(-1) - torch.lgamma(total)
        return log_beta - (k - total) * torch.digamma(total) - ((alpha - 1.0) * torch.digamma(alpha)).sum(-1)

    @property
    def _natural_params(self):
        return (self.concentration,)

    def _log_normalizer(self, x):
        return x.lgamma().sum(-1) - torch.lgamma(x.sum(-1))


class RelaxedOneHotCategorical(TransformedDistribution):
    """Shares near a corner of the simplex, nearer at lower ``temperature``, with the gradient that a category lacks."""

    arg_constraints = ExpRelaxedCategorical.arg_constraints
    support = constraints.simplex
    temperature, logits, probs = part("base_dist.temperature"), part("base_dist.logits"), part("base_dist.probs")

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        super().__init__(ExpRelaxedCategorical(temperature, probs, logits, validate_args), ExpTransform(), validate_args)
