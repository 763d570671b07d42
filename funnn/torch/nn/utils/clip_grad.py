"""Limits on gradients, applied in place."""

from __future__ import annotations

import functools
import math
import types
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from funnn.engine.program.lift import lift
from funnn.engine.tensor.tensor import Tensor


def _listed(tensors: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _grads(parameters: list[Tensor]) -> list[Tensor]:
    return [grad for parameter in parameters if (grad := parameter.grad) is not None]


@functools.lru_cache
def _total_norm(norm_type: float) -> Callable:
    @lift
    def total_norm(arrays: list) -> jax.Array:
        norms = jnp.stack([_norm(array.reshape(-1), norm_type) for array in arrays])
        return _norm(norms, norm_type)

    return total_norm


def _norm(vector: jax.Array, norm_type: float) -> jax.Array:
    """The p-norm: Σ|x|ᵖ to the power of 1/p, the largest |x| for ∞, the smallest for −∞, the number of nonzeros for 0; summed in float32 at least."""
    size = jnp.abs(vector)
    if math.isinf(norm_type):
        return jnp.max(size, initial=0) if norm_type > 0 else jnp.min(size, initial=jnp.inf)
    wide = size.astype(jnp.promote_types(size.dtype, jnp.float32))
    if norm_type == 0:
        total = jnp.sum(wide != 0)
    elif norm_type == 2:
        total = jnp.sqrt(jnp.sum(wide * wide))
    else:
        total = jnp.sum(wide**norm_type) ** (1 / norm_type)
    return total.astype(size.dtype)


@lift
def _scale(arrays: list, max_norm: Any, total: jax.Array) -> list:
    scale = jnp.minimum(max_norm / (total + 1e-6), 1.0)
    return [array * scale.astype(array.dtype) for array in arrays]


def get_total_norm(
    tensors: Tensor | Iterable[Tensor], norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> Tensor:
    """The p-norm of all tensors together, as if they were one vector. Source: torch.nn.utils.get_total_norm."""
    listed, norm_type = _listed(tensors), float(norm_type)
    values = [tensor._operand() for tensor in listed if not hasattr(type(tensor), "_whole_norms")]
    spread = [tensor for tensor in listed if hasattr(type(tensor), "_whole_norms")]  # of which this process has a part
    if spread:
        values += [norm._operand() for norm in type(spread[0])._whole_norms(spread, norm_type)]
    result = Tensor._wrap(_total_norm(norm_type)(values) if values else np.float32(0))
    if error_if_nonfinite and not math.isfinite(result.item()):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it cannot be clipped. To disable this "
            "error and scale the gradients by the non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    return spread[0]._replicated(result) if spread else result  # type: ignore[attr-defined] (a DTensor)


def clip_grads_with_norm_(parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor, foreach: bool | None = None) -> None:
    """Scale all gradients by min(1, max_norm/(total_norm + 1e-6)). Source: torch.nn.utils.clip_grads_with_norm_."""
    grads = _grads(_listed(parameters))
    scaled = _scale([grad._operand() for grad in grads], float(max_norm), total_norm._operand())
    for grad, value in zip(grads, scaled, strict=True):
        grad._write(value)


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients together so that their joint p-norm is at most ``max_norm``; returns the norm before.

    The scale is min(1, max_norm/(norm + 1e-6)). Source: torch.nn.utils.clip_grad_norm_.
    """
    listed = _listed(parameters)
    if not listed and isinstance(parameters, types.GeneratorType):
        warnings.warn("`parameters` is an empty generator, no gradient clipping will occur.", stacklevel=2)
    total = get_total_norm(_grads(listed), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(listed, max_norm, total)
    return total


def clip_grad_norm(*args: Any, **kwargs: Any) -> Tensor:
    """The old name of :func:`clip_grad_norm_`."""
    text = "`torch.nn.utils.clip_grad_norm` is now deprecated in favor of `torch.nn.utils.clip_grad_norm_`."
    warnings.warn(text, FutureWarning, stacklevel=2)
    return clip_grad_norm_(*args, **kwargs)


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None) -> None:
    """Keep every gradient between −clip_value and clip_value. Source: torch.nn.utils.clip_grad_value_."""
    for grad in _grads(_listed(parameters)):
        grad.detach().clamp_(-float(clip_value), float(clip_value))
