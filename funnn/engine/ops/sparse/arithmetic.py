"""Element by element: functions that keep zeros, and sums, products and quotients."""

from __future__ import annotations

from typing import Any

import numpy as np

from funnn.engine.ops.kit.table import FUNCTIONS
from funnn.engine.ops.sparse.construct import compressed
from funnn.engine.ops.sparse.elements import coalesced, dense, elements_at, elements_of, like, linked, make, tracked
from funnn.engine.ops.sparse.handlers import handles, write_into
from funnn.engine.ops.sparse.kernels import scatter, take
from funnn.engine.ops.sparse.pattern import Pattern, constant, group
from funnn.engine.tensor.sparse import SparseTensor, refuse
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype
from funnn.engine.types import layout as _layout

#: Functions of one tensor that give 0 for 0; torch adds elements of the same place first.
_KEEPING = (
    *(
        "abs",
        "asin",
        "asinh",
        "atan",
        "atanh",
        "ceil",
        "deg2rad",
        "erf",
        "erfinv",
        "expm1",
        "floor",
        "frac",
        "log1p",
        "rad2deg",
        "round",
    ),
    *("sgn", "sign", "signbit", "sin", "sinh", "sqrt", "tan", "tanh", "trunc", "isinf", "isnan", "isneginf", "isposinf", "angle", "square"),
)
#: Indices that are walked at most to add what is not coalesced as torch does.
_WALKED = 20_000
#: Those that are linear, of which the sum is the sum.
_LINEAR = ("neg", "positive", "conj_physical", "resolve_conj", "resolve_neg")


def _apply(name: str, tensor: SparseTensor, *args: Any, **kwargs: Any) -> SparseTensor:
    """The function of that name on the elements."""
    function = FUNCTIONS.get(name) or getattr(Tensor, name)
    torchs = "".join(part.capitalize() for part in function.__name__.split("_"))
    return like(tensor, function(elements_of(tensor), *args, **kwargs), f"{torchs}Backward0")


def _keeping(name: str) -> None:
    @handles(name)
    def apply(input: SparseTensor, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("out") is not None:
            return NotImplemented
        return _apply(name, coalesced(input) if input.layout is _layout.sparse_coo else input, *args, **kwargs)


def _linear(name: str) -> None:
    handles(name)(lambda input, *, out=None: _apply(name, input) if out is None else NotImplemented)


for _name in _KEEPING:
    _keeping(_name)
for _name in _LINEAR:
    _linear(_name)


@handles("conj")
def _conjugate(input: SparseTensor) -> SparseTensor:
    return _apply("conj_physical", input) if input.is_complex() else input


@handles("relu")
def relu(input: Any, inplace: bool = False) -> Any:
    result = _apply("relu", coalesced(input) if input.layout is _layout.sparse_coo else input)
    return write_into(input, result) if inplace else result


@handles("dropout")
def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False, *, key: Any = None) -> Any:
    return NotImplemented if training and p else input if inplace else input.clone()


@handles("result_type")
def result_type(tensor1: Any, tensor2: Any) -> Any:
    plain = [
        FUNCTIONS["zeros"]((0,) * item.dim(), dtype=item.dtype) if isinstance(item, SparseTensor) else item for item in (tensor1, tensor2)
    ]
    return FUNCTIONS["result_type"](*plain)


@handles("is_inference")
def is_inference(input: Any) -> Any:
    return input.is_inference()


@handles("clone")
def clone(input: Any, *, memory_format: Any = None) -> Any:
    return _apply("clone", input)


@handles("nan_to_num")
def nan_to_num(input: Any, nan: Any = None, posinf: Any = None, neginf: Any = None) -> Any:
    return _apply("nan_to_num", coalesced(input), nan, posinf, neginf)


@handles("pow")
def power(input: Any, exponent: Any, *, out: Any = None) -> Any:
    if not isinstance(input, SparseTensor) or isinstance(exponent, Tensor) or out is not None or input.layout is not _layout.sparse_coo:
        return NotImplemented
    if exponent == 0:
        raise RuntimeError("pow: exponent must not be zero for a sparse tensor: zeros would become ones; use to_dense()")
    return _apply("pow", coalesced(input), exponent)


