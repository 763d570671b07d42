"""Dropout, in two steps: draw which elements to keep, then apply that mask."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from funnn.errors import KeyRequiredError
from funnn.functional import _checks as check
from funnn.functional._dispatch import public


def _check_p(p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


@public
def draw_mask(key: jax.Array, shape: Sequence[int], p: float) -> jax.Array:
    """Draw which elements dropout keeps: True with probability ``1 − p``, independently.

    Args:
      key: a JAX random key.
      shape: the shape of the mask.
      p: probability of dropping an element, in [0, 1].

    Returns:
      A boolean array.

    Example:
      >>> import jax
      >>> draw_mask(jax.random.key(0), (2, 3), p=0.0).all().item()
      True
    """
    _check_p(p)
    # float32 whatever the mode and the input, so that a key always draws the same mask
    return jax.random.uniform(key, tuple(shape), jnp.float32) < np.float32(1.0 - p)


@public
def apply_mask(input: jax.Array, keep: jax.Array, p: float) -> jax.Array:
    """Zero what a mask drops and scale up the rest: ``y = x · keep / (1 − p)``.

    Args:
      input: ``x``, of any shape.
      keep: boolean (or 0 and 1), of a shape that broadcasts to the input's.
      p: the probability with which ``keep`` was drawn False, in [0, 1].

    Returns:
      An array of the input's shape and dtype. NaN and ∞ give NaN where they are dropped, as in torch.

    Raises:
      DtypeError: input is not floating point.
      ValueError: p is out of range.

    Source: the second half of torch.nn.functional.dropout, rounded as there.

    Example:
      >>> import jax.numpy as jnp
      >>> apply_mask(jnp.array([1.0, 2.0]), jnp.array([True, False]), 0.5).tolist()
      [2.0, 0.0]
    """
    input, keep = check.floating("dropout", "input", input), check.array("keep", keep)
    _check_p(p)
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
    _check_p(p)
    input = check.floating("dropout", "input", input)
    if not training or p == 0:
        return input
    if p == 1:
        return input * jnp.zeros((), input.dtype)
    if key is None:
        raise KeyRequiredError(
            f"dropout with training=True and p={p} draws random numbers and needs a key: pass key=jax.random.key(seed), "
            "a fresh one for every call (jax.random.split), or training=False."
        )
    return apply_mask.pure(input, draw_mask(key, input.shape, p), p)
