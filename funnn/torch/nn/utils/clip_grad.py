"""Limits on gradients, applied in place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp

from funnn.torch._tensor import Tensor


def _grads(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    tensors = [parameters] if isinstance(parameters, Tensor) else parameters
    return [tensor.grad for tensor in tensors if tensor.grad is not None]


@jax.jit
def _clip_norm(arrays: list, max_norm: Any, norm_type: Any) -> tuple:
    sizes = jnp.stack([_norm(array.reshape(-1), norm_type) for array in arrays])
    total = _norm(sizes, norm_type)
    scale = jnp.minimum(max_norm / (total + 1e-6), 1.0)
    return total, [(array * scale.astype(array.dtype)) for array in arrays]


def _norm(vector: jax.Array, norm_type: Any) -> jax.Array:
    """The p-norm; p is traced, so the three cases are computed by selection."""
    size = jnp.abs(vector).astype(jnp.promote_types(vector.dtype, jnp.float32))
    largest = jnp.max(size, initial=0)
    power = jnp.where(jnp.isinf(norm_type), 1.0, norm_type).astype(size.dtype)
    euclid = jnp.sqrt(jnp.sum(size * size))
    general = jnp.sum(size**power) ** (1 / power)
    return jnp.where(norm_type == 2, euclid, jnp.where(jnp.isinf(norm_type), largest, general))


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
    grads = _grads(parameters)
    if not grads:
        return Tensor._wrap(jnp.zeros((), jnp.float32))
    with jax.enable_x64(True):
        total, clipped = _clip_norm([grad._read() for grad in grads], float(max_norm), float(norm_type))
    result = Tensor._wrap(total)
    if error_if_nonfinite and not jnp.isfinite(result._host()):
        raise RuntimeError(
            f"The total norm of order {float(norm_type)} for gradients from `parameters` is non-finite, so it cannot be clipped. To disable this "
            "error and scale the gradients by the non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    for grad, array in zip(grads, clipped, strict=True):
        grad._write(array)
    return result


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None) -> None:
    """Keep every gradient between −clip_value and clip_value. Source: torch.nn.utils.clip_grad_value_."""
    for grad in _grads(parameters):
        grad.detach().clamp_(-float(clip_value), float(clip_value))
