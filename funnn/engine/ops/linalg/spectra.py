"""Eigenvalues and singular values, and what is made of them: the pseudo-inverse, the rank, the least-squares solution."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import Array, lax

from funnn.engine.dispatch.autocast import FLOAT32
from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.memory.strides import in_columns
from funnn.engine.ops.kit.return_types import return_type
from funnn.engine.ops.kit.table import publish, write_out
from funnn.engine.ops.linalg.decompositions import from_triangle
from funnn.engine.ops.linalg.matrix_checks import adjoint, matrices, raise_unless_finite, same_types, square, tolerance_of
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.dtype import dtype


def _finite(name, pure, grad, values, label=None, **policies):
    """A row whose result is checked: ``values`` picks out of it what is NaN where LAPACK found none."""
    op = Op(pure, grad, autocast={"cpu": FLOAT32})

    def decompose_and_check(*args, out=None, **kwargs):
        result = call(op, args, kwargs)
        raise_unless_finite(label or name, values(result))
        return result if out is None else write_out(out, result)

    publish(name, decompose_and_check, pure, **policies)


# -- eigenvalues


_Eigh = return_type("linalg_eigh", "eigenvalues", "eigenvectors")
_Eig = return_type("linalg_eig", "eigenvalues", "eigenvectors")


def linalg_eigh(input, UPLO="L"):
    """Eigenvalues, ascending, and orthonormal eigenvectors of the Hermitian matrix whose lower (or upper) triangle is given."""
    square("linalg.eigh", input)
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    vectors, values = lax.linalg.eigh(from_triangle(input, UPLO.upper() == "L"), symmetrize_input=False)
    return _Eigh(values, vectors)


def eigvalsh(input, UPLO="L"):
    """The eigenvalues of linalg.eigh."""
    return linalg_eigh(input, UPLO).eigenvalues


def _complex(array):
    return array.astype(jnp.result_type(array.dtype, jnp.complex64))


def linalg_eig(input):
    """Eigenvalues and eigenvectors of length 1 of any square matrix; complex, in no particular order.

    A vector's phase is LAPACK's choice: a gradient is defined for what does not depend on it.
    """
    if not square("linalg.eig", input).size:
        return _Eig(_complex(input).reshape(input.shape[:-1]), _complex(input))
    values, vectors = lax.linalg.eig(input, compute_left_eigenvectors=False, enable_eigvec_derivs=True)
    return _Eig(values, vectors)


def eigvals(input):
    """The eigenvalues of linalg.eig."""
    if not square("linalg.eigvals", input).size:
        return _complex(input).reshape(input.shape[:-1])
    return _eigenvalues(input)


@jax.custom_jvp
def _eigenvalues(array):
    return lax.linalg.eig(array, compute_left_eigenvectors=False, compute_right_eigenvectors=False)[0]


@_eigenvalues.defjvp
def _eigenvalues_jvp(primals, tangents):
    """dλ = diag(V⁻¹ dA V), of which there are further derivatives, as JAX has none of its own rule."""
    values, vectors = lax.linalg.eig(*primals, compute_left_eigenvectors=False, enable_eigvec_derivs=True)
    turned = jnp.linalg.solve(vectors, tangents[0].astype(vectors.dtype) @ vectors)
    return values, jnp.diagonal(turned, axis1=-2, axis2=-1)


_finite("linalg.eigh", linalg_eigh, "LinalgEighBackward0", lambda result: result.eigenvalues, exact_out=True, **in_columns(1))
_finite("linalg.eigvalsh", eigvalsh, "LinalgEighBackward0", lambda result: result, "linalg.eigh", exact_out=True)
_finite("linalg.eig", linalg_eig, "LinalgEigBackward0", lambda result: result.eigenvalues, **in_columns(1))
_finite("linalg.eigvals", eigvals, "LinalgEigBackward0", lambda result: result, "linalg.eig")


# -- singular values


_LinalgSVD = return_type("linalg_svd", "U", "S", "Vh")
_SVD = return_type("svd", "U", "S", "V")


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _svd(array, full):
    """U, S, Vᴴ. Further columns of U and V than there are singular values count as constant in the derivative, as in torch."""
    return tuple(lax.linalg.svd(array, full_matrices=full))


@_svd.defjvp
def _svd_jvp(full, primals, tangents):
    U, S, Vh = _svd(*primals, full)
    (dA,) = tangents
    count = S.shape[-1]
    left, right = U[..., :count], adjoint(Vh[..., :count, :])
    dP = adjoint(left) @ dA @ right
    dS = jnp.diagonal(dP, axis1=-2, axis2=-1).real
    column, row_ = S[..., :, None], S[..., None, :]
    gaps = (row_ - column) * (row_ + column)
    same = jnp.eye(count, dtype=bool)
    inverse = jnp.where(same, 0, 1 / jnp.where(same, 1, gaps)).astype(dP.dtype)
    size = S.astype(dP.dtype)
    turn = left @ (inverse * (dP * size[..., None, :] + size[..., :, None] * adjoint(dP)))
    turn_right = right @ (inverse * (size[..., :, None] * dP + adjoint(dP) * size[..., None, :]))
    if jnp.iscomplexobj(dP):
        phase = jnp.diagonal(dP, axis1=-2, axis2=-1).imag * 1j
        turn = turn + left * (phase / size)[..., None, :]
    rows, columns = dA.shape[-2:]
    if rows > count:
        turn = turn + _outside(left, dA @ right) / size[..., None, :]
    if columns > count:
        turn_right = turn_right + _outside(right, adjoint(dA) @ left) / size[..., None, :]
    return (U, S, Vh), (_with_zeros(turn, U.shape[-1]), dS, adjoint(_with_zeros(turn_right, Vh.shape[-2])))


def _outside(basis, array):
    """What of the columns is orthogonal to the basis."""
    return array - basis @ (adjoint(basis) @ array)


def _with_zeros(array, columns):
    return jnp.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, columns - array.shape[-1])])


def _no_driver(name, driver):
    if driver is not None:
        raise RuntimeError(f"torch.{name}: keyword argument `driver=` is only supported on CUDA inputs with cuSOLVER backend.")


def linalg_svd(A: Array, full_matrices=True, *, driver=None):
    """U, S, Vᴴ with A = U·diag(S)·Vᴴ, the singular values descending; without ``full_matrices`` only the columns that have one."""
    _no_driver("linalg.svd", driver)
    return _LinalgSVD(*_svd(matrices("linalg.svd", A), bool(full_matrices)))


def svdvals(A: Array, *, driver=None):
    """The singular values, descending."""
    _no_driver("linalg.svdvals", driver)
    return lax.linalg.svd(matrices("linalg.svd", A), compute_uv=False)


def _svd_with_v(input, some=True):
    U, S, Vh = _svd(matrices("linalg.svd", input), not some)
    return _SVD(U, S, adjoint(Vh))


def _values_with_zeros(input, some=True):
    rows, columns = matrices("linalg.svd", input).shape[-2:]
    batch = input.shape[:-2]
    zeros = (jnp.zeros((*batch, size, size), input.dtype) for size in (rows, columns))
    return _SVD(next(zeros), lax.linalg.svd(input, compute_uv=False), next(zeros))


_finite("linalg.svd", linalg_svd, "LinalgSvdBackward0", lambda result: result.S, exact_out=True, **in_columns(0, 2))
_finite("linalg.svdvals", svdvals, "LinalgSvdBackward0", lambda result: result, "linalg.svd", exact_out=True)


def _svd_names(input, *rest):
    return ("LinalgSvdBackward0", ..., "ConjBackward0" if input.is_complex() else "TransposeBackward0")


_svd_op = Op(_svd_with_v, _svd_names, autocast={"cpu": FLOAT32})
_values_op = Op(_values_with_zeros, (None, "LinalgSvdBackward0", None))


def svd(input, some=True, compute_uv=True, *, out=None):
    """The older form of linalg.svd: U, S, V (not Vᴴ), reduced if ``some``; U and V are zeros without ``compute_uv``."""
    result = call(_svd_op if compute_uv else _values_op, (input, some), {})
    raise_unless_finite("linalg.svd", result.S)
    return result if out is None else write_out(out, result)


publish("svd", svd, exact_out=True, **in_columns(0))


# -- the pseudo-inverse


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def _pseudo_inverse(array, atol, rtol, hermitian):
    """The pseudo-inverse and the singular values, of which those that are at most max(atol, rtol·largest) count as 0."""
    if hermitian:
        vectors, values = lax.linalg.eigh(from_triangle(array, True), symmetrize_input=False)
        left, singular, right = vectors * jnp.sign(values)[..., None, :], jnp.abs(values), adjoint(vectors)
    else:
        left, singular, right = lax.linalg.svd(array, full_matrices=False)
    kept = singular > tolerance_of(singular, array.shape, atol, rtol)[..., None]
    inverse = jnp.where(kept, 1 / jnp.where(kept, singular, 1), 0).astype(array.dtype)
    return (adjoint(right) * inverse[..., None, :]) @ adjoint(left), singular


@_pseudo_inverse.defjvp
def _pseudo_inverse_jvp(hermitian, primals, tangents):
    """dP = −P·dA·P + P·Pᴴ·dAᴴ·(I − A·P) + (I − P·A)·dAᴴ·Pᴴ·P, for changes that keep the rank. The singular values count as constant."""
    P, singular = _pseudo_inverse(*primals, hermitian)
    A, dA = primals[0], tangents[0]
    dAh, Ph = adjoint(dA), adjoint(P)
    first = P @ (Ph @ dAh)
    second = (dAh @ Ph) @ P
    tangent = -P @ dA @ P + first - (first @ A) @ P + second - P @ (A @ second)
    return (P, singular), (tangent, jnp.zeros_like(singular))


def pinv(input, atol=None, rtol=None, hermitian=False):
    """The pseudo-inverse: the inverse on the singular vectors whose singular value is larger than max(atol, rtol·largest), 0 on the others."""
    if input.ndim < 2 or input.dtype not in (jnp.float32, jnp.float64, jnp.complex64, jnp.complex128):
        raise RuntimeError(
            f"linalg.pinv({dtype.of(input.dtype).legacy}{{{list(input.shape)}}}): expected a tensor with 2 or more dimensions of float, double, "
            "cfloat or cdouble types"
        )
    if hermitian:
        square("linalg.pinv", input)
    if not input.size:
        return jnp.zeros(jnp.swapaxes(input, -2, -1).shape, input.dtype)
    return _pseudo_inverse(input, *_as_arrays(input, atol, rtol), hermitian)[0]


def _as_arrays(input, *tolerances):
    """Tolerances as arrays that no gradient flows to."""
    kind = input.real.dtype
    return tuple(value if value is None else lax.stop_gradient(jnp.asarray(value, kind)) for value in tolerances)


_pinv_op = Op(pinv, "LinalgPinvBackward0", scalars=("atol", "rtol"))


def _pinv(input, rcond=None, hermitian=False, *, atol=None, rtol=None, out=None):
    """The pseudo-inverse: the inverse on the singular vectors whose singular value is larger than max(atol, rtol·largest), 0 on the others."""
    rtol = rtol if rcond is None else rcond
    for name, value in (("atol", atol), ("rtol", rtol)):
        if isinstance(value, Tensor) and value.requires_grad:
            raise RuntimeError(
                f"The function 'linalg_pinv' is not differentiable with respect to argument '{name}'. This input cannot have requires_grad True."
            )
    result = call(_pinv_op, (input, atol, rtol, hermitian), {})
    return result if out is None else write_out(out, result)


def pinverse(input, rcond=1e-15):
    """The older form of linalg.pinv, with another default."""
    return _pinv(input, rcond)


publish("linalg.pinv", _pinv)
publish("pinverse", pinverse)


def matrix_rank(input, atol=None, rtol=None, hermitian=False):
    """How many singular values are larger than max(atol, rtol·largest)."""
    matrices("torch.linalg.matrix_rank", input, "input")
    if hermitian:
        singular = jnp.abs(eigvalsh(square("torch.linalg.matrix_rank", input)))
    else:
        singular = lax.linalg.svd(input, compute_uv=False)
    limit = tolerance_of(singular, input.shape, *_as_arrays(input, atol, rtol))
    return jnp.sum(singular > limit[..., None], -1, dtype=jnp.int64)


_rank_op = Op(matrix_rank, scalars=("atol", "rtol"), autocast={"cpu": FLOAT32})


def _matrix_rank(input, tol=None, hermitian=False, *, atol=None, rtol=None, out=None):
    atol, rtol = (atol, rtol) if tol is None else (tol, 0.0)
    result = call(_rank_op, (input.detach() if isinstance(input, Tensor) else input, atol, rtol, hermitian), {})
    return result if out is None else write_out(out, result)


_matrix_rank.__doc__ = matrix_rank.__doc__
publish("linalg.matrix_rank", _matrix_rank)


# -- least squares


_Lstsq = return_type("linalg_lstsq", "solution", "residuals", "rank", "singular_values")
_DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


def _least_squares(input, b, rcond, vector):
    """The solution of least norm, by the pseudo-inverse; the squared distances, the rank, the singular values."""
    b = b[..., None] if vector else b
    inverse, singular = _pseudo_inverse(input, jnp.zeros((), singular_kind(input)), *_as_arrays(input, rcond), False)
    solution = inverse @ b
    distances = jnp.sum(jnp.square(jnp.abs(input @ solution - b)), -2)
    rank = jnp.sum(singular > tolerance_of(singular, input.shape, None, rcond)[..., None], -1, dtype=jnp.int64)
    return (solution[..., 0] if vector else solution), distances, rank, singular


def singular_kind(array):
    """The type of a matrix's singular values."""
    return array.real.dtype


