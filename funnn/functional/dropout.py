"""Dropout: elements switched off at random in training."""

from __future__ import annotations

import math
from typing import Protocol

import jax
import jax.numpy as jnp

from funnn.errors import ShapeError
from funnn.functional import _checks as check
from funnn.functional import _random
from funnn.functional._dispatch import Public, public
from funnn.functional._warn import warn


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
    return _drop("dropout", input, p, training, key)


def _drop(
    function: str, input: jax.Array, p: float, training: bool, key: jax.Array | None, feature: bool = False, alpha: bool = False
) -> jax.Array:
    """All of the family: ``feature`` draws one number for each item and channel, ``alpha`` keeps mean and variance of a SELU network."""
    check_probability(p)
    size = check.array("input", input).size
    if not training or p == 0 or size == 0:
        return input
    input = check.floating(function, "input", input)
    if feature and input.ndim < 2:
        raise ShapeError("Feature dropout requires at least 2 dimensions in the input")
    if p == 1:
        return input * jnp.zeros((), input.dtype)
    shape = (*input.shape[:2], *(1,) * (input.ndim - 2)) if feature else input.shape
    keep = _random.required(function, key, f"training=True and p={p}").bernoulli(shape, input.dtype, 1.0 - p)
    if not alpha:
        return apply_mask(input, keep, p)
    low = 1.7580993408473766  # minus SELU's lower limit
    scale = 1 / math.sqrt((low * low * p + 1) * (1 - p))
    shift = (keep - 1) * jnp.asarray(low * scale, keep.dtype) + jnp.asarray(low * scale * p, keep.dtype)
    return input * (keep * jnp.asarray(scale, keep.dtype)) + shift


_ARGS = """
    Args:
      input: of shape {shape}.
      p: probability of dropping, in [0, 1]; default 0.5.
      training: without it the input is returned unchanged; default {training}.
      inplace: accepted for torch's signature and ignored, for arrays are immutable; default False.
      key: a JAX random key; needed in training when p > 0.

    Returns:
      An array of the input's shape and dtype.

    Raises:
      KeyRequiredError: training with p > 0 and no key.
      ValueError: p is outside [0, 1].
      {error}DtypeError: input is not floating point.

    Source: {source}

    Example:
      >>> import jax, jax.numpy as jnp
      >>> {name}(jnp.ones({ones}), 0.5, {off}key=jax.random.key(0)).shape
      {ones}
    """


class Dropout(Public, Protocol):
    def __call__(
        self, input: jax.Array, p: float = 0.5, training: bool = True, inplace: bool = False, *, key: jax.Array | None = None
    ) -> jax.Array: ...


class AlphaDropout(Public, Protocol):
    def __call__(
        self, input: jax.Array, p: float = 0.5, training: bool = False, inplace: bool = False, *, key: jax.Array | None = None
    ) -> jax.Array: ...


def _channels(n: int) -> Dropout:
    """Dropout of whole channels, over n spatial axes."""

    def drop(input: jax.Array, p: float = 0.5, training: bool = True, inplace: bool = False, *, key: jax.Array | None = None) -> jax.Array:
        check_probability(p)
        input, name = check.array("input", input), f"dropout{n}d"
        if input.ndim not in (n + 1, n + 2):
            expected = f"Expected {n + 1}D or {n + 2}D input"
            if n == 1:
                raise ShapeError(
                    f"{name}: {expected}, but received a {input.ndim}D input. It drops channels; dropout drops elements of any shape."
                )
            warn(
                f"{name}: Received a {input.ndim}-D input to {name}, which is deprecated and will result in an error in a future release. "
                f"To retain the behavior and silence this warning, please use dropout instead. Note that {name} exists to provide channel-wise "
                f"dropout on inputs with {n} spatial dimensions, a channel dimension, and an optional batch dimension (i.e. {n + 1}D or {n + 2}D "
                "inputs).",
            )
        if n == 2 and input.ndim == 3:
            warn(
                "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout behavior is desired - input is "
                "interpreted as shape (N, C, L), where C is the channel dim. This behavior will change in a future release to interpret the "
                "input as one without a batch dimension, i.e. shape (C, H, W). To maintain the 1D channel-wise dropout behavior, please switch to "
                "using dropout1d instead.",
            )
        unbatched = n != 2 and input.ndim != n + 2
        result = _drop(name, input[None] if unbatched else input, p, training, key, feature=True)
        return result[0] if unbatched else result

    drop.__name__ = drop.__qualname__ = f"dropout{n}d"
    axes = ", ".join("DHW"[3 - n :] if n > 1 else "L")
    batch = f"(N, C, {axes})" if n == 2 else f"(N, C, {axes}) or (C, {axes})"
    drop.__doc__ = "Zero each channel of each item with probability p and scale the others by ``1 / (1 − p)``.\n" + _ARGS.format(
        shape=batch,
        training=True,
        error="",
        source=f"Tompson et al., 2015; torch.nn.functional.dropout{n}d.",
        name=drop.__name__,
        ones=(2, 3, *(2,) * n),
        off="",
    )
    return public(drop)


dropout1d, dropout2d, dropout3d = _channels(1), _channels(2), _channels(3)


def _alpha(feature: bool) -> AlphaDropout:
    """Dropout that keeps mean and variance, of elements or of whole channels."""

    def drop(input: jax.Array, p: float = 0.5, training: bool = False, inplace: bool = False, *, key: jax.Array | None = None) -> jax.Array:
        return _drop(drop.__name__, input, p, training, key, feature=feature, alpha=True)

    drop.__name__ = drop.__qualname__ = "feature_alpha_dropout" if feature else "alpha_dropout"
    what = "channel of each item" if feature else "element"
    drop.__doc__ = (
        f"Set each {what} to SELU's lower limit with probability p, then scale and shift all so that mean and variance stay the same.\n\n"
        "    ``y = a · (x if kept else −1.758…) + b`` with ``a = ((1 − p) · (1 + p · 1.758…²))^(−1/2)`` and ``b = a · p · 1.758…``.\n"
        + _ARGS.format(
            shape="(N, C, *)" if feature else "any shape",
            training=False,
            error="ShapeError: fewer than 2 axes.\n      " if feature else "",
            source=f"Klambauer et al., 2017; torch.nn.functional.{drop.__name__}.",
            name=drop.__name__,
            ones=(2, 3, 4),
            off="training=True, ",
        )
    )
    return public(drop)


alpha_dropout, feature_alpha_dropout = _alpha(False), _alpha(True)
