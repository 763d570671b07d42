"""The Kullback–Leibler divergence KL(p‖q) = E_p[log p(x) − log q(x)], by the types of p and q."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from funnn.engine.transform.differentiate import grad
from funnn.torch import _namespace as torch
from funnn.torch import nn
from funnn.torch.distributions.categories import Categorical, OneHotCategorical
from funnn.torch.distributions.composed import Independent, TransformedDistribution
from funnn.torch.distributions.counts import Bernoulli, Binomial, Geometric, Poisson
from funnn.torch.distributions.distribution import Distribution, ExponentialFamily
from funnn.torch.distributions.half_line import Exponential, Gamma, Pareto
from funnn.torch.distributions.intervals import Beta, ContinuousBernoulli, Uniform
from funnn.torch.distributions.matrices import LowRankMultivariateNormal, MultivariateNormal
from funnn.torch.distributions.normal_maps import HalfNormal
from funnn.torch.distributions.real_line import Cauchy, Gumbel, Laplace, Normal
from funnn.torch.distributions.simplex import Dirichlet
from funnn.torch.distributions.utils import euler_constant, sum_rightmost

__all__ = ["kl_divergence", "register_kl"]

_registered: dict[tuple[type, type], Callable] = {}


def register_kl(type_p: type, type_q: type) -> Callable:
    """A decorator: use the function for the divergence of these types and of their subclasses, where no closer pair is registered. Types that are no
    Distributions will do too."""
    for name, kind in (("type_p", type_p), ("type_q", type_q)):
        if not isinstance(kind, type):
            raise TypeError(f"Expected {name} to be a class but got {kind!r}")

    def register(function: Callable) -> Callable:
        _registered[type_p, type_q] = function
        return function

    return register


def kl_divergence(p: Distribution, q: Distribution) -> torch.Tensor:
    """KL(p‖q), of the common batch shape.

    Raises:
      NotImplementedError: no function is registered for the types.
    """
    pairs = [(a, b) for a in type(p).__mro__ for b in type(q).__mro__ if (a, b) in _registered]
    if not pairs:
        raise NotImplementedError(
            f"No KL(p || q) is implemented for p type {type(p).__name__} and q type {type(q).__name__}; add one with register_kl"
        )
    return _registered[pairs[0]](p, q)


# -- of one family


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p, q):
    ones = p.probs * (nn.functional.softplus(-q.logits) - nn.functional.softplus(-p.logits))
    zeros = (1 - p.probs) * (nn.functional.softplus(q.logits) - nn.functional.softplus(p.logits))
    return _unless(p.probs == 0, q.probs == 0, ones) + _unless(p.probs == 1, q.probs == 1, zeros)


def _unless(nothing: torch.Tensor, impossible: torch.Tensor, term: torch.Tensor) -> torch.Tensor:
    """The term of an outcome; 0 where p does not have it, else infinity where q does not."""
    return torch.where(nothing, 0.0, torch.where(impossible, math.inf, term))


@register_kl(Beta, Beta)
def _beta(p, q):
    return _dirichlet(p._dirichlet, q._dirichlet)


@register_kl(Binomial, Binomial)
def _binomial(p, q):
    if bool((p.total_count < q.total_count).any()):
        raise NotImplementedError("KL between Binomials where q.total_count > p.total_count is not implemented")
    trial = p.probs * (p.logits - q.logits) + torch.log1p(-p.probs) - torch.log1p(-q.probs)
    return torch.where(p.total_count > q.total_count, math.inf, p.total_count * trial)


@register_kl(Categorical, Categorical)
def _categorical(p, q):
    return _unless(p.probs == 0, q.probs == 0, p.probs * (p.logits - q.logits)).sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot(p, q):
    return _categorical(p._categorical, q._categorical)


@register_kl(Cauchy, Cauchy)
def _cauchy(p, q):
    return ((p.scale + q.scale).pow(2) + (p.loc - q.loc).pow(2)).log() - (4 * p.scale * q.scale).log()


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p, q):
    a, b = p.concentration, q.concentration
    total = a.sum(-1)
    norms = total.lgamma() - b.sum(-1).lgamma() - (a.lgamma() - b.lgamma()).sum(-1)
    return norms + ((a - b) * (a.digamma() - total.digamma().unsqueeze(-1))).sum(-1)


@register_kl(Exponential, Exponential)
def _exponential(p, q):
    ratio = q.rate / p.rate
    return -ratio.log() + ratio - 1


@register_kl(ExponentialFamily, ExponentialFamily)
def _exponential_family(p, q):
    """The Bregman divergence of the log normaliser, F(θ_q) − F(θ_p) − ⟨θ_q − θ_p, ∇F(θ_p)⟩."""
    if type(p) is not type(q):
        raise NotImplementedError(
            f"The cross KL-divergence between different exponential families, {type(p).__name__} and {type(q).__name__}, cannot be computed "
            "using Bregman divergences; add one with register_kl"
        )
    ours = [parameter.detach().requires_grad_() for parameter in p._natural_params]
    norm = p._log_normalizer(*ours)
    slopes = grad(norm.sum(), ours, create_graph=True)
    result = q._log_normalizer(*q._natural_params) - norm
    for theirs, own, slope in zip(q._natural_params, ours, slopes, strict=True):
        term = (theirs - own) * slope
        result = result - sum_rightmost(term, term.dim() - result.dim())
    return result


@register_kl(Gamma, Gamma)
def _gamma(p, q):
    a, b = p.concentration, q.concentration
    return b * (p.rate / q.rate).log() + b.lgamma() - a.lgamma() + (a - b) * a.digamma() + (q.rate - p.rate) * (a / p.rate)


@register_kl(Gumbel, Gumbel)
def _gumbel(p, q):
    return _cross(p, q)


@register_kl(Geometric, Geometric)
def _geometric(p, q):
    return -p.entropy() - torch.log1p(-q.probs) / p.probs - q.logits


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p, q):
    return _normal(p.base_dist, q.base_dist)


@register_kl(Laplace, Laplace)
def _laplace(p, q):
    ratio, distance = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + distance / q.scale + ratio * torch.exp(-distance / p.scale) - 1


@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
@register_kl(LowRankMultivariateNormal, MultivariateNormal)
@register_kl(MultivariateNormal, LowRankMultivariateNormal)
@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate_normal(p, q):
    """½·(log det Σ_q − log det Σ_p + tr Σ_q⁻¹·Σ_p + dᵀ·Σ_q⁻¹·d − n), d the distance of the means."""
    if p.event_shape != q.event_shape:
        raise ValueError(
            f"KL-divergence between two (Low Rank) Multivariate Normals with different event shapes, {p.event_shape} and {q.event_shape}"
        )
    trace = q._distances(p._root()).sum(-1)
    distance = q._distances((q.loc - p.loc).unsqueeze(-1)).squeeze(-1)
    return 0.5 * (q._log_det() - p._log_det() + trace + distance - p.event_shape[0])


@register_kl(Normal, Normal)
def _normal(p, q):
    ratio = (p.scale / q.scale).pow(2)
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).pow(2) - 1 - ratio.log())


@register_kl(Pareto, Pareto)
def _pareto(p, q):
    ratio = q.alpha / p.alpha
    result = q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1
    return torch.where(p.scale < q.scale, math.inf, result)


@register_kl(Poisson, Poisson)
def _poisson(p, q):
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p, q):
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError(
            "the KL divergence of TransformedDistributions is known only where their transforms and event shapes are equal"
        )
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(Uniform, Uniform)
def _uniform(p, q):
    return torch.where((q.low > p.low) | (q.high < p.high), math.inf, ((q.high - q.low) / (p.high - p.low)).log())


@register_kl(Independent, Independent)
def _independent(p, q):
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError(
            f"KL of Independent with different reinterpreted_batch_ndims, {p.reinterpreted_batch_ndims} and {q.reinterpreted_batch_ndims}"
        )
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


# -- of different families: −H(p) − E_p[log q(x)], by q, from what is known of p


def _cross(p: Distribution, q: Distribution) -> torch.Tensor:
    return -p.entropy() - _MEAN_LOG_PROB[type(q)](p, q)


def _mean_log(p: Distribution) -> torch.Tensor:
    """E[log x]."""
    match p:
        case Beta():
            return p.concentration1.digamma() - (p.concentration1 + p.concentration0).digamma()
        case Exponential():
            return -euler_constant - p.rate.log()
        case Pareto():
            return p.scale.log() + p.alpha.reciprocal()
        case Uniform():
            return _mean_log_between(p.low, p.high)
    raise NotImplementedError(f"E[log x] of {type(p).__name__}")


def _mean_log_between(low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    return (torch.xlogy(high, high) - torch.xlogy(low, low)) / (high - low) - 1


def _mean_exp(p: Distribution, scale: torch.Tensor) -> torch.Tensor:
    """E[exp(−x/scale)]."""
    match p:
        case Exponential():
            return p.rate / (p.rate + scale.reciprocal())
        case Gamma():
            return (1 + (p.rate * scale).reciprocal()).pow(-p.concentration)
        case Gumbel():
            return torch.exp(torch.lgamma(1 + p.scale / scale) - p.loc / scale)
        case Normal():
            return torch.exp(0.5 * (p.scale / scale).pow(2) - p.loc / scale)
        case Uniform():
            return scale * (torch.exp(-p.low / scale) - torch.exp(-p.high / scale)) / (p.high - p.low)
    raise NotImplementedError(f"E[exp(−x)] of {type(p).__name__}")


def _distance(p: Normal, point: torch.Tensor) -> torch.Tensor:
    """E|x − point|."""
    z = (p.loc - point) / p.scale
    return p.scale * (math.sqrt(2 / math.pi) * torch.exp(-0.5 * z.pow(2)) + z * torch.erf(z / math.sqrt(2)))


def _above(p: Distribution, lower: Any, value: torch.Tensor) -> torch.Tensor:
    """The value, or −∞ where a Uniform p reaches below ``lower``."""
    return torch.where(p.low < lower, -math.inf, value) if isinstance(p, Uniform) else value


def _inside(p: Distribution, low: Any, high: Any, value: torch.Tensor) -> torch.Tensor:
    """The value, or −∞ where p, a Uniform or a distribution on [0, 1], reaches outside ``low`` … ``high``."""
    bottom, top = (p.low, p.high) if isinstance(p, Uniform) else (torch.zeros_like(value), torch.ones_like(value))
    return torch.where((bottom < low) | (top > high), -math.inf, value)


def _in_beta(p, q):
    a, b = q.concentration1, q.concentration0
    mean_log_rest = _mean_log_between(1 - p.high, 1 - p.low)
    log_beta = a.lgamma() + b.lgamma() - (a + b).lgamma()
    return _inside(p, 0, 1, (a - 1) * _mean_log(p) + (b - 1) * mean_log_rest - log_beta)


def _in_continuous_bernoulli(p, q):
    return _inside(p, 0, 1, p.mean * q.logits + torch.log1p(-q.probs) + q._log_norm())


def _in_exponential(p, q):
    return _above(p, 0, q.rate.log() - q.rate * p.mean)


def _in_gamma(p, q):
    norm = q.concentration * q.rate.log() - q.concentration.lgamma()
    return _above(p, 0, norm + (q.concentration - 1) * _mean_log(p) - q.rate * p.mean)


def _in_gumbel(p, q):
    return -q.scale.log() - (p.mean - q.loc) / q.scale - torch.exp(q.loc / q.scale) * _mean_exp(p, q.scale)


def _in_laplace(p, q):
    return -(2 * q.scale).log() - _distance(p, q.loc) / q.scale


def _in_normal(p, q):
    return -0.5 * math.log(2 * math.pi) - q.scale.log() - (p.variance + (p.mean - q.loc).pow(2)) / (2 * q.scale.pow(2))


def _in_pareto(p, q):
    return _above(p, q.scale, q.alpha.log() + q.alpha * q.scale.log() - (q.alpha + 1) * _mean_log(p))


def _in_poisson(p, q):
    return p.probs * q.rate.log() - q.rate  # k! is 1 for the Bernoulli p


def _in_uniform(p, q):
    return _inside(p, q.low, q.high, -(q.high - q.low).log())


_MEAN_LOG_PROB = {
    **{Beta: _in_beta, ContinuousBernoulli: _in_continuous_bernoulli, Exponential: _in_exponential, Gamma: _in_gamma},
    **{Gumbel: _in_gumbel, Laplace: _in_laplace, Normal: _in_normal, Pareto: _in_pareto, Poisson: _in_poisson, Uniform: _in_uniform},
}
_FINITE = {
    Bernoulli: (Poisson,),
    Beta: (ContinuousBernoulli, Exponential, Gamma, Normal, Uniform),
    ContinuousBernoulli: (ContinuousBernoulli, Exponential, Normal, Uniform),
    Exponential: (Gamma, Gumbel, Normal),
    Gamma: (Exponential, Gumbel, Normal),
    Gumbel: (Normal,),
    Laplace: (Normal,),
    Normal: (Gumbel, Laplace),
    Pareto: (Exponential, Gamma, Normal),
    Uniform: (Beta, ContinuousBernoulli, Exponential, Gamma, Gumbel, Normal, Pareto),
}
_OUTSIDE = {  # p has values that q does not have
    **{Beta: (Pareto,), ContinuousBernoulli: (Pareto,), Pareto: (Beta, ContinuousBernoulli, Uniform), Poisson: (Bernoulli, Binomial)},
    **dict.fromkeys((Exponential, Gamma), (Beta, ContinuousBernoulli, Pareto, Uniform)),
    **dict.fromkeys((Gumbel, Laplace, Normal), (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)),
}


def _infinite(p: Distribution, q: Distribution) -> torch.Tensor:
    return torch.full(p.batch_shape, math.inf, dtype=p.mean.dtype)


for _pairs, _function in ((_FINITE, _cross), (_OUTSIDE, _infinite)):
    for _p, _types in _pairs.items():
        for _q in _types:
            register_kl(_p, _q)(_function)
