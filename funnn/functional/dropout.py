"""Dropout: elements switched off at random in training."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from funnn.functional import _checks as check
from funnn.functional import _random
from funnn.functional._dispatch import public


def check_probability(p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def apply_mask(input: jax.Array, keep: jax.Array, p: float) -> jax.Array:
    """``x · keep / (1 − p)`` for a mask of zeros and ones, rounded as in torch; NaN and ∞ give NaN where they are dropped."""
    # torch divides the 0/1 noise by 1 − p and multiplies by it; a constant scale gives the same bits
    wide = check.accumulator(input.dtype).type
    scale = jnp.asarray(wide(1) / wide(1.0 - p) if p < 1 else 0, input.dtype)
    return input * jnp.where(keep.astype(jnp.bool_), scale, jnp.zeros((), input.dtype))


@public
def dropout(input: jax.Array, p: float = 0.5, training: bool = True, inplace: bool = False, *, key: jax.Array | None = None) -> jax.Array:
    """Zero each element with probability p and scale the others by ``1 / (1 − p)``, so that the mean stays the same.

    Args:
      input: of any shape.
      p: probability of dropping an element, in [0, 1]; default 0.5.
      training: without it the input is returned unchanged; default True.
      inplace: accepted for torch's signature and ignored, for arrays are immutable; default False.
      key: a JAX random key; needed in training when p > 0. A key determines the mask, so use a fresh one for every call.

    Returns:
      An array of the input's shape and dtype.

    Raises:
      KeyRequiredError: training with p > 0 and no key.
      ValueError: p is outside [0, 1].
      DtypeError: input is not floating point.

    Source: Srivastava et al., 2014; torch.nn.functional.dropout, which draws from a global generator where this takes a key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> sorted(set(dropout(jnp.ones(100), p=0.5, key=jax.random.key(0)).tolist()))
      [0.0, 2.0]
    """
    check_probability(p)
    input = check.floating("dropout", "input", input)
    if not training or p == 0 or input.size == 0:
        return input
    if p == 1:
        return input * jnp.zeros((), input.dtype)
    keep = _random.required("dropout", key, f"training=True and p={p}").bernoulli(input.shape, input.dtype, 1.0 - p)
    return apply_mask(input, keep, p)
