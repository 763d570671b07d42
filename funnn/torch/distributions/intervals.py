"""Distributions on an interval."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from funnn.torch import _namespace as torch
from funnn.torch import nn
from funnn.torch.distributions import constraints
from funnn.torch.distributions.composed import TransformedDistribution, part
from funnn.torch.distributions.distribution import Distribution, ExponentialFamily, ProbsOrLogits
from funnn.torch.distributions.simplex import Dirichlet
from funnn.torch.distributions.transforms import AffineTransform, PowerTransform, SigmoidTransform
from funnn.torch.distributions.utils import as_tensors, broadcast_all, clamp_probs, open_unit_rand

__all__ = ["Beta", "ContinuousBernoulli", "Kumaraswamy", "LogitRelaxedBernoulli", "RelaxedBernoulli", "Uniform"]

_ODDS = {"probs": constraints.unit_interval, "logits": constraints.real}


class Uniform(Distribution):
    """The density 1/(high − low) on [low, high)."""

    has_rsample = True

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None):
        self.low, self.high = broadcast_all(low, high)  # arg_constraints asks for them
        self._set(validate_args, low=self.low, high=self.high)

    @property
    def arg_constraints(self):
        return {"low": constraints.less_than(self.high), "high": constraints.greater_than(self.low)}

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self):
        return constraints.interval(self.low, self.high)

    @property
    def mean(self):
        return (self.high + self.low) / 2

    @property
    def mode(self):
        return math.nan * self.high

    @property
    def stddev(self):
        return (self.high - self.low) / 12**0.5

    @property
    def variance(self):
        return (self.high - self.low).pow(2) / 12

    def rsample(self, sample_shape=()):
        return self.low + torch.rand(self._extended_shape(sample_shape), dtype=self.low.dtype) * (self.high - self.low)

    def log_prob(self, value):
        value = self._checked(value)
        inside = (self.low <= value) & (self.high > value)
        return torch.log(inside.type_as(self.low)) - torch.log(self.high - self.low)

    def cdf(self, value):
        return ((self._checked(value) - self.low) / (self.high - self.low)).clamp(min=0, max=1)

    def icdf(self, value):
        return value * (self.high - self.low) + self.low

    def entropy(self):
        return torch.log(self.high - self.low)


class Beta(ExponentialFamily):
    """The density x^(a−1)·(1 − x)^(b−1)/B(a, b), a = concentration1, b = concentration0: the first of Dirichlet's two shares."""

    arg_constraints: ClassVar = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None):
        self._dirichlet = Dirichlet(torch.stack(broadcast_all(concentration1, concentration0), -1), validate_args)
        super().__init__(self._dirichlet.batch_shape, validate_args=validate_args)

    @property
    def concentration1(self):
        """a, the exponent of x is a − 1."""
        return self._dirichlet.concentration[..., 0]

    @property
    def concentration0(self):
        """b, the exponent of 1 − x is b − 1."""
        return self._dirichlet.concentration[..., 1]

    @property
    def mean(self):
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self):
        return self._dirichlet.mode[..., 0]

    @property
    def variance(self):
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total.pow(2) * (total + 1))

    def rsample(self, sample_shape=()):
        return self._dirichlet.rsample(sample_shape).select(-1, 0)

    def log_prob(self, value):
        value = self._checked(value)
        return self._dirichlet.log_prob(torch.stack([value, 1.0 - value], -1))

    def entropy(self):
        return self._dirichlet.entropy()

    @property
    def _natural_params(self):
        return self.concentration1, self.concentration0

    def _log_normalizer(self, x, y):
        return torch.lgamma(x) + torch.lgamma(y) - torch.lgamma(x + y)


class Kumaraswamy(TransformedDistribution):
    """The distribution with 1 − F(x) = (1 − x^a)^b, a = concentration1, b = concentration0."""

    arg_constraints: ClassVar = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None):
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        steps = [
            PowerTransform(self.concentration0.reciprocal()),
            AffineTransform(1.0, -1.0),
            PowerTransform(self.concentration1.reciprocal()),
        ]
        ones = torch.ones_like(self.concentration0)
        super().__init__(Uniform(torch.zeros_like(ones), ones, validate_args), steps, validate_args)

    def _moment(self, n: int) -> torch.Tensor:
        """E[xⁿ] = b·B(1 + n/a, b)."""
        b, above = self.concentration0, 1 + n / self.concentration1
        return b * torch.exp(above.lgamma() + b.lgamma() - (above + b).lgamma())

    @property
    def mean(self):
        return self._moment(1)

    @property
    def mode(self):
        """((a − 1)/(ab − 1))^(1/a) where a, b ≥ 1, else NaN. (PyTorch's formula gives no number inside (0, 1) anywhere.)"""
        a, b = self.concentration1, self.concentration0
        return torch.where((a >= 1) & (b >= 1), ((a - 1) / (a * b - 1)).pow(1 / a), math.nan)

    @property
    def variance(self):
        return self._moment(2) - torch.pow(self.mean, 2)

    def entropy(self):
        b = self.concentration0
        first, second = 1 - self.concentration1.reciprocal(), 1 - b.reciprocal()
        harmonic = torch.digamma(b + 1) - torch.digamma(torch.ones_like(b))
        return second + first * harmonic - torch.log(self.concentration1) - torch.log(b)


