"""Systems of linear equations and inverses."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from funnn.engine.dispatch.autocast import FLOAT32
from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.memory.strides import in_columns
from funnn.engine.ops.kit.deprecated import deprecated
from funnn.engine.ops.kit.return_types import return_type
from funnn.engine.ops.kit.table import FUNCTIONS, publish, row, write_out
from funnn.engine.ops.linalg.decompositions import first_zero_pivot
from funnn.engine.ops.linalg.matrix_checks import adjoint, checked_rows, matrices, precise, raise_failure, same_types, square

# -- any square matrix


_InvEx = return_type("linalg_inv_ex", "inverse", "info")
_SolveEx = return_type("linalg_solve_ex", "result", "info")


def inv_ex(A: Array):
    """The inverse, and info: the first pivot that is 0."""
    square("linalg.inv", A)
    return _InvEx(jnp.linalg.inv(A), first_zero_pivot(lax.linalg.lu(lax.stop_gradient(A))[0]))


def _singular(order: int) -> str:
    return f"The diagonal element {order} is zero, the inversion could not be completed because the input matrix is singular."


def inverse(input, *, out=None):
    """The older name of linalg.inv."""
    return FUNCTIONS["linalg.inv"](input, out=out)


checked_rows(
    "linalg.inv",
    inv_ex,
    "LinalgInvExBackward0",
    _singular,
    doc="The inverse A⁻¹ of each matrix; an error where there is none.",
    autocast={"cpu": FLOAT32},
)
publish("inverse", inverse)


def _is_vector(A, B):
    """Whether B holds one vector for each matrix, not a matrix."""
    return B.ndim == 1 or (A.ndim - 1 == B.ndim and A.shape[:-1] == B.shape)


def solve_ex(A: Array, B: Array, *, left=True):
    """X with A·X = B (X·A = B without ``left``), B being matrices or vectors, and info: the first pivot of A that is 0."""
    name = "linalg.solve"
    square(name, A)
    precise(name, B)
    same_types(name, A=A, B=B)
    vector = _is_vector(A, B)
    if vector and not left:
        raise RuntimeError(f"{name}: Vector broadcasting of the left hand side is not supported for left=False; use B.unsqueeze(-2)")
    B = B[..., None] if vector else matrices(name, B, "B")
    if B.shape[-2 if left else -1] != A.shape[-1]:
        sizes = [f"{array.shape[-2]}x{array.shape[-1]}" for array in (A, B)]
        raise RuntimeError(
            f"{name}: Incompatible shapes of A and B for the equation {'AX' if left else 'XA'} = B ({sizes[0]} and {sizes[1]})"
        )
    A, B = (A, B) if left else (jnp.swapaxes(array, -2, -1) for array in (A, B))
    X = _solved(A, B)
    info = first_zero_pivot(lax.linalg.lu(lax.stop_gradient(A))[0])
    return _SolveEx(X[..., 0] if vector else X if left else jnp.swapaxes(X, -2, -1), info)


def _solved(A, B):
    """A⁻¹·B, both broadcast."""
    batch = jnp.broadcast_shapes(A.shape[:-2], B.shape[:-2])
    return jnp.linalg.solve(jnp.broadcast_to(A, (*batch, *A.shape[-2:])), jnp.broadcast_to(B, (*batch, *B.shape[-2:])))


checked_rows(
    "linalg.solve",
    solve_ex,
    "LinalgSolveExBackward0",
    lambda order: "The solver failed because the input matrix is singular.",
    label="torch.linalg.solve",
    doc="X with A·X = B (X·A = B without ``left``), B being matrices or vectors; an error where A has no inverse.",
    autocast={"cpu": FLOAT32},
)


def tensorsolve(input, other: Array, dims=None):
    """X with tensordot(input, X, X.ndim) = other; ``dims`` are first moved to the end of ``input``."""
    if dims is not None:
        input = input.movedim(tuple(dims), tuple(range(-len(dims), 0)))
    kept = tuple(input.shape[other.dim() :])
    size = math.prod(kept)
    if size != math.prod(input.shape[: other.dim()]):
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), but got "
            f"{size} != {math.prod(input.shape[: other.dim()])}"
        )
    return FUNCTIONS["linalg.solve"](input.reshape(size, size), other.reshape(size)).reshape(kept)


def tensorinv(input, ind=2):
    """The inverse of ``input`` as a map from its last dimensions, from ``ind`` on, to the others."""
    if ind <= 0:
        raise RuntimeError(f"Expected a strictly positive integer for 'ind', got {ind}")
    front, back = tuple(input.shape[:ind]), tuple(input.shape[ind:])
    if math.prod(front) != math.prod(back):
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), but got "
            f"{math.prod(back)} != {math.prod(front)}"
        )
    size = math.prod(front)
    return FUNCTIONS["linalg.inv"](input.reshape(size, size)).reshape(back + front)


def _with_out(name, function):
    def solve_into_out(*args, out=None, **kwargs):
        result = function(*args, **kwargs)
        return result if out is None else write_out(out, result)

    publish(name, solve_into_out, function)


_with_out("linalg.tensorsolve", tensorsolve)
_with_out("linalg.tensorinv", tensorinv)


# -- triangular matrices


def _triangular(A, B, upper, left=True, transpose=False, unit=False):
    """A⁻¹·B or B·A⁻¹ with one triangle of A, the batches broadcast."""
    batch = jnp.broadcast_shapes(A.shape[:-2], B.shape[:-2])
    A, B = (jnp.broadcast_to(array, (*batch, *array.shape[-2:])) for array in (A, B))
    return lax.linalg.triangular_solve(A, B, left_side=left, lower=not upper, transpose_a=transpose, unit_diagonal=unit)


def solve_triangular(input, B: Array, *, upper, left=True, unitriangular=False):
    """X with A·X = B (or X·A = B), A being one triangle of ``input``."""
    name = "linalg.solve_triangular"
    square(name, input)
    matrices(name, B, "B")
    same_types(name, A=input, B=B)
    if input.shape[-1] != B.shape[-2 if left else -1]:
        sizes = [f"{array.shape[-2]}x{array.shape[-1]}" for array in (input, B)]
        raise RuntimeError(
            f"{name}: Incompatible shapes of A and B for the equation {'AX' if left else 'XA'} = B ({sizes[0]} and {sizes[1]})"
        )
    return _triangular(input, B, upper, left, False, unitriangular)


_Triangular = return_type("triangular_solve", "solution", "cloned_coefficient")


def triangular_solve(input, A: Array, upper=True, transpose=False, unitriangular=False):
    """The older form of linalg.solve_triangular: the solution of A·X = input (Aᵀ·X = input with ``transpose``), and A."""
    deprecated("triangular_solve")
    square("triangular_solve", A)
    matrices("triangular_solve", input, "b")
    same_types("triangular_solve", b=input, A=A)
    batch = jnp.broadcast_shapes(A.shape[:-2], input.shape[:-2])
    return _Triangular(_triangular(A, input, upper, True, transpose, unitriangular), jnp.broadcast_to(A, (*batch, *A.shape[-2:])))


row("linalg.solve_triangular", solve_triangular, "LinalgSolveTriangularBackward0", exact_out=True, **in_columns(0))
row("triangular_solve", triangular_solve, "TriangularSolveBackward0", exact_out=True, autocast={"cpu": FLOAT32}, **in_columns(0, 1))


# -- factorised matrices


@jax.custom_jvp
def _by_factor(lower, right):
    """(L·Lᴴ)⁻¹·right. Its derivative takes all of L for given, as torch's does, though only the lower triangle is read."""
    return _triangular(adjoint(lower), _triangular(lower, right, False), True)


