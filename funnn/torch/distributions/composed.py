"""Distributions made of others: dimensions that count as one event, values mapped by transforms, mixtures."""

from __future__ import annotations

import operator
from typing import Any, ClassVar

from funnn.torch import _namespace as torch
from funnn.torch.distributions import constraints
from funnn.torch.distributions.categories import Categorical
from funnn.torch.distributions.distribution import Distribution
from funnn.torch.distributions.transforms import ComposeTransform, Transform
from funnn.torch.distributions.utils import sum_rightmost

__all__ = ["Independent", "MixtureSameFamily", "TransformedDistribution"]


def part(path: str) -> property:
    """A property that is an attribute of a part, as ``"base_dist.loc"``."""
    return property(operator.attrgetter(path))


class Independent(Distribution):
    """A distribution whose last ``reinterpreted_batch_ndims`` batch dimensions count as event dimensions: their log_prob is summed."""

    arg_constraints: ClassVar = {}

    def __init__(self, base_distribution: Distribution, reinterpreted_batch_ndims: int, validate_args: bool | None = None):
        batch, event = base_distribution.batch_shape, base_distribution.event_shape
        if reinterpreted_batch_ndims > len(batch):
            raise ValueError(
                f"Expected reinterpreted_batch_ndims <= len(base_distribution.batch_shape), actual {reinterpreted_batch_ndims} vs {len(batch)}"
            )
        self.base_dist, self.reinterpreted_batch_ndims = base_distribution, reinterpreted_batch_ndims
        cut = len(batch) - reinterpreted_batch_ndims
        super().__init__(batch[:cut], batch[cut:] + event, validate_args)

    has_rsample = part("base_dist.has_rsample")
    mean, mode, variance = part("base_dist.mean"), part("base_dist.mode"), part("base_dist.variance")

    @property
    def has_enumerate_support(self):
        """Whether ``enumerate_support`` lists all values: the base must, and no dimension be reinterpreted."""
        return self.reinterpreted_batch_ndims == 0 and self.base_dist.has_enumerate_support

    @constraints.dependent_property
    def support(self):
        support = self.base_dist.support
        return constraints.independent(support, self.reinterpreted_batch_ndims) if self.reinterpreted_batch_ndims else support

    def _expanded(self, name, value, batch_shape):
        return value.expand(batch_shape + self._event_shape[: self.reinterpreted_batch_ndims]) if name == "base_dist" else value

    def sample(self, sample_shape=()):
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape=()):
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value):
        return sum_rightmost(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self):
        return sum_rightmost(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def enumerate_support(self, expand=True):
        if self.reinterpreted_batch_ndims > 0:
            raise NotImplementedError("Enumeration over cartesian product is not implemented")
        return self.base_dist.enumerate_support(expand=expand)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_dist}, {self.reinterpreted_batch_ndims})"


class TransformedDistribution(Distribution):
    """The distribution of the values of ``base_distribution`` after ``transforms``, one or a list."""

    arg_constraints: ClassVar = {}

    def __init__(self, base_distribution: Distribution, transforms: Any, validate_args: bool | None = None):
        self.transforms = [transforms] if isinstance(transforms, Transform) else transforms
        if not isinstance(self.transforms, list) or not all(isinstance(item, Transform) for item in self.transforms):
            raise ValueError(f"transforms must be a Transform or a list of Transforms, but was {transforms}")
        transform = ComposeTransform(self.transforms)
        events, needed = len(base_distribution.event_shape), transform.domain.event_dim
        base_shape = base_distribution.batch_shape + base_distribution.event_shape
        if len(base_shape) < needed:
            raise ValueError(
                f"base_distribution needs to have shape with size at least {needed}, but got {base_shape}: the transforms map that many "
                "dimensions together"
            )
        shape = torch.Size(transform.forward_shape(base_shape))
        expanded = torch.Size(transform.inverse_shape(shape))
        if expanded != base_shape:
            base_distribution = base_distribution.expand(expanded[: len(expanded) - events])
        self.base_dist = Independent(base_distribution, needed - events) if needed > events else base_distribution
        cut = len(shape) - transform.codomain.event_dim - max(events - needed, 0)
        super().__init__(shape[:cut], shape[cut:], validate_args)

    has_rsample = part("base_dist.has_rsample")

    @constraints.dependent_property
    def support(self):
        if not self.transforms:
            return self.base_dist.support
        region = self.transforms[-1].codomain
        missing = len(self._event_shape) - region.event_dim
        return constraints.independent(region, missing) if missing > 0 else region

    def _expanded(self, name, value, batch_shape):
        if name != "base_dist":
            return super()._expanded(name, value, batch_shape)
        shape = torch.Size(ComposeTransform(self.transforms).inverse_shape(batch_shape + self._event_shape))
        return value.expand(shape[: len(shape) - len(value.event_shape)])

    def _mapped(self, value: torch.Tensor) -> torch.Tensor:
        for transform in self.transforms:
            value = transform(value)
        return value

    def _unmapped(self, value: torch.Tensor) -> torch.Tensor:
        for transform in reversed(self.transforms):
            value = transform.inv(value)
        return value

    def sample(self, sample_shape=()):
        with torch.no_grad():
            return self._mapped(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape=()):
        return self._mapped(self.base_dist.rsample(sample_shape))

    def log_prob(self, value):
        y, dims, total = self._checked(value), len(self._event_shape), 0.0
        for transform in reversed(self.transforms):
            x = transform.inv(y)
            dims += transform.domain.event_dim - transform.codomain.event_dim
            total = total - sum_rightmost(transform.log_abs_det_jacobian(x, y), dims - transform.domain.event_dim)
            y = x
        return total + sum_rightmost(self.base_dist.log_prob(y), dims - len(self.base_dist.event_shape))

    def _in_order(self, probability: torch.Tensor) -> torch.Tensor:
        """p, or 1 − p where the transforms decrease."""
        sign = ComposeTransform(self.transforms).sign
        return probability if isinstance(sign, int) and sign == 1 else sign * (probability - 0.5) + 0.5

    def cdf(self, value):
        return self._in_order(self.base_dist.cdf(self._unmapped(self._checked(value))))

    def icdf(self, value):
        return self._mapped(self.base_dist.icdf(self._in_order(value)))


