"""Softmax and its relatives along an axis."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from funnn._types import Arrays
from funnn.functional import _checks as check
from funnn.functional import _random
from funnn.functional._dispatch import public
from funnn.functional._warn import left_to_collector, warn


def _implicit_dim(name: str, ndim: int) -> int:
    warn(f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.")
    return 0 if ndim in (0, 1, 3) else 1


def _prepare(name: str, input: jax.Array, dim: int | None, dtype: DTypeLike | None) -> tuple[jax.Array, int, jnp.dtype]:
    """The input in the dtype to compute in, the axis, and the dtype of the result."""
    input = check.array("input", input)
    discards = dtype is not None and jnp.iscomplexobj(input) and not jnp.issubdtype(dtype, jnp.complexfloating)
    if discards and left_to_collector("Casting complex values to real discards the imaginary part", UserWarning, once=True):
        input = input.real  # else JAX warns
    input = check.floating(name, "input", input if dtype is None else input.astype(dtype))
    axis = check.axis(_implicit_dim(name, input.ndim) if dim is None else dim, input.ndim)
    return input.astype(check.accumulator(input.dtype)), axis, input.dtype


def shifted_exp(x: jax.Array, axis: int) -> tuple[jax.Array, jax.Array]:
    """``x − m`` and ``Σ exp(x − m)`` with ``m = max x`` along an axis; no exponential of it overflows."""
    # The shift cancels in every use, so m is no path for the gradient. `initial` gives an empty axis a maximum.
    shifted = x - lax.stop_gradient(jnp.max(x, axis, keepdims=True, initial=-jnp.inf))
    return shifted, jnp.sum(jnp.exp(shifted), axis, keepdims=True)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _softmax(x: jax.Array, axis: int) -> jax.Array:
    shifted, total = shifted_exp(x, axis)
    return jnp.exp(shifted) / total


@_softmax.defjvp
def _softmax_jvp(axis: int, primals: Arrays, tangents: Arrays) -> tuple[jax.Array, jax.Array]:
    y, (t,) = _softmax(*primals, axis), tangents
    return y, y * (t - jnp.sum(y * t, axis, keepdims=True))  # in terms of y alone: nothing else is kept for the backward pass


def _log_softmax(x: jax.Array, axis: int) -> jax.Array:
    shifted, total = shifted_exp(x, axis)
    return shifted - jnp.log(total)


def _along_axis(function: Callable[[jax.Array, int], jax.Array], x: jax.Array, axis: int) -> jax.Array:
    return function(x, axis) if x.ndim else function(x[None], 0)[0]


@public
def softmax(input: jax.Array, dim: int | None = None, _stacklevel: int = 3, dtype: DTypeLike | None = None) -> jax.Array:
    """Normalise along an axis to probabilities: ``y_i = exp(x_i) / Σ_j exp(x_j)``.

    Args:
      input: ``x``, of any shape.
      dim: the axis of the sum. None takes torch's legacy choice, with a warning: 0 for inputs of rank 0, 1 or 3, else 1.
      _stacklevel: torch's; the warning points at the line that called, whatever it is.
      dtype: the input is converted to it first; default the input's.

    Returns:
      An array of the input's shape. A row of −∞ alone gives NaN, as in torch.

    Raises:
      DtypeError: input is not floating point and no dtype is given.
      IndexError: dim is out of range.

    Source: torch.nn.functional.softmax. Half precision is computed in float32 and rounded once.

    Example:
      >>> import jax.numpy as jnp
      >>> softmax(jnp.array([[1.0, 1.0], [0.0, 200.0]]), dim=1).tolist()
      [[0.5, 0.5], [0.0, 1.0]]
    """
    x, axis, result = _prepare("softmax", input, dim, dtype)
    return _along_axis(_softmax, x, axis).astype(result)


@public
def log_softmax(input: jax.Array, dim: int | None = None, _stacklevel: int = 3, dtype: DTypeLike | None = None) -> jax.Array:
    """The logarithm of softmax without its underflow: ``y_i = x_i − log Σ_j exp(x_j)``.

    Args:
      input: ``x``, of any shape.
      dim: the axis of the sum. None takes torch's legacy choice, with a warning: 0 for inputs of rank 0, 1 or 3, else 1.
      _stacklevel: torch's; the warning points at the line that called, whatever it is.
      dtype: the input is converted to it first; default the input's.

    Returns:
      An array of the input's shape.

    Raises:
      DtypeError: input is not floating point and no dtype is given.
      IndexError: dim is out of range.

    Source: torch.nn.functional.log_softmax. Half precision is computed in float32 and rounded once.

    Example:
      >>> import jax.numpy as jnp
      >>> log_softmax(jnp.array([0.0, 1000.0]), dim=0).tolist()
      [-1000.0, 0.0]
    """
    x, axis, result = _prepare("log_softmax", input, dim, dtype)
    return _along_axis(_log_softmax, x, axis).astype(result)


@public
def softmin(input: jax.Array, dim: int | None = None, _stacklevel: int = 3, dtype: DTypeLike | None = None) -> jax.Array:
    """Normalise along an axis to probabilities that favour the small: ``y_i = exp(−x_i) / Σ_j exp(−x_j)``.

    Args:
      input: ``x``, of any shape.
      dim: the axis of the sum. None takes torch's legacy choice, with a warning: 0 for inputs of rank 0, 1 or 3, else 1.
      _stacklevel: torch's; the warning points at the line that called, whatever it is.
      dtype: the negated input is converted to it first; default the input's.

    Returns:
      An array of the input's shape.

    Raises:
      DtypeError: input is not floating point and no dtype is given.
      IndexError: dim is out of range.

    Source: torch.nn.functional.softmin.

    Example:
      >>> import jax.numpy as jnp
      >>> softmin(jnp.array([[1.0, 1.0], [0.0, 200.0]]), dim=1).tolist()
      [[0.5, 0.5], [1.0, 0.0]]
    """
    x, axis, result = _prepare("softmin", -check.array("input", input), dim, dtype)
    return _along_axis(_softmax, x, axis).astype(result)


@public
def gumbel_softmax(
    logits: jax.Array, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1, *, key: jax.Array | None = None
) -> jax.Array:
    """Sample from a categorical distribution, differentiably: ``y = softmax((x + g) / τ)`` with g from the standard Gumbel distribution.

    Args:
      logits: ``x``, unnormalised log probabilities along dim.
      tau: τ, the temperature; default 1.
      hard: whether to give the one-hot vector of the largest, with the derivative of the soft sample; default False.
      eps: deprecated in torch and without effect.
      dim: the axis of the classes; default −1.
      key: a JAX random key.

    Returns:
      An array of the logits' shape and dtype, which sums to 1 along dim.

    Raises:
      KeyRequiredError: no key.
      DtypeError: logits are not floating point.

    Source: Jang et al., 2016; Maddison et al., 2016; torch.nn.functional.gumbel_softmax.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> gumbel_softmax(jnp.array([0.0, 100.0]), hard=True, key=jax.random.key(0)).tolist()
      [0.0, 1.0]
    """
    if eps != 1e-10:
        warn("`eps` parameter is deprecated and has no effect.")
    logits = check.floating("gumbel_softmax", "logits", logits)
    gumbels = -jnp.log(_random.required("gumbel_softmax", key, "a sample to take").exponential(logits.shape, logits.dtype))
    soft = softmax.pure((logits + gumbels) / tau, dim)
    if not hard:
        return soft
    axis = check.axis(dim, logits.ndim)
    largest = jnp.argmax(soft, axis, keepdims=True)
    one_hot = (lax.broadcasted_iota(largest.dtype, soft.shape, axis) == largest).astype(soft.dtype)
    return one_hot - lax.stop_gradient(soft) + soft
