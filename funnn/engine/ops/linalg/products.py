"""Products of matrices and vectors."""

from __future__ import annotations

import functools
import inspect
import string
from typing import Any

import jax.numpy as jnp
from jax import Array

from funnn.engine.dispatch import small_arrays as small
from funnn.engine.dispatch.autocast import LOWER, WIDEST
from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.memory.strides import like_first
from funnn.engine.memory.view_geometry import wrap_dim
from funnn.engine.ops.kit.deprecated import deprecated
from funnn.engine.ops.kit.elementwise import factor, require, widened
from funnn.engine.ops.kit.table import FUNCTIONS, publish, row, write_out
from funnn.engine.ops.linalg.product_checks import (
    check_addends,
    check_batches,
    check_both,
    check_expands,
    check_inner_sizes,
    check_ranks,
    check_types,
    check_types_of_batches,
    check_vector_addends,
)
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype
from funnn.engine.types.dtype import common, promoted
from funnn.functional import _half_product as half_product


def matmul(input, other: Array):
    """The matrix product of the last two dimensions; vectors are rows on the left and columns on the right."""
    check_types(input, other)
    if input.ndim == 0 or other.ndim == 0:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {input.ndim}D and {other.ndim}D")
    check_inner_sizes(input, other)
    return half_product.matmul(input, other)


_MATMUL_GRADS = {(1, 1): "DotBackward0", (2, 1): "MvBackward0", (2, 2): "MmBackward0", (1, 2): "SqueezeBackward4"}


def _matmul_grad(input, other):
    left = len(input._storage.value.shape) if input._window is None else len(input._window.shape)  # input.dim(), in fewer calls
    right = len(other._storage.value.shape) if other._window is None else len(other._window.shape)
    return _MATMUL_GRADS.get((left, right), "UnsafeViewBackward0")


def _ranked(name: str, parameters: str, ranks: tuple[int, int], grad: str, autocast: Any) -> None:
    """A product of tensors with so many dimensions; ``parameters`` are torch's names of the two."""
    first, second = parameters.split()

    def product(a, b):
        check_batches(name, a, b) if ranks == (3, 3) else check_ranks(name, a, b, ranks)
        return matmul(a, b)

    product.__name__ = name
    op = Op(product, grad, autocast=autocast)

    def multiply(*args, out=None, **kwargs):
        operands = (*args, *(kwargs[key] for key in (first, second)[len(args) :] if key in kwargs))
        if len(operands) != 2:
            raise TypeError(f"{name}() takes two tensors, {first} and {second}, but got {len(operands)} of these arguments")
        result = call(op, operands, {})
        return result if out is None else write_out(out, result)

    multiply.__doc__ = f"The matrix product of tensors with {ranks[0]} and {ranks[1]} dimensions: {name}({first}, {second})."
    multiply.__signature__ = inspect.Signature(
        [inspect.Parameter(key, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation="Tensor") for key in (first, second)]
    )
    publish(name, multiply, exact_out=True)


row("matmul", matmul, _matmul_grad, aliases=("linalg.matmul",), exact_out=True, autocast=LOWER, small=small.matrix_product)
_ranked("mm", "input mat2", (2, 2), "MmBackward0", LOWER)
_ranked("bmm", "input mat2", (3, 3), "BmmBackward0", LOWER)
_ranked("mv", "input vec", (2, 1), "MvBackward0", {"cuda": LOWER})
_ranked("dot", "input tensor", (1, 1), "DotBackward0", {"cuda": WIDEST})


def vdot(input, other: Array):
    """Σ conj(input)·other of two vectors."""
    check_ranks("vdot", input, other, (1, 1))
    return matmul(input.conj(), other)


def outer(input, vec2: Array):
    """The product of every element of one vector with every one of the other."""
    if input.ndim != 1 or vec2.ndim != 1:
        raise RuntimeError(f"outer: Expected 1-D argument self and vec2, but got {input.ndim}-D and {vec2.ndim}-D")
    return jnp.multiply(*promoted(input[:, None], vec2[None, :]))


