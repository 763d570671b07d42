"""Writing to places of an array that index arrays name: set, add, multiply, keep the extreme. Pure functions with torch's gradients.

A place is a tuple with an index array for each dimension, which broadcast together, or None for a whole dimension.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from funnn.engine.memory.shared import SharedStorage
from funnn.engine.memory.view_geometry import wrap_dim
from funnn.engine.program.graph import check_later, look_ahead
from funnn.engine.program.region import check_now
from funnn.engine.program.value import Value, from_host
from funnn.engine.state import thread
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.dtype import dtype

_LARGE = 1 << 16  # bytes of memory that is not copied as a whole to read or write a part


def grid(rank: int, dim: int, index: Any) -> tuple:
    """The place of gather and scatter: element (i, j, …) of ``index`` is at (i, index[i, j, …], …) if ``dim`` is 1."""
    index = vector(index)
    arrays = list(jnp.meshgrid(*(jnp.arange(size) for size in index.shape), indexing="ij", sparse=True))
    arrays[wrap_dim(dim, rank)] = index
    return tuple(arrays)


def along(rank: int, dim: int, index: Any) -> tuple:
    """The place of whole slices: the indices along ``dim``."""
    dim = wrap_dim(dim, rank)
    return tuple(vector(index) if axis == dim else None for axis in range(max(rank, 1)))


def vector(array: Any) -> Any:
    """A number as a vector of one element: so torch treats 0-d tensors where it indexes."""
    return array.reshape(1) if array.ndim == 0 else array


def place(array: Any, indices: tuple) -> Any:
    """The place in JAX's notation."""
    return array.at[_key(indices)]


def read_at(array: Any, indices: tuple) -> Any:
    """What is at a place."""
    return array[_key(indices)]


def _key(indices: tuple) -> tuple:
    return tuple(slice(None) if item is None else item for item in indices)


@jax.custom_jvp
def set_at(input, values, indices):
    """input with ``values``, which broadcast, at ``indices``."""
    return place(input, indices).set(values)


@set_at.defjvp
def _set_jvp(primals, tangents):
    """Where an index is repeated, every value gets the gradient of the place, as in torch; JAX would give it to one of them."""
    input, values, indices = primals
    kept = jnp.where(place(jnp.ones(input.shape, bool), indices).set(False), tangents[0], 0)
    return set_at(input, values, indices), place(kept, indices).add(tangents[1])


def add_at(input, values, indices):
    """input with ``values`` added at ``indices``, as often as an index is repeated; sums of truth values are true if one is."""
    at = place(input, indices)
    return at.max(values) if input.dtype == jnp.bool_ else at.add(values)


def reduce_at(input, values, indices, how, include_self=True):
    """input with ``values`` at ``indices`` reduced into it, or put in its place: how is 'sum', 'prod', 'mean', 'amax' or 'amin'."""
    if how not in ("sum", "mean"):
        return _reduce(input, values, indices, how, include_self)
    total = add_at(input if include_self else set_at(input, jnp.zeros((), input.dtype), indices), values, indices)
    if how == "sum":
        return total
    count = add_at(jnp.full(input.shape, include_self, input.dtype), jnp.ones(values.shape, input.dtype), indices)
    count = jnp.where(count == 0, 1, count)
    return total / count if jnp.issubdtype(input.dtype, jnp.inexact) else total // count


def _identity(kind: Any, how: str) -> Any:
    if how == "prod":
        return np.ones((), kind)
    if kind == jnp.bool_:
        return np.array(how == "amin")
    limits = jnp.finfo(kind) if jnp.issubdtype(kind, jnp.inexact) else jnp.iinfo(kind)
    largest = {"amax": limits.min, "amin": limits.max}[how]
    return np.array({"amax": -np.inf, "amin": np.inf}[how] if jnp.issubdtype(kind, jnp.inexact) else largest, kind)


@functools.partial(jax.custom_jvp, nondiff_argnums=(3, 4))
def _reduce(input, values, indices, how, include_self):
    start = input if include_self else set_at(input, _identity(input.dtype, how), indices)
    product = "min" if input.dtype == jnp.bool_ else "multiply"
    return getattr(place(start, indices), {"prod": product, "amax": "max", "amin": "min"}[how])(values)


@_reduce.defjvp
def _reduce_jvp(how, include_self, primals, tangents):
    """torch's derivatives: a product's other factors, even if one of them is zero; an extreme's share among those that attain it."""
    input, values, indices = primals
    result = _reduce(input, values, indices, how, include_self)
    if how == "prod":
        of_input, of_values = _cofactors(input, values, indices, result, include_self)
    else:
        ours, theirs = input == result, values == read_at(result, indices)
        shares = 1 / add_at(ours.astype(input.dtype), theirs.astype(input.dtype), indices)
        of_input, of_values = jnp.where(ours, shares, 0), jnp.where(theirs, read_at(shares, indices), 0)
    if not include_self:
        of_input = set_at(of_input, jnp.zeros((), of_input.dtype), indices)
    return result, add_at(of_input * tangents[0], of_values * tangents[1], indices)


