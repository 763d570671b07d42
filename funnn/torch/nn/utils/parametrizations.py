"""Ready parametrizations: weights with unit directions, with a largest singular value of 1, with orthonormal columns."""

from __future__ import annotations

import enum
from typing import Any

from funnn.engine.ops.kit.table import FUNCTIONS as ops
from funnn.engine.ops.make import factories as _factories
from funnn.engine.ops.make.sampling import randn
from funnn.engine.tape.grad_mode import no_grad
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.limits import finfo
from funnn.torch.nn.functional import normalize
from funnn.torch.nn.modules.module import Module
from funnn.torch.nn.utils import parametrize
from funnn.torch.nn.utils.spectral_norm import as_matrix, output_dim, power_iterations, unit_vectors

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


def _tensor_of(module: Module, name: str) -> Tensor:
    tensor = getattr(module, name, None)
    if not isinstance(tensor, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    return tensor


# -- weight_norm


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0):
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return ops["_weight_norm"](weight_v, weight_g, self.dim)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return ops["norm_except_dim"](weight, 2, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Make a weight ``g·v/‖v‖``: original0 is g, the lengths of the slices along ``dim`` (of the whole, if None), original1 is v.

    Loads state_dicts of the older torch.nn.utils.weight_norm too. Returns the module. Source: Salimans & Kingma (2016);
    torch.nn.utils.parametrizations.weight_norm.
    """
    parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def rename(state: dict, prefix: str, *others: Any) -> None:
        older = [f"{prefix}{name}_g", f"{prefix}{name}_v"]
        if all(key in state for key in older):
            state.update({f"{prefix}parametrizations.{name}.original{number}": state.pop(key) for number, key in enumerate(older)})

    module._register_load_state_dict_pre_hook(rename)
    return module


# -- spectral_norm


class _SpectralNorm(Module):
    def __init__(self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12):
        super().__init__()
        rank = weight.dim()
        if not -rank <= dim < rank:
            raise IndexError(f"Dimension out of range (expected to be in range of [-{rank}, {rank - 1}] but got {dim})")
        if n_power_iterations <= 0:
            raise ValueError(f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}")
        self.dim, self.eps = dim % rank, eps
        if rank > 1:
            self.n_power_iterations = n_power_iterations
            matrix = as_matrix(weight.detach(), self.dim)
            u, v = unit_vectors(matrix, eps)
            self.register_buffer("_u", u)
            self.register_buffer("_v", v)
            power_iterations(matrix, u, v, eps, 15)

    def forward(self, weight: Tensor) -> Tensor:
        if weight.dim() == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            power_iterations(matrix, self._u, self._v, self.eps, self.n_power_iterations)
        u, v = self._u.clone(), self._v.clone()  # so that a later use may change the buffers before this one's backward
        return weight / ops["vdot"](u, ops["mv"](matrix, v))

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def spectral_norm(module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None) -> Module:
    """Make a weight ``w/σ``, with σ its largest singular value as a matrix with ``dim`` first; a vector is scaled to length 1.

    σ is found by power iteration: 15 steps at once, and in training ``n_power_iterations`` at every use of the weight. ``dim`` is 0, but 1 for
    transposed convolutions. Returns the module. Source: Miyato et al. (2018); torch.nn.utils.parametrizations.spectral_norm.

    Raises:
      ValueError: no such tensor, or no positive number of iterations.
      IndexError: a dimension that is not there.
    """
    weight = _tensor_of(module, name)
    dim = output_dim(module) if dim is None else dim
    return parametrize.register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, dim, eps))


# -- orthogonal


class _OrthMaps(enum.Enum):
    matrix_exp = enum.auto()
    cayley = enum.auto()
    householder = enum.auto()


def _is_orthogonal(q: Tensor) -> bool:
    return ops["allclose"](q.mH @ q, _factories.eye(q.size(-1), dtype=q.dtype), atol=10.0 * q.size(-2) * finfo(q.dtype).eps)


def _orthogonal_factor(a: Tensor) -> Tensor:
    """Q of ``A = QR`` with a diagonal of R that is not negative."""
    packed, tau = ops["geqrf"](a)
    return ops["linalg.householder_product"](packed, tau) * packed.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)


class _Orthogonal(Module):
    """``X`` (n × k, n ≥ k, else transposed) as a matrix with orthonormal columns, times ``base`` if there is one.

    With S = L − Lᴴ for L the lower triangle of X, extended by zeros to n × n: exp(S) or (I − S/2)⁻¹(I + S/2), of which the first k columns.
    Or the product of k reflections along the columns of X below its diagonal, times the signs on the diagonal.
    """

    def __init__(self, weight: Tensor, orthogonal_map: _OrthMaps, *, use_trivialization: bool = True):
        super().__init__()
        if weight.is_complex() and orthogonal_map is _OrthMaps.householder:
            raise ValueError("The householder parametrization does not support complex tensors. Use 'matrix_exp' or 'cayley'")
        self.shape, self.orthogonal_map = weight.shape, orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, X: Tensor) -> Tensor:
        wide = X.size(-2) < X.size(-1)
        x = X.mT if wide else X
        q = self._reflected(x) if self.orthogonal_map is _OrthMaps.householder else self._rotated(x)
        if hasattr(self, "base"):
            q = self.base @ q
        return q.mT if wide else q

    def _rotated(self, x: Tensor) -> Tensor:
        n, k = x.shape[-2:]
        lower = x.tril()
        if n != k:
            lower = ops["cat"]([lower, lower.new_zeros(*x.shape[:-2], n, n - k)], -1)
        skew = lower - lower.mH
        if self.orthogonal_map is _OrthMaps.matrix_exp:
            q = ops["matrix_exp"](skew)
        else:
            identity = _factories.eye(n, dtype=skew.dtype)
            q = ops["linalg.solve"](ops["add"](identity, skew, alpha=-0.5), ops["add"](identity, skew, alpha=0.5))
        return q[..., :k] if n != k else q

    @staticmethod
    def _reflected(x: Tensor) -> Tensor:
        vectors = x.tril(diagonal=-1)
        tau = 2.0 / (1.0 + (vectors * vectors).sum(dim=-2))
        return ops["linalg.householder_product"](vectors, tau) * x.diagonal(dim1=-2, dim2=-1).int().unsqueeze(-2)

    def right_inverse(self, Q: Tensor) -> Tensor:
        if Q.shape != self.shape:
            raise ValueError(f"Expected a matrix or batch of matrices of shape {self.shape}. Got a tensor of shape {Q.shape}.")
        with no_grad():
            wide = Q.size(-2) < Q.size(-1)
            q = Q.mT if wide else Q
            if not hasattr(self, "base"):
                if self.orthogonal_map is not _OrthMaps.householder:
                    raise NotImplementedError(
                        "It is not possible to assign to the matrix exponential or the Cayley parametrizations when use_trivialization=False."
                    )
                packed, tau = ops["geqrf"](q)
                signs = packed.diagonal(dim1=-2, dim2=-1)
                signs.copy_(signs.sign() * ops["where"](tau == 0.0, -1.0, 1.0))
                return packed.mT if wide else packed
            n, k = q.shape[-2:]
            if n != k:
                q = ops["cat"]([q, randn(*q.shape[:-2], n, n - k, dtype=q.dtype)], -1)
            self.base = q.clone() if n == k and _is_orthogonal(q) else _orthogonal_factor(q)
            start = ops["zeros_like"](Q)
            start.diagonal(dim1=-2, dim2=-1).fill_(-1.0)  # with −I the reflections of zero make the identity
            return start


def orthogonal(module: Module, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True) -> Module:
    """Make a matrix, or each of a batch of matrices (*, m, n), orthogonal (unitary): orthonormal columns if m ≥ n, else rows.

    Args:
      orthogonal_map: "matrix_exp" or "cayley", of a skew matrix, or "householder", a product of reflections; by default matrix_exp for square or
        complex matrices, else householder.
      use_trivialization: keep a matrix ``base`` that the result is multiplied by, so that the tensor starts from its present value, made orthogonal.

    Returns:
      The module.

    Raises:
      ValueError: no such tensor, one of less than two dimensions, an unknown map, complex numbers with "householder".

    Source: Lezcano-Casado, "Trivializations for gradient-based optimization on manifolds" (2019); torch.nn.utils.parametrizations.orthogonal.
    """
    weight = _tensor_of(module, name)
    if weight.dim() < 2:
        raise ValueError(f"Expected a matrix or batch of matrices. Got a tensor of {weight.dim()} dimensions.")
    if orthogonal_map is None:
        orthogonal_map = "matrix_exp" if weight.size(-2) == weight.size(-1) or weight.is_complex() else "householder"
    if orthogonal_map not in _OrthMaps.__members__:
        raise ValueError(f'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". Got: {orthogonal_map}')
    made = _Orthogonal(weight, _OrthMaps[orthogonal_map], use_trivialization=use_trivialization)
    return parametrize.register_parametrization(module, name, made, unsafe=True)