row("vdot", vdot, "VdotBackward0", exact_out=True)
row("outer", outer, "MulBackward0", aliases=("ger",))


# -- beta·input + alpha·product


def _blend(input: Any, product: Any, beta: Any, alpha: Any) -> Any:
    """beta·input + alpha·product; where beta is zero, what the input holds (NaN, infinity) does not count."""
    check_expands(input, product)
    return _blended(product, input, factor(beta, product.dtype), factor(alpha, product.dtype))


@widened
def _blended(product: Any, input: Any, beta: Any, alpha: Any) -> Any:
    return jnp.where(beta == 0, 0, beta * input) + alpha * product


def addmm(input, mat1: Array, mat2: Array, *, beta=1, alpha=1):
    """beta·input + alpha·(mat1 @ mat2)."""
    check_addends(input, mat1, mat2)
    return _blend(input, matmul(mat1, mat2), beta, alpha)


def addmv(input, mat: Array, vec: Array, *, beta=1, alpha=1):
    """beta·input + alpha·(mat @ vec)."""
    check_vector_addends(input, mat, vec)
    return _blend(input, matmul(mat, vec), beta, alpha)


def baddbmm(input, batch1: Array, batch2: Array, *, beta=1, alpha=1):
    """beta·input + alpha·(batch1[i] @ batch2[i]) for every i."""
    check_batches("baddbmm", batch1, batch2)
    check_types_of_batches(input, batch1, batch2)
    return _blend(input, matmul(batch1, batch2), beta, alpha)


def addbmm(input, batch1: Array, batch2: Array, *, beta=1, alpha=1):
    """beta·input + alpha·Σᵢ batch1[i] @ batch2[i]."""
    check_ranks("addbmm", batch1, batch2, (3, 3))
    if len(batch1) != len(batch2):
        raise RuntimeError(f"batch1 and batch2 must have same number of batches, got {len(batch1)} and {len(batch2)}")
    if batch1.shape[2] != batch2.shape[1]:
        raise RuntimeError(f"Incompatible matrix sizes for bmm ({list(batch1.shape[1:])} and {list(batch2.shape[1:])})")
    check_types_of_batches(input, batch1, batch2)
    return _blend(input, jnp.einsum("bij,bjk->ik", batch1, batch2), beta, alpha)


def addr(input, vec1: Array, vec2: Array, *, beta=1, alpha=1):
    """beta·input + alpha·(vec1 ⊗ vec2); of truth values with 'and' and 'or'."""
    for name, vector in (("vec1", vec1), ("vec2", vec2)):
        if vector.ndim != 1:
            raise RuntimeError(f"addr: Expected 1-D argument {name}, but got {vector.ndim}-D")
    input, vec1, vec2 = common(input, vec1, vec2)
    product = outer(vec1, vec2)
    if input.dtype == jnp.bool_:
        return (jnp.asarray(beta, bool) & input) | (jnp.asarray(alpha, bool) & product)
    for name, number in (("beta", beta), ("alpha", alpha)):
        if jnp.result_type(number) == jnp.bool_:
            raise RuntimeError(f"Boolean {name} only supported for Boolean results, which are those of tensors of torch.bool.")
    if not jnp.issubdtype(input.dtype, jnp.inexact):
        for name, number in (("beta", beta), ("alpha", alpha)):
            if jnp.issubdtype(jnp.result_type(number), jnp.inexact):
                raise RuntimeError(f"For integral input tensors, argument {name} must not be a floating point number.")
    return _blend(input, product, beta, alpha)


