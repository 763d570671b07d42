"""Distributions of covariance and correlation matrices."""

from __future__ import annotations

import math
import warnings
from typing import Any, ClassVar

from funnn.torch import _namespace as torch
from funnn.torch.distributions import constraints
from funnn.torch.distributions.distribution import Distribution, ExponentialFamily
from funnn.torch.distributions.half_line import Chi2
from funnn.torch.distributions.intervals import Beta
from funnn.torch.distributions.matrices import CovarianceForms, as_scale_tril, half_log_det, one_form_of

__all__ = ["LKJCholesky", "Wishart"]


class Wishart(CovarianceForms, ExponentialFamily):
    """The sum of df outer products of vectors from N(0, Σ), for any real df > p − 1: positive definite matrices (…, p, p) of the density

    |x|^((df−p−1)/2)·exp(−tr(Σ⁻¹·x)/2) / (2^(df·p/2)·|Σ|^(df/2)·Γ_p(df/2)).

    Args:
      df: the degrees of freedom, (…).
      covariance_matrix, precision_matrix, scale_tril: (…, p, p): Σ, its inverse, or its lower triangular factor; exactly one of them.
    """

    support = constraints.positive_definite
    has_rsample = True
    _mean_carrier_measure = 0

    @property
    def arg_constraints(self):
        return {**CovarianceForms.constraints_of_forms, "df": constraints.greater_than(self._event_shape[-1] - 1)}

    def __init__(
        self,
        df: Any,
        covariance_matrix: torch.Tensor | None = None,
        precision_matrix: torch.Tensor | None = None,
        scale_tril: torch.Tensor | None = None,
        validate_args: bool | None = None,
    ):
        forms = {"covariance_matrix": covariance_matrix, "precision_matrix": precision_matrix, "scale_tril": scale_tril}
        if sum(matrix is not None for matrix in forms.values()) != 1:
            raise AssertionError("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
        name, matrix = one_form_of(**forms)
        self._event_shape = matrix.shape[-2:]
        self._set(False, self._event_shape, **{name: matrix, "df": df})
        size = self._event_shape[-1]
        if bool((self.df <= size - 1).any()):
            raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = {size - 1}.")
        if bool((self.df < size).any()):
            warnings.warn("Low df values detected. Samples are likely to be singular where df < ndim.", stacklevel=2)
        Distribution.__init__(self, self._batch_shape, self._event_shape, validate_args)
        self._unbroadcasted_scale_tril = as_scale_tril(name, matrix)

    def _of_matrices(self, numbers: torch.Tensor) -> torch.Tensor:
        return numbers.unsqueeze(-1).unsqueeze(-1)

    @property
    def mean(self):
        return self._of_matrices(self.df) * self.covariance_matrix

    @property
    def mode(self):
        factor = self.df - self._event_shape[-1] - 1
        return self._of_matrices(torch.where(factor > 0, factor, math.nan)) * self.covariance_matrix

    @property
    def variance(self):
        diagonal = self.covariance_matrix.diagonal(dim1=-2, dim2=-1)
        return self._of_matrices(self.df) * (self.covariance_matrix.pow(2) + diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2))

    def rsample(self, sample_shape=(), max_try_correction: int = 10):
        """Values with gradients; those that are not definite are drawn again, at most so many times.

        PyTorch's first round draws again the values that *are* definite, and warns of these; a seed gives its numbers only in this way.
        """
        sample = self._bartlett(sample_shape)
        again = self._any_of_batch(self.support.check(sample))
        if bool(again.any()):
            warnings.warn("Singular sample detected.", stacklevel=2)
        for _ in range(max_try_correction):
            if not bool(again.any()):
                break
            new = self._bartlett((int(again.sum()),))
            sample[again] = new
            again = again.masked_scatter(again, self._any_of_batch(~self.support.check(new)))
        return sample

    def _any_of_batch(self, singular: torch.Tensor) -> torch.Tensor:
        return singular.flatten(singular.dim() - len(self._batch_shape)).any(-1) if self._batch_shape else singular

    def _bartlett(self, sample_shape: Any) -> torch.Tensor:
        """L·A·Aᵀ·Lᵀ: A lower triangular, with the roots of chi-squared numbers on its diagonal and normal ones below."""
        size, dtype = self._event_shape[-1], self._unbroadcasted_scale_tril.dtype
        squares = Chi2(self.df.unsqueeze(-1) - torch.arange(size, dtype=dtype)).rsample(sample_shape)
        noise = squares.sqrt().clamp(min=torch.finfo(dtype).eps).diag_embed()
        rows, columns = torch.tril_indices(size, size, -1)
        noise[..., rows, columns] = torch.randn(torch.Size(sample_shape) + self._batch_shape + (len(rows),), dtype=dtype)
        root = self._unbroadcasted_scale_tril @ noise
        return root @ root.mT

    def log_prob(self, value):
        value, size = self._checked(value), self._event_shape[-1]
        trace = torch.cholesky_solve(value, self._unbroadcasted_scale_tril).diagonal(dim1=-2, dim2=-1).sum(-1)
        norm = self.df * (size * math.log(2) / 2 + half_log_det(self._unbroadcasted_scale_tril)) + torch.mvlgamma(self.df / 2, size)
        return (self.df - size - 1) / 2 * torch.linalg.slogdet(value).logabsdet - norm - trace / 2

    def entropy(self):
        size = self._event_shape[-1]
        digamma = torch.digamma((self.df.unsqueeze(-1) - torch.arange(size, dtype=self.df.dtype)) / 2).sum(-1)
        volume = (size + 1) * (size * math.log(2) / 2 + half_log_det(self._unbroadcasted_scale_tril))
        return volume + torch.mvlgamma(self.df / 2, size) - (self.df - size - 1) / 2 * digamma + self.df * size / 2

    @property
    def _natural_params(self):
        return -self.precision_matrix / 2, (self.df - self._event_shape[-1] - 1) / 2

    def _log_normalizer(self, x, y):
        size = self._event_shape[-1]
        half_df = y + (size + 1) / 2
        return half_df * (size * math.log(2) - torch.linalg.slogdet(-2 * x).logabsdet) + torch.mvlgamma(half_df, size)


