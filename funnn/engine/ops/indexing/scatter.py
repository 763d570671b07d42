"""Writing by index: scatter, index_add and their kin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from funnn.engine.dispatch.autocast import WIDEST
from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.memory.strides import like_first
from funnn.engine.memory.view_geometry import wrap_dim
from funnn.engine.ops.kit.deprecated import deprecated
from funnn.engine.ops.kit.elementwise import factor, require
from funnn.engine.ops.kit.index_kernels import add_at, along, check_bounds, check_kind, check_same, grid, known, reduce_at, set_at, vector
from funnn.engine.ops.kit.table import check_factors, publish, write_out
from funnn.engine.state import thread
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.dtype import check_broadcast, check_fits, int32, int64, number_for

_BOUNDS = "index {index} is out of bounds for dimension %d with size {size}"


def _publish(run: Callable, **policies: Any) -> None:
    name = run.__name__

    def with_out(*args, out=None, **kwargs):
        result = run(*args, **kwargs)
        return result if out is None else write_out(out, result)

    publish(name, with_out, run, inplace=True, **policies)


def _written(write: Callable, input: Any, values: Any, indices: tuple, *options: Any) -> Any:
    return write(vector(input), values, indices, *options).reshape(input.shape)


# -- element by element: the index has the shape of the values


def _check_scatter(name: str, input: Tensor, dim: int, index: Tensor, src: Any) -> None:
    check_kind(name, index, int32, int64)
    dim = wrap_dim(dim, input.dim())
    shapes = [list(tensor.shape) or [1] for tensor in (input, index)]
    if index.numel() and len(shapes[0]) != len(shapes[1]):
        raise RuntimeError(f"Index tensor must have the same number of dimensions as self tensor, got {shapes[1]} for {shapes[0]}")
    fits = not index.numel() or all(axis == dim or a <= b for axis, (b, a) in enumerate(zip(*shapes, strict=True)))
    text = f"Expected index {shapes[1]} to be no larger than self {shapes[0]} apart from dimension {dim}"
    if not isinstance(src, Tensor):
        check_fits(src, input.dtype)
    else:
        check_same(name, input, src)
        source = list(src.shape) or [1]
        if index.numel() and len(source) != len(shapes[1]):
            raise RuntimeError(f"Index tensor must have the same number of dimensions as src tensor, got {shapes[1]} for {source}")
        if not fits or (index.numel() and any(a > b for a, b in zip(shapes[1], source, strict=True))):
            raise RuntimeError(f"{text} and to be no larger size than src {source}")
    if not fits:
        raise RuntimeError(text)
    check_bounds(index, shapes[0][dim], _BOUNDS % dim)


def _scatter(input, dim, index, src, how=None, include_self=True):
    if index.size == 0:
        return input
    values = jnp.asarray(src, dtype=input.dtype)
    if values.ndim:
        values = values[tuple(slice(size) for size in index.shape)]
    values = jnp.broadcast_to(values, vector(index).shape)
    indices = grid(input.ndim, dim, index)
    return _written(set_at, input, values, indices) if how is None else _written(reduce_at, input, values, indices, how, include_self)


def _scatter_grad(input, dim, index, src):
    return f"ScatterBackward{int(not isinstance(src, Tensor))}"


_scattered = Op(_scatter, _scatter_grad, scalars=("src",), autocast={"cuda": WIDEST})
_scatter_added = Op(_scatter, "ScatterAddBackward0", autocast={"cuda": WIDEST})
_scatter_reduced = Op(_scatter, "ScatterReduceBackward0", scalars=("src",), autocast={"cuda": WIDEST})
_HOW = {"add": "sum", "multiply": "prod"}


def scatter(input, dim, index: Array, src=None, *, value=None, reduce=None):
    """input with ``src`` (or a number) written where ``gather`` would read; with ``reduce`` 'add' or 'multiply', combined with what is there."""
    if src is None:  # a number, as which torch takes a tensor of no dimensions too
        src = value.item() if isinstance(value, Tensor) and not value.dim() else value
    _check_scatter("scatter", input, dim, index, src)
    if reduce is None:
        return call(_scattered, (input, dim, index, src), {})
    if reduce not in _HOW:
        raise RuntimeError(f"reduce argument must be either add or multiply, got {reduce!r}; see scatter_reduce for others")
    if isinstance(src, Tensor):
        deprecated("scatter")
    return call(_scatter_reduced, (input, dim, index, src, _HOW[reduce]), {})


def scatter_add(input, dim, index: Array, src: Array):
    """input with ``src`` added where ``gather`` would read."""
    _check_scatter("scatter", input, dim, index, src)
    return call(_scatter_added, (input, dim, index, src, "sum"), {})


def scatter_reduce(input, dim, index: Array, src: Array, reduce, *, include_self=True):
    """input with ``src`` reduced ('sum', 'prod', 'mean', 'amax', 'amin') into where ``gather`` would read, with what is there or without it."""
    _check_scatter("scatter", input, dim, index, src)
    reduce = {"max": "amax", "min": "amin"}.get(reduce, reduce)  # torch takes these too, without saying so
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    kinds = {"amax": "bif", "amin": "bif", "mean": "ifc"}.get(reduce)
    if kinds is not None:
        require(f"scatter_gather_tensor_cpu_reduce_{reduce}", input, kinds)
    return call(_scatter_reduced, (input, dim, index, src, reduce, include_self), {})


for _function in (scatter, scatter_add, scatter_reduce):
    _publish(_function, exact_out=True)


# -- slice by slice: the index is a vector


def _check_slices(name: str, input: Tensor, dim: int, index: Tensor, source: Tensor, error: type) -> None:
    dim = wrap_dim(dim, input.dim())
    if index.dim() > 1:
        raise IndexError(
            f"{name}_(): Index is supposed to be a vector, but got dim: {index.dim()} with type: {index.dtype.legacy} and size: {list(index.shape)}"
        )
    check_same(f"{name}_", input, source)
    if source.dim() and input.dim() and source.dim() != input.dim():
        raise error(f"{name}_(): source has {source.dim()} dimensions and self has {input.dim()}; they must be equal")
    if source.dim() and wrap_dim(dim, source.dim()) < source.dim() and source.size(dim) != index.numel():
        raise error(
            f"{name}_(): Number of indices ({index.numel()}) should be equal to source.size(dim): ({source.size(dim)}), for dim: {dim}"
        )
    if not source.dim() and index.numel() != 1:
        raise error(f"{name}_(): When source is scalar, index should have one element (got {index.numel()})")
    slices = [[size for axis, size in enumerate(tensor.shape) if axis != dim] for tensor in (input, source)]
    if slices[0] != slices[1] and source.dim():
        raise RuntimeError(
            f"{name}_(): source tensor shape must match self tensor shape, excluding the specified dimension. Got self.shape = "
            f"{list(input.shape)} source.shape = {list(source.shape)}"
        )


def _length(input: Tensor, dim: int) -> int:
    return input.size(dim) if input.dim() else 1


def _slices(input, dim, index, source):
    """The source's values and their place."""
    return vector(source) if input.ndim < 2 else source, along(input.ndim, dim, index)