_BLENDED = ("beta", "alpha")
row("addmm", addmm, "AddmmBackward0", scalars=_BLENDED, factors=_BLENDED, wide_factors=True, inplace=True, exact_out=True, autocast=LOWER)
row("addmv", addmv, "AddmvBackward0", scalars=_BLENDED, factors=_BLENDED, inplace=True, exact_out=True, autocast={"cuda": LOWER})
row(
    "baddbmm",
    baddbmm,
    "BaddbmmBackward0",
    scalars=_BLENDED,
    factors=_BLENDED,
    wide_factors=True,
    inplace=True,
    exact_out=True,
    autocast=LOWER,
)
row(
    "addbmm", addbmm, "AddbmmBackward0", scalars=_BLENDED, factors=_BLENDED, wide_factors=True, inplace=True, exact_out=True, autocast=LOWER
)
row("addr", addr, "AddrBackward0", scalars=_BLENDED, factors=_BLENDED, inplace=True, autocast={"cuda": LOWER}, arrange=like_first)


# -- over other dimensions


def inner(input, other: Array):
    """The sums of products over the last dimension of both; a number multiplies."""
    if not input.ndim or not other.ndim:
        return jnp.multiply(*promoted(input, other))
    check_both(input, other)
    require("dot", input, "ifc")
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(
            f"inner() the last dimension must match on both input tensors but got shapes {list(input.shape)} and {list(other.shape)}"
        )
    return jnp.tensordot(input, other, axes=(-1, -1))


def kron(input, other: Array):
    """The product of every element of one with all of the other, as blocks."""
    rank = max(input.ndim, other.ndim)
    sizes = [(1,) * (rank - array.ndim) + array.shape for array in (input, other)]
    a, b = input.reshape([n for size in sizes[0] for n in (size, 1)]), other.reshape([n for size in sizes[1] for n in (1, size)])
    return jnp.multiply(*promoted(a, b)).reshape([m * n for m, n in zip(*sizes, strict=True)])


def _tensordot(a, b, dims):
    check_both(a, b)
    require("addmm_impl_cpu_", a, "ifc")
    dims = [[wrap_dim(dim, array.ndim) for dim in given] for given, array in zip(dims, (a, b), strict=True)]
    for i, j in zip(*dims, strict=True):
        if a.shape[i] != b.shape[j] and 1 not in (a.shape[i], b.shape[j]):
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {a.shape[i]} in dim {i} and second has size {b.shape[j]} in dim {j}"
            )
        if a.shape[i] == 1:  # a single element stands for as many as the other has
            b = jnp.sum(b, axis=j, keepdims=True).astype(b.dtype)
        elif b.shape[j] == 1:
            a = jnp.sum(a, axis=i, keepdims=True).astype(a.dtype)
    return jnp.tensordot(a, b, axes=dims)


_tensordot_op = Op(_tensordot, "ViewBackward0", autocast={"cpu": LOWER, "cuda": WIDEST})


def tensordot(a, b: Array, dims=2, out=None):
    """The sum of products over the last ``dims`` dimensions of ``a`` and the first of ``b``, or over two lists of dimensions."""
    if not isinstance(dims, (tuple, list, Tensor, int)):
        raise RuntimeError(
            f"tensordot expects dims to be int or tuple[list[int], list[int]] or list[list[int]] containing two lists, but got {dims=}"
        )
    if isinstance(dims, Tensor):
        dims = dims.tolist() if dims.numel() > 1 else int(dims)
    if isinstance(dims, (tuple, list)) and len(dims) != 2:
        raise ValueError(f"tensordot expects two lists of dims, but got {len(dims)}: {dims}")
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a.dim(), b.dim()):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        dims = list(range(a.dim() - dims, a.dim())), list(range(dims))
    first, second = (tuple(given) if isinstance(given, (tuple, list)) else (given,) for given in dims)
    if len(first) != len(second):
        raise RuntimeError(f"both dimension lists should have same length, got {list(first)} and {list(second)}")
    result = call(_tensordot_op, (a, b, (first, second)), {})
    return result if out is None else write_out(out, result)


