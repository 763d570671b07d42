"""Factorisations of matrices: Cholesky, QR and Householder reflectors, LU. (Eigenvalues and singular values are in ``spectra``.)"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import Array, lax

from funnn.engine.dispatch.autocast import FLOAT32
from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.memory.strides import in_columns
from funnn.engine.ops.kit.deprecated import deprecated
from funnn.engine.ops.kit.elementwise import refusing, without_derivative
from funnn.engine.ops.kit.return_types import return_type
from funnn.engine.ops.kit.table import FUNCTIONS, publish, row, write_out
from funnn.engine.ops.linalg.matrix_checks import adjoint, checked_rows, matrices, precise, raise_failure, square

# -- Cholesky


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def from_triangle(array, lower):
    """The Hermitian matrix whose one triangle is ``array``'s; its derivative is that of (A + Aᴴ)/2, as in torch."""
    half = jnp.tril(array, -1) if lower else jnp.triu(array, 1)
    return jnp.where(jnp.eye(array.shape[-1], dtype=bool), array.real, half + adjoint(half))


@from_triangle.defjvp
def _from_triangle_jvp(lower, primals, tangents):
    return from_triangle(*primals, lower), (tangents[0] + adjoint(tangents[0])) / 2


def _failed_minor(array):
    """The order of the first leading minor that is not positive: where Cholesky's algorithm, done step by step, meets a pivot ≤ 0."""

    def step(k, state):
        rest, found = state
        pivot = rest[..., k, k].real
        found = jnp.where((found == 0) & ~(pivot > 0), k + 1, found)
        column = rest[..., :, k]
        scale = jnp.where(pivot > 0, pivot, 1)[..., None, None]
        return rest - column[..., :, None] * jnp.conj(column)[..., None, :] / scale, found

    start = array, jnp.zeros(array.shape[:-2], jnp.int32)
    return lax.fori_loop(0, array.shape[-1], step, start)[1].astype(jnp.int32)


def _factor(array, upper):
    """The lower factor of the Hermitian matrix whose one triangle is given, and the order of the minor that failed (0 if none)."""
    whole = from_triangle(array, not upper)
    factor = lax.linalg.cholesky(whole, symmetrize_input=False)
    failed = jnp.isnan(lax.stop_gradient(factor)).any((-2, -1))
    if not array.size:
        return factor, failed.astype(jnp.int32)
    info = lax.cond(failed.any(), _failed_minor, lambda array: jnp.zeros(array.shape[:-2], jnp.int32), lax.stop_gradient(whole))
    return factor, jnp.where(failed, info, 0)


_CholeskyEx = return_type("linalg_cholesky_ex", "L", "info")


def cholesky_ex(input, *, upper=False):
    """L with L·Lᴴ = input (or U with Uᴴ·U = input, read from the upper triangle), and info: 0 where there is one."""
    factor, info = _factor(square("linalg.cholesky", input), upper)
    return _CholeskyEx(adjoint(factor) if upper else factor, info)


def _not_definite(order: int) -> str:
    return (
        "The factorization could not be completed because the input is not positive-definite "
        f"(the leading minor of order {order} is not positive-definite)."
    )


checked_rows(
    "linalg.cholesky",
    cholesky_ex,
    "LinalgCholeskyExBackward0",
    _not_definite,
    doc="L, lower triangular, with L·Lᴴ = input (or U with Uᴴ·U = input, read from the upper triangle); an error where there is none.",
    autocast={"cpu": FLOAT32},
)


def _cholesky(input, upper=False):
    factor, info = _factor(square("cholesky", input), upper)
    return (adjoint(factor) if upper else factor), info


_cholesky_op = Op(_cholesky, "CholeskyBackward0", autocast={"cpu": FLOAT32})


def cholesky(input, upper=False, *, out=None):
    """The older name of linalg.cholesky."""
    deprecated("cholesky")
    factor, info = call(_cholesky_op, (input, upper), {})
    raise_failure("cholesky", info, _not_definite)
    return factor if out is None else write_out(out, factor)


publish("cholesky", cholesky, **in_columns(0))


# -- QR


_LinalgQR = return_type("linalg_qr", "Q", "R")
_QR = return_type("qr", "Q", "R")
_Geqrf = return_type("geqrf", "a", "tau")

_undifferentiated = without_derivative("geqrf: self")(lambda array: array)
_kept_whole = refusing(
    lambda: RuntimeError("The QR decomposition is not differentiable when mode='complete' and nrows > ncols; use mode='reduced'")
)(lambda array: array)
_kept_r = refusing(
    lambda: RuntimeError(
        "The derivative of linalg.qr depends on Q, which is not computed when mode='r'. "
        "Please use torch.linalg.qr(A, mode='reduced') if you are going to differentiate through linalg.qr."
    )
)(lambda array: array)


