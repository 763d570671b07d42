"""Batch and instance normalisation: per channel, over the batch and all positions or over the positions alone."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import lax

from funnn.errors import ArgumentError, ShapeError, ShapeValueError
from funnn.functional import _checks as check
from funnn.functional import _norm_kernel as kernel
from funnn.functional._dispatch import public


def _arguments(function: str, input: jax.Array, eps: float, **per_channel: jax.Array | None) -> tuple[jax.Array, list[jax.Array | None]]:
    """The checked input; the other arguments, each in the dtype to compute in and of a shape that broadcasts against the input."""
    input = check.floating(function, "input", input)
    if input.ndim < 2:
        raise ShapeError(f"{function}: expected an input of at least 2D, (N, C, *), but got {input.ndim}D of size {check.shape(input)}")
    if eps < 0:
        raise ArgumentError(f"{function} eps must be non-negative, but got {eps}")
    if (per_channel["running_mean"] is None) != (per_channel["running_var"] is None):
        raise ShapeValueError(f"{function}: running_mean and running_var must either both be None or neither be None: pass both")
    channels = input.shape[1]
    shaped = []
    for name, x in per_channel.items():
        if x is not None:
            x = check.like(function, name, x, input, mixed=True)
            if x.shape != (channels,):
                raise ShapeError(
                    f"{function}: {name} should contain {channels} elements not {math.prod(x.shape)}: expected shape [{channels}] "
                    f"for input of size {check.shape(input)}, but got {check.shape(x)}"
                )
            x = lax.expand_dims(x, (0, *range(2, input.ndim))).astype(check.accumulator(input.dtype))
        shaped.append(x)
    return input, shaped


def _check_batch(input: jax.Array, eps: float, members: int = 1) -> None:
    """Refuse a batch, of which there are ``members`` parts like this one, without two values a channel."""
    if math.prod(input.shape) * members == input.shape[1]:
        raise ShapeValueError(
            f"Expected more than 1 value per channel when training, got input size {check.shape(input)}. "
            "A variance needs two values: give a larger batch, or normalise with the running statistics (training=False)."
        )
    if eps <= 0:
        raise ArgumentError(f"batch_norm eps must be positive during training, but got {eps}")


def _check_positions(input: jax.Array) -> None:
    if math.prod(input.shape[2:]) == 1:
        raise ShapeValueError(
            f"Expected more than 1 spatial element when training, got input size {check.shape(input)}. A variance needs two values: give "
            "a larger input, or normalise with the running statistics (use_input_stats=False)."
        )


def _with_given_statistics(
    function: str,
    flag: str,
    input: jax.Array,
    mean: jax.Array | None,
    var: jax.Array | None,
    weight: jax.Array | None,
    bias: jax.Array | None,
    eps: float,
) -> jax.Array:
    if mean is None or var is None:
        raise ArgumentError(f"{function}: running_mean must be defined in evaluation mode; pass it and running_var, or {flag}=True")
    scale = lax.rsqrt(var + jnp.asarray(eps, var.dtype))
    scale = scale if weight is None else scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    return (input.astype(mean.dtype) * scale + shift).astype(input.dtype)


def _advance(running: jax.Array | None, new: jax.Array, momentum: float) -> jax.Array | None:
    """``(1 − m) · running + m · new`` in the running statistic's dtype, constant to differentiation."""
    if running is None:
        return None
    m = jnp.asarray(momentum, new.dtype)
    return lax.stop_gradient((1 - m) * running.astype(new.dtype) + m * new).astype(running.dtype)


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
      ArgumentError: no running statistics outside training, or eps not positive in it.

    Source: Ioffe and Szegedy, 2015; torch.nn.functional.batch_norm, which also updates the running statistics in place.

    Example:
      >>> import jax.numpy as jnp
      >>> batch_norm(jnp.array([[1.0], [3.0]]), None, None, training=True, eps=1e-9).tolist()
      [[-1.0], [1.0]]
    """
    input, (mean, var, weight, bias) = _arguments(
        "batch_norm", input, eps, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    if not training:
        return _with_given_statistics("batch_norm", "training", input, mean, var, weight, bias, eps)
    _check_batch(input, eps)
    x = input.astype(check.accumulator(input.dtype))
    return kernel.normalize(x, weight, bias, (0, *range(2, x.ndim)), eps)[0].astype(input.dtype)


@public(scalars=("momentum",))
def batch_norm_with_stats(
    input: jax.Array,
    running_mean: jax.Array | None,
    running_var: jax.Array | None,
    weight: jax.Array | None = None,
    bias: jax.Array | None = None,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    mesh_axis: str | tuple[str, ...] | None = None,
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
      mesh_axis: inside shard_map or vmap, the named axes whose devices or members each hold a part of the batch: the statistics are of all of it; default none.

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
    checked, (_, _, weight, bias) = _arguments(
        "batch_norm", input, eps, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    members = 1 if mesh_axis is None else lax.psum(1, mesh_axis)
    _check_batch(checked, eps, members)
    x = checked.astype(check.accumulator(checked.dtype))
    y, mean, var = kernel.normalize(x, weight, bias, (0, *range(2, x.ndim)), eps, True, mesh_axis)
    y, count = y.astype(checked.dtype), math.prod(x.shape) // max(x.shape[1], 1)
    if count == 0:
        return y, running_mean, running_var
    count *= members
    unbiased = var.reshape(-1) * (count / max(count - 1, 1))
    return y, _advance(running_mean, mean.reshape(-1), momentum), _advance(running_var, unbiased, momentum)


@public(scalars=("momentum",))
def instance_norm(
    input: jax.Array,
    running_mean: jax.Array | None = None,
    running_var: jax.Array | None = None,
    weight: jax.Array | None = None,
    bias: jax.Array | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    batched: bool = True,
) -> jax.Array:
    """Normalise each channel of each item: ``y = (x − μ) / √(σ² + ε) · γ + β``.

    μ and σ² are the mean and biased variance over the positions, or ``running_mean`` and ``running_var`` without use_input_stats.

    Args:
      input: ``x``, of shape (N, C, *); (C, *) with batched=False.
      running_mean: μ without use_input_stats, of shape (C,).
      running_var: σ² without use_input_stats, of shape (C,).
      weight: γ, of shape (C,); default 1.
      bias: β, of shape (C,); default 0.
      use_input_stats: whether to take each item's own statistics; default True.
      momentum: accepted for torch's signature; see instance_norm_with_stats for the new running statistics.
      eps: ε; default 1e-5.
      batched: whether the input has a batch axis; default True.

    Returns:
      An array of the input's shape and dtype.

    Raises:
      ShapeError: an argument's size is not C, or one position alone.
      DtypeError: input is not floating point, or another argument has neither its dtype nor, for half precision, float32.
      ArgumentError: no running statistics without use_input_stats.

    Source: Ulyanov et al., 2016; torch.nn.functional.instance_norm, which also updates the running statistics in place.

    Example:
      >>> import jax.numpy as jnp
      >>> instance_norm(jnp.array([[[1.0, 3.0], [0.0, 8.0]]]), eps=0.0).tolist()
      [[[-1.0, 1.0], [-1.0, 1.0]]]
    """
    if use_input_stats:
        return _instance_norm(input, running_mean, running_var, weight, bias, eps, batched)[0]
    x, (mean, var, weight, bias) = _arguments(
        "instance_norm",
        input if batched else input[None],
        eps,
        running_mean=running_mean,
        running_var=running_var,
        weight=weight,
        bias=bias,
    )
    y = _with_given_statistics("instance_norm", "use_input_stats", x, mean, var, weight, bias, eps)
    return y if batched else y[0]


def _instance_norm(
    input: jax.Array,
    running_mean: jax.Array | None,
    running_var: jax.Array | None,
    weight: jax.Array | None,
    bias: jax.Array | None,
    eps: float,
    batched: bool,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """y, and the items' means and biased variances, (N, C, 1, …)."""
    checked, (_, _, weight, bias) = _arguments(
        "instance_norm",
        input if batched else input[None],
        eps,
        running_mean=running_mean,
        running_var=running_var,
        weight=weight,
        bias=bias,
    )
    _check_positions(checked)
    x = checked.astype(check.accumulator(checked.dtype))
    y, mean, var = kernel.normalize(x, weight, bias, tuple(range(2, x.ndim)), eps)
    y = y.astype(checked.dtype)
    return y if batched else y[0], mean, var


