"""The next token from the scores of all: the likeliest, or one drawn after a temperature and after the unlikely ones are left out."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from funnn.errors import ArgumentError
from funnn.functional import _checks as check
from funnn.functional import _random
from funnn.functional._dispatch import public


@public
def top_k_filter(logits: jax.Array, k: int) -> jax.Array:
    """The logits with −∞ for all but the ``k`` largest; what equals the k-th largest stays too.

    Args:
      logits: of shape (*, V).
      k: how many tokens stay, at least 1; V or more leaves all.

    Returns:
      An array of the logits' shape and dtype.

    Raises:
      ArgumentError: k is not positive.
      DtypeError: logits are not floating point.

    Source: Fan et al., "Hierarchical neural story generation" (2018).

    Example:
      >>> import jax.numpy as jnp
      >>> top_k_filter(jnp.array([1.0, 3.0, 2.0]), 2).tolist()
      [-inf, 3.0, 2.0]
    """
    logits = check.floating("top_k_filter", "logits", logits)
    if k < 1:
        raise ArgumentError(f"top_k_filter: k must be at least 1, but got k={k}")
    if k >= logits.shape[-1]:
        return logits
    least = jax.lax.top_k(jax.lax.stop_gradient(logits), k)[0][..., -1:]
    return jnp.where(logits < least, -jnp.inf, logits)


@public
def top_p_filter(logits: jax.Array, p: Any) -> jax.Array:
    """The logits with −∞ for all but the nucleus: the likeliest tokens, up to the one with which their probability reaches ``p``.

    Args:
      logits: of shape (*, V).
      p: in [0, 1], a number or an array that broadcasts to (*, 1); 0 leaves the likeliest token alone, 1 leaves all that have a probability.

    Returns:
      An array of the logits' shape and dtype.

    Raises:
      ArgumentError: p is a number outside [0, 1].
      DtypeError: logits are not floating point.

    Source: Holtzman et al., "The curious case of neural text degeneration" (2020).

    Example:
      >>> import jax.numpy as jnp
      >>> top_p_filter(jnp.log(jnp.array([0.5, 0.25, 0.25])), 0.4).tolist()[1:]
      [-inf, -inf]
    """
    logits = check.floating("top_p_filter", "logits", logits)
    _check_share("top_p_filter", p)
    order = jnp.argsort(-jax.lax.stop_gradient(logits), axis=-1)  # stable: of equals the first comes first
    sorted_probabilities = jnp.take_along_axis(_probabilities(logits), order, -1)
    before = jnp.cumsum(sorted_probabilities, -1) - sorted_probabilities
    kept = (before < p) | (jnp.arange(logits.shape[-1]) == 0)
    return jnp.where(jnp.take_along_axis(kept, jnp.argsort(order, -1), -1), logits, -jnp.inf)


@public
def min_p_filter(logits: jax.Array, p: Any) -> jax.Array:
    """The logits with −∞ for tokens whose probability is below ``p`` times that of the likeliest.

    Args:
      logits: of shape (*, V).
      p: in [0, 1], a number or an array that broadcasts to (*, 1); 0 leaves all.

    Returns:
      An array of the logits' shape and dtype.

    Raises:
      ArgumentError: p is a number outside [0, 1].
      DtypeError: logits are not floating point.

    Source: Nguyen et al., "Turning up the heat: min-p sampling" (2024).

    Example:
      >>> import jax.numpy as jnp
      >>> min_p_filter(jnp.log(jnp.array([0.5, 0.3, 0.2])), 0.5).tolist()[2]
      -inf
    """
    logits = check.floating("min_p_filter", "logits", logits)
    _check_share("min_p_filter", p)
    probabilities = _probabilities(logits)
    return jnp.where(probabilities < p * probabilities.max(-1, keepdims=True), -jnp.inf, logits)


@public
def sample_tokens(
    logits: jax.Array,
    temperature: Any = 1.0,
    top_k: int | None = None,
    top_p: Any = None,
    min_p: Any = None,
    *,
    key: jax.Array | None = None,
) -> jax.Array:
    """Tokens drawn from softmax(logits / temperature), after the filters top-k, top-p and min-p in this order; the likeliest at temperature 0.

    Args:
      logits: of shape (*, V).
      temperature: above 1 evens the probabilities out, below 1 sharpens them. A number 0 takes the likeliest token (of equals the first) and needs no
        key; other numbers, and arrays that broadcast to (*, 1), draw. Default 1.
      top_k: keep the k likeliest tokens only; default all.
      top_p: keep the nucleus of this probability only; default all.
      min_p: keep tokens of at least this share of the likeliest one's probability only; default all.
      key: a JAX random key.

    Returns:
      Integers (int32) of shape (*).

    Raises:
      KeyRequiredError: temperature is not 0 and key is None.
      ArgumentError: temperature is negative, or a filter's number is out of its range.
      DtypeError: logits are not floating point.

    Source: :func:`top_k_filter`, :func:`top_p_filter`, :func:`min_p_filter`; draws by the Gumbel trick.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> logits = jnp.array([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]])
      >>> sample_tokens(logits, temperature=0).tolist(), sample_tokens(logits, top_k=1, key=jax.random.key(0)).tolist()
      ([1, 0], [1, 0])
    """
    logits = check.floating("sample_tokens", "logits", logits)
    logits = logits.astype(check.accumulator(logits.dtype))
    if isinstance(temperature, (int, float)):
        if temperature < 0:
            raise ArgumentError(f"sample_tokens: temperature must be at least 0, but got temperature={temperature}")
        if temperature == 0:
            return jnp.argmax(logits, -1).astype(jnp.int32)
    source = _random.required("sample_tokens", key, f"temperature={temperature}")
    logits = logits / temperature
    logits = logits if top_k is None else top_k_filter(logits, top_k)
    logits = logits if top_p is None else top_p_filter(logits, top_p)
    logits = logits if min_p is None else min_p_filter(logits, min_p)
    # The largest of logits with Gumbel noise: −log of exponential numbers.
    return jnp.argmax(logits - jnp.log(source.exponential(logits.shape, logits.dtype)), -1).astype(jnp.int32)


def _probabilities(logits: jax.Array) -> jax.Array:
    return jax.nn.softmax(jax.lax.stop_gradient(logits).astype(check.accumulator(logits.dtype)), -1)


def _check_share(function: str, p: Any) -> None:
    if isinstance(p, (int, float)) and not 0 <= p <= 1:
        raise ArgumentError(f"{function}: p must be between 0 and 1, but got p={p}")
