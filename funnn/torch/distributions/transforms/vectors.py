"""Maps of vectors and matrices."""

from __future__ import annotations

import math

from funnn.torch import _namespace as torch
from funnn.torch import nn
from funnn.torch.distributions import constraints
from funnn.torch.distributions.transforms.base import Transform
from funnn.torch.distributions.utils import vec_to_tril_matrix


class _OneOfItsKind(Transform):
    """A map without parameters: equal to others of its type."""

    def __eq__(self, other):
        return type(self) is type(other)

    __hash__ = object.__hash__


def _of_vectors(transform, shape):
    """The shape, which must have a dimension."""
    if len(shape) < 1:
        raise ValueError(f"Too few dimensions on input: {type(transform).__name__} maps vectors, got the shape {shape}")
    return shape


class SoftmaxTransform(_OneOfItsKind):
    """y = softmax(x); not invertible, and its inverse gives log y."""

    domain, codomain = constraints.real_vector, constraints.simplex

    def _call(self, x):
        exponentials = (x - x.max(-1, True)[0]).exp()
        return exponentials / exponentials.sum(-1, True)

    def _inverse(self, y):
        return y.log()

    def forward_shape(self, shape):
        return _of_vectors(self, shape)

    inverse_shape = forward_shape


class StickBreakingTransform(_OneOfItsKind):
    """K numbers to a point of the simplex in K + 1: number i takes the share sigmoid(xᵢ − log(K − i)) of what is left of a stick."""

    bijective = True
    domain, codomain = constraints.real_vector, constraints.simplex

    def _call(self, x):
        share = torch.clamp(torch.sigmoid(x - self._offsets(x).log()), min=torch.finfo(x.dtype).tiny)
        left = (1 - share).cumprod(-1)
        return nn.functional.pad(share, [0, 1], value=1) * nn.functional.pad(left, [1, 0], value=1)

    def _inverse(self, y):
        before = y[..., :-1]
        left = torch.clamp(1 - before.cumsum(-1), min=torch.finfo(y.dtype).tiny)
        return before.log() - left.log() + self._offsets(before).log()

    def _offsets(self, x):
        """K, K − 1, …, 1."""
        return torch.arange(x.shape[-1], 0, -1, dtype=x.dtype)

    def log_abs_det_jacobian(self, x, y):
        x = x - self._offsets(x).log()
        return (-x + nn.functional.logsigmoid(x) + y[..., :-1].log()).sum(-1)

    def forward_shape(self, shape):
        return _of_vectors(self, shape)[:-1] + (shape[-1] + 1,)

    def inverse_shape(self, shape):
        return _of_vectors(self, shape)[:-1] + (shape[-1] - 1,)


class LowerCholeskyTransform(_OneOfItsKind):
    """A matrix to a lower triangular one with exp of its diagonal."""

    domain, codomain = constraints.independent(constraints.real, 2), constraints.lower_cholesky

    def _call(self, x):
        return x.tril(-1) + x.diagonal(dim1=-2, dim2=-1).exp().diag_embed()

    def _inverse(self, y):
        return y.tril(-1) + y.diagonal(dim1=-2, dim2=-1).log().diag_embed()


class PositiveDefiniteTransform(_OneOfItsKind):
    """A matrix to L·Lᵀ with the L of LowerCholeskyTransform."""

    domain, codomain = constraints.independent(constraints.real, 2), constraints.positive_definite

    def _call(self, x):
        lower = LowerCholeskyTransform()(x)
        return lower @ lower.mT

    def _inverse(self, y):
        return LowerCholeskyTransform().inv(torch.linalg.cholesky(y))


class CorrCholeskyTransform(Transform):
    """D(D − 1)/2 numbers to the Cholesky factor (D, D) of a correlation matrix.

    r = tanh(x) fills the triangle below the diagonal; in each row, an element takes the share r of what the squares before it left of 1.
    """

    bijective = True
    domain, codomain = constraints.real_vector, constraints.corr_cholesky

    def _call(self, x):
        eps = torch.finfo(x.dtype).eps
        r = vec_to_tril_matrix(torch.tanh(x).clamp(min=-1 + eps, max=1 - eps), diag=-1)
        left = (1 - r**2).sqrt().cumprod(-1)
        r = r + torch.eye(r.shape[-1], dtype=r.dtype)
        return r * nn.functional.pad(left[..., :-1], [1, 0], value=1)

    def _inverse(self, y):
        rest = nn.functional.pad(self._left(y)[..., :-1], [1, 0], value=1)
        t = self._below(y) / self._below(rest).sqrt()
        return (t.log1p() - t.neg().log1p()) / 2

    def _left(self, y):
        """What the squares of a row up to an element leave of 1."""
        return 1 - torch.cumsum(y * y, dim=-1)

    def _below(self, matrix):
        rows, columns = torch.tril_indices(matrix.shape[-1], matrix.shape[-1], -1)
        return matrix[..., rows, columns]

    def log_abs_det_jacobian(self, x, y):
        left = self._left(y)[..., :-1]  # element (i + 1, j) reads column j, hence the shift by a row
        rows, columns = torch.tril_indices(y.shape[-1], y.shape[-1], -2)
        of_rows = 0.5 * left[..., rows, columns].log().sum(-1)
        of_tanh = -2 * (x + nn.functional.softplus(-2 * x) - math.log(2.0)).sum(-1)
        return of_rows + of_tanh

    def forward_shape(self, shape):
        n = _of_vectors(self, shape)[-1]
        size = round((0.25 + 2 * n) ** 0.5 + 0.5)
        if size * (size - 1) // 2 != n:
            raise ValueError(f"Input is not a flattened lower-diagonal number: {n} is not D(D − 1)/2 of any D")
        return shape[:-1] + (size, size)

    def inverse_shape(self, shape):
        if len(shape) < 2:
            raise ValueError(f"Too few dimensions on input: {shape}, expected a square matrix")
        if shape[-2] != shape[-1]:
            raise ValueError(f"Input is not square: {shape}")
        return shape[:-2] + (shape[-1] * (shape[-1] - 1) // 2,)