def linalg_qr(A: Array, mode="reduced"):
    """Q with orthonormal columns and R upper triangular; mode 'complete' gives a square Q, 'r' an empty one."""
    matrices("linalg.qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'")
    tall = A.shape[-2] > A.shape[-1]
    A = _kept_r(A) if mode == "r" else _kept_whole(A) if mode == "complete" and tall else A
    Q, R = lax.linalg.qr(A, full_matrices=mode == "complete")
    return _LinalgQR(jnp.zeros((0,), A.dtype) if mode == "r" else Q, R)


def qr(input, some=True):
    """The older form of linalg.qr: reduced, or complete without ``some``."""
    deprecated("qr")
    return _QR(*linalg_qr(input, "reduced" if some else "complete"))


def geqrf(input):
    """QR as LAPACK keeps it: R in the upper triangle, the Householder vectors below, and their factors tau."""
    raw, tau = jnp.linalg.qr(_undifferentiated(matrices("geqrf", input)), mode="raw")
    return _Geqrf(jnp.swapaxes(raw, -2, -1), tau)


row("linalg.qr", linalg_qr, exact_out=True, autocast={"cpu": FLOAT32}, **in_columns(0, 1))
row("qr", qr, "LinalgQrBackward0", exact_out=True, autocast={"cpu": FLOAT32}, **in_columns(0, 1))
row("geqrf", geqrf, autocast={"cpu": FLOAT32}, **in_columns(0))


def _reflectors(input, tau):
    """V, unit lower trapezoidal, and T, upper triangular, with H₁·…·Hₖ = I − V·T·Vᴴ, where Hᵢ = I − τᵢ·vᵢ·vᵢᴴ."""
    count = tau.shape[-1]
    vectors = jnp.tril(input[..., :count], -1) + jnp.eye(input.shape[-2], count, dtype=input.dtype)
    products = tau[..., :, None] * jnp.triu(adjoint(vectors) @ vectors, 1)
    scales = tau[..., :, None] * jnp.eye(count, dtype=input.dtype)
    return vectors, lax.linalg.triangular_solve(products + jnp.eye(count, dtype=input.dtype), scales, left_side=True, unit_diagonal=True)


def householder_product(input, tau: Array):
    """The first columns of H₁·…·Hₖ, the reflectors whose vectors are below the diagonal of ``input``."""
    name = "torch.linalg.householder_product"
    matrices(name, input, "input")
    rows, columns = input.shape[-2:]
    if rows < columns:
        raise RuntimeError(f"{name}: input.shape[-2] must be greater than or equal to input.shape[-1], got {rows} and {columns}")
    if columns < tau.shape[-1]:
        raise RuntimeError(f"{name}: input.shape[-1] must be greater than or equal to tau.shape[-1], got {columns} and {tau.shape[-1]}")
    vectors, factor = _reflectors(input, tau)
    return jnp.eye(rows, columns, dtype=input.dtype) - vectors @ (factor @ adjoint(vectors)[..., :columns])


def orgqr(input, input2: Array):
    """The older name of linalg.householder_product."""
    return householder_product(input, input2)


def ormqr(input, tau: Array, other: Array, left=True, transpose=False):
    """Q·other (or other·Q), Q = H₁·…·Hₖ being the product of the reflectors kept in ``input``; Qᴴ with ``transpose``."""
    matrices("torch.ormqr", input, "input")
    matrices("torch.ormqr", other, "other")
    side = -2 if left else -1
    if other.shape[side] != input.shape[-2]:
        raise RuntimeError(
            f"torch.ormqr: other.shape[{side}] must be equal to input.shape[-2], got {other.shape[side]} and {input.shape[-2]}"
        )
    vectors, factor = _reflectors(input, tau)
    factor = adjoint(factor) if transpose else factor
    if left:
        return other - vectors @ (factor @ (adjoint(vectors) @ other))
    return other - ((other @ vectors) @ factor) @ adjoint(vectors)


row("linalg.householder_product", householder_product, "LinalgHouseholderProductBackward0", autocast={"cpu": FLOAT32}, **in_columns(0))
row("orgqr", orgqr, "LinalgHouseholderProductBackward0", **in_columns(0))
row("ormqr", ormqr, "OrmqrBackward0", exact_out=True, autocast={"cpu": FLOAT32}, **in_columns(0))


# -- LU


_FactorEx = return_type("linalg_lu_factor_ex", "LU", "pivots", "info")
_Factor = return_type("linalg_lu_factor", "LU", "pivots")
_LU = return_type("linalg_lu", "P", "L", "U")
_Unpacked = return_type("lu_unpack", "P", "L", "U")