class ContinuousBernoulli(ProbsOrLogits, ExponentialFamily):
    """The density C(λ)·λ^x·(1 − λ)^(1−x) on [0, 1], λ = probs (Loaiza-Ganem & Cunningham, NeurIPS 2019).

    Args:
      lims: between these, where formulas of λ cancel, their series around ½ stand for them.
    """

    arg_constraints: ClassVar = _ODDS
    support = constraints.unit_interval
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, probs: Any = None, logits: Any = None, lims: tuple = (0.499, 0.501), validate_args: bool | None = None):
        self._lims = lims
        self._set(validate_args, **self._given(probs, logits))
        if probs is not None:
            self.probs = clamp_probs(self.probs)

    def _outside(self) -> torch.Tensor:
        return (self.probs <= self._lims[0]) | (self.probs > self._lims[1])

    def _cut(self) -> torch.Tensor:
        """λ, with a number outside the limits in place of one between them."""
        return torch.where(self._outside(), self.probs, self._lims[0])

    def _log_odds_against(self) -> torch.Tensor:
        cut = self._cut()
        return torch.log1p(-cut) - torch.log(cut)

    def _log_norm(self) -> torch.Tensor:
        cut, x = self._cut(), (self.probs - 0.5) ** 2
        norm = torch.log(torch.abs(self._log_odds_against())) - torch.log(torch.abs(1.0 - 2.0 * cut))
        return torch.where(self._outside(), norm, math.log(2.0) + (4.0 / 3.0 + 104.0 / 45.0 * x) * x)

    @property
    def mean(self):
        cut, x = self._cut(), self.probs - 0.5
        mean = cut / (2.0 * cut - 1.0) + 1.0 / self._log_odds_against()
        return torch.where(self._outside(), mean, 0.5 + (1.0 / 3.0 + 16.0 / 45.0 * x**2) * x)

    @property
    def variance(self):
        cut, x = self._cut(), (self.probs - 0.5) ** 2
        variance = cut * (cut - 1.0) / (1.0 - 2.0 * cut) ** 2 + 1.0 / self._log_odds_against() ** 2
        return torch.where(self._outside(), variance, 1.0 / 12.0 - (1.0 / 15.0 - 128.0 / 945.0 * x) * x)

    def rsample(self, sample_shape=()):
        return self.icdf(torch.rand(self._extended_shape(sample_shape), dtype=self.probs.dtype))

    def log_prob(self, value):
        logits, value = broadcast_all(self.logits, self._checked(value))
        return -nn.functional.binary_cross_entropy_with_logits(logits, value, reduction="none") + self._log_norm()

    def cdf(self, value):
        value, cut = self._checked(value), self._cut()
        inner = (cut**value * (1.0 - cut) ** (1.0 - value) + cut - 1.0) / (2.0 * cut - 1.0)
        inner = torch.where(self._outside(), inner, value)
        return torch.where(value <= 0, 0.0, torch.where(value >= 1, 1.0, inner))

    def icdf(self, value):
        cut = self._cut()
        inner = (torch.log1p(-cut + value * (2.0 * cut - 1.0)) - torch.log1p(-cut)) / -self._log_odds_against()
        return torch.where(self._outside(), inner, value)

    def entropy(self):
        log_1, log_0 = torch.log(self.probs), torch.log1p(-self.probs)
        return self.mean * (log_0 - log_1) - self._log_norm() - log_0


class LogitRelaxedBernoulli(ProbsOrLogits, Distribution):
    """The log odds of a RelaxedBernoulli value."""

    arg_constraints: ClassVar = _ODDS
    support = constraints.real
    has_rsample = True

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        (self.temperature,) = as_tensors(temperature)
        self._set(validate_args, **self._given(probs, logits))

    def rsample(self, sample_shape=()):
        shape = self._extended_shape(sample_shape)
        probs = clamp_probs(self.probs.expand(shape))
        u = open_unit_rand(shape, probs)
        return (u.log() - (-u).log1p() + probs.log() - (-probs).log1p()) / self.temperature

    def log_prob(self, value):
        logits, value = broadcast_all(self.logits, self._checked(value))
        difference = logits - value.mul(self.temperature)
        return self.temperature.log() + difference - 2 * difference.exp().log1p()


class RelaxedBernoulli(TransformedDistribution):
    """A number in (0, 1) near 0 or 1, nearer at lower ``temperature``, with the gradient that Bernoulli's values lack."""

    arg_constraints: ClassVar = _ODDS
    support = constraints.unit_interval
    temperature, logits, probs = part("base_dist.temperature"), part("base_dist.logits"), part("base_dist.probs")

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        super().__init__(LogitRelaxedBernoulli(temperature, probs, logits), SigmoidTransform(), validate_args)
