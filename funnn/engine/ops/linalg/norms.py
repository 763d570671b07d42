"""Norms of vectors and matrices, and the condition number. (torch.norm, the older function, is among the reductions.)"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from funnn.engine.dispatch.autocast import FLOAT32
from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.memory.view_geometry import wrap_dim
from funnn.engine.ops.kit.table import publish, write_out
from funnn.engine.ops.linalg.matrix_checks import square
from funnn.engine.ops.reduce.reductions import axes_of, kind_of
from funnn.engine.types import dtype as _dtype
from funnn.functional._lp import lp_norm


def _converted(name: str, array: Any, dtype: Any) -> Any:
    """The array, which must be of floating-point or complex numbers, in the asked type, which must be as wide."""
    kind = _dtype.dtype.of(array.dtype)
    if kind.category < 2:
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got {kind.legacy}; convert it with .float()")
    if dtype is None:
        return array
    wanted = _dtype.as_dtype(dtype)
    if wanted.category < 2:
        raise RuntimeError(f"{name}: dtype should be floating point or complex, but got {wanted.legacy}")
    if wanted.is_complex != kind.is_complex:
        sort = "complex" if kind.is_complex else "real"
        raise RuntimeError(f"{name}: dtype should be {sort} for {sort} inputs, but got {wanted.legacy}")
    if _dtype.join(kind, wanted) is not wanted:
        raise RuntimeError(
            f"{name}: the dtype of the input ({kind.legacy}) should be convertible without narrowing to the specified dtype ({wanted.legacy})"
        )
    return array.astype(kind_of(wanted))


def _vector_norm(x, ord, axes, keepdim, dtype):
    name = "linalg.vector_norm"
    x = _converted(name, x, dtype)
    axes = axes_of(axes, x)
    axes = tuple(range(x.ndim)) if axes is None else axes
    if ord < 0 or ord == math.inf:
        if not x.size and len(axes) == x.ndim:
            raise RuntimeError(f"{name} cannot compute the {ord} norm on an empty tensor because the operation does not have an identity")
        for axis in axes:
            if x.shape[axis] == 0:
                raise RuntimeError(
                    f"{name} cannot compute the {ord} norm on the dimension {axis} because this dimension is empty and the operation does not "
                    "have an identity"
                )
    return lp_norm(x, ord, axes, keepdims=keepdim)


_vector_op = Op(_vector_norm, "LinalgVectorNormBackward0")


def vector_norm(input, ord=2, dim=None, keepdim=False, *, dtype=None, out=None):
    """(Σ|x|ᵒʳᵈ)^(1/ord) over ``dim`` (all by default); ±∞ is the largest and the smallest |x|, 0 counts what is not 0."""
    ord = _dtype.plain_number(ord) if isinstance(ord, np.generic) else ord
    if not isinstance(ord, (int, float)):
        raise TypeError(f"linalg_vector_norm(): argument 'ord' (position 2) must be Number, not {type(ord).__name__}")
    result = call(_vector_op, (input, ord, _axes(dim), keepdim, dtype), {})
    return result if out is None else write_out(out, result)


def _axes(dim: Any) -> Any:
    return tuple(dim) if isinstance(dim, list) else dim


#: Norms of matrices by singular values, and by sums of absolute values along a column or a row: which reduction, over which of the two.
_BY_SINGULAR_VALUES = {"nuc": jnp.sum, 2: jnp.max, -2: jnp.min}
_BY_SUMS = {1: (jnp.max, 0), -1: (jnp.min, 0), math.inf: (jnp.max, 1), -math.inf: (jnp.min, 1)}


def _matrix_norm(A, ord, dim, keepdim, dtype):
    name = "linalg.matrix_norm"
    if A.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor A must have at least 2 dimensions.")
    axes = tuple(dim) if isinstance(dim, (tuple, list)) else (dim,)
    if len(axes) != 2:
        raise RuntimeError(f"{name}: dim must be a 2-tuple. Got {' '.join(map(str, axes))}")
    axes = tuple(wrap_dim(axis, A.ndim) for axis in axes)
    if axes[0] == axes[1]:
        raise RuntimeError(f"{name}: dims must be different. Got ({dim[0]}, {dim[1]})")
    if ord == "fro":
        return _vector_norm(A, 2, axes, keepdim, dtype)
    A = _converted(name, A, dtype)
    if ord in _BY_SINGULAR_VALUES:
        singular = lax.linalg.svd(jnp.moveaxis(A, axes, (-2, -1)), compute_uv=False)
        norm = _reduced(name, _BY_SINGULAR_VALUES[ord], singular, -1)
        return jnp.expand_dims(norm, sorted(axes)) if keepdim else norm
    if ord in _BY_SUMS:
        reduce, summed = _BY_SUMS[ord]
        sums = lp_norm(A, 1, axes[summed], keepdims=True)
        norm = _reduced(name, reduce, sums, axes[1 - summed], keepdims=True)
        return norm if keepdim else jnp.squeeze(norm, axes)
    raise RuntimeError(f"{name}: Order {ord} not supported.")


def _reduced(name, reduce, array, axis, keepdims=False):
    if array.shape[axis] == 0 and reduce is jnp.max:
        reduce = jnp.sum  # 0, as the largest of no absolute values
    if array.shape[axis] == 0 and reduce is jnp.min:
        raise IndexError(f"{name}: Expected reduction dim {axis} to have non-zero size; the matrix is empty")
    return reduce(array, axis, keepdims=keepdims)


def _matrix_grad(A, ord, dim, keepdim, *rest):
    if ord == "fro":
        return "LinalgVectorNormBackward0"
    if keepdim and ord in _BY_SINGULAR_VALUES:
        return "PermuteBackward0"
    return "SumBackward1" if ord == "nuc" else "AmaxBackward0" if ord > 0 else "AminBackward0"


_matrix_op = Op(_matrix_norm, _matrix_grad)


def matrix_norm(input, ord="fro", dim=(-2, -1), keepdim=False, *, dtype=None, out=None):
    """A norm of matrices: 'fro', 'nuc' (the sum of the singular values), ±2 (their extremes), ±1 and ±∞ (those of columns' and rows' sums)."""
    result = call(_matrix_op, (input, ord, _axes(dim), keepdim, dtype), {})
    return result if out is None else write_out(out, result)


def norm(input, ord=None, dim=None, keepdim=False, *, dtype=None, out=None):
    """vector_norm of one dimension or, without ``ord``, of all; matrix_norm of two, or of a matrix if ``ord`` is given."""
    if isinstance(dim, list):
        dim = tuple(dim)
    if ord is not None:
        count = len(dim) if isinstance(dim, tuple) else 1
        if dim is not None and count not in (1, 2):
            raise RuntimeError(f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {list(dim)}")
        if dim is None and input.dim() not in (1, 2):
            raise RuntimeError(f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {input.dim()}D.")
        if isinstance(ord, str) or (count == 2 if dim is not None else input.dim() == 2):
            return matrix_norm(input, ord, (0, 1) if dim is None else dim, keepdim, dtype=dtype, out=out)
    return vector_norm(input, 2 if ord is None else ord, dim, keepdim, dtype=dtype, out=out)


for _function in (vector_norm, matrix_norm, norm):
    publish(f"linalg.{_function.__name__}", _function, exact_out=True)


def frobenius_norm(input, dim, keepdim=False, *, out=None):
    """√Σ|x|² over one or two dimensions."""
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    if len(dims) > 2:
        raise RuntimeError(f"Expected at most 2 dimensions, but got {len(dims)} dimensions instead.")
    return vector_norm(input, 2, dims or None, keepdim, out=out)


def nuclear_norm(input, dim=(-2, -1), keepdim=False, *, out=None):
    """The sum of the singular values of matrices: nuclear_norm(x, dim, keepdim) or, of one matrix, nuclear_norm(x, keepdim)."""
    if isinstance(dim, bool):
        dim, keepdim = (-2, -1), dim
    return matrix_norm(input, "nuc", dim, keepdim, out=out)


for _function in (frobenius_norm, nuclear_norm):
    publish(_function.__name__, _function, method=False)


# -- the condition number


def _cond(input, p):
    if input.ndim < 2:
        raise RuntimeError("linalg.cond: The input tensor must have at least 2 dimensions.")
    if p in (2, -2):
        singular = lax.linalg.svd(input, compute_uv=False)
        if not singular.shape[-1]:
            return jnp.zeros(input.shape[:-2], singular.dtype)
        return singular[..., 0] / singular[..., -1] if p == 2 else singular[..., -1] / singular[..., 0]
    if p not in ("fro", "nuc", *_BY_SUMS):
        raise RuntimeError(f"linalg.cond got an invalid norm type: {p}")
    square("linalg.cond", input)
    if not input.shape[-1]:
        return jnp.zeros(input.shape[:-2], input.real.dtype)
    pivots = jnp.diagonal(lax.linalg.lu(lax.stop_gradient(input))[0], axis1=-2, axis2=-1)
    singular = (pivots == 0).any(-1)
    safe = jnp.where(singular[..., None, None], jnp.eye(input.shape[-1], dtype=input.dtype), input)
    norms = [_matrix_norm(array, p, (-2, -1), False, None) for array in (input, jnp.linalg.inv(safe))]
    return jnp.where(singular, jnp.inf, norms[0] * norms[1])


def _cond_grad(input, p):
    return "SqueezeBackward1" if p in (2, -2) else "MulBackward0" if p == "nuc" else "NanToNumBackward0"


_cond_op = Op(_cond, _cond_grad, autocast={"cpu": FLOAT32})


def cond(input, p=None, *, out=None):
    """The condition number: the largest by the smallest singular value, or for another norm ‖A‖ₚ·‖A⁻¹‖ₚ."""
    result = call(_cond_op, (input, 2 if p is None else p), {})
    return result if out is None else write_out(out, result)


publish("linalg.cond", cond)
