"""What distributions share: broadcasting of parameters, probabilities and logits, values computed when first asked for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from numbers import Number
from typing import Any

from funnn.torch import _namespace as torch
from funnn.torch import nn

__all__ = [
    *("broadcast_all", "clamp_probs", "euler_constant", "lazy_property", "logits_to_probs", "probs_to_logits"),
    *("tril_matrix_to_vec", "vec_to_tril_matrix"),
]

euler_constant = 0.57721566490153286060


def as_tensors(*values: Any) -> list[torch.Tensor]:
    """Numbers as tensors of the first tensor's dtype, or of the default dtype where all are numbers."""
    if not all(isinstance(value, (torch.Tensor, Number)) for value in values):
        raise ValueError(
            "Input arguments must all be instances of Number, torch.Tensor or objects implementing __torch_function__; got "
            f"{', '.join(type(value).__name__ for value in values)}: convert with torch.tensor(…)"
        )
    dtype = next((value.dtype for value in values if isinstance(value, torch.Tensor)), torch.get_default_dtype())
    return [value if isinstance(value, torch.Tensor) else torch.tensor(value, dtype=dtype) for value in values]


def broadcast_all(*values: Any) -> tuple[torch.Tensor, ...]:
    """Numbers and tensors as tensors of one shape."""
    tensors = as_tensors(*values)
    shape = torch.broadcast_shapes(*(tensor.shape for tensor in tensors))
    return tuple(tensor if tensor.shape == shape else tensor.expand(shape) for tensor in tensors)


def standard_normal(shape: Any, dtype: Any) -> torch.Tensor:
    """Values from N(0, 1)."""
    return torch.normal(torch.zeros(shape, dtype=dtype), torch.ones(shape, dtype=dtype))


def sum_rightmost(value: torch.Tensor, dims: int) -> torch.Tensor:
    """The sum over the last ``dims`` dimensions."""
    return value if dims == 0 else value.sum(tuple(range(-dims, 0)))


def _standard_normal(shape: Any, dtype: Any, device: Any) -> torch.Tensor:
    """The same on a device, under the name by which other libraries know it."""
    return torch.empty(shape, dtype=dtype, device=device).normal_()


_sum_rightmost = sum_rightmost


def open_unit_rand(shape: Any, like: torch.Tensor) -> torch.Tensor:
    """Uniform values inside (0, 1), of the dtype of ``like``."""
    return clamp_probs(torch.rand(shape, dtype=like.dtype))


def clamp_probs(probs: torch.Tensor) -> torch.Tensor:
    """Probabilities kept at least an eps away from 0 and 1."""
    eps = torch.finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def logits_to_probs(logits: torch.Tensor, is_binary: bool = False) -> torch.Tensor:
    """The sigmoid of log odds, or the softmax over the last dimension."""
    return torch.sigmoid(logits) if is_binary else nn.functional.softmax(logits, dim=-1)


def probs_to_logits(probs: torch.Tensor, is_binary: bool = False) -> torch.Tensor:
    """Log odds, or log probabilities; of probabilities kept away from 0 and 1."""
    kept = clamp_probs(probs)
    return torch.log(kept) - torch.log1p(-kept) if is_binary else torch.log(kept)


class lazy_property:
    """A property that is computed once, with gradients, and then an attribute of the object."""

    def __init__(self, wrapped: Callable):
        self.wrapped = wrapped
        functools.update_wrapper(self, wrapped)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return _OfClass(self.wrapped)
        with torch.enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value


class _OfClass(lazy_property, property):
    """What the class shows of a lazy property."""

    def __init__(self, wrapped: Callable):
        property.__init__(self, wrapped)


def tril_matrix_to_vec(mat: torch.Tensor, diag: int = 0) -> torch.Tensor:
    """The elements (…, D, D) on and below a diagonal as a vector, row by row."""
    n = mat.shape[-1]
    if not -n <= diag < n:
        raise ValueError(f"diag ({diag}) provided is outside [{-n}, {n - 1}].")
    rows, columns = torch.tril_indices(n, n, diag)
    return mat[..., rows, columns]


def vec_to_tril_matrix(vec: torch.Tensor, diag: int = 0) -> torch.Tensor:
    """The opposite of :func:`tril_matrix_to_vec`, with zeros elsewhere."""
    count = vec.shape[-1]
    n = next((n for n in range(1 + abs(diag), 2 + abs(diag) + count) if _elements_below(n, diag) == count), None)
    if n is None:
        raise ValueError(
            f"The size of last dimension is {count} which cannot be expressed as the lower triangular part of a square matrix."
        )
    rows, columns = torch.tril_indices(n, n, diag)
    matrix = torch.zeros(vec.shape[:-1] + (n, n), dtype=vec.dtype)
    matrix[..., rows, columns] = vec
    return matrix


def _elements_below(n: int, diag: int) -> int:
    return sum(min(max(row + 1 + diag, 0), n) for row in range(n))


def _standard_normal(shape: Any, dtype: torch.dtype, device: Any) -> torch.Tensor:
    """Draws from the standard normal distribution, as rsample of PyTorch's distributions makes them."""
    return torch.empty(shape, dtype=dtype, device=device).normal_()