class LKJCholesky(Distribution):
    """Lower triangular factors L (…, dim, dim) of correlation matrices M = L·Lᵀ of a density proportional to |M|^(concentration − 1).

    Drawn by the onion method of Lewandowski, Kurowicka and Joe (2009): a row is a direction on the sphere times a radius from Beta.
    """

    arg_constraints: ClassVar = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None):
        if dim < 2:
            raise ValueError(f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}.")
        self.dim = dim
        self._set(validate_args, (dim, dim), concentration=concentration)

    def sample(self, sample_shape=()):
        """Values of shape sample_shape + batch_shape + (dim, dim)."""
        with torch.no_grad():
            place = torch.arange(self.dim, dtype=self.concentration.dtype).sub(1).clamp(min=0)
            widths = self.concentration.unsqueeze(-1) + 0.5 * (self.dim - 2)
            radius = Beta(place + 0.5, widths - 0.5 * place).sample(sample_shape).unsqueeze(-1)
            normal = torch.randn(self._extended_shape(sample_shape), dtype=radius.dtype).tril(-1)
            direction = normal / normal.norm(dim=-1, keepdim=True)
            direction[..., 0, :] = 0.0
            below = torch.sqrt(radius) * direction
            left = (1 - torch.sum(below**2, dim=-1)).clamp(min=torch.finfo(below.dtype).tiny)
            return below + torch.diag_embed(left.sqrt())

    def log_prob(self, value):
        diagonal = self._checked(value).diagonal(dim1=-1, dim2=-2)[..., 1:]
        order = 2 * (self.concentration - 1).unsqueeze(-1) + self.dim - torch.arange(2, self.dim + 1)
        alpha, count = self.concentration + 0.5 * (self.dim - 1), self.dim - 1
        norm = 0.5 * count * math.log(math.pi) + torch.mvlgamma(alpha - 0.5, count) - torch.lgamma(alpha) * count
        return torch.sum(order * diagonal.log(), dim=-1) - norm
