"""Distributions over K categories: their number, a one-hot vector, counts of each, a relaxed one-hot vector."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from funnn.torch import _namespace as torch
from funnn.torch import nn
from funnn.torch.distributions import constraints
from funnn.torch.distributions.distribution import Distribution, ProbsOrLogits
from funnn.torch.distributions.utils import as_tensors, broadcast_all, lazy_property, open_unit_rand

__all__ = ["Categorical", "ExpRelaxedCategorical", "Multinomial", "OneHotCategorical", "OneHotCategoricalStraightThrough"]

_SHARES = {"probs": constraints.simplex, "logits": constraints.real_vector}


class Categorical(ProbsOrLogits, Distribution):
    """The number of a category, 0 … K − 1. ``probs`` (…, K) is divided by its sum; of ``logits``, logsumexp is subtracted."""

    arg_constraints: ClassVar = _SHARES
    has_enumerate_support = True
    _is_binary = False

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        ((name, value),) = self._given(probs, logits).items()
        if value.dim() < 1:
            raise ValueError(f"`{name}` parameter must be at least one-dimensional.")
        value = value / value.sum(-1, keepdim=True) if name == "probs" else value - value.logsumexp(dim=-1, keepdim=True)
        self._set(validate_args, **{name: value})

    @property
    def _num_events(self) -> int:
        return self._param.shape[-1]

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self):
        return constraints.integer_interval(0, self._num_events - 1)

    @property
    def mean(self):
        return torch.full(self._extended_shape(), math.nan, dtype=self.probs.dtype)

    variance = mean

    @property
    def mode(self):
        return self.probs.argmax(dim=-1)

    def sample(self, sample_shape=()):
        rows = self.probs.detach().reshape(-1, self._num_events)
        chosen = torch.multinomial(rows, torch.Size(sample_shape).numel(), True).T
        return chosen.reshape(self._extended_shape(sample_shape))

    def log_prob(self, value):
        value, logits = torch.broadcast_tensors(self._checked(value).long().unsqueeze(-1), self.logits)
        return logits.gather(-1, value[..., :1]).squeeze(-1)

    def entropy(self):
        logits = torch.clamp(self.logits, min=torch.finfo(self.logits.dtype).min)
        return -(logits * self.probs).sum(-1)

    def enumerate_support(self, expand=True):
        values = torch.arange(self._num_events).reshape((-1,) + (1,) * len(self._batch_shape))
        return values.expand((-1,) + self._batch_shape) if expand else values


class _OverCategorical(Distribution):
    """Distributions of vectors (…, K) that hold a Categorical."""

    arg_constraints: ClassVar = _SHARES

    @property
    def probs(self):
        return self._categorical.probs

    @property
    def logits(self):
        return self._categorical.logits

    @property
    def _param(self):
        return self._categorical._param

    @property
    def param_shape(self):
        """The shape of the parameter that was given."""
        return self._categorical.param_shape

    def _hold(self, categorical: Categorical, validate_args: bool | None) -> None:
        self._categorical = categorical
        Distribution.__init__(self, categorical.batch_shape, categorical.param_shape[-1:], validate_args)


class OneHotCategorical(_OverCategorical):
    """A vector with 1 at a category and 0 elsewhere."""

    support = constraints.one_hot
    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        self._hold(Categorical(probs, logits), validate_args)

    def _vector(self, category: torch.Tensor) -> torch.Tensor:
        return nn.functional.one_hot(category, self._event_shape[0]).to(self._param.dtype)

    @property
    def mean(self):
        return self.probs

    @property
    def mode(self):
        return self._vector(self._categorical.mode)

    @property
    def variance(self):
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape=()):
        return self._vector(self._categorical.sample(sample_shape))

    def log_prob(self, value):
        return self._categorical.log_prob(self._checked(value).argmax(-1))

    def entropy(self):
        return self._categorical.entropy()

    def enumerate_support(self, expand=True):
        k = self._event_shape[0]
        values = torch.eye(k, dtype=self._param.dtype).reshape((k,) + (1,) * len(self._batch_shape) + (k,))
        return values.expand((k,) + self._batch_shape + (k,)) if expand else values


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """The same, whose ``rsample`` passes a vector's gradient to ``probs`` unchanged (Bengio et al., 2013)."""

    has_rsample = True

    def rsample(self, sample_shape=()):
        return self.sample(sample_shape) + (self.probs - self.probs.detach())


class Multinomial(_OverCategorical):
    """How often each category comes in ``total_count`` draws."""

    def __init__(self, total_count: int = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        if not isinstance(total_count, int):
            raise NotImplementedError(f"inhomogeneous total_count is not supported: give an int, got {type(total_count).__name__}")
        self.total_count = total_count
        self._hold(Categorical(probs, logits), validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self):
        return constraints.multinomial(self.total_count)

    @property
    def mean(self):
        return self.probs * self.total_count

    @property
    def variance(self):
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape=()):
        draws = self._categorical.sample((self.total_count, *sample_shape)).movedim(0, -1)
        counts = torch.zeros(self._extended_shape(sample_shape), dtype=self._param.dtype)
        return counts.scatter_add_(-1, draws, torch.ones_like(draws, dtype=counts.dtype))

    def log_prob(self, value):
        logits, value = broadcast_all(self.logits, self._checked(value))
        logits = torch.where((value == 0) & (logits == -math.inf), 0.0, logits)  # 0·log 0 is 0
        return torch.lgamma(value.sum(-1) + 1) - torch.lgamma(value + 1).sum(-1) + (logits * value).sum(-1)

    def entropy(self):
        """n·H − log n! + Σ E[log kᵢ!], where each count kᵢ is binomial."""
        n = self.total_count
        counts = torch.arange(n + 1, dtype=self._param.dtype).reshape((-1,) + (1,) * self._param.dim())
        log_choose = math.lgamma(n + 1) - torch.lgamma(counts + 1) - torch.lgamma(n - counts + 1)
        probs = torch.exp(log_choose + torch.xlogy(counts, self.probs) + torch.xlogy(n - counts, 1 - self.probs))
        return n * self._categorical.entropy() - math.lgamma(n + 1) + (probs * torch.lgamma(counts + 1)).sum((0, -1))


class ExpRelaxedCategorical(_OverCategorical):
    """The logarithm of a RelaxedOneHotCategorical value (Maddison, Mnih & Teh, "The concrete distribution", ICLR 2017)."""

    support = constraints.real_vector  # the vectors whose logsumexp is 0, as far as that is checked
    has_rsample = True

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        (self.temperature,) = as_tensors(temperature)
        self._hold(Categorical(probs, logits), validate_args)

    def rsample(self, sample_shape=()):
        gumbels = -((-(open_unit_rand(self._extended_shape(sample_shape), self.logits).log())).log())
        scores = (self.logits + gumbels) / self.temperature
        return scores - scores.logsumexp(dim=-1, keepdim=True)

    @lazy_property
    def _log_scale(self):
        k = self._event_shape[0]
        return math.lgamma(k) + (k - 1) * self.temperature.log()

    def log_prob(self, value):
        logits, value = broadcast_all(self.logits, self._checked(value))
        score = logits - value.mul(self.temperature)
        return (score - score.logsumexp(dim=-1, keepdim=True)).sum(-1) + self._log_scale
