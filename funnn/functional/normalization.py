"""Batch and layer normalisation, over one pure standardisation."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from funnn.errors import ShapeError
from funnn.functional import _checks as check
from funnn.functional._dispatch import public

Axes = tuple[int, ...]


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _standardize(x: jax.Array, axes: Axes, eps: float) -> tuple[jax.Array, jax.Array, jax.Array]:
    """``x̂ = (x − μ) / √(σ² + ε)`` with the mean μ and the biased variance σ² over ``axes``, which both keep; also μ and σ²."""
    mean = jnp.mean(x, axes, keepdims=True)
    centered = x - mean
    var = jnp.mean(jnp.square(centered), axes, keepdims=True)
    return centered * lax.rsqrt(var + eps), mean, var


@_standardize.defjvp
def _standardize_jvp(axes, eps, primals, tangents):
    # From x̂ and σ² alone: the derivative of the textbook form walks back through both sums and is about a third slower on a CPU.
    (t,) = tangents
    hat, mean, var = _standardize(*primals, axes, eps)
    deviation = jnp.sqrt(var + eps)
    mean_t, along = jnp.mean(t, axes, keepdims=True), jnp.mean(hat * t, axes, keepdims=True)
    return (hat, mean, var), ((t - mean_t - hat * along) / deviation, mean_t, 2 * deviation * along)


def _affine(x: jax.Array, weight: jax.Array | None, bias: jax.Array | None) -> jax.Array:
    x = x if weight is None else x * weight.astype(x.dtype)
    return x if bias is None else x + bias.astype(x.dtype)


def _batch_norm_arguments(input: jax.Array, training: bool, **per_channel: jax.Array | None):
    """The checked input; the other arguments, each in the accumulation dtype and of a shape that broadcasts against the input."""
    input = check.floating("batch_norm", "input", input)
    if input.ndim < 2:
        raise ShapeError(f"batch_norm: expected an input of at least 2D, (N, C, *), but got {input.ndim}D of size {check.shape(input)}")
    channels = input.shape[1]
    if training and math.prod(input.shape) == channels:
        raise ShapeError(
            f"Expected more than 1 value per channel when training, got input size {check.shape(input)}. "
            "A variance needs two values: give a larger batch, or normalise with the running statistics (training=False)."
        )
    shaped = []
    for name, x in per_channel.items():
        if x is not None:
            x = check.like("batch_norm", name, x, input, mixed=True)
            if x.shape != (channels,):
                raise ShapeError(
                    f"batch_norm: {name} should contain {channels} elements not {math.prod(x.shape)}: expected shape [{channels}] "
                    f"for input of size {check.shape(input)}, but got {check.shape(x)}"
                )
            x = lax.expand_dims(x, (0, *range(2, input.ndim)))
            x = x.astype(check.accumulator(input.dtype))
        shaped.append(x)
    return input, shaped


def _batch_standardize(input: jax.Array, eps: float):
    axes = (0, *range(2, input.ndim))
    return _standardize(input.astype(check.accumulator(input.dtype)), axes, eps)


@public(scalars=("momentum",))
def batch_norm(
    input: jax.Array,
    running_mean: jax.Array | None,
    running_var: jax.Array | None,
    weight: jax.Array | None = None,
    bias: jax.Array | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> jax.Array:
    """Normalise each channel: ``y = (x − μ) / √(σ² + ε) · γ + β``.

    In training μ and σ² are the mean and biased variance over the batch and all positions, else ``running_mean`` and ``running_var``.

    Args:
      input: ``x``, of shape (N, C, *).
      running_mean: μ outside training, of shape (C,); may be None in training.
      running_var: σ² outside training, of shape (C,); may be None in training.
      weight: γ, of shape (C,); default 1.
      bias: β, of shape (C,); default 0.
      training: whether to take the batch's own statistics; default False.
      momentum: accepted for torch's signature; this function only normalises, see batch_norm_with_stats for the new running statistics.
      eps: ε; default 1e-5.

    Returns:
      An array of the input's shape and dtype.

    Raises:
      ShapeError: an argument's size is not C, or training with one value a channel.
      DtypeError: input is not floating point, or another argument has neither its dtype nor, for half precision, float32.
      ValueError: no running statistics outside training.

    Source: Ioffe and Szegedy, 2015; torch.nn.functional.batch_norm, which also updates the running statistics in place.

    Example:
      >>> import jax.numpy as jnp
      >>> batch_norm(jnp.array([[1.0], [3.0]]), None, None, training=True, eps=0.0).tolist()
      [[-1.0], [1.0]]
    """
    for name, x in (("running_mean", running_mean), ("running_var", running_var)):
        if x is None and not training:
            raise ValueError(f"batch_norm: {name} must be defined in evaluation mode; pass it, or training=True")
    input, (mean, var, weight, bias) = _batch_norm_arguments(
        input, training, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    if training:
        hat, _, _ = _batch_standardize(input, eps)
    else:
        hat = (input.astype(mean.dtype) - mean) * lax.rsqrt(var + eps)
    return _affine(hat, weight, bias).astype(input.dtype)


@public(scalars=("momentum",))
def batch_norm_with_stats(
    input: jax.Array,
    running_mean: jax.Array | None,
    running_var: jax.Array | None,
    weight: jax.Array | None = None,
    bias: jax.Array | None = None,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[jax.Array, jax.Array | None, jax.Array | None]:
    """Batch normalisation in training, with the new running statistics from the same computation.

    ``new_running_mean = (1 − m) · running_mean + m · μ`` and ``new_running_var = (1 − m) · running_var + m · σ² · n / (n − 1)``, where n
    is the number of values a channel: the running variance is unbiased, the one that the output is divided by is not.

    Args:
      input: ``x``, of shape (N, C, *).
      running_mean: of shape (C,), or None for none.
      running_var: of shape (C,), or None for none.
      weight: γ, of shape (C,); default 1.
      bias: β, of shape (C,); default 0.
      momentum: ``m``, the weight of the new value; may be traced; default 0.1.
      eps: ε; default 1e-5.

    Returns:
      (output, new_running_mean, new_running_var): the output as from batch_norm(..., training=True), and the running statistics in their
      own dtypes, constant to differentiation; None where None came. An empty batch leaves them as they are.

    Raises:
      ShapeError, DtypeError: as batch_norm.

    Source: Ioffe and Szegedy, 2015; what torch.nn.functional.batch_norm does in training, without its side effect.

    Example:
      >>> import jax.numpy as jnp
      >>> y, mean, var = batch_norm_with_stats(jnp.array([[1.0], [3.0]]), jnp.zeros(1), jnp.ones(1), momentum=0.5)
      >>> mean.tolist(), var.tolist()
      ([1.0], [1.5])
    """
    checked, (_, _, weight, bias) = _batch_norm_arguments(
        input, True, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    hat, mean, var = _batch_standardize(checked, eps)
    count = math.prod(checked.shape) // max(checked.shape[1], 1)

    def advance(running, new):
        if running is None or count == 0:
            return running
        m = jnp.asarray(momentum, new.dtype)
        return lax.stop_gradient((1 - m) * running.astype(new.dtype) + m * new.reshape(-1)).astype(running.dtype)

    unbiased = var * (count / max(count - 1, 1))
    return _affine(hat, weight, bias).astype(checked.dtype), advance(running_mean, mean), advance(running_var, unbiased)


@public
def layer_norm(
    input: jax.Array,
    normalized_shape: int | Sequence[int],
    weight: jax.Array | None = None,
    bias: jax.Array | None = None,
    eps: float = 1e-5,
) -> jax.Array:
    """Normalise over the last axes: ``y = (x − μ) / √(σ² + ε) · γ + β``, with the mean and biased variance of those axes.

    Args:
      input: ``x``, of shape (*, *normalized_shape).
      normalized_shape: the sizes of the axes to normalise over; an int stands for one axis.
      weight: γ, of shape normalized_shape; default 1.
      bias: β, of shape normalized_shape; default 0.
      eps: ε; default 1e-5.

    Returns:
      An array of the input's shape and dtype. Half precision is computed in float32 and rounded once.

    Raises:
      ShapeError: the input does not end in normalized_shape, or weight or bias has another shape.
      DtypeError: input is not floating point, or weight or bias has neither its dtype nor, for half precision, float32.

    Source: Ba, Kiros and Hinton, 2016; torch.nn.functional.layer_norm.

    Example:
      >>> import jax.numpy as jnp
      >>> layer_norm(jnp.array([[1.0, 3.0]]), (2,), eps=0.0).tolist()
      [[-1.0, 1.0]]
    """
    input = check.floating("layer_norm", "input", input)
    sizes = tuple(normalized_shape) if isinstance(normalized_shape, (tuple, list)) else (normalized_shape,)
    if not sizes:
        raise ShapeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, but got normalized_shape = []"
        )
    if input.shape[-len(sizes) :] != sizes:
        raise ShapeError(
            f"Given normalized_shape={list(sizes)}, expected input with shape [*, {', '.join(map(str, sizes))}], "
            f"but got input of size{check.shape(input)}"
        )
    affine = []
    for name, x in (("weight", weight), ("bias", bias)):
        x = x if x is None else check.like("layer_norm", name, x, input, mixed=True)
        if x is not None and x.shape != sizes:
            raise ShapeError(
                f"Expected {name} to be of same shape as normalized_shape, but got {name} of shape {check.shape(x)} "
                f"and normalized_shape = {list(sizes)}"
            )
        affine.append(x)
    axes = tuple(range(input.ndim - len(sizes), input.ndim))
    hat, _, _ = _standardize(input.astype(check.accumulator(input.dtype)), axes, eps)
    return _affine(hat, *affine).astype(input.dtype)
