"""Losses of numbers as layers: ``forward(input, target)``."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from funnn import functional as F
from funnn.functional._reduction import reduction_of
from funnn.layers._layer import Buffer, Layer, Spec


class _Values:
    """An initialiser: the values of an array; ``own_dtype`` is the array's, which funnn.torch's modules keep."""

    def __init__(self, values: np.ndarray):
        self._values, self.own_dtype = values, values.dtype

    def __call__(self, source: Any, shape: tuple[int, ...], *, dtype: Any) -> jax.Array:
        return jnp.asarray(self._values, dtype)


def given(values: Any) -> Buffer:
    """A buffer that starts from the values of a Constant, given to the constructor as an array; off if they are None."""
    return Buffer((), None) if values is None else Buffer(values.values.shape, _Values(values.values))


class Loss(Layer):
    """What all losses share: ``reduction`` is 'mean', 'sum' or 'none'; ``size_average`` and ``reduce`` are torch's deprecated forms of it.

    The fields are each class's own, because torch orders them differently.
    """

    def __post_init__(self) -> None:
        size_average, reduce = getattr(self, "size_average", None), getattr(self, "reduce", None)
        if size_average is not None or reduce is not None:
            self.__dict__.update(reduction=reduction_of(self.reduction, size_average, reduce), size_average=None, reduce=None)


class PlainLoss(Loss):
    """A loss without settings of its own."""

    size_average: bool | None = None
    reduce: bool | None = None
    reduction: str = "mean"


class WeightedLoss(Loss):
    """A loss with factors, a buffer of the layer, and no other settings of its own."""

    weight: Any = None
    size_average: bool | None = None
    reduce: bool | None = None
    reduction: str = "mean"

    def spec(self) -> Spec:
        return {"weight": given(self.weight)}


class MSELoss(PlainLoss):
    """The mean (or sum, or each) of (input − target)². Source: torch.nn.MSELoss."""

    def forward(self, input: jax.Array, target: jax.Array) -> jax.Array:
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(PlainLoss):
    """The mean (or sum, or each) of |input − target|. Source: torch.nn.L1Loss."""

    def forward(self, input: jax.Array, target: jax.Array) -> jax.Array:
        return F.l1_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(PlainLoss):
    """Squared error over 2·beta where it is below beta, else absolute error less beta/2.

    Args:
      beta: where the one becomes the other, not negative; 0 gives L1Loss.

    Source: torch.nn.SmoothL1Loss.
    """

    beta: float = 1.0

    def forward(self, input: jax.Array, target: jax.Array) -> jax.Array:
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(Loss):
    """Half the squared error where the error is at most delta, else delta·(|error| − delta/2).

    Args:
      reduction: 'mean', 'sum' or 'none'.
      delta: where the one becomes the other, positive.

    Raises:
      TypeError: delta is no real number.

    Source: torch.nn.HuberLoss.
    """

    reduction: str = "mean"
    delta: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.delta, (float, int)):
            raise TypeError(f"delta must be a float or int, got: {type(self.delta)}")

    def forward(self, input: jax.Array, target: jax.Array) -> jax.Array:
        return F.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class KLDivLoss(PlainLoss):
    """Kullback–Leibler divergence of log-probabilities from probabilities: target·(log target − input).

    Args:
      reduction: 'batchmean' is the divergence; 'mean' divides by the number of elements, with torch's warning; 'sum' or 'none'.
      log_target: whether target holds logarithms.

    Source: torch.nn.KLDivLoss.
    """

    log_target: bool = False

    def forward(self, input: jax.Array, target: jax.Array) -> jax.Array:
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class PoissonNLLLoss(Loss):
    """Negative log likelihood of counts under Poisson distributions.

    Args:
      log_input: whether the input is the logarithm of the mean, or the mean itself.
      full: whether to add Stirling's approximation of log(target!).
      eps: added to the mean under the logarithm, for log_input=False.

    Source: torch.nn.PoissonNLLLoss.
    """

    log_input: bool = True
    full: bool = False
    size_average: bool | None = None
    eps: float = 1e-8
    reduce: bool | None = None
    reduction: str = "mean"

    def forward(self, log_input: jax.Array, target: jax.Array) -> jax.Array:
        return F.poisson_nll_loss(log_input, target, self.log_input, self.full, eps=self.eps, reduction=self.reduction)


class GaussianNLLLoss(Loss):
    """Negative log likelihood under normal distributions of means ``input`` and variances ``var``.

    Args:
      full: whether to add the constant log(2π)/2.
      eps: the least variance.

    Source: torch.nn.GaussianNLLLoss.
    """

    _: KW_ONLY
    full: bool = False
    eps: float = 1e-6
    reduction: str = "mean"

    def forward(self, input: jax.Array, target: jax.Array, var: jax.Array) -> jax.Array:
        return F.gaussian_nll_loss(input, target, var, full=self.full, eps=self.eps, reduction=self.reduction)