def _index_add(input, dim, index, source, alpha):
    values, indices = _slices(input, dim, index, source)
    return _written(add_at, input, values * factor(alpha, input.dtype), indices)


def _index_copy(input, dim, index, source):
    return _written(set_at, input, *_slices(input, dim, index, source))


def _index_fill(input, dim, index, value):
    named = _written(set_at, jnp.zeros(input.shape, bool), jnp.ones((), bool), along(input.ndim, dim, index))
    return jnp.where(named, jnp.asarray(value, input.dtype), input)


def _index_reduce(input, dim, index, source, how, include_self):
    require("index_func_", input, "if")
    return _written(reduce_at, input, *_slices(input, dim, index, source), how, include_self)


_index_added = Op(_index_add, "IndexAddBackward0", scalars=("alpha",))
_index_copied = Op(_index_copy, "IndexCopyBackward0", autocast={"cpu": WIDEST})
_index_filled = Op(_index_fill, lambda input, dim, index, value: f"IndexFillBackward{int(isinstance(value, Tensor))}", scalars=("value",))
_index_reduced = Op(_index_reduce, "IndexReduceBackward0")


def index_add(input, dim, index: Array, source: Array, *, alpha=1):
    """input with alpha·source added to the slices along ``dim`` that ``index`` names."""
    check_kind("index_add_", index, int32, int64)
    _check_slices("index_add", input, dim, index, source, RuntimeError)
    check_bounds(index, _length(input, dim), _BOUNDS % wrap_dim(dim, input.dim()))
    if isinstance(alpha, (int, float, complex)):
        check_factors((alpha,), input.dtype)
    return call(_index_added, (input, dim, index, source, alpha), {})