@_by_factor.defjvp
def _by_factor_jvp(primals, tangents):
    lower, result = jnp.tril(primals[0]), _by_factor(*primals)
    change = tangents[0] @ adjoint(lower)
    return result, _by_factor(lower, tangents[1] - (change + adjoint(change)) @ result)


def cholesky_solve(input, L: Array, upper=False):
    """X with L·Lᴴ·X = input (or Uᴴ·U·X)."""
    square("cholesky_solve", L)
    matrices("cholesky_solve", input, "b")
    same_types("cholesky_solve", b=input, A=L)
    return _by_factor(adjoint(L) if upper else L, input)


def cholesky_inverse(L, upper=False):
    """The inverse of L·Lᴴ (or Uᴴ·U), and the first element of the diagonal that is 0."""
    square("cholesky_inverse", L)
    return _by_factor(adjoint(L) if upper else L, jnp.broadcast_to(jnp.eye(L.shape[-1], dtype=L.dtype), L.shape)), first_zero_pivot(L)


_cholesky_inverse_op = Op(cholesky_inverse, "CholeskyInverseBackward0", autocast={"cpu": FLOAT32})


def _cholesky_inverse(input, upper=False, *, out=None):
    result, info = call(_cholesky_inverse_op, (input, upper), {})
    raise_failure("cholesky_inverse", info, _singular)
    return result if out is None else write_out(out, result)


