"""Distributions of positive numbers: waiting times, sizes, variances."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from funnn.torch import _namespace as torch
from funnn.torch.distributions import constraints
from funnn.torch.distributions.composed import TransformedDistribution, part
from funnn.torch.distributions.distribution import Distribution, ExponentialFamily
from funnn.torch.distributions.transforms import AffineTransform, ExpTransform, PowerTransform
from funnn.torch.distributions.utils import broadcast_all, euler_constant

__all__ = ["Chi2", "Exponential", "FisherSnedecor", "Gamma", "GeneralizedPareto", "InverseGamma", "Pareto", "Weibull"]


class Exponential(ExponentialFamily):
    """The density rate·exp(−rate·x)."""

    arg_constraints: ClassVar = {"rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, rate: Any, validate_args: bool | None = None):
        self._set(validate_args, rate=rate)

    @property
    def mean(self):
        return self.rate.reciprocal()

    stddev = mean

    @property
    def mode(self):
        return torch.zeros_like(self.rate)

    @property
    def variance(self):
        return self.rate.pow(-2)

    def rsample(self, sample_shape=()):
        return self.rate.new_empty(self._extended_shape(sample_shape)).exponential_() / self.rate

    def log_prob(self, value):
        return self.rate.log() - self.rate * self._checked(value)

    def cdf(self, value):
        return 1 - torch.exp(-self.rate * self._checked(value))

    def icdf(self, value):
        return -torch.log1p(-value) / self.rate

    def entropy(self):
        return 1.0 - torch.log(self.rate)

    @property
    def _natural_params(self):
        return (-self.rate,)

    def _log_normalizer(self, x):
        return -torch.log(-x)


class Gamma(ExponentialFamily):
    """The density rate^α·x^(α−1)·exp(−rate·x)/Γ(α) with α = concentration."""

    arg_constraints: ClassVar = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None):
        self._set(validate_args, concentration=concentration, rate=rate)

    @property
    def mean(self):
        return self.concentration / self.rate

    @property
    def mode(self):
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self):
        return self.concentration / self.rate.pow(2)

    def rsample(self, sample_shape=()):
        shape = self._extended_shape(sample_shape)
        value = torch._standard_gamma(self.concentration.expand(shape)) / self.rate.expand(shape)
        value.detach().clamp_(min=torch.finfo(value.dtype).tiny)
        return value

    def log_prob(self, value):
        value = torch.as_tensor(self._checked(value), dtype=self.rate.dtype)
        scaled = torch.xlogy(self.concentration, self.rate) + torch.xlogy(self.concentration - 1, value)
        return scaled - self.rate * value - torch.lgamma(self.concentration)

    def cdf(self, value):
        return torch.igamma(self.concentration, self.rate * self._checked(value))

    def entropy(self):
        alpha = self.concentration
        return alpha - torch.log(self.rate) + torch.lgamma(alpha) + (1.0 - alpha) * torch.digamma(alpha)

    @property
    def _natural_params(self):
        return self.concentration - 1, -self.rate

    def _log_normalizer(self, x, y):
        return torch.lgamma(x + 1) + (x + 1) * torch.log(-y.reciprocal())


class Chi2(Gamma):
    """The sum of the squares of ``df`` standard normals: Gamma(df/2, 1/2)."""

    arg_constraints: ClassVar = {"df": constraints.positive}

    def __init__(self, df: Any, validate_args: bool | None = None):
        super().__init__(0.5 * df, 0.5, validate_args)

    @property
    def df(self):
        """The degrees of freedom, twice the concentration."""
        return self.concentration * 2

    def _expanded(self, name, value, batch_shape):
        return value.expand(batch_shape) if name in Gamma.arg_constraints else super()._expanded(name, value, batch_shape)


class InverseGamma(TransformedDistribution):
    """The reciprocal of a value from Gamma(concentration, rate)."""

    arg_constraints = Gamma.arg_constraints
    support = constraints.positive
    concentration, rate = part("base_dist.concentration"), part("base_dist.rate")

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None):
        base = Gamma(concentration, rate, validate_args)
        super().__init__(base, PowerTransform(-base.rate.new_ones(())), validate_args)

    @property
    def mean(self):
        return torch.where(self.concentration > 1, self.rate / (self.concentration - 1), math.inf)

    @property
    def mode(self):
        return self.rate / (self.concentration + 1)

    @property
    def variance(self):
        alpha = self.concentration
        return torch.where(alpha > 2, self.rate.square() / ((alpha - 1).square() * (alpha - 2)), math.inf)

    def entropy(self):
        alpha = self.concentration
        return alpha + self.rate.log() + alpha.lgamma() - (1 + alpha) * alpha.digamma()


class Weibull(TransformedDistribution):
    """scale·E^(1/concentration), with E from Exponential(1)."""

    arg_constraints: ClassVar = {"scale": constraints.positive, "concentration": constraints.positive}
    support = constraints.positive

    def __init__(self, scale: Any, concentration: Any, validate_args: bool | None = None):
        self.scale, self.concentration = broadcast_all(scale, concentration)
        steps = [PowerTransform(exponent=self.concentration_reciprocal), AffineTransform(loc=0, scale=self.scale)]
        super().__init__(Exponential(torch.ones_like(self.scale), validate_args), steps, validate_args)

    @property
    def concentration_reciprocal(self):
        """1/concentration."""
        return self.concentration.reciprocal()

    def _moment(self, n: int) -> torch.Tensor:
        """The logarithm of E[(x/scale)ⁿ]."""
        return torch.lgamma(1 + n * self.concentration_reciprocal)

    @property
    def mean(self):
        return self.scale * torch.exp(self._moment(1))

    @property
    def mode(self):
        return self.scale * ((self.concentration - 1) / self.concentration) ** self.concentration.reciprocal()

    @property
    def variance(self):
        return self.scale.pow(2) * (torch.exp(self._moment(2)) - torch.exp(2 * self._moment(1)))

    def entropy(self):
        return euler_constant * (1 - self.concentration_reciprocal) + torch.log(self.scale * self.concentration_reciprocal) + 1


class Pareto(TransformedDistribution):
    """The density alpha·scale^alpha/x^(alpha+1) above ``scale``."""

    arg_constraints: ClassVar = {"alpha": constraints.positive, "scale": constraints.positive}

    def __init__(self, scale: Any, alpha: Any, validate_args: bool | None = None):
        self.scale, self.alpha = broadcast_all(scale, alpha)
        steps = [ExpTransform(), AffineTransform(loc=0, scale=self.scale)]
        super().__init__(Exponential(self.alpha, validate_args), steps, validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self):
        return constraints.greater_than_eq(self.scale)

    @property
    def mean(self):
        alpha = self.alpha.clamp(min=1)  # infinite up to 1
        return alpha * self.scale / (alpha - 1)

    @property
    def mode(self):
        return self.scale

    @property
    def variance(self):
        alpha = self.alpha.clamp(min=2)  # infinite up to 2
        return self.scale.pow(2) * alpha / ((alpha - 1).pow(2) * (alpha - 2))

    def entropy(self):
        return (self.scale / self.alpha).log() + (1 + self.alpha.reciprocal())


class GeneralizedPareto(Distribution):
    """The tail 1 − F(x) = (1 + ξz)^(−1/ξ) with z = (x − loc)/scale and ξ = concentration; e^(−z) for ξ = 0."""

    arg_constraints: ClassVar = {"loc": constraints.real, "scale": constraints.positive, "concentration": constraints.real}
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, concentration: Any, validate_args: bool | None = None):
        self._set(validate_args, loc=loc, scale=scale, concentration=concentration)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self):
        upper = torch.where(self.concentration < 0, self.loc - self.scale / self.concentration, math.inf)
        return constraints.interval(self.loc, upper)

    def _cases(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Where ξ = 0, and ξ, with 1 in its place there."""
        zero = torch.isclose(self.concentration, torch.zeros_like(self.concentration))
        return zero, torch.where(zero, torch.ones_like(self.concentration), self.concentration)

    def _standardised(self, value: torch.Tensor) -> torch.Tensor:
        return (self._checked(value) - self.loc) / self.scale

    def rsample(self, sample_shape=()):
        return self.icdf(torch.rand(self._extended_shape(sample_shape), dtype=self.loc.dtype))

    def log_prob(self, value):
        z = self._standardised(value)
        zero, xi = self._cases()
        return torch.where(zero, -z, -(1 / xi + 1) * torch.log1p(xi * z)) - self.scale.log()

    def log_survival_function(self, value: torch.Tensor) -> torch.Tensor:
        """log(1 − cdf)."""
        z = self._standardised(value)
        zero, xi = self._cases()
        return torch.where(zero, -z, -torch.log1p(xi * z) / xi)

    def log_cdf(self, value: torch.Tensor) -> torch.Tensor:
        """The logarithm of ``cdf``."""
        return torch.log1p(-torch.exp(self.log_survival_function(value)))

    def cdf(self, value):
        return torch.exp(self.log_cdf(value))

    def icdf(self, value):
        zero, xi = self._cases()
        log_tail = torch.log1p(-value)
        return torch.where(zero, self.loc - self.scale * log_tail, self.loc + self.scale * torch.expm1(-xi * log_tail) / xi)

    @property
    def mean(self):
        xi = self.concentration
        return torch.where(xi < 1, self.loc + self.scale / (1 - xi), math.inf)

    @property
    def mode(self):
        return self.loc

    @property
    def variance(self):
        xi = self.concentration
        return torch.where(xi < 0.5, self.scale**2 / ((1 - xi) ** 2 * (1 - 2 * xi)), math.inf)

    def entropy(self):
        return (torch.log(self.scale) + self.concentration + 1).expand(self._batch_shape)


