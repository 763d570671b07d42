"""Multivariate normals, and what distributions share that have a covariance matrix."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from funnn.torch import _namespace as torch
from funnn.torch.distributions import constraints
from funnn.torch.distributions.distribution import Distribution
from funnn.torch.distributions.utils import lazy_property, standard_normal

__all__ = ["LowRankMultivariateNormal", "MultivariateNormal"]

_VECTOR = constraints.real_vector


def batch_mv(matrix: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    """Matrix (…, n, m) times vector (…, m)."""
    return torch.matmul(matrix, vector.unsqueeze(-1)).squeeze(-1)


def squared_lengths(lower: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """‖L⁻¹·x‖² (…, k) for a lower triangular L (…, n, n) and the columns x of a matrix (…, n, k)."""
    return torch.linalg.solve_triangular(lower, columns, upper=False).pow(2).sum(-2)


def half_log_det(lower: torch.Tensor) -> torch.Tensor:
    """The logarithm of a triangular matrix's determinant."""
    return lower.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def precision_to_scale_tril(precision: torch.Tensor) -> torch.Tensor:
    """The lower triangular L with (L·Lᵀ)⁻¹ the given matrix."""
    flipped = torch.linalg.cholesky(torch.flip(precision, (-2, -1)))
    inverse = torch.flip(flipped, (-2, -1)).mT
    return torch.linalg.solve_triangular(inverse, torch.eye(precision.shape[-1], dtype=precision.dtype), upper=False)


def one_form_of(**matrices: Any) -> tuple[str, torch.Tensor]:
    """The name and value of the one matrix that was given."""
    given = [(name, matrix) for name, matrix in matrices.items() if matrix is not None]
    if len(given) != 1:
        raise ValueError(f"Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified; got {len(given)}")
    name, matrix = given[0]
    if matrix.dim() < 2:
        raise ValueError(
            f"{name} must be at least two-dimensional, with optional leading batch dimensions; got shape {tuple(matrix.shape)}"
        )
    return name, matrix


def as_scale_tril(name: str, matrix: torch.Tensor) -> torch.Tensor:
    """The lower triangular factor of a covariance that is given in the form ``name``."""
    if name == "scale_tril":
        return matrix
    return (torch.linalg.cholesky if name == "covariance_matrix" else precision_to_scale_tril)(matrix)


class CovarianceForms:
    """The covariance L·Lᵀ in three forms; those that were not given come from ``_unbroadcasted_scale_tril``, which is L, when asked for."""

    constraints_of_forms: ClassVar = {
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }

    @lazy_property
    def scale_tril(self):
        """The lower triangular factor L of the covariance."""
        return self._whole(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self):
        """The covariance."""
        return self._whole(self._unbroadcasted_scale_tril @ self._unbroadcasted_scale_tril.mT)

    @lazy_property
    def precision_matrix(self):
        """The inverse of the covariance."""
        return self._whole(torch.cholesky_inverse(self._unbroadcasted_scale_tril))

    def _whole(self, matrix: torch.Tensor) -> torch.Tensor:
        return matrix.expand(self._batch_shape + matrix.shape[-2:])


class _Gaussian(Distribution):
    """What multivariate normals share."""

    support = _VECTOR
    has_rsample = True

    @property
    def mode(self):
        return self.loc

    mean = mode

    def _distances(self, columns: torch.Tensor) -> torch.Tensor:
        """xᵀ·Σ⁻¹·x (…, k) for the columns x of a matrix (…, n, k), Σ the covariance."""
        raise NotImplementedError

    def _log_det(self) -> torch.Tensor:
        """The logarithm of the covariance's determinant."""
        raise NotImplementedError

    def _root(self) -> torch.Tensor:
        """A matrix A (…, n, k) with A·Aᵀ the covariance."""
        raise NotImplementedError

    def log_prob(self, value):
        difference = self._checked(value) - self.loc
        distance = self._distances(difference.unsqueeze(-1)).squeeze(-1)
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + distance) - 0.5 * self._log_det()

    def entropy(self):
        entropy = 0.5 * self._event_shape[0] * (1.0 + math.log(2 * math.pi)) + 0.5 * self._log_det()
        return entropy.expand(self._batch_shape) if self._batch_shape else entropy

    def _whole(self, matrix: torch.Tensor) -> torch.Tensor:
        return matrix.expand(self._batch_shape + self._event_shape + self._event_shape)