def _cross(input, other, dim):
    input, other = common(input, other)
    _dtype.check_broadcast(input, other)
    rank = max(input.ndim, other.ndim)
    if input.ndim != other.ndim:
        raise RuntimeError(f"linalg.cross: inputs must have the same number of dimensions. Got {input.ndim} and {other.ndim}")
    wrap_dim(dim, rank)
    if (input.shape[dim], other.shape[dim]) != (3, 3):
        raise RuntimeError(f"linalg.cross: inputs dimension {dim} must have length 3. Got {input.shape[dim]} and {other.shape[dim]}")
    return jnp.cross(*jnp.broadcast_arrays(input, other), axis=dim)


_cross_op = Op(_cross, "LinalgCrossBackward0", autocast={"cuda": WIDEST})


def cross(input, other: Array, dim=None, *, out=None):
    """The vector product along ``dim``, which has three elements; by default the first such dimension."""
    if dim is None:
        deprecated("cross")
        dim = next((axis for axis, size in enumerate(input.shape) if size == 3), None)
        if dim is None:
            raise RuntimeError(f"no dimension of size 3 in input, whose shape is {list(input.shape)}")
    result = call(_cross_op, (input, other, dim), {})
    return result if out is None else write_out(out, result)


def _inner_grad(input, other):
    return "ViewBackward0" if input.dim() and other.dim() else "MulBackward0"


