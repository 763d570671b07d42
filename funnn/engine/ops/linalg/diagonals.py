"""Diagonals and triangles of matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from funnn.engine.dispatch.autocast import FLOAT32
from funnn.engine.memory.view_geometry import wrap_dim
from funnn.engine.ops.kit.table import FUNCTIONS, publish, row, write_out
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype


def _triangle(name: str, cut: Callable, kept: str) -> None:
    def pure(input, diagonal=0):
        if input.ndim < 2:
            raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions, got {input.ndim}")
        return cut(input, diagonal)

    pure.__doc__ = f"The elements {kept} the diagonal number ``diagonal`` and on it; zeros elsewhere."
    row(name, pure, f"{name.capitalize()}Backward0", inplace=True, exact_out=True)


_triangle("tril", jnp.tril, "below")
_triangle("triu", jnp.triu, "above")


def diag_embed(input, offset=0, dim1=-2, dim2=-1):
    """The last dimension as the diagonal of two new ones, with zeros elsewhere."""
    rank = input.ndim + 1
    a, b = wrap_dim(dim1, rank), wrap_dim(dim2, rank)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    length = input.shape[-1]
    size = length + abs(offset)
    rows, columns = np.arange(length) + max(-offset, 0), np.arange(length) + max(offset, 0)
    full = jnp.zeros((*input.shape[:-1], size, size), input.dtype).at[..., rows, columns].set(input)
    return jnp.moveaxis(full, (-2, -1), (a, b))


row("diag_embed", diag_embed, "DiagEmbedBackward0")


def diag(input, diagonal=0, *, out=None):
    """The matrix with a vector on a diagonal, or the diagonal of a matrix."""
    if input.dim() not in (1, 2):
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.dim()}D")
    result = FUNCTIONS["diag_embed" if input.dim() == 1 else "diagonal_copy"](input, diagonal)
    return result if out is None else write_out(out, result)


def diagflat(input, offset=0):
    """The matrix with all elements of the input on a diagonal."""
    return FUNCTIONS["diag_embed"](input.reshape(-1), offset)


def trace(input):
    """The sum of a matrix's diagonal."""
    if input.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.ndim}")
    return jnp.trace(input) if jnp.issubdtype(input.dtype, jnp.inexact) else jnp.trace(input, dtype=jnp.int64)


publish("diag", diag, exact_out=True)
publish("diagflat", diagflat)
row("trace", trace, "TraceBackward0", autocast={"cpu": FLOAT32})


def _indices(name: str, find: Callable, where: str) -> None:
    def indices(
        row: int,
        col: int,
        offset: int = 0,
        *,
        dtype: Any = None,
        device: Any = None,
        layout: Any = None,
        pin_memory: bool = False,
        requires_grad: bool = False,
    ) -> Tensor:
        for what, size in (("row", row), ("col", col)):
            if size < 0:
                raise RuntimeError(f"{what} must be non-negative, got {size}")
        kind = _dtype.int64 if dtype is None else _dtype.as_dtype(dtype)
        if kind not in (_dtype.int32, _dtype.int64):
            raise NotImplementedError(f"\"{name}\" not implemented for '{kind.legacy}'; indices are int32 or int64")
        found = np.stack(find(row, offset, col))
        return FUNCTIONS["tensor"](found, dtype=kind, device=device, pin_memory=pin_memory or False, requires_grad=requires_grad or False)

    indices.__doc__ = f"The rows and columns of the elements {where} a diagonal of a row × col matrix and on it."
    publish(name, indices, method=False)


_indices("tril_indices", np.tril_indices, "below")
_indices("triu_indices", np.triu_indices, "above")