class FisherSnedecor(Distribution):
    """(χ²₁/df1)/(χ²₂/df2): the F distribution."""

    arg_constraints: ClassVar = {"df1": constraints.positive, "df2": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, df1: Any, df2: Any, validate_args: bool | None = None):
        self._set(validate_args, df1=df1, df2=df2)
        self._gamma1, self._gamma2 = (Gamma(df * 0.5, df) for df in (self.df1, self.df2))

    @property
    def mean(self):
        return self.df2 / torch.where(self.df2 > 2, self.df2 - 2, math.nan)

    @property
    def mode(self):
        return torch.where(self.df1 > 2, (self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2), math.nan)

    @property
    def variance(self):
        df2 = torch.where(self.df2 > 4, self.df2, math.nan)
        return 2 * df2.pow(2) * (self.df1 + df2 - 2) / (self.df1 * (df2 - 2).pow(2) * (df2 - 4))

    def rsample(self, sample_shape=()):
        upper, lower = self._gamma1.rsample(sample_shape), self._gamma2.rsample(sample_shape)
        tiny = torch.finfo(self.df2.dtype).tiny
        return (upper / lower.clamp(min=tiny)).clamp(min=tiny)

    def log_prob(self, value):
        value = self._checked(value)
        a, b, ratio = self.df1 * 0.5, self.df2 * 0.5, self.df1 / self.df2
        log_beta = a.lgamma() + b.lgamma() - (a + b).lgamma()
        return a * ratio.log() + (a - 1) * torch.log(value) - log_beta - (a + b) * torch.log1p(ratio * value)
