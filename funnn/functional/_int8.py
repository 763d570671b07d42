"""Numbers of 8 bits with scales: weights row by row, and the products of such weights."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from funnn.functional import _checks as check
from funnn.functional._dispatch import public

BLOCK = 2**18  # so many integers become floating-point numbers at a time


def quantize_rows(weight: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Integers q in [−127, 127] of the shape of ``weight``, and scales s (…, 1) in float32, with w ≈ s q in each row of the last axis.

    s = max |w| / 127, and q = w / s rounded to the nearest, so that no number is off by more than s / 2. A row of zeros has s = 1.

    >>> q, s = quantize_rows(jnp.array([[1.27, -0.4], [0.0, 0.0]]))
    >>> q.tolist(), [round(x, 4) for x in s[:, 0].tolist()]
    ([[127, -40], [0, 0]], [0.01, 1.0])
    """
    wide = weight.astype(jnp.float32)
    largest = jnp.max(jnp.abs(wide), -1, keepdims=True, initial=0.0)
    scale = jnp.where(largest == 0, 1.0, largest / 127)
    return jnp.clip(jnp.round(wide / scale), -127, 127).astype(jnp.int8), scale


def scaled_linear(input: jax.Array, weight: jax.Array, scale: jax.Array, bias: jax.Array | None) -> jax.Array:
    """``x (s q)ᵀ + b`` of integers q (out, in) and scales s (out, 1): sums in float32, rounded once to the input's dtype."""
    wide = check.accumulator(input.dtype)
    # An integer of 8 bits is a number of any floating type, and the scale of a row leaves the sum.
    sums = _sums(input, weight, wide) * scale[:, 0].astype(wide)
    return (sums if bias is None else sums + bias.astype(wide)).astype(input.dtype)


def _sums(input: jax.Array, weight: jax.Array, wide: Any) -> jax.Array:
    """``x qᵀ``. On a CPU a few rows of q become floating-point numbers at a time, in its caches: all at once would be a weight of full size in memory, written
    and read at each call, and the product of one input would take ten times as long."""
    rows, columns = weight.shape
    size = max(1, BLOCK // max(1, columns))
    if jax.default_backend() != "cpu" or rows < 2 * size:
        return _product(input, weight, wide)
    count = -(-rows // size)

    @functools.partial(jax.checkpoint, prevent_cse=False)  # a derivative keeps no rows either
    def step(_: None, number: jax.Array) -> tuple[None, jax.Array]:
        part = lax.dynamic_slice_in_dim(weight, jnp.minimum(number * size, rows - size), size, 0)  # the last ones may be there twice
        return None, _product(input, part, wide)

    _, found = lax.scan(step, None, jnp.arange(count, dtype=jnp.int32))
    found = jnp.moveaxis(found, 0, -2)
    whole, missing = found[..., :-1, :], count * size - rows
    return jnp.concatenate([whole.reshape(*input.shape[:-1], (count - 1) * size), found[..., -1, missing:]], -1)


def _product(input: jax.Array, weight: jax.Array, wide: Any) -> jax.Array:
    return lax.dot_general(input, weight.astype(input.dtype), (((input.ndim - 1,), (1,)), ((), ())), preferred_element_type=wide)


@public
def quantize_tensor(weight: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Integers in [−128, 127] and one scale s = max |w| / 127.5, as torch's observer of weights finds it."""
    scale = jnp.maximum(jnp.max(jnp.abs(weight), initial=0.0) / 127.5, jnp.finfo(jnp.float32).eps).astype(jnp.float32)
    return jnp.clip(jnp.round(weight * (1 / scale)), -128, 127).astype(jnp.int8), scale


@public
def quantize_table(weight: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Integers q in [0, 255], scales s and smallest numbers m, (rows, 1), with w ≈ s q + m in each row, as torch's observer of tables finds them."""
    low, high = jnp.min(weight, -1, keepdims=True), jnp.max(weight, -1, keepdims=True)
    scale = (high - low) / 255
    scale = jnp.where(scale > jnp.finfo(jnp.float32).eps, scale, 1.0)
    zero = -low / scale
    return jnp.clip(jnp.round(weight * (1 / scale) + zero), 0, 255).astype(jnp.uint8), scale, -zero * scale


@public
def table_rows(input: jax.Array, weight: jax.Array, scale: jax.Array, smallest: jax.Array) -> jax.Array:
    """The rows ``s_i q_i + m_i`` of a table that ``quantize_table`` gave: integers (*) to numbers (*, columns)."""
    rows, scales, least = (jnp.take(x, input, axis=0) for x in (weight, scale, smallest))
    return rows.astype(scale.dtype) * scales + least


@public
def dynamic_linear(input: jax.Array, weight: jax.Array, scale: jax.Array, bias: jax.Array | None) -> jax.Array:
    """``s_x s (q_x − z) qᵀ + b`` of integers q with one scale s, and an input that is rounded to integers q_x of its own scale s_x and zero point z.

    With a = min(x, 0) and b = max(x, 0): s_x = (b − a) / 127 and z = −a / s_x rounded, so that 0 is itself an integer; q_x = x / s_x rounded, plus z, within
    [0, 255]. The sums are of integers, exact. Source: torch.ops.quantized.linear_dynamic, with the reduced range of x86 and fbgemm.
    """
    if input.dtype != jnp.float32:
        raise RuntimeError(
            f"expected scalar type Float but found {input.dtype}: a quantised Linear takes float32; convert the input with .float()"
        )
    if input.ndim < 2:
        raise RuntimeError(
            f"The dimension of input tensor should be larger than or equal to 2, but it is {input.ndim}; add an axis with x[None]"
        )
    if input.shape[-1] != weight.shape[-1]:
        raise RuntimeError(
            f"The number of rows in the packB should be equal to K: {input.shape[-1]}: the input's last axis must be in_features={weight.shape[-1]}"
        )
    return dynamic_product(input, weight, scale, bias)


def dynamic_product(input: jax.Array, weight: jax.Array, scale: jax.Array, bias: jax.Array | None) -> jax.Array:
    """What ``dynamic_linear`` gives, without its checks."""
    low, high = jnp.min(input, initial=0.0), jnp.max(input, initial=0.0)
    exact = (high - low) / 127
    usable = jnp.isfinite(1 / exact)
    zero = jnp.clip(jnp.round(jnp.where(usable, -low / exact, -low / 0.1)), 0, 127)
    step = jnp.where(usable, jnp.maximum(exact, 6.1e-5), 0.1)  # torch's least scale; its zero point stays that of the exact one
    q = jnp.clip(jnp.round(input * (1 / step)) + zero, 0, 255).astype(jnp.int32) - zero.astype(jnp.int32)
    dimensions = (((input.ndim - 1,), (1,)), ((), ()))
    sums = lax.dot_general(q, weight.astype(jnp.int32), dimensions).astype(jnp.float32) * (step * scale)
    return sums if bias is None else sums + bias