class MultivariateNormal(CovarianceForms, _Gaussian):
    """The normal distribution of vectors (…, n): loc + L·ε with L·Lᵀ the covariance.

    Args:
      loc: (…, n).
      covariance_matrix, precision_matrix, scale_tril: (…, n, n): the covariance, its inverse, or L; exactly one of them.
    """

    arg_constraints: ClassVar = {"loc": _VECTOR, **CovarianceForms.constraints_of_forms}

    def __init__(
        self,
        loc: torch.Tensor,
        covariance_matrix: torch.Tensor | None = None,
        precision_matrix: torch.Tensor | None = None,
        scale_tril: torch.Tensor | None = None,
        validate_args: bool | None = None,
    ):
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        name, matrix = one_form_of(covariance_matrix=covariance_matrix, precision_matrix=precision_matrix, scale_tril=scale_tril)
        size = matrix.shape[-1:]
        loc = loc.expand(torch.broadcast_shapes(loc.shape, size))
        self._set(validate_args, size, loc=loc, **{name: matrix})
        self._unbroadcasted_scale_tril = as_scale_tril(name, matrix)

    @property
    def variance(self):
        return self._unbroadcasted_scale_tril.pow(2).sum(-1).expand(self._batch_shape + self._event_shape)

    def rsample(self, sample_shape=()):
        normal = standard_normal(self._extended_shape(sample_shape), self.loc.dtype)
        return self.loc + batch_mv(self._unbroadcasted_scale_tril, normal)

    def _distances(self, columns):
        return squared_lengths(self._unbroadcasted_scale_tril, columns)

    def _log_det(self):
        return 2 * half_log_det(self._unbroadcasted_scale_tril)

    def _root(self):
        return self._unbroadcasted_scale_tril


class LowRankMultivariateNormal(_Gaussian):
    """The normal distribution of vectors (…, n) with the covariance W·Wᵀ + diag(D), whose inverse goes through an r × r matrix.

    Args:
      loc: (…, n).
      cov_factor: W, (…, n, r).
      cov_diag: D, (…, n).
    """

    arg_constraints: ClassVar = {
        "loc": _VECTOR,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }

    def __init__(self, loc: torch.Tensor, cov_factor: torch.Tensor, cov_diag: torch.Tensor, validate_args: bool | None = None):
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        size = loc.shape[-1:]
        if cov_factor.dim() < 2:
            raise ValueError("cov_factor must be at least two-dimensional, with optional leading batch dimensions")
        if cov_factor.shape[-2:-1] != size:
            raise ValueError(f"cov_factor must be a batch of matrices with shape {size[0]} x m, got {tuple(cov_factor.shape)}")
        if cov_diag.shape[-1:] != size:
            raise ValueError(f"cov_diag must be a batch of vectors with shape {tuple(size)}, got {tuple(cov_diag.shape)}")
        try:
            self._set(validate_args, size, loc=loc, cov_factor=cov_factor, cov_diag=cov_diag)
        except RuntimeError as error:
            shapes = tuple(loc.shape), tuple(cov_factor.shape), tuple(cov_diag.shape)
            raise ValueError(f"Incompatible batch shapes: loc, cov_factor, cov_diag have the shapes {shapes}") from error
        self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag = cov_factor, cov_diag
        inner = cov_factor.mT / cov_diag.unsqueeze(-2) @ cov_factor
        self._capacitance_tril = torch.linalg.cholesky(inner + torch.eye(inner.shape[-1], dtype=inner.dtype))

    @lazy_property
    def variance(self):
        variance = self._unbroadcasted_cov_factor.pow(2).sum(-1) + self._unbroadcasted_cov_diag
        return variance.expand(self._batch_shape + self._event_shape)

    @lazy_property
    def scale_tril(self):
        """The lower triangular factor of the covariance: √D times that of I + (W/√D)·(W/√D)ᵀ."""
        root = self._unbroadcasted_cov_diag.sqrt().unsqueeze(-1)
        factor = self._unbroadcasted_cov_factor / root
        inner = factor @ factor.mT
        return self._whole(root * torch.linalg.cholesky(inner + torch.eye(inner.shape[-1], dtype=inner.dtype)))

    @lazy_property
    def covariance_matrix(self):
        """The covariance."""
        factor = self._unbroadcasted_cov_factor
        return self._whole(factor @ factor.mT + torch.diag_embed(self._unbroadcasted_cov_diag))

    @lazy_property
    def precision_matrix(self):
        """The inverse of the covariance, D⁻¹ − D⁻¹·W·C⁻¹·Wᵀ·D⁻¹ with C = I + Wᵀ·D⁻¹·W."""
        diag = self._unbroadcasted_cov_diag
        scaled = self._unbroadcasted_cov_factor.mT / diag.unsqueeze(-2)
        inner = torch.linalg.solve_triangular(self._capacitance_tril, scaled, upper=False)
        return self._whole(torch.diag_embed(diag.reciprocal()) - inner.mT @ inner)

    def rsample(self, sample_shape=()):
        shape = self._extended_shape(sample_shape)
        factor = self._unbroadcasted_cov_factor
        low = standard_normal(shape[:-1] + factor.shape[-1:], self.loc.dtype)
        return self.loc + batch_mv(factor, low) + self._unbroadcasted_cov_diag.sqrt() * standard_normal(shape, self.loc.dtype)

    def _distances(self, columns):
        scaled = columns / self._unbroadcasted_cov_diag.unsqueeze(-1)
        inner = squared_lengths(self._capacitance_tril, self._unbroadcasted_cov_factor.mT @ scaled)
        return (columns * scaled).sum(-2) - inner

    def _log_det(self):
        return 2 * half_log_det(self._capacitance_tril) + self._unbroadcasted_cov_diag.log().sum(-1)

    def _root(self):
        return torch.cat([self._unbroadcasted_cov_factor, torch.diag_embed(self._unbroadcasted_cov_diag.sqrt())], -1)
