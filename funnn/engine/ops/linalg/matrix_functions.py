"""Determinants, powers, the exponential, products of several matrices, and what else linalg makes of matrices and vectors."""

from __future__ import annotations

import itertools

import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import expm

from funnn.engine.dispatch.autocast import LOWER
from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.memory.view_geometry import wrap_dim
from funnn.engine.ops.kit.deprecated import deprecated
from funnn.engine.ops.kit.elementwise import require, widened
from funnn.engine.ops.kit.return_types import return_type
from funnn.engine.ops.kit.table import FUNCTIONS, publish, row, write_out
from funnn.engine.ops.linalg.matrix_checks import inexact, same_types, square
from funnn.engine.types.dtype import check_broadcast, common

# -- determinants


_LinalgSlogdet = return_type("linalg_slogdet", "sign", "logabsdet")
_Slogdet = return_type("slogdet", "sign", "logabsdet")


def linalg_det(A: Array):
    """The determinant."""
    square("linalg.det", A)
    return jnp.linalg.det(A) if A.shape[-1] else jnp.ones(A.shape[:-2], A.dtype)


def det(input):
    """The determinant."""
    return linalg_det(input)


def linalg_slogdet(A: Array):
    """The determinant's sign (of complex numbers its phase) and the logarithm of its size."""
    return _LinalgSlogdet(*jnp.linalg.slogdet(square("linalg.slogdet", A)))


def slogdet(input):
    """The determinant's sign and the logarithm of its size."""
    return _Slogdet(*linalg_slogdet(input))


def logdet(input):
    """The logarithm of the determinant, NaN if that is negative."""
    sign, size = jnp.linalg.slogdet(square("logdet", input))
    return size + jnp.log(sign) if jnp.iscomplexobj(input) else jnp.where(sign == -1, jnp.nan, size)


row("linalg.det", linalg_det, exact_out=True)
row("det", det, "LinalgDetBackward0")
row("linalg.slogdet", linalg_slogdet, exact_out=True)
row("slogdet", slogdet, "LinalgSlogdetBackward0")
row("logdet", logdet, lambda A: "AddBackward0" if A.is_complex() else "WhereBackward0")


# -- functions of a square matrix


def matrix_exp(input):
    """The sum of the matrix's powers Aⁿ/n!."""
    return widened(expm)(square("linalg.matrix_exp", input, types=inexact)) if input.size else input


row("linalg.matrix_exp", matrix_exp, "LinalgMatrixExpBackward0", aliases=("matrix_exp",))


def matrix_power(input, n, *, out=None):
    """The n-th power of a square matrix; of its inverse for negative n."""
    if input.dim() < 2:
        raise RuntimeError("linalg.matrix_power: The input tensor A must have at least 2 dimensions.")
    rows, columns = input.shape[-2:]
    if rows != columns:
        raise RuntimeError(f"linalg.matrix_power: A must be batches of square matrices, but they are {rows} by {columns} matrices")
    result = _power(FUNCTIONS["linalg.inv"](input), -n) if n < 0 else _power(input, n)
    return result if out is None else write_out(out, result)


def _power(base, n):
    if n == 0:
        return call(_identity, (base,), {})
    if n == 1:
        return base.clone()
    half = base if n < 4 else _power(base, n // 2)
    square_ = half @ half
    return square_ if n == 2 or (n >= 4 and n % 2 == 0) else square_ @ base


def _identity_like(input):
    return jnp.broadcast_to(jnp.eye(input.shape[-1], dtype=input.dtype), input.shape)


_identity = Op(_identity_like, "CopyBackwards")
publish("linalg.matrix_power", matrix_power, aliases=("matrix_power",))


# -- products


def _multi_dot(tensors):
    """The product of a chain of matrices in the order of least work; a vector at an end stands for a row or a column."""
    count = len(tensors)
    if count < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {count}")
    require("addmm_impl_cpu_", tensors[0], "ifc")
    for number, array in enumerate(tensors):
        end = number in (0, count - 1)
        if array.ndim != 2 and not (end and array.ndim == 1):
            wanted = "1D or 2D" if end else "2D"
            place = "the first tensor" if number == 0 else "the last tensor" if end else f"tensor {number}"
            raise RuntimeError(f"multi_dot(): {place} must be {wanted} but got {array.ndim}D")
        if number:
            same_types("multi_dot()", **{f"tensor {number - 1}": tensors[number - 1], f"tensor {number}": array})
    for number, (a, b) in enumerate(itertools.pairwise(tensors)):
        if a.shape[-1] != b.shape[0]:
            raise RuntimeError(
                f"multi_dot(): tensors {number} and {number + 1} with shapes {list(a.shape)} and {list(b.shape)} cannot be multiplied"
            )
    return jnp.linalg.multi_dot(tensors)


_multi_dot_op = Op(_multi_dot, "ViewBackward0", autocast=LOWER)


def multi_dot(tensors, *, out=None):
    """The product of a chain of matrices in the order of least work; a vector at an end stands for a row or a column."""
    result = call(_multi_dot_op, (tuple(tensors),), {})
    return result if out is None else write_out(out, result)


def chain_matmul(*matrices, out=None):
    """The older form of linalg.multi_dot."""
    deprecated("chain_matmul")
    if len(matrices) == 1 and isinstance(matrices[0], (list, tuple)):
        matrices = tuple(matrices[0])
    return matrices[0] if len(matrices) == 1 else multi_dot(matrices, out=out)


publish("linalg.multi_dot", multi_dot, exact_out=True)
publish("chain_matmul", chain_matmul, method=False)


def vecdot(x: Array, y: Array, *, dim=-1):
    """Σ conj(x)·y along ``dim``."""
    same_types("linalg.vecdot", x=inexact("linalg.vecdot", x), y=inexact("linalg.vecdot", y))
    check_broadcast(x, y)
    dim = wrap_dim(dim, max(x.ndim, y.ndim))
    return jnp.sum(jnp.conj(x) * y, dim)


def _vecdot_grad(x, y, **rest):
    return "VdotBackward0" if x.dim() == y.dim() == 1 else "SumBackward1"


row("linalg.vecdot", vecdot, _vecdot_grad, exact_out=True, autocast=LOWER)


def cross(input, other: Array, *, dim=-1, out=None):
    """The vector product along ``dim``, which has three elements."""
    return FUNCTIONS["cross"](input, other, dim, out=out)


publish("linalg.cross", cross, exact_out=True)


# -- others


def vander(x: Array, *, N=None):
    """The powers 0 … N − 1 of each element, as a last dimension; N is by default the length of the last one."""
    x = x if x.ndim else x.reshape(1)
    N = x.shape[-1] if N is None else N
    if N <= 1:
        raise RuntimeError(f"N must be greater than 1, got {N}.")
    (x,) = common(x) if x.dtype != jnp.bool_ else (x.astype(jnp.int64),)
    kind = x.dtype if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.int64
    steps = jnp.broadcast_to(x.astype(kind)[..., None], (*x.shape, N - 1))
    return jnp.concatenate([jnp.ones((*x.shape, 1), kind), jnp.cumprod(steps, -1)], -1)


row("linalg.vander", vander, "CatBackward0")


def diagonal(A: Array, *, offset=0, dim1=-2, dim2=-1):
    """The diagonal of two dimensions, by default the last; a view."""
    return FUNCTIONS["diagonal"](A, offset, dim1, dim2)


publish("linalg.diagonal", diagonal)
