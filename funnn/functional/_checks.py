"""Checks that the kernels share: what an argument must be, in words that name it and the fix.

Where PyTorch raises in the same place, the recognisable part of its text is kept, so that a search for the message finds the same advice.
Only shapes and dtypes are looked at, never values: every check also holds for traced arrays and costs nothing in a compiled program.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from funnn.errors import DtypeError, ShapeError


def shape(x: Any) -> list[int]:
    """The shape as a list, which prints as torch prints sizes."""
    return list(x.shape)


def has_symbol(*shapes: Sequence[Any]) -> bool:
    """Whether a size is symbolic, as in a trace that serves every size: then a kernel takes the path that is right for all."""
    return not all([isinstance(size, int | np.integer) for shape in shapes for size in shape])


def array(name: str, x: Any) -> jax.Array:
    """``x`` as a JAX array; lists and other objects are refused, for their dtype would be a guess."""
    if not hasattr(x, "dtype") or not hasattr(x, "shape"):
        raise TypeError(
            f"{name} must be an array, but got {type(x).__name__}; wrap it in jnp.asarray(...), or under funnn.torch in torch.tensor(...)."
        )
    return x if isinstance(x, jax.Array) else jnp.asarray(x)


def floating(function: str, name: str, x: Any) -> jax.Array:
    """``x`` as an array of real floating numbers."""
    given = array(name, x)
    if not jnp.issubdtype(given.dtype, jnp.floating):
        raise DtypeError(
            f'"{function}" not implemented for {given.dtype}: {name} must be floating point. Convert it, e.g. {name}.astype(jnp.float32).'
        )
    return given


def accumulator(dtype: Any) -> Any:
    """The dtype in which sums over values of ``dtype`` are taken: float32 for half precision, else ``dtype`` itself."""
    return jnp.dtype(jnp.float32) if jnp.finfo(dtype).bits < 32 else jnp.dtype(dtype)


def widened(function: str, x: Any) -> tuple[jax.Array, Any]:
    """The floating array ``input`` in the dtype to compute in, and the dtype to round the result to."""
    x = floating(function, "input", x)
    return x.astype(accumulator(x.dtype)), x.dtype


def like(function: str, name: str, x: Any, input: jax.Array, *, mixed: bool = False) -> jax.Array:
    """``x`` as an array of ``input``'s dtype; with ``mixed`` also of the dtype that ``input`` is accumulated in."""
    given = array(name, x)
    if given.dtype == input.dtype or (mixed and given.dtype == accumulator(input.dtype)):
        return given
    raise DtypeError(
        f"{function}: expected input and {name} to have the same dtype, but got: {input.dtype} != {given.dtype}. "
        f"Convert one of them, e.g. {name}.astype({input.dtype})."
    )


def axis(dim: int, ndim: int) -> int:
    """``dim`` counted from the front; an array of rank 0 has one dim, as in torch."""
    n = max(ndim, 1)
    if not -n <= dim < n:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})")
    return dim % n


def ntuple(function: str, name: str, value: int | Sequence[int], n: int) -> tuple[int, ...]:
    """``value`` for each of ``n`` axes: an int, or a sequence of one or of ``n`` ints."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if not all(hasattr(v, "__index__") for v in values):
        raise TypeError(f"{function}: {name} must be an int or a tuple of ints, but got {value!r}")
    if len(values) not in (1, n):
        raise ShapeError(f"{function}: expected {name} to be a single integer value or a list of {n} values, but got {name}={list(values)}")
    values = tuple(int(v) for v in values)
    return values * n if len(values) == 1 else values