class MixtureSameFamily(Distribution):
    """A Categorical choice among the components along the last batch dimension of ``component_distribution``."""

    arg_constraints: ClassVar = {}

    def __init__(self, mixture_distribution: Categorical, component_distribution: Distribution, validate_args: bool | None = None):
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(
                "The Mixture distribution needs to be an instance of torch.distributions.Categorical, got "
                f"{type(mixture_distribution).__name__}"
            )
        if not isinstance(component_distribution, Distribution):
            raise ValueError(
                f"The Component distribution needs to be an instance of torch.distributions.Distribution, got {component_distribution!r}"
            )
        batch, components = mixture_distribution.batch_shape, component_distribution.batch_shape
        for size, other in zip(reversed(batch), reversed(components[:-1]), strict=False):
            if size != 1 and other != 1 and size != other:
                raise ValueError(
                    f"`mixture_distribution.batch_shape` ({batch}) is not compatible with `component_distribution.batch_shape`({components})"
                )
        count, found = mixture_distribution.logits.shape[-1], components[-1]
        if count != found:
            raise ValueError(
                f"`mixture_distribution component` ({count}) does not equal `component_distribution.batch_shape[-1]` ({found})"
            )
        self._mixture_distribution, self._component_distribution, self._num_component = mixture_distribution, component_distribution, count
        self._event_ndims = len(component_distribution.event_shape)
        super().__init__(components[:-1], component_distribution.event_shape, validate_args)

    mixture_distribution, component_distribution = part("_mixture_distribution"), part("_component_distribution")

    @constraints.dependent_property
    def support(self):
        return constraints.MixtureSameFamilyConstraint(self._component_distribution.support)

    def _expanded(self, name, value, batch_shape):
        return (
            value.expand(batch_shape + (self._num_component,))
            if name == "_component_distribution"
            else super()._expanded(name, value, batch_shape)
        )

    def _average(self, values: torch.Tensor) -> torch.Tensor:
        """The mean over the components, weighted by their probabilities."""
        probs = self._mixture_distribution.probs
        return (probs.reshape(probs.shape + (1,) * self._event_ndims) * values).sum(-1 - self._event_ndims)

    def _for_each(self, value: torch.Tensor) -> torch.Tensor:
        return value.unsqueeze(-1 - self._event_ndims)

    @property
    def mean(self):
        return self._average(self._component_distribution.mean)

    @property
    def variance(self):
        inside = self._average(self._component_distribution.variance)
        return inside + self._average((self._component_distribution.mean - self._for_each(self.mean)) ** 2)

    def cdf(self, value):
        return (self._component_distribution.cdf(self._for_each(value)) * self._mixture_distribution.probs).sum(-1)

    def log_prob(self, value):
        components = self._component_distribution.log_prob(self._for_each(self._checked(value)))
        return torch.logsumexp(components + torch.log_softmax(self._mixture_distribution.logits, dim=-1), dim=-1)

    def sample(self, sample_shape=()):
        with torch.no_grad():
            chosen = self._mixture_distribution.sample(sample_shape)
            values = self._component_distribution.sample(sample_shape)
            at = len(torch.Size(sample_shape)) + len(self._batch_shape)
            chosen = chosen.reshape(chosen.shape + (1,) * (self._event_ndims + 1))
            chosen = chosen.expand(values.shape[:at] + (1,) + self._event_shape)
            return torch.gather(values, at, chosen).squeeze(at)

    def __repr__(self) -> str:
        return f"MixtureSameFamily(\n  {self._mixture_distribution},\n  {self._component_distribution})"
