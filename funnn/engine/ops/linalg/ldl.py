"""The factorisation L·D·Lᴴ of Hermitian matrices that need not be positive-definite, with LAPACK's pivots. It runs on the host."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from funnn.engine.memory.strides import in_columns
from funnn.engine.ops.kit.elementwise import without_derivative
from funnn.engine.ops.kit.return_types import return_type
from funnn.engine.ops.kit.table import row
from funnn.engine.ops.linalg.matrix_checks import checked_rows, matrices, same_types, square

_FactorEx = return_type("linalg_ldl_factor_ex", "LD", "pivots", "info")
_Factor = return_type("linalg_ldl_factor", "LD", "pivots")


def _lapack(kind: np.dtype, hermitian: bool, step: str) -> Any:
    from scipy.linalg import lapack  # JAX depends on SciPy; importing it takes a while

    letter = {"float32": "s", "float64": "d", "complex64": "c", "complex128": "z"}[kind.name]
    return getattr(lapack, f"{letter}{'he' if hermitian and kind.kind == 'c' else 'sy'}{step}")


def _factor_on_host(arrays: np.ndarray, hermitian: bool) -> tuple:
    arrays = np.asarray(arrays)
    packed, pivots, info = np.zeros_like(arrays), np.zeros(arrays.shape[:-1], np.int32), np.zeros(arrays.shape[:-2], np.int32)
    if arrays.size:
        factor = _lapack(arrays.dtype, hermitian, "trf")
        for place in np.ndindex(arrays.shape[:-2]):
            lower, pivots[place], info[place] = factor(arrays[place], lower=1)
            packed[place] = np.tril(lower)
    return packed, pivots, info


def _solve_on_host(packed: np.ndarray, pivots: np.ndarray, right: np.ndarray, hermitian: bool) -> np.ndarray:
    packed, pivots, right = map(np.asarray, (packed, pivots, right))
    result = np.zeros_like(right)
    if right.size:
        solve = _lapack(packed.dtype, hermitian, "trs")
        for place in np.ndindex(right.shape[:-2]):
            result[place], _ = solve(packed[place], pivots[place], right[place], lower=1)
    return result


_undifferentiated = {
    name: without_derivative(name)(lambda *arrays: arrays) for name in ("linalg_ldl_factor_ex: self", "linalg_ldl_solve: B")
}


def ldl_factor_ex(input, *, hermitian=False):
    """L and D of L·D·Lᵀ (Lᴴ if ``hermitian``) in one matrix, from the lower triangle of ``input``; LAPACK's pivots; info, 0 for success."""
    square("torch.linalg.ldl_factor_ex", input)
    (input,) = _undifferentiated["linalg_ldl_factor_ex: self"](input)
    shapes = (
        jax.ShapeDtypeStruct(input.shape, input.dtype),
        jax.ShapeDtypeStruct(input.shape[:-1], jnp.int32),
        jax.ShapeDtypeStruct(input.shape[:-2], jnp.int32),
    )
    return _FactorEx(*jax.pure_callback(functools.partial(_factor_on_host, hermitian=hermitian), shapes, input))


def ldl_solve(LD: Array, pivots: Array, B: Array, *, hermitian=False):
    """X with A·X = B, A being given as linalg.ldl_factor returns it."""
    name = "torch.linalg.ldl_solve"
    square(name, LD, "LD")
    matrices(name, B, "B")
    same_types(name, LD=LD, B=B)
    if B.shape[-2] != LD.shape[-1] or pivots.shape != LD.shape[:-1]:
        raise RuntimeError(
            f"{name}: Incompatible shapes: B must have as many rows and pivots as many elements as LD has rows; got LD {list(LD.shape)}, pivots "
            f"{list(pivots.shape)}, B {list(B.shape)}"
        )
    LD, B = _undifferentiated["linalg_ldl_solve: B"](LD, B)
    batch = jnp.broadcast_shapes(LD.shape[:-2], B.shape[:-2])
    LD, B = (jnp.broadcast_to(array, (*batch, *array.shape[-2:])) for array in (LD, B))
    pivots = jnp.broadcast_to(pivots, LD.shape[:-1])
    result = jax.ShapeDtypeStruct(B.shape, B.dtype)
    return jax.pure_callback(functools.partial(_solve_on_host, hermitian=hermitian), result, LD, pivots, B)


_NODE = "torch::autograd::NotImplemented"
checked_rows(
    "linalg.ldl_factor",
    ldl_factor_ex,
    _NODE,
    lambda code: f"D[{code},{code}] is zero, and using it in ldl_solve would divide by zero",
    _Factor,
    label="torch.linalg.ldl_factor",
    error=RuntimeError,
    doc="L and D of L·D·Lᵀ (Lᴴ if ``hermitian``) in one matrix, from the lower triangle of ``input``; LAPACK's pivots; an error where D is singular.",
)
row("linalg.ldl_solve", ldl_solve, _NODE, exact_out=True, **in_columns(0))