_lstsq_op = Op(_least_squares, "LinalgLstsqBackward0", scalars=("rcond",), autocast={"cpu": FLOAT32})


def lstsq(input, b: Array, rcond=None, *, driver=None, out=None):
    """X that makes ‖input·X − b‖ least, the squared distances (if rows outnumber columns and all ranks are full), ranks, singular values.

    What LAPACK's ``driver`` does not compute is empty: the rank with 'gels', the singular values with 'gels' and 'gelsy', the default.
    """
    name = "torch.linalg.lstsq"
    if input.dim() < 2:
        raise RuntimeError(f"{name}: input must have at least 2 dimensions.")
    if b.dim() < 1:
        raise RuntimeError(f"{name}: other must have at least 1 dimension.")
    vector = input.dim() - 1 == b.dim() and tuple(input.shape[:-1]) == tuple(b.shape)
    if not vector and input.dim() - b.dim() not in (0,):
        raise RuntimeError(f"{name}: input.dim() must be greater or equal to other.dim() and (input.dim() - other.dim()) <= 1")
    rows, columns = input.shape[-2:]
    if not vector and b.size(-2) != rows:
        raise RuntimeError(f"{name}: input.size(-2) should match other.size(-2), got {rows} and {b.size(-2)}")
    same_types(name, input=input._operand(), other=b._operand())
    driver = "gelsy" if driver is None else driver
    if driver not in _DRIVERS:
        raise RuntimeError(f"{name}: parameter `driver` should be one of ({', '.join(_DRIVERS)}), got {driver!r}")
    rcond = float(jnp.finfo(input.dtype.numpy).eps) * max(rows, columns) if rcond is None else rcond
    solution, residuals, rank, singular = call(_lstsq_op, (input, b, rcond, vector), {})
    full = driver == "gels" or bool((rank == columns).all())
    known = rows > columns and full and not vector
    result = _Lstsq(
        solution,
        residuals if known else residuals.reshape(-1)[:0],
        rank.reshape(-1)[:0] if driver == "gels" else rank,
        singular.detach() if driver in ("gelsd", "gelss") else singular.detach().reshape(-1)[:0],
    )
    return result if out is None else write_out(out, result)


publish("linalg.lstsq", lstsq)
