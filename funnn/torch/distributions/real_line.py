"""Distributions on the whole real line, by location and scale, and von Mises's on the circle."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from funnn.torch import _namespace as torch
from funnn.torch.distributions import constraints
from funnn.torch.distributions.composed import TransformedDistribution
from funnn.torch.distributions.distribution import Distribution, ExponentialFamily
from funnn.torch.distributions.half_line import Chi2
from funnn.torch.distributions.intervals import Uniform
from funnn.torch.distributions.transforms import AffineTransform, ExpTransform
from funnn.torch.distributions.utils import broadcast_all, euler_constant, lazy_property, standard_normal

__all__ = ["Cauchy", "Gumbel", "Laplace", "Normal", "StudentT", "VonMises"]


class _LocationScale(Distribution):
    """loc + scale·ε."""

    arg_constraints: ClassVar = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None):
        self._set(validate_args, loc=loc, scale=scale)

    def _standardised(self, value: torch.Tensor) -> torch.Tensor:
        return (self._checked(value) - self.loc) / self.scale

    @property
    def mode(self):
        return self.loc

    mean = mode


class Normal(_LocationScale, ExponentialFamily):
    """The density exp(−(x − loc)²/(2·scale²))/(scale·√(2π))."""

    _mean_carrier_measure = 0

    @property
    def stddev(self):
        return self.scale

    @property
    def variance(self):
        return self.scale.pow(2)

    def sample(self, sample_shape=()):
        shape = self._extended_shape(sample_shape)
        with torch.no_grad():
            return torch.normal(self.loc.expand(shape), self.scale.expand(shape))

    def rsample(self, sample_shape=()):
        return self.loc + standard_normal(self._extended_shape(sample_shape), self.loc.dtype) * self.scale

    def log_prob(self, value):
        return -((self._checked(value) - self.loc) ** 2) / (2 * self.scale**2) - self.scale.log() - math.log(math.sqrt(2 * math.pi))

    def cdf(self, value):
        return 0.5 * (1 + torch.erf((self._checked(value) - self.loc) * self.scale.reciprocal() / math.sqrt(2)))

    def icdf(self, value):
        return self.loc + self.scale * torch.erfinv(2 * value - 1) * math.sqrt(2)

    def entropy(self):
        return 0.5 + 0.5 * math.log(2 * math.pi) + torch.log(self.scale)

    @property
    def _natural_params(self):
        return self.loc / self.scale.pow(2), -0.5 * self.scale.pow(2).reciprocal()

    def _log_normalizer(self, x, y):
        return -0.25 * x.pow(2) / y + 0.5 * torch.log(-math.pi / y)


class Laplace(_LocationScale):
    """The density exp(−|x − loc|/scale)/(2·scale)."""

    @property
    def variance(self):
        return 2 * self.scale.pow(2)

    @property
    def stddev(self):
        return (2**0.5) * self.scale

    def rsample(self, sample_shape=()):
        u = self.loc.new_empty(self._extended_shape(sample_shape)).uniform_(torch.finfo(self.loc.dtype).eps - 1, 1)
        return self.loc - self.scale * u.sign() * torch.log1p(-u.abs())

    def log_prob(self, value):
        return -torch.log(2 * self.scale) - torch.abs(self._checked(value) - self.loc) / self.scale

    def cdf(self, value):
        distance = self._checked(value) - self.loc
        return 0.5 - 0.5 * distance.sign() * torch.expm1(-distance.abs() / self.scale)

    def icdf(self, value):
        term = value - 0.5
        return self.loc - self.scale * term.sign() * torch.log1p(-2 * term.abs())

    def entropy(self):
        return 1 + torch.log(2 * self.scale)


class Cauchy(_LocationScale):
    """The density 1/(π·scale·(1 + ((x − loc)/scale)²)), which has no mean."""

    @property
    def mean(self):
        return torch.full(self._extended_shape(), math.nan, dtype=self.loc.dtype)

    @property
    def variance(self):
        return torch.full(self._extended_shape(), math.inf, dtype=self.loc.dtype)

    def rsample(self, sample_shape=()):
        return self.loc + self.loc.new_empty(self._extended_shape(sample_shape)).cauchy_() * self.scale

    def log_prob(self, value):
        return -math.log(math.pi) - self.scale.log() - (self._standardised(value) ** 2).log1p()

    def cdf(self, value):
        return torch.atan(self._standardised(value)) / math.pi + 0.5

    def icdf(self, value):
        return torch.tan(math.pi * (value - 0.5)) * self.scale + self.loc

    def entropy(self):
        return math.log(4 * math.pi) + self.scale.log()


class Gumbel(TransformedDistribution):
    """loc − scale·log(−log u), u uniform: the distribution of maxima."""

    arg_constraints = _LocationScale.arg_constraints
    support = constraints.real

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None):
        self.loc, self.scale = broadcast_all(loc, scale)
        info = torch.finfo(self.loc.dtype)
        uniform = Uniform(torch.full_like(self.loc, info.tiny), torch.full_like(self.loc, 1 - info.eps), validate_args)
        steps = [
            ExpTransform().inv,
            AffineTransform(0, -torch.ones_like(self.scale)),
            ExpTransform().inv,
            AffineTransform(self.loc, -self.scale),
        ]
        super().__init__(uniform, steps, validate_args)

    def log_prob(self, value):
        y = (self.loc - self._checked(value)) / self.scale
        return (y - y.exp()) - self.scale.log()

    @property
    def mean(self):
        return self.loc + self.scale * euler_constant

    @property
    def mode(self):
        return self.loc

    @property
    def stddev(self):
        return (math.pi / math.sqrt(6)) * self.scale

    @property
    def variance(self):
        return self.stddev.pow(2)

    def entropy(self):
        return self.scale.log() + (1 + euler_constant)


class StudentT(Distribution):
    """loc + scale·ε/√(χ²/df): a normal of unknown variance, with ``df`` degrees of freedom."""

    arg_constraints: ClassVar = {"df": constraints.positive, **_LocationScale.arg_constraints}
    support = constraints.real
    has_rsample = True

    def __init__(self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None):
        self._set(validate_args, df=df, loc=loc, scale=scale)
        self._chi2 = Chi2(self.df)

    @property
    def mean(self):
        return torch.where(self.df > 1, self.loc, math.nan)

    @property
    def mode(self):
        return self.loc

    @property
    def variance(self):
        known = torch.where(self.df > 2, self.df, 3.0)
        heavy = torch.where(self.df > 1, math.inf, math.nan).to(self.df.dtype)
        return torch.where(self.df > 2, self.scale.pow(2) * known / (known - 2), heavy)

    def rsample(self, sample_shape=()):
        normal = standard_normal(self._extended_shape(sample_shape), self.df.dtype)
        return self.loc + self.scale * (normal * torch.rsqrt(self._chi2.rsample(sample_shape) / self.df))

    def log_prob(self, value):
        y = (self._checked(value) - self.loc) / self.scale
        norm = self.scale.log() + 0.5 * self.df.log() + 0.5 * math.log(math.pi)
        norm = norm + torch.lgamma(0.5 * self.df) - torch.lgamma(0.5 * (self.df + 1.0))
        return -0.5 * (self.df + 1.0) * torch.log1p(y**2.0 / self.df) - norm

    def entropy(self):
        half, above = 0.5 * self.df, 0.5 * (self.df + 1)
        log_beta = torch.lgamma(half) + math.lgamma(0.5) - torch.lgamma(above)
        return self.scale.log() + above * (torch.digamma(above) - torch.digamma(half)) + 0.5 * self.df.log() + log_beta


# -- the circle


class VonMises(Distribution):
    """The density exp(concentration·cos(x − loc))/(2π·I₀(concentration)) of an angle."""

    arg_constraints: ClassVar = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None):
        self._set(validate_args, loc=loc, concentration=concentration)

    @property
    def mode(self):
        return self.loc

    mean = mode

    @lazy_property
    def variance(self):
        """1 − I₁/I₀, the circular variance."""
        return 1 - torch.special.i1e(self.concentration) / torch.special.i0e(self.concentration)

    def log_prob(self, value):
        density = self.concentration * torch.cos(self._checked(value) - self.loc)
        return density - math.log(2 * math.pi) - (self.concentration + torch.special.i0e(self.concentration).log())

    def sample(self, sample_shape=()):
        with torch.no_grad():
            return self._sample(self._extended_shape(sample_shape))

    def _sample(self, shape: torch.Size) -> torch.Tensor:
        """By Best & Fisher's rejection from a wrapped Cauchy distribution (Applied Statistics 28(2), 1979), in float64."""
        kappa, loc = self.concentration.double(), self.loc.double()
        tau = 1 + (1 + 4 * kappa**2).sqrt()
        rho = (tau - (2 * tau).sqrt()) / (2 * kappa)
        r = torch.where(kappa < 1e-5, 1 / kappa + kappa, (1 + rho**2) / (2 * rho))
        angle, done = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.bool)
        while not bool(done.all()):
            u, v, w = torch.rand((3, *shape), dtype=torch.float64).unbind()
            z = torch.cos(math.pi * u)
            f = (1 + r * z) / (r + z)
            c = kappa * (r - f)
            accept = (c * (2 - c) - v > 0) | ((c / v).log() + 1 - c >= 0)
            angle, done = torch.where(accept, (w - 0.5).sign() * f.acos(), angle), done | accept
        return ((angle + math.pi + loc) % (2 * math.pi) - math.pi).to(self.loc.dtype)