def first_zero_pivot(lu):
    """The number of the first pivot of a factorisation that is 0, counted from 1; 0 if none is."""
    zero = jnp.diagonal(lax.stop_gradient(lu), axis1=-2, axis2=-1) == 0
    if not zero.shape[-1]:
        return jnp.zeros(zero.shape[:-1], jnp.int32)
    return jnp.where(zero.any(-1), jnp.argmax(zero, -1) + 1, 0).astype(jnp.int32)


def _pivoted(name, A, pivot):
    if A.ndim < 2:
        raise RuntimeError(f"{name}: Expected tensor with 2 or more dimensions. Got size: {list(A.shape)} instead")
    precise(name, A)
    if not pivot:
        raise RuntimeError("linalg.lu_factor: LU without pivoting is not implemented on the CPU; use pivot=True")
    return lax.linalg.lu(A)


def lu_factor_ex(A: Array, *, pivot=True):
    """L (unit lower triangular) and U in one matrix, the rows exchanged step by step (counted from 1), and info: the first pivot that is 0."""
    lu, pivots, _ = _pivoted("torch.lu_factor", A, pivot)
    return _FactorEx(lu, pivots + 1, first_zero_pivot(lu))


def _zero_pivot(order: int) -> str:
    return (
        f"U[{order},{order}] is zero and using it on lu_solve would result in a division by zero. If you still want to perform the "
        "factorization, consider calling linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)"
    )


checked_rows(
    "linalg.lu_factor",
    lu_factor_ex,
    "LinalgLuFactorExBackward0",
    _zero_pivot,
    _Factor,
    doc="L (unit lower triangular) and U in one matrix, the rows exchanged step by step (counted from 1); an error where a pivot is 0.",
    label="torch.linalg.lu_factor",
    error=RuntimeError,
    autocast={"cpu": FLOAT32},
)


def lu(A: Array, pivot=True, get_infos=False, out=None):
    """The older form of linalg.lu_factor: (LU, pivots), with ``get_infos`` also where it failed."""
    deprecated("lu")
    outputs = FUNCTIONS["linalg.lu_factor_ex"](A, pivot=pivot)
    if get_infos:
        result = _WithInfo(*outputs)
    else:
        raise_failure("torch.lu", outputs.info, _zero_pivot, RuntimeError)
        result = tuple(outputs[:2])
    return result if out is None else write_out(out, result)


_WithInfo = return_type("_lu_with_info", "LU", "pivots", "info")
publish("lu", lu, method=False)


def _lu_method(self: Array, pivot=True, get_infos=False):
    """The older form of linalg.lu_factor: (LU, pivots), with ``get_infos`` also where it failed."""
    return tuple(lu(self, pivot, get_infos))


publish("lu", _lu_method, function=False)


def _triangles(packed):
    """L and U of a packed factorisation, the smaller dimension between them."""
    inner = min(packed.shape[-2:])
    return jnp.tril(packed[..., :inner], -1) + jnp.eye(packed.shape[-2], inner, dtype=packed.dtype), jnp.triu(packed[..., :inner, :])


def _permutation_matrix(order, kind):
    """P with P[order[i], i] = 1."""
    return jnp.swapaxes(jax.nn.one_hot(order, order.shape[-1], dtype=kind), -2, -1)


def linalg_lu(A: Array, *, pivot=True):
    """P, L, U with P·L·U = A: a permutation, a unit lower and an upper triangular matrix."""
    packed, _, order = _pivoted("linalg.lu", A, pivot)
    return _LU(_permutation_matrix(order, A.dtype), *_triangles(packed))


def lu_unpack(LU_data: Array, LU_pivots: Array, unpack_data=True, unpack_pivots=True):
    """P, L, U of a packed factorisation; empty tensors for what is not unpacked."""
    if LU_pivots.dtype != jnp.int32:
        raise RuntimeError(
            f"torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype. Got {LU_pivots.dtype}; it is what "
            "linalg.lu_factor returns"
        )
    none = jnp.zeros((0,), LU_data.dtype)
    P = L = U = none
    if unpack_pivots:
        P = _permutation_matrix(lax.linalg.lu_pivots_to_permutation(LU_pivots - 1, LU_data.shape[-2]), LU_data.dtype)
    if unpack_data:
        L, U = _triangles(LU_data)
    return _Unpacked(P, L, U)


row("linalg.lu", linalg_lu, (None, "LinalgLuBackward0", ...), exact_out=True)
row("lu_unpack", lu_unpack, (None, "LuUnpackBackward0", ...), method=False, exact_out=True)
