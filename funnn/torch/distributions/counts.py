"""Distributions of counts: successes, failures, events."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from funnn.torch import _namespace as torch
from funnn.torch import nn
from funnn.torch.distributions import constraints
from funnn.torch.distributions.distribution import Distribution, ExponentialFamily, ProbsOrLogits
from funnn.torch.distributions.half_line import Gamma
from funnn.torch.distributions.utils import broadcast_all

__all__ = ["Bernoulli", "Binomial", "Geometric", "NegativeBinomial", "Poisson"]

_ODDS = {"probs": constraints.unit_interval, "logits": constraints.real}
_cross_entropy = nn.functional.binary_cross_entropy_with_logits


class Bernoulli(ProbsOrLogits, ExponentialFamily):
    """1 with probability ``probs``, else 0."""

    arg_constraints: ClassVar = _ODDS
    support = constraints.boolean
    has_enumerate_support = True
    _mean_carrier_measure = 0

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        self._set(validate_args, **self._given(probs, logits))

    @property
    def mean(self):
        return self.probs

    @property
    def mode(self):
        mode = (self.probs >= 0.5).to(self.probs.dtype)
        return torch.where(self.probs == 0.5, math.nan, mode)

    @property
    def variance(self):
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape=()):
        with torch.no_grad():
            return torch.bernoulli(self.probs.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value):
        logits, value = broadcast_all(self.logits, self._checked(value))
        return -_cross_entropy(logits, value, reduction="none")

    def entropy(self):
        return _cross_entropy(self.logits, self.probs, reduction="none")

    def enumerate_support(self, expand=True):
        return _enumerated(torch.arange(2, dtype=self._param.dtype), self._batch_shape, expand)

    @property
    def _natural_params(self):
        return (torch.logit(self.probs),)

    def _log_normalizer(self, x):
        return torch.log1p(torch.exp(x))


def _enumerated(values: torch.Tensor, batch_shape: torch.Size, expand: bool) -> torch.Tensor:
    values = values.reshape((-1,) + (1,) * len(batch_shape))
    return values.expand((-1,) + batch_shape) if expand else values


class Geometric(ProbsOrLogits, Distribution):
    """The number of failures before the first success: (1 − probs)^k·probs."""

    arg_constraints: ClassVar = _ODDS
    support = constraints.nonnegative_integer

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        self._set(validate_args, **self._given(probs, logits))
        if self._validate_args and probs is not None and not bool((self.probs > 0).all()):
            raise ValueError(
                f"Expected parameter probs (Tensor of shape {tuple(self.probs.shape)}) of distribution {self!r} to be positive but found "
                f"invalid values:\n{self.probs[~(self.probs > 0)]}"
            )

    @property
    def mean(self):
        return 1.0 / self.probs - 1.0

    @property
    def mode(self):
        return torch.zeros_like(self.probs)

    @property
    def variance(self):
        return (1.0 / self.probs - 1.0) / self.probs

    def sample(self, sample_shape=()):
        with torch.no_grad():
            u = self.probs.new_empty(self._extended_shape(sample_shape)).uniform_(torch.finfo(self.probs.dtype).tiny, 1)
            return (u.log() / (-self.probs).log1p()).floor()

    def log_prob(self, value):
        value, probs = broadcast_all(self._checked(value), self.probs)
        failure = torch.where((probs == 1) & (value == 0), 0.0, probs)  # 0·log 0 is 0
        return value * (-failure).log1p() + self.probs.log()

    def entropy(self):
        return _cross_entropy(self.logits, self.probs, reduction="none") / self.probs


class Poisson(ExponentialFamily):
    """The number of events of a given rate: rate^k·e^(−rate)/k!."""

    arg_constraints: ClassVar = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer

    def __init__(self, rate: Any, validate_args: bool | None = None):
        self._set(validate_args, rate=rate)

    @property
    def mean(self):
        return self.rate

    variance = mean

    @property
    def mode(self):
        return self.rate.floor()

    def sample(self, sample_shape=()):
        with torch.no_grad():
            return torch.poisson(self.rate.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value):
        rate, value = broadcast_all(self.rate, self._checked(value))
        return value.xlogy(rate) - rate - (value + 1).lgamma()

    @property
    def _natural_params(self):
        return (torch.log(self.rate),)

    def _log_normalizer(self, x):
        return torch.exp(x)


class _OfTrials(ProbsOrLogits, Distribution):
    """Distributions of ``total_count`` and a probability."""

    def __init__(self, total_count: Any = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        ((name, value),) = self._given(probs, logits).items()
        total_count, value = broadcast_all(total_count, value)
        value = value if value.is_floating_point() else value.to(torch.get_default_dtype())
        self._set(validate_args, total_count=total_count.type_as(value), **{name: value})


class Binomial(_OfTrials):
    """The number of successes in ``total_count`` trials."""

    arg_constraints: ClassVar = {"total_count": constraints.nonnegative_integer, **_ODDS}
    has_enumerate_support = True

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self):
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self):
        return self.total_count * self.probs

    @property
    def mode(self):
        return ((self.total_count + 1) * self.probs).floor().clamp(max=self.total_count)

    @property
    def variance(self):
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape=()):
        shape = self._extended_shape(sample_shape)
        with torch.no_grad():
            return torch.binomial(self.total_count.expand(shape), self.probs.expand(shape))

    def log_prob(self, value):
        value, n = self._checked(value), self.total_count
        log_choose = torch.lgamma(n + 1) - torch.lgamma(value + 1) - torch.lgamma(n - value + 1)
        above = (self.logits.clamp(min=0) + self.logits - self.logits.clamp(max=0)) / 2  # max(logits, 0), of gradient ½ at 0
        log_norm = n * above + n * torch.log1p(torch.exp(-torch.abs(self.logits)))
        return value * self.logits + log_choose - log_norm

    def entropy(self):
        self._one_count("entropy")
        log_prob = self.log_prob(self.enumerate_support(False))
        return -(torch.exp(log_prob) * log_prob).sum(0)

    def enumerate_support(self, expand=True):
        return _enumerated(torch.arange(1 + self._one_count("enumerate_support"), dtype=self._param.dtype), self._batch_shape, expand)

    def _one_count(self, what: str) -> int:
        count = int(self.total_count.max())
        if float(self.total_count.min()) != count:
            raise NotImplementedError(f"Inhomogeneous total count not supported by `{what}`.")
        return count


class NegativeBinomial(_OfTrials):
    """The number of successes of probability ``probs`` before ``total_count`` failures."""

    arg_constraints: ClassVar = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer

    def __init__(self, total_count: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        super().__init__(total_count, probs, logits, validate_args)

    @property
    def mean(self):
        return self.total_count * torch.exp(self.logits)

    @property
    def mode(self):
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @property
    def variance(self):
        return self.mean / torch.sigmoid(-self.logits)

    def sample(self, sample_shape=()):
        with torch.no_grad():
            return torch.poisson(Gamma(self.total_count, torch.exp(-self.logits), validate_args=False).sample(sample_shape))

    def log_prob(self, value):
        value, n = self._checked(value), self.total_count
        density = n * nn.functional.logsigmoid(-self.logits) + value * nn.functional.logsigmoid(self.logits)
        log_norm = -torch.lgamma(n + value) + torch.lgamma(1.0 + value) + torch.lgamma(n)
        return density - log_norm.masked_fill(n + value == 0.0, 0.0)