def _cofactors(input, values, indices, result, include_self):
    """The derivatives of a product by input and values."""
    nonzero = jnp.where(input == 0, 1, input)
    of_input = _reduce(nonzero, values, indices, "prod", include_self) / nonzero
    zero = values == 0
    single = zero & (read_at(add_at(jnp.zeros(input.shape, jnp.int64), zero.astype(jnp.int64), indices), indices) == 1)
    others = _reduce(input, jnp.where(single, 1, values), indices, "prod", include_self)
    of_values = jnp.where(single, read_at(others, indices), read_at(result, indices) / jnp.where(zero, 1, values))
    return of_input, of_values


# -- where the numbers lie in memory that others see


def gather_from_memory(input: Tensor, indices: Sequence[Any]) -> Tensor | None:
    """``input[indices]``, read from large memory that NumPy shares, so that only what is read is copied; None where it is recorded."""
    storage = input._storage
    if not _is_at_once(input) or storage.memory.bytes.nbytes <= _LARGE:
        return None
    numbers = storage.live(input._window)
    return None if numbers is None else Tensor._wrap(from_host(numbers[_as_numpy(indices)]))


def put_into_memory(input: Tensor, indices: Sequence[Any], values: Tensor) -> bool:
    """``input[indices] = values``, which are of its type, in memory that NumPy shares, in place; False where it is recorded."""
    if values.dtype is not input.dtype or not _is_at_once(input) or (thread.grad and values.requires_grad):
        return False
    numbers = input._storage.written(input._window, input._tracked)
    if numbers is None:
        return False
    numbers[_as_numpy(indices)] = values._host()
    return True


def _is_at_once(input: Tensor) -> bool:
    """Whether the numbers lie in memory that NumPy shares, and what is done to them is not recorded."""
    return type(input._storage) is SharedStorage and thread.region is None and not (thread.grad and input.requires_grad)


def _as_numpy(indices: Sequence[Any]) -> tuple[Any, ...]:
    known = [index.known() if isinstance(index, Value) else index for index in indices]
    return tuple([slice(None) if index is None else np.asarray(index) for index in known])


# -- what is asked of indices


def known(index: Tensor) -> np.ndarray | None:
    """The indices as numbers, unless JAX is tracing or there are none, such as on 'meta'."""
    if index.numel() == 0 or index._storage.value.traced or index.is_meta:
        return None
    return index._host()


def frozen(index: Tensor) -> Tensor | None:
    """The present value as a tensor of its own, if it is pending on this thread and takes more than a moment."""
    if index._window is not None and index._through_window() is not None:
        return None
    value = index._operand()
    if value.array is None and value.dtype.kind in "iub":
        look_ahead(value)  # the error for an index or a class comes at its line, before anything else happens
    return Tensor._wrap(value) if value.array is None and value.graph is thread.graph else None


def check_bounds(index: Tensor, size: int, text: str, error: type = RuntimeError, wrap: bool = False) -> None:
    """Raise ``error`` unless all indices are from 0 to size − 1 (from −size with ``wrap``); the text may name {index} and {size}."""
    pending = frozen(index)
    if pending is not None:
        check_later(functools.partial(check_bounds, pending, size, text, error, wrap))
        return
    check_now(functools.partial(_check_known_bounds, index, size, text, error, wrap))


def _check_known_bounds(index: Tensor, size: int, text: str, error: type, wrap: bool) -> None:
    values = known(index)
    if values is not None:
        for extreme in (values.min(), values.max()):
            if not (-size if wrap else 0) <= extreme < size:
                raise error(text.format(index=extreme, size=size))


def check_kind(name: str, index: Tensor, *kinds: dtype) -> None:
    """Raise unless the indices, if there are any, are of one of those types."""
    if index.dtype not in kinds and index.numel():
        expected = "a long tensor" if len(kinds) == 1 else "dtype int32/int64"
        raise RuntimeError(f"{name}(): Expected {expected} for index, but got {index.dtype.legacy}; convert it with .long()")


def check_same(name: str, input: Tensor, source: Tensor) -> None:
    """Raise unless the types are equal."""
    if input.dtype is not source.dtype:
        raise RuntimeError(
            f"{name}(): Expected self.dtype to be equal to src.dtype, but got self.dtype = {input.dtype.legacy} and source.dtype = "
            f"{source.dtype.legacy}; convert one with .to(dtype)"
        )