def index_copy(input, dim, index: Array, source: Array):
    """input with the slices along ``dim`` that ``index`` names replaced by those of ``source``."""
    check_kind("index_copy_", index, int64)
    if thread.autocast is not None:
        (input, source), _ = thread.autocast.operands(_index_copied, (input, source), {})
    _check_slices("index_copy", input, dim, index, source, IndexError)
    check_bounds(index, _length(input, dim), f"index_copy_(): {_BOUNDS % wrap_dim(dim, input.dim())}", IndexError)
    return call(_index_copied, (input, dim, index, source), {})


def index_fill(input, dim, index: Array, value):
    """input with ``value`` in the slices along ``dim`` that ``index`` names."""
    if isinstance(value, Tensor) and value.dim():
        raise RuntimeError(f"index_fill_ only supports a 0-dimensional value tensor, but got tensor with {value.dim()} dimension(s).")
    if (value.is_complex() if isinstance(value, Tensor) else isinstance(value, complex)) and not input.is_complex():
        raise RuntimeError("index_fill_(): Converting complex Scalar to non-complex type is not supported")
    if index.dtype not in (int32, int64):
        raise IndexError(f"index_fill_(): Expected dtype int64 for index, but got {index.dtype.legacy}; convert it with .long()")
    if index.dim() > 1:
        raise RuntimeError(f"Index has to be a vector/scalar, but got {index.dim()} dimensions")
    if not isinstance(value, Tensor):
        value = number_for(value, input.dtype)
    check_bounds(index, _length(input, dim), _BOUNDS % wrap_dim(dim, input.dim()), IndexError, wrap=True)
    return call(_index_filled, (input, dim, index, value), {})


def index_reduce(input, dim, index: Array, source: Array, reduce, *, include_self=True):
    """input with source reduced ('prod', 'mean', 'amax', 'amin') into the slices along ``dim`` that ``index`` names."""
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}.")
    deprecated("index_reduce")
    check_kind("index_reduce_", index, int32, int64)
    _check_slices("index_reduce", input, dim, index, source, RuntimeError)
    check_bounds(index, _length(input, dim), f"index out of range in self: {_BOUNDS % wrap_dim(dim, input.dim())}", IndexError)
    return call(_index_reduced, (input, dim, index, source, reduce, include_self), {})


for _function in (index_add, index_copy, index_reduce):
    _publish(_function, exact_out=True)
_publish(index_fill, elementwise=True)


# -- of the tensor as one line of elements


def _put(input, index, source, accumulate):
    write = add_at if accumulate else set_at
    return write(input.reshape(-1), source.reshape(-1), (index.reshape(-1),)).reshape(input.shape)


_put_op = Op(_put, "PutBackward0")


def put(input, index: Array, source: Array, accumulate=False):
    """input with ``source`` at the indices of its flattened elements, added to what is there if ``accumulate``."""
    check_kind("put_", index, int64)
    check_same("put_", input, source)
    if source.numel() != index.numel():
        raise IndexError(
            f"put_(): Expected source and index to have the same number of elements, but got source.numel() = {source.numel()}, "
            f"index.numel() = {index.numel()}"
        )
    check_bounds(index, input.numel(), "out of range: tried to access index {index} on a tensor of {size} elements.", IndexError, wrap=True)
    return call(_put_op, (input, index, source, accumulate), {})


def _masked_scatter(input, mask, source):
    input, mask = jnp.broadcast_arrays(input, mask)
    if source.size == 0:
        return input
    order = jnp.cumsum(mask.reshape(-1)) - 1  # the number of each true element
    values = source.reshape(-1)[jnp.clip(order, 0, source.size - 1)].reshape(mask.shape)
    return jnp.where(mask, values, input)


_masked_scattered = Op(_masked_scatter, "MaskedScatterBackward0")


def masked_scatter(input, mask: Array, source: Array):
    """input with the values of ``source``, one after the other, where ``mask`` is true."""
    if mask.dtype.name != "bool":
        raise RuntimeError(f"masked_scatter_ only supports boolean masks, but got mask with dtype {mask.dtype.legacy}")
    check_same("masked_scatter", input, source)
    check_broadcast(input._operand(), mask._operand())
    flags = known(mask)
    if flags is not None:
        count = np.broadcast_to(flags, np.broadcast_shapes(flags.shape, input.shape)).sum()
        if source.numel() < count:
            raise RuntimeError(f"masked_scatter: Number of elements of source < number of ones in mask: {source.numel()} < {count}")
    return call(_masked_scattered, (input, mask, source), {})


publish("put", put, inplace=True, arrange=like_first)
publish("masked_scatter", masked_scatter, inplace=True)