@handles("float_power")
def float_power(input: Any, exponent: Any, *, out: Any = None) -> Any:
    return power(input.to(_dtype.float64), exponent, out=out) if isinstance(input, SparseTensor) else NotImplemented


# -- sums


def _number_like(value: Any) -> bool:
    return isinstance(value, (int, float, complex)) or (
        isinstance(value, Tensor) and not isinstance(value, SparseTensor) and not value.dim()
    )


@handles("add")
def add(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Any:
    if out is not None:
        return NotImplemented
    if not isinstance(other, SparseTensor):
        if isinstance(input, SparseTensor) and input.layout is not _layout.sparse_coo and isinstance(other, Tensor) and other.dim():
            return FUNCTIONS["add"](other * alpha if alpha != 1 else other, input)
        raise RuntimeError("add(sparse, dense) is not supported. Use add(dense, sparse) instead.")
    if not isinstance(input, SparseTensor):
        return _add_to_dense(input, other, alpha, "AddBackward0")
    return _add_sparse(input, other, alpha, "AddBackward0")


@handles("sub")
def sub(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Any:
    if out is not None:
        return NotImplemented
    if not isinstance(other, SparseTensor):
        raise RuntimeError("add(sparse, dense) is not supported. Use add(dense, sparse) instead.")
    if not isinstance(input, SparseTensor):
        return _add_to_dense(input, other, -alpha, "SubBackward0")
    return _add_sparse(input, other, -alpha, "SubBackward0")


def _add_to_dense(input: Any, other: SparseTensor, alpha: Any, name: str) -> Tensor:
    if not isinstance(input, Tensor) or input._shape() != other._size:
        if not isinstance(input, Tensor) or not input.dim():
            raise RuntimeError("add(sparse, dense) is not supported. Use add(dense, sparse) instead.")
        raise RuntimeError(
            f"add: expected 'self' and 'other' to have same size, but self has size {list(input.shape)} while other has size {list(other.shape)} "
            "(FYI: dense-sparse addition does not currently support broadcasting)"
        )
    if not (tracked(other) and other.is_leaf):
        return FUNCTIONS["add"](input, dense(other), alpha=alpha)
    total = FUNCTIONS["add"](input, dense(other._bare()), alpha=alpha)  # the gradient of the sparse leaf is dense, too
    edges = (other._edge(), total._edge() if total.requires_grad else None)
    return linked(total._bare(), name, edges, lambda gradient: (gradient if alpha == 1 else gradient * alpha, gradient))


def _merged(a: np.ndarray, b: np.ndarray) -> tuple[list[int], list[int]]:
    """The steps of torch's walk over two rows of places at once: the number in the result of each element of both. Equal ones that meet are added."""
    first, second, count = a.tolist(), b.tolist(), 0
    left: list[int] = []
    right: list[int] = []
    while len(left) < len(first) or len(right) < len(second):
        i, j = len(left), len(right)
        takes_left = j == len(second) or (i < len(first) and first[i] <= second[j])
        if i == len(first) or (j < len(second) and second[j] <= first[i]):
            right.append(count)
        if takes_left:
            left.append(count)
        count += 1
    return left, right


def _is_known(pattern: Pattern) -> bool:
    """Whether the walk over the indices is quick: they are few, and there."""
    part = pattern.parts[0]
    return pattern.count <= _WALKED and (part._window is not None or part._storage.value.array is not None)


def _add_sparse(a: SparseTensor, b: SparseTensor, alpha: Any, name: str) -> SparseTensor:
    if a._size != b._size:
        raise RuntimeError(f"add: expected sizes of 'self' and 'other' to match, but {list(a.shape)} != {list(b.shape)}")
    if a.layout is not b.layout:
        raise RuntimeError(
            f"add: sparse tensors must have the same layout, got {a.layout} and {b.layout}; convert one with to_sparse(layout=…)"
        )
    if a._pattern.sizes != b._pattern.sizes:
        raise RuntimeError(
            f"add: expected 'self' and 'other' to have same number of sparse dimensions, but got {len(a._pattern.sizes)} and {len(b._pattern.sizes)}"
        )
    if tracked(a) or tracked(b):  # their gradient is that of the sum, also where they have no element
        total = _add_sparse(a._bare(), b._bare(), alpha, name)
        edges = (a._edge() if tracked(a) else None, b._edge() if tracked(b) else None)
        return linked(total, name, edges, lambda gradient: (gradient, gradient if alpha == 1 else gradient * alpha))
    left, right = elements_of(a), elements_of(b)
    right = right if alpha == 1 else right * alpha
    kind = _dtype.join(a.dtype, b.dtype)
    left, right = left.to(kind), right.to(kind)
    both = a._coalesced and b._coalesced
    if a._pattern.same(b._pattern):
        return make(a._pattern, left + right, a._size, both, name)
    if not both and a.layout is _layout.sparse_coo and not (_is_known(a._pattern) and _is_known(b._pattern)):
        indices = FUNCTIONS["cat"]([a._pattern.indices(), b._pattern.indices()], 1)  # of the same value, and nothing has to run
        return make(Pattern.coo(indices, a._pattern.sizes), FUNCTIONS["cat"]([left, right]), a._size, False, name)
    keys, others = a._pattern.keys(), b._pattern.keys()
    if np.array_equal(keys, others) and both:
        return make(a._pattern, left + right, a._size, both, name)
    joined = np.concatenate([keys, others])
    if both and a.layout is not _layout.sparse_csc:
        groups = group(joined, a._pattern.sizes)
        numbers, indices, count = groups.group, groups.indices, groups.first.size
    else:
        numbers = np.concatenate([np.array(item, np.int64) for item in _merged(keys, others)])
        count = int(numbers.max()) + 1 if numbers.size else 0
        places = np.empty(count, np.int64)
        places[numbers] = joined
        indices = (
            np.stack(np.unravel_index(places, a._pattern.sizes)).astype(np.int64)
            if count
            else np.zeros((len(a._pattern.sizes), 0), np.int64)
        )
    elements = scatter(FUNCTIONS["cat"]([left, right]), constant(numbers), count)
    if a.layout is _layout.sparse_coo:
        return make(Pattern.coo(indices, a._pattern.sizes), elements, a._size, both, name)
    return make(compressed(a.layout, indices, a._pattern.sizes), elements, a._size, True, name)


@handles("add_")
def add_(self: Any, other: Any, *, alpha: Any = 1) -> Any:
    return write_into(self, add(self, other, alpha=alpha))


@handles("sub_")
def sub_(self: Any, other: Any, *, alpha: Any = 1) -> Any:
    return write_into(self, sub(self, other, alpha=alpha))


# -- products and quotients


@handles("mul")
def mul(input: Any, other: Any, *, out: Any = None) -> Any:
    if out is not None:
        return NotImplemented
    if not isinstance(input, SparseTensor):
        input, other = other, input
    if isinstance(other, SparseTensor):
        return _multiply_sparse(input, other)
    if _number_like(other):
        return like(input, elements_of(input) * other, "MulBackward0")
    if not isinstance(other, Tensor):
        return NotImplemented
    shape = np.broadcast_shapes(input._size, other._shape())
    if shape != input._size:
        raise NotImplementedError(f"a sparse tensor of shape {list(input.shape)} is not expanded to {list(shape)}; use to_dense()")
    if tracked(other) and other.is_leaf and other._shape() == shape:  # whose gradient is sparse
        found = _linked_to_leaf(other, input)
    else:
        found = elements_at(other.expand(shape), input._pattern)
    return like(input, elements_of(input) * found, "MulBackward0", (other,) if tracked(input) else ())


def _linked_to_leaf(leaf: Tensor, at: SparseTensor) -> Tensor:
    """What a dense leaf has at the places of a sparse tensor, with the gradient there."""
    pattern, size, coalesced = at._pattern, at._size, at._coalesced
    rule = lambda gradient: (make(pattern, gradient, size, coalesced),)  # noqa: E731
    return linked(elements_at(leaf._bare(), pattern), "MulBackward0", (leaf._edge(),), rule)


def _multiply_sparse(a: SparseTensor, b: SparseTensor) -> SparseTensor:
    if a._size != b._size:
        raise RuntimeError(f"mul: expected sizes of 'self' and 'other' to match, but {list(a.shape)} != {list(b.shape)}")
    if a.layout is not b.layout:
        raise RuntimeError(f"mul: sparse tensors must have the same layout, got {a.layout} and {b.layout}")
    if a._coalesced and b._coalesced:
        _, left, right = np.intersect1d(a._pattern.keys(), b._pattern.keys(), return_indices=True)
        if left.size == a._pattern.count == b._pattern.count and a._pattern.same(b._pattern):
            return like(a, elements_of(a) * elements_of(b), "MulBackward0")
        indices = (
            a._pattern.grouping().indices
            if a.layout is _layout.sparse_coo
            else np.stack(np.unravel_index(a._pattern.keys(), a._pattern.sizes))
        )
        pattern = Pattern.coo(indices[:, left], a._pattern.sizes)
        if a.layout is not _layout.sparse_coo:
            pattern = compressed(a.layout, indices[:, left], a._pattern.sizes)
        return make(pattern, take(elements_of(a), constant(left)) * take(elements_of(b), constant(right)), a._size, True, "MulBackward0")
    # as torch: the one that is not coalesced keeps its places; of two, the one with fewer elements, else the second
    keeps_first = not a._coalesced and (b._coalesced or a._pattern.count < b._pattern.count)
    kept, other = (a, coalesced(b)) if keeps_first else (b, coalesced(a))
    return like(kept, elements_of(kept) * elements_at(other, kept._pattern) + 0, "MulBackward0")  # no −0 where nothing is


@handles("div")
def div(input: Any, other: Any, *, rounding_mode: Any = None, out: Any = None) -> Any:
    if not isinstance(input, SparseTensor) or isinstance(other, SparseTensor) or not _number_like(other):
        shape = list(other.shape) if isinstance(other, Tensor) else []
        raise RuntimeError(f"Sparse division requires a scalar or zero-dim dense tensor divisor (got shape {shape} for divisor)")
    if input.layout is not _layout.sparse_coo:
        raise RuntimeError("unsupported tensor layout: SparseCsr; multiply by the reciprocal")
    if out is not None:
        return NotImplemented
    if rounding_mode is not None:
        input = coalesced(input)
    return like(input, FUNCTIONS["div"](elements_of(input), other, rounding_mode=rounding_mode), "DivBackward0")


@handles("floor_divide")
def floor_divide(input: Any, other: Any) -> Any:
    return div(input, other, rounding_mode="floor")


@handles("mul_")
def mul_(self: Any, other: Any) -> Any:
    product = write_into(self, mul(self, other))
    if isinstance(self, SparseTensor) and not isinstance(other, SparseTensor):
        self._coalesced = self._pattern.count < 2  # as torch has it
    return product


# -- in place, without a function of its own


@handles("zero_")
def zero_(self: Any) -> Any:
    if self.layout is not _layout.sparse_coo:
        self._elements.zero_()
        return self
    pattern = Pattern.coo(np.zeros((len(self._pattern.sizes), 0), np.int64), self._pattern.sizes)
    return write_into(self, make(pattern, self._elements.detach()[:0].clone(), self._size, True))


@handles("copy_")
def copy_(self: Any, src: Any, non_blocking: bool = False) -> Any:
    if not isinstance(src, SparseTensor) or not isinstance(self, SparseTensor):
        kinds = [f"torch.{'sparse.' if isinstance(item, SparseTensor) else ''}{item.dtype.legacy}Tensor" for item in (self, src)]
        raise RuntimeError(
            f"copy_() between dense and sparse Tensors is not implemented! Found self type = {kinds[0]} and src type = {kinds[1]}; use to_dense()"
        )
    if self._size != src._size:
        raise RuntimeError(f"copy_(): expected sizes to match, got {list(self.shape)} and {list(src.shape)}")
    if self.layout is not src.layout:
        refuse("copy_", "SparseCPU")
    return write_into(self, like(src, elements_of(src).to(self.dtype).clone(), "CopyBackwards"))
