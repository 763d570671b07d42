"""Products of matrices and vectors."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from funnn.torch._dtype import common
from funnn.torch._ops.table import FUNCTIONS, publish, row
from funnn.torch._tensor import Tensor


def _same_types(name: str, a: Any, b: Any) -> None:
    if a.dtype != b.dtype:
        raise RuntimeError(f"expected {name} to have the same dtype, but got: {a.dtype} != {b.dtype}; convert one with .to(dtype)")


def matmul(input, other):
    """The matrix product of the last two dimensions; vectors are rows on the left and columns on the right."""
    _same_types("m1 and m2", input, other)
    if input.ndim == 0 or other.ndim == 0:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {input.ndim}D and {other.ndim}D")
    rows, columns = input.shape[-1], other.shape[-2] if other.ndim > 1 else other.shape[0]
    if rows != columns:
        if input.ndim == other.ndim == 1:
            raise RuntimeError(
                f"inconsistent tensor size, expected tensor [{rows}] and src [{columns}] to have the same number of elements"
            )
        a, b = ("x".join(map(str, array.shape[-2:])) for array in (input, other))
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({a} and {b}); the inner sizes {rows} and {columns} must be equal")
    return jnp.matmul(input, other)


def _matmul_grad(input, other):
    return {(1, 1): "DotBackward0", (2, 1): "MvBackward0", (2, 2): "MmBackward0", (1, 2): "SqueezeBackward4"}.get(
        (input.dim(), other.dim()), "UnsafeViewBackward0"
    )


def _ranked(name: str, ranks: tuple[int, int], grad: str) -> None:
    def product(input, other):
        if (input.ndim, other.ndim) != ranks:
            raise RuntimeError(f"{name}: expected tensors of {ranks[0]} and {ranks[1]} dimensions, got {input.ndim} and {other.ndim}")
        return matmul(input, other)

    product.__doc__ = f"The matrix product of tensors with {ranks[0]} and {ranks[1]} dimensions."
    row(name, product, grad)


row("matmul", matmul, _matmul_grad)
_ranked("mm", (2, 2), "MmBackward0")
_ranked("bmm", (3, 3), "BmmBackward0")
_ranked("mv", (2, 1), "MvBackward0")
_ranked("dot", (1, 1), "DotBackward0")


def addmm(input, mat1, mat2, *, beta=1, alpha=1):
    """beta·input + alpha·(mat1 @ mat2)."""
    product = matmul(mat1, mat2)
    return jnp.asarray(beta, input.dtype) * input + jnp.asarray(alpha, product.dtype) * product


def outer(input, vec2):
    """The product of every element of one vector with every one of the other."""
    if input.ndim != 1 or vec2.ndim != 1:
        raise RuntimeError(f"outer: Expected 1-D argument self and vec2, but got {input.ndim}-D and {vec2.ndim}-D")
    a, b = common(input, vec2)
    return a[:, None] * b[None, :]


row("addmm", addmm, "AddmmBackward0", scalars=("beta", "alpha"), inplace=True)
row("outer", outer, "MulBackward0")


def einsum(equation: str, *operands: Any) -> Any:
    """The sum of products named by an equation such as "ij,kj->ik"."""
    return FUNCTIONS["_einsum"](equation, tuple(operands[0]) if isinstance(operands[0], (list, tuple)) else operands)


row("_einsum", lambda equation, operands: jnp.einsum(equation, *operands), "ViewBackward0", method=False)
publish("einsum", einsum, method=False)

Tensor.__matmul__ = FUNCTIONS["matmul"]
Tensor.__rmatmul__ = lambda self, other: FUNCTIONS["matmul"](other, self)
