"""What becomes of a normal or Cauchy value: its exponential, its absolute value, its place on the simplex."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from funnn.torch import _namespace as torch
from funnn.torch.distributions import constraints
from funnn.torch.distributions.composed import TransformedDistribution, part
from funnn.torch.distributions.distribution import Distribution
from funnn.torch.distributions.real_line import Cauchy, Normal
from funnn.torch.distributions.transforms import AbsTransform, ExpTransform, StickBreakingTransform

__all__ = ["HalfCauchy", "HalfNormal", "LogNormal", "LogisticNormal"]


class LogNormal(TransformedDistribution):
    """exp of a value from Normal(loc, scale)."""

    arg_constraints = Normal.arg_constraints
    support = constraints.positive
    loc, scale = part("base_dist.loc"), part("base_dist.scale")

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None):
        super().__init__(Normal(loc, scale, validate_args), ExpTransform(), validate_args)

    @property
    def mean(self):
        return (self.loc + self.scale.pow(2) / 2).exp()

    @property
    def mode(self):
        return (self.loc - self.scale.square()).exp()

    @property
    def variance(self):
        square = self.scale.pow(2)
        return square.expm1() * (2 * self.loc + square).exp()

    def entropy(self):
        return self.base_dist.entropy() + self.loc


class _Half(TransformedDistribution):
    """The absolute value of a distribution that is symmetric around 0."""

    arg_constraints: ClassVar = {"scale": constraints.positive}
    support = constraints.nonnegative
    scale = part("base_dist.scale")
    _symmetric: type[Distribution]

    def __init__(self, scale: Any, validate_args: bool | None = None):
        super().__init__(self._symmetric(0, scale, validate_args=False), AbsTransform(), validate_args)

    @property
    def mode(self):
        return torch.zeros_like(self.scale)

    def log_prob(self, value):
        value = torch.as_tensor(self._checked(value), dtype=self.scale.dtype)
        return torch.where(value >= 0, self.base_dist.log_prob(value) + math.log(2), -math.inf)

    def cdf(self, value):
        return 2 * self.base_dist.cdf(self._checked(value)) - 1

    def icdf(self, value):
        return self.base_dist.icdf((value + 1) / 2)

    def entropy(self):
        return self.base_dist.entropy() - math.log(2)


class HalfNormal(_Half):
    """The absolute value of a value from Normal(0, scale)."""

    _symmetric = Normal

    @property
    def mean(self):
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def variance(self):
        return self.scale.pow(2) * (1 - 2 / math.pi)


class HalfCauchy(_Half):
    """The absolute value of a value from Cauchy(0, scale), which has no mean."""

    _symmetric = Cauchy

    @property
    def mean(self):
        return torch.full(self._extended_shape(), math.inf, dtype=self.scale.dtype)

    variance = part("base_dist.variance")


class LogisticNormal(TransformedDistribution):
    """A point of the simplex: a normal vector (…, K) mapped by StickBreakingTransform to (…, K + 1)."""

    arg_constraints = Normal.arg_constraints
    support = constraints.simplex
    loc, scale = part("base_dist.base_dist.loc"), part("base_dist.base_dist.scale")

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None):
        base = Normal(loc, scale, validate_args)
        super().__init__(base if base.batch_shape else base.expand([1]), StickBreakingTransform(), validate_args)