def _inner_cast(args: tuple, kwargs: dict) -> str | None:
    """Of vectors it is ``dot``, with a number ``mul``; else a product of matrices."""
    ranks = sorted(value.ndim for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
    return None if ranks[0] == 0 or ranks == [1, 1] else LOWER


row("inner", inner, _inner_grad, autocast=_inner_cast)
row("kron", kron, "UnsafeViewBackward0", elementwise=True)
publish("cross", cross, exact_out=True)
publish("tensordot", tensordot, method=False, exact_out=True)


# -- einsum


def _letters(operands: tuple) -> tuple[str, list]:
    """The form einsum(tensor, [0, 1], tensor, [1, 2], [0, 2]) as an equation and its tensors."""

    def text(subscripts: Any) -> str:
        return "".join("..." if item is Ellipsis else string.ascii_letters[item] for item in subscripts)

    tensors, lists = list(operands[0::2]), list(operands[1::2])
    output = "" if len(tensors) == len(lists) else "->" + text(tensors.pop())
    return ",".join(map(text, lists)) + output, tensors


def _einsum(equation, operands):
    left, arrow, output = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        more, fewer = ("more", "fewer") if len(terms) < len(operands) else ("fewer", "more")
        raise RuntimeError(
            f"einsum(): {more} operands were provided than specified in the equation: {len(operands)} for {fewer} terms {terms}"
        )
    for operand in operands[1:]:
        check_types(operands[0][None, None], operand[None, None])  # as products of batches say it
    dots = max((array.ndim - len(term) + 3 for term, array in zip(terms, operands, strict=True) if "..." in term), default=0)
    free = [letter for letter in string.ascii_letters if letter not in equation][: max(dots, 0)]
    terms = [_spelt(term, array.ndim, number, free) for number, (term, array) in enumerate(zip(terms, operands, strict=True))]
    sizes = _label_sizes(terms, operands)
    if arrow:
        output = output.replace("...", "".join(free))
    else:
        letters = "".join(terms)
        output = "".join(free) + "".join(sorted(letter for letter in set(letters) if letters.count(letter) == 1 and letter not in free))
    for letter in output:
        if letter not in sizes:
            raise RuntimeError(f"einsum(): output subscript {letter} does not appear in the equation for any input operand")
        if output.count(letter) > 1:
            raise RuntimeError(f"einsum(): output subscript {letter} appears more than once in the output")
    alone = any(sum(letter in term for term in terms) == 1 for letter in set(sizes) - set(output))
    if alone and not jnp.issubdtype(operands[0].dtype, jnp.inexact):  # torch sums these beforehand, and integers as int64
        operands = [array.astype(jnp.int64) for array in operands]
    pairs = [_without_ones(term, array, sizes) for term, array in zip(terms, operands, strict=True)]
    return jnp.einsum(",".join(term for term, _ in pairs) + "->" + output, *(array for _, array in pairs))


def _spelt(term: str, rank: int, number: int, free: list) -> str:
    """A term with letters in the place of the ellipsis."""
    count = rank - len(term.replace("...", ""))
    if count < 0 or (count and "..." not in term):
        given = "but" if "..." in term else "and no ellipsis was given; but"
        raise RuntimeError(
            f"einsum(): the number of subscripts in the equation ({rank - count}) does not match the number of dimensions ({rank}) for operand "
            f"{number} {given} the term is {term!r}"
        )
    term = term.replace("...", "".join(free[len(free) - count :]))
    if not all(letter in string.ascii_letters for letter in term):
        raise RuntimeError(f"einsum(): invalid subscript given at operand {number}: {term!r}, subscripts must be in [a-zA-Z]")
    return term


def _label_sizes(terms: list, operands: Any) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for number, (term, array) in enumerate(zip(terms, operands, strict=True)):
        for letter, size in zip(term, array.shape, strict=True):
            known = sizes.setdefault(letter, size)
            if known == 1:
                sizes[letter] = size
            elif size not in (1, known):
                raise RuntimeError(
                    f"einsum(): subscript {letter} has size {size} for operand {number} which does not broadcast with previously seen size {known}"
                )
    return sizes


def _without_ones(term: str, array: Any, sizes: dict[str, int]) -> tuple[str, Any]:
    """An operand without the dimensions of size 1 that stand for larger ones."""
    dropped = [axis for axis, letter in enumerate(term) if array.shape[axis] == 1 != sizes[letter]]
    return "".join(letter for axis, letter in enumerate(term) if axis not in dropped), jnp.squeeze(array, dropped)


def _einsum_cast(args: tuple, kwargs: dict) -> str | None:
    """A product of matrices where operands share an index that is summed; else a product of elements."""
    left, _, output = args[0].replace(" ", "").partition("->")
    if "->" not in args[0]:
        output = "".join(letter for letter in left if left.count(letter) == 1)
    shared = (letter for letter in set(left) - set(output) - set(".,") if sum(letter in term for term in left.split(",")) > 1)
    return LOWER if any(shared) else None


@functools.lru_cache(maxsize=1024)
def _einsum_node(equation: str) -> str:
    left, arrow, output = equation.replace(" ", "").replace("...", ".").partition("->")
    terms = left.split(",")
    if not arrow:
        output = "." + "".join(letter for letter in left if left.count(letter) == 1)
    if len(terms) == 1:
        return "PermuteBackward0" if set(left) <= set(output) else "SumBackward1"
    product = set("".join(terms[:-1])) & set(terms[-1])
    return "MulBackward0" if product <= set(output) else "ViewBackward0"


_einsum_op = Op(_einsum, lambda equation, operands: _einsum_node(equation), autocast=_einsum_cast)


def einsum(*args: Any) -> Tensor:
    """The sum of products named by an equation such as "ij,kj->ik", or by lists of numbers: einsum(a, [0, 1], b, [2, 1], [0, 2])."""
    if not args:
        raise TypeError("einsum() missing the equation: einsum('ij,jk->ik', a, b)")
    equation, operands = (args[0], list(args[1:])) if isinstance(args[0], str) else _letters(args)
    if len(operands) == 1 and isinstance(operands[0], (tuple, list)):
        operands = operands[0]
    if not operands:
        raise RuntimeError("einsum(): must provide at least one operand")
    if not isinstance(operands[0], Tensor):
        raise TypeError(
            f"einsum(): argument 'equation' (position 1) must be str, and the operands Tensors; got {type(operands[0]).__name__}"
        )
    return call(_einsum_op, (equation, tuple(operands)), {})


publish("einsum", einsum, method=False)

Tensor.__matmul__ = FUNCTIONS["matmul"]
Tensor.__rmatmul__ = lambda self, other: FUNCTIONS["matmul"](other, self)
FUNCTIONS["spmm"] = FUNCTIONS["dsmm"] = FUNCTIONS["mm"]