_cholesky_inverse.__doc__ = "The inverse of the matrix whose Cholesky factor ``input`` is."
row("cholesky_solve", cholesky_solve, "CholeskySolveBackward0", autocast={"cpu": FLOAT32}, **in_columns(0))
publish("cholesky_inverse", _cholesky_inverse, **in_columns(0))


def lu_solve(LU: Array, pivots: Array, B: Array, *, left=True, adjoint=False):
    """X with A·X = B (X·A = B without ``left``; Aᴴ for A with ``adjoint``), A being given as linalg.lu_factor returns it."""
    name = "linalg.lu_solve"
    square(name, LU, "LU")
    matrices(name, B, "B")
    same_types(name, LU=LU, B=B)
    if pivots.dtype != jnp.int32:
        raise RuntimeError(
            f"{name}: pivots should be a Tensor of scalar type torch.int32, got {pivots.dtype}; it is what lu_factor returns"
        )
    if LU.shape[-1] != B.shape[-2 if left else -1]:
        sizes = [f"{array.shape[-2]}x{array.shape[-1]}" for array in (LU, B)]
        raise RuntimeError(
            f"{name}: Incompatible shapes of A and B for the equation {'AX' if left else 'XA'} = B ({sizes[0]} and {sizes[1]})"
        )
    if pivots.shape != LU.shape[:-1]:
        raise RuntimeError(
            f"{name}: Number of pivots per batch should be same as the dimension of the matrix, got {list(pivots.shape)} for {list(LU.shape)}"
        )
    if not left:  # X·A = B is Aᵀ·Xᵀ = Bᵀ, and X·Aᴴ = B is conj(A)·Xᵀ = Bᵀ
        turned = _lu_solved(jnp.conj(LU) if adjoint else LU, pivots, jnp.swapaxes(B, -2, -1), not adjoint)
        return jnp.swapaxes(turned, -2, -1)
    return _lu_solved(jnp.conj(LU), pivots, B, True) if adjoint else _lu_solved(LU, pivots, B, False)


def _lu_solved(packed, pivots, right, transpose):
    """A⁻¹·right or A⁻ᵀ·right of A = P·L·U."""
    order = lax.linalg.lu_pivots_to_permutation(pivots - 1, packed.shape[-1])
    batch = jnp.broadcast_shapes(packed.shape[:-2], right.shape[:-2])
    order = jnp.broadcast_to(order, (*batch, order.shape[-1]))[..., None]
    right = jnp.broadcast_to(right, (*batch, *right.shape[-2:]))
    if not transpose:
        return _triangular(packed, _triangular(packed, jnp.take_along_axis(right, order, -2), False, unit=True), True)
    solved = _triangular(packed, _triangular(packed, right, True, transpose=True), False, transpose=True, unit=True)
    return jnp.take_along_axis(solved, jnp.argsort(order, -2), -2)


def _older_lu_solve(input, LU_data: Array, LU_pivots: Array):
    """The older form of linalg.lu_solve: LU_data·X = input."""
    deprecated("lu_solve")
    return lu_solve(LU_data, LU_pivots, input)


def _arrange_lu_solution(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return in_columns(0)["arrange"](result, args, kwargs) if kwargs.get("left", True) else result


row("linalg.lu_solve", lu_solve, "LinalgLuSolveBackward0", exact_out=True, arrange=_arrange_lu_solution, arrange_always=True)
row("lu_solve", _older_lu_solve, "LinalgLuSolveBackward0", exact_out=True, autocast={"cpu": FLOAT32}, **in_columns(0))
