"""What operands of products may be: their types and sizes. How PyTorch says what is wrong depends on which of its kernels would run."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from funnn.engine.types.dtype import dtype

#: What C++ calls the types of numbers, where that is not torch's name in lower case.
_CPP = {
    "Half": "c10::Half",
    "BFloat16": "c10::BFloat16",
    "Long": "long int",
    "Short": "short int",
    "Char": "signed char",
    "Byte": "unsigned char",
}
_CPP |= {"ComplexFloat": "c10::complex<float>", "ComplexDouble": "c10::complex<double>"}


def _legacy(array: Any) -> str:
    return str(dtype.of(array.dtype).legacy)


def check_types(a: Any, b: Any) -> None:
    """Raise unless the operands of a product have one type; how PyTorch says it depends on which of its kernels would run."""
    if a.dtype == b.dtype:
        return
    left, right = _legacy(a), _legacy(b)
    if a.ndim == b.ndim == 1:
        text = f"dot : expected both vectors to have same dtype, but found {left} and {right}"
    elif b.ndim == 1:
        text = f"addmv input tensors must have the same dtype, but got {right}, {left}, and {right}"
    elif a.ndim > 2 and b.ndim > 2:
        text = f"expected scalar type {left} but found {right}"
    else:
        text = f"expected m1 and m2 to have the same dtype, but got: {_CPP.get(left, left.lower())} != {_CPP.get(right, right.lower())}"
    raise RuntimeError(f"{text}; convert one with .to(dtype)")


def check_both(a: Any, b: Any) -> None:
    if a.dtype != b.dtype:
        raise RuntimeError(f"both inputs should have same dtype, but got {_legacy(a)} and {_legacy(b)}; convert one with .to(dtype)")


def check_inner_sizes(a: Any, b: Any) -> None:
    """Raise unless the rows of one are as long as the columns of the other; as types are checked."""
    rows, columns = a.shape[-1], b.shape[-2] if b.ndim > 1 else b.shape[0]
    if rows == columns:
        return
    count = math.prod(a.shape[:-1])
    if a.ndim == b.ndim == 1:
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor [{rows}] and src [{columns}] to have the same number of elements, but got {rows} and "
            f"{columns} elements respectively"
        )
    if b.ndim == 1:
        raise RuntimeError(f"size mismatch, got input ({count}), mat ({count}x{rows}), vec ({columns})")
    if a.ndim != 2 and b.ndim > 2:
        batches = math.prod(jnp.broadcast_shapes(a.shape[:-2], b.shape[:-2]))
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{batches}, {rows}] but got: [{batches}, {columns}]."
        )
    mat1, mat2 = f"{count}x{rows}", "x".join(map(str, b.shape[-2:]))
    raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({mat1} and {mat2}); the inner sizes {rows} and {columns} must be equal")


#: What PyTorch says of an operand with another number of dimensions: of the first, of the second, or of both.
_WRONG_RANKS: dict[tuple[int, int], Callable[[int, int], str]] = {
    (2, 2): lambda a, b: "self must be a matrix" if a != 2 else "mat2 must be a matrix",
    (3, 3): lambda a, b: "batch1 must be a 3D tensor" if a != 3 else "batch2 must be a 3D tensor",
    (2, 1): lambda a, b: f"vector + matrix @ vector expected, got 1, {a}, {b}",
    (1, 1): lambda a, b: f"1D tensors expected, but got {a}D and {b}D tensors",
}


def check_ranks(name: str, a: Any, b: Any, ranks: tuple[int, int]) -> None:
    if (a.ndim, b.ndim) != ranks:
        raise RuntimeError(f"{_WRONG_RANKS[ranks](a.ndim, b.ndim)}; {name} takes one of {ranks[0]} and one of {ranks[1]} dimensions")


def check_batches(name: str, a: Any, b: Any) -> None:
    check_ranks(name, a, b, (3, 3))
    if (len(a), a.shape[2]) != b.shape[:2]:
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{len(a)}, {a.shape[2]}] but got: [{len(b)}, {b.shape[1]}]."
        )


def check_types_of_batches(input: Any, batch1: Any, batch2: Any) -> None:
    check_types(batch1, batch2)
    if input.dtype != batch1.dtype:
        kinds = [_CPP.get(_legacy(array), _legacy(array).lower()) for array in (input, batch1, batch2)]
        raise RuntimeError("Input dtypes must be the same, got: input {}, batch1: {}, batch2: {}; convert with .to(dtype)".format(*kinds))


def check_addends(input: Any, mat1: Any, mat2: Any) -> None:
    """Raise unless addmm's three operands are of one type, and two of them matrices."""
    for name, matrix in (("mat1", mat1), ("mat2", mat2)):
        if matrix.ndim != 2:
            raise RuntimeError(f"{name} must be a matrix, got {matrix.ndim}-D tensor")
    other = mat1 if mat2.dtype == input.dtype else mat2
    if other.dtype != input.dtype:
        raise RuntimeError(
            f"self and mat2 must have the same dtype, but got {_legacy(input)} and {_legacy(other)}; convert one with .to(dtype)"
        )


def check_vector_addends(input: Any, mat: Any, vec: Any) -> None:
    """As above, of addmv."""
    if (mat.ndim, vec.ndim) != (2, 1):
        raise RuntimeError(f"vector + matrix @ vector expected, got {input.ndim}, {mat.ndim}, {vec.ndim}")
    if not input.dtype == mat.dtype == vec.dtype:
        raise RuntimeError(
            f"addmv input tensors must have the same dtype, but got {_legacy(input)}, {_legacy(mat)}, and {_legacy(vec)}; convert with .to(dtype)"
        )


def check_expands(input: Any, product: Any) -> None:
    """Raise unless what is added expands to the product's shape."""
    if input.ndim > product.ndim:
        raise RuntimeError(
            f"expand(an input of shape {list(input.shape)}, size={list(product.shape)}): the number of sizes provided ({product.ndim}) must be greater "
            f"or equal to the number of dimensions in the tensor ({input.ndim})"
        )
    for axis, (size, wanted) in enumerate(zip(reversed(input.shape), reversed(product.shape), strict=False), 1):
        if size not in (1, wanted):
            raise RuntimeError(
                f"The expanded size of the tensor ({wanted}) must match the existing size ({size}) at non-singleton dimension "
                f"{product.ndim - axis}.  Target sizes: {list(product.shape)}.  Tensor sizes: {list(input.shape)}"
            )