@public(scalars=("momentum",))
def instance_norm_with_stats(
    input: jax.Array,
    running_mean: jax.Array | None = None,
    running_var: jax.Array | None = None,
    weight: jax.Array | None = None,
    bias: jax.Array | None = None,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    batched: bool = True,
) -> tuple[jax.Array, jax.Array | None, jax.Array | None]:
    """Instance normalisation with the items' own statistics, and the new running statistics from the same computation.

    ``new_running_mean = (1 − m) · running_mean + m · mean_n(μ_n)``, likewise the variance with the unbiased ``σ²_n · L / (L − 1)`` of L positions.

    Args:
      input: ``x``, of shape (N, C, *); (C, *) with batched=False.
      running_mean: of shape (C,), or None for none.
      running_var: of shape (C,), or None for none.
      weight: γ, of shape (C,); default 1.
      bias: β, of shape (C,); default 0.
      momentum: ``m``, the weight of the new value; may be traced; default 0.1.
      eps: ε; default 1e-5.
      batched: whether the input has a batch axis; default True.

    Returns:
      (output, new_running_mean, new_running_var), the statistics in their own dtypes, constant to differentiation; None where None came.

    Raises:
      ShapeError, DtypeError: as instance_norm.

    Source: Ulyanov et al., 2016; what torch.nn.functional.instance_norm does with use_input_stats, without its side effect.

    Example:
      >>> import jax.numpy as jnp
      >>> y, mean, var = instance_norm_with_stats(jnp.array([[[1.0, 3.0]]]), jnp.zeros(1), jnp.ones(1), momentum=0.5)
      >>> mean.tolist(), var.tolist()
      ([1.0], [1.5])
    """
    y, mean, var = _instance_norm(input, running_mean, running_var, weight, bias, eps, batched)
    if y.size == 0:
        return y, running_mean, running_var
    count = math.prod(input.shape[2 if batched else 1 :])
    channels = mean.shape[1]
    mean = jnp.mean(mean.reshape(-1, channels), 0)
    unbiased = jnp.mean(var.reshape(-1, channels), 0) * (count / max(count - 1, 1))
    return y, _advance(running_mean, mean, momentum), _advance(running_var, unbiased, momentum)
