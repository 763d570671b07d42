"""Layer, group and root-mean-square normalisation, and the norms without statistics: local response, unit length."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from funnn.errors import ArgumentError, ShapeError, ShapeValueError
from funnn.functional import _checks as check
from funnn.functional import _norm_kernel as kernel
from funnn.functional._dispatch import public
from funnn.functional._lp import check_order, lp_norm


def _normalized_sizes(input: jax.Array, normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    """The sizes of the last axes, checked against the input's."""
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
    return sizes


def _per_element(function: str, input: jax.Array, sizes: tuple[int, ...], dtype: DTypeLike, **parameters: jax.Array | None) -> list[Any]:
    """Weight and bias in the dtype to compute in and the input's rank, checked to be of the normalised shape."""
    shaped = []
    for name, x in parameters.items():
        if x is not None:
            x = check.like(function, name, x, input, mixed=True)
            if x.shape != sizes:
                raise ShapeError(
                    f"Expected {name} to be of same shape as normalized_shape, but got {name} of shape {check.shape(x)} "
                    f"and normalized_shape = {list(sizes)}"
                )
            x = x.astype(dtype).reshape((1,) * (input.ndim - len(sizes)) + sizes)
        shaped.append(x)
    return shaped


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
    sizes = _normalized_sizes(input, normalized_shape)
    wide = check.accumulator(input.dtype)
    weight, bias = _per_element("layer_norm", input, sizes, wide, weight=weight, bias=bias)
    axes = tuple(range(input.ndim - len(sizes), input.ndim))
    return kernel.normalize(input.astype(wide), weight, bias, axes, eps)[0].astype(input.dtype)


@public
def rms_norm(
    input: jax.Array,
    normalized_shape: int | Sequence[int],
    weight: jax.Array | None = None,
    eps: float | None = None,
) -> jax.Array:
    """Divide by the root mean square over the last axes: ``y = x / √(mean(x²) + ε) · γ``.

    Args:
      input: ``x``, of shape (*, *normalized_shape); floating point or complex.
      normalized_shape: the sizes of the axes to normalise over; an int stands for one axis.
      weight: γ, of shape normalized_shape; default 1.
      eps: ε; None for the machine epsilon of the dtype that is computed in (float32 for half precision).

    Returns:
      An array of the input's shape and dtype. Half precision is computed in float32 and rounded once.

    Raises:
      ShapeError: the input does not end in normalized_shape, or weight has another shape.
      DtypeError: input is an integer, or weight has neither its dtype nor, for half precision, float32.

    Source: Zhang and Sennrich, 2019; torch.nn.functional.rms_norm.

    Example:
      >>> import jax.numpy as jnp
      >>> rms_norm(jnp.array([[3.0, 4.0, 0.0, 0.0]]), (4,), eps=0.0).tolist()
      [[1.2000000476837158, 1.600000023841858, 0.0, 0.0]]
    """
    input = check.array("input", input)
    complex_valued = jnp.issubdtype(input.dtype, jnp.complexfloating)
    if not complex_valued:
        input = check.floating("rms_norm", "input", input)
    sizes = _normalized_sizes(input, normalized_shape)
    wide = input.dtype if complex_valued else check.accumulator(input.dtype)
    (weight,) = _per_element("rms_norm", input, sizes, wide, weight=weight)
    eps = float(jnp.finfo(wide).eps) if eps is None else eps
    axes = tuple(range(input.ndim - len(sizes), input.ndim))
    if complex_valued:  # as torch: the square, not the squared modulus
        return kernel.affine(input * lax.rsqrt(jnp.mean(jnp.square(input), axes, keepdims=True) + eps), weight, None)
    return kernel.normalize(input.astype(wide), weight, None, axes, eps, False)[0].astype(input.dtype)


@public
def group_norm(
    input: jax.Array,
    num_groups: int,
    weight: jax.Array | None = None,
    bias: jax.Array | None = None,
    eps: float = 1e-5,
) -> jax.Array:
    """Normalise each group of channels of each item: ``y = (x − μ) / √(σ² + ε) · γ + β``.

    μ and σ² are the mean and biased variance over the C / num_groups channels of a group and all positions.

    Args:
      input: ``x``, of shape (N, C, *).
      num_groups: the number of groups, which divides C.
      weight: γ, of shape (C,); default 1.
      bias: β, of shape (C,); default 0.
      eps: ε; default 1e-5.

    Returns:
      An array of the input's shape and dtype. Half precision is computed in float32 and rounded once.

    Raises:
      ShapeError: fewer than 2 axes, C not divisible by num_groups, one value a group, or weight or bias not of shape (C,).
      DtypeError: input is not floating point, or weight or bias has neither its dtype nor, for half precision, float32.

    Source: Wu and He, 2018; torch.nn.functional.group_norm.

    Example:
      >>> import jax.numpy as jnp
      >>> group_norm(jnp.array([[1.0, 3.0, 5.0, 5.0]]), 2, eps=1e-9).tolist()
      [[-1.0, 1.0, 0.0, 0.0]]
    """
    input = check.floating("group_norm", "input", input)
    if input.ndim < 2:
        raise ShapeError(f"Expected at least 2 dimensions for input tensor but received {input.ndim}: group_norm takes (N, C, *)")
    batch, channels, *rest = input.shape
    if num_groups < 1:
        raise ArgumentError(f"group_norm: expected num groups to be greater than 0, got num_groups={num_groups}")
    if channels % num_groups:
        raise ShapeError(
            "Expected number of channels in input to be divisible by num_groups, "
            f"but got input of shape {check.shape(input)} and num_groups={num_groups}"
        )
    if batch * channels // num_groups * math.prod(rest) == 1:
        raise ShapeValueError(
            f"Expected more than 1 value per channel when training, got input size {check.shape(input)} and num_groups={num_groups}"
        )
    wide = check.accumulator(input.dtype)
    grouped = (batch, num_groups, channels // num_groups, *rest)
    shaped = []
    for name, x in (("weight", weight), ("bias", bias)):
        if x is not None:
            x = check.like("group_norm", name, x, input, mixed=True)
            if x.shape != (channels,):
                raise ShapeError(
                    f"Expected {name} to be a vector of size equal to the number of channels in input, "
                    f"but got {name} of shape {check.shape(x)} and input of shape {check.shape(input)}"
                )
            x = x.astype(wide).reshape((1, *grouped[1:3], *(1,) * len(rest)))
        shaped.append(x)
    y = kernel.normalize(input.astype(wide).reshape(grouped), *shaped, tuple(range(2, len(grouped))), eps)[0]
    return y.reshape(input.shape).astype(input.dtype)


@public
def local_response_norm(input: jax.Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> jax.Array:
    """Divide by the activity of neighbouring channels: ``y_c = x_c / (k + α / n · Σ_j x_j²)^β``.

    j runs over the n channels from c − ⌊n/2⌋ to c + ⌊(n − 1)/2⌋, those outside counting as 0.

    Args:
      input: ``x``, of shape (N, C, *), of at least 3 axes.
      size: ``n``, the number of channels.
      alpha: ``α``; default 1e-4.
      beta: ``β``; default 0.75.
      k: default 1.

    Returns:
      An array of the input's shape and dtype, float32 for integers.

    Raises:
      ShapeError: fewer than 3 axes.
      ArgumentError: size is not positive.

    Source: Krizhevsky et al., 2012; torch.nn.functional.local_response_norm.

    Example:
      >>> import jax.numpy as jnp
      >>> local_response_norm(jnp.ones((1, 3, 1)), 2, alpha=2.0, beta=1.0)[0, :, 0].tolist()
      [0.5, 0.3333333432674408, 0.3333333432674408]
    """
    input = check.array("input", input)
    if input.ndim < 3:
        raise ShapeError(f"Expected 3D or higher dimensionality input (got {input.ndim} dimensions): local_response_norm takes (N, C, *)")
    if not hasattr(size, "__index__") or isinstance(size, bool):
        raise TypeError(f"local_response_norm(): argument 'size' must be int, not {type(size).__name__}")
    if size < 1:
        raise ArgumentError(f"local_response_norm: size must be positive, but got size={size}")
    if not input.size:
        return input
    total = _neighbours(jnp.square(input), size // 2, (size - 1) // 2)
    mean = (total // size).astype(jnp.float32) if jnp.issubdtype(total.dtype, jnp.integer) else total / size
    return input / jnp.power(mean * alpha + k, beta)


def _neighbours(x: jax.Array, before: int, after: int) -> jax.Array:
    """The sum over each channel, ``before`` channels before it and ``after`` behind it; those outside count as 0."""
    pads = [(0, 0, 0), (before, after, 0), *[(0, 0, 0)] * (x.ndim - 2)]
    padded = lax.pad(x, jnp.zeros((), x.dtype), pads)
    parts = [lax.slice_in_dim(padded, i, i + x.shape[1], axis=1) for i in range(before + after + 1)]
    return functools.reduce(jnp.add, parts)


@public
def normalize(input: jax.Array, p: float = 2.0, dim: int | tuple[int, ...] = 1, eps: float = 1e-12) -> jax.Array:
    """Scale to unit length along an axis: ``y = x / max(‖x‖_p, ε)``.

    Args:
      input: ``x``, floating point or complex.
      p: the norm's exponent; 0, ∞ and −∞ too; default 2.
      dim: the axis of the norm, or several taken as one; default 1.
      eps: ε; default 1e-12.

    Returns:
      An array of the input's shape and dtype. The derivative of the norm of a zero vector is 0.

    Raises:
      DtypeError: input is an integer.
      IndexError: dim is out of range.

    Source: torch.nn.functional.normalize; its ``out`` has no meaning for immutable arrays.

    Example:
      >>> import jax.numpy as jnp
      >>> normalize(jnp.array([[3.0, 4.0]])).tolist()
      [[0.6000000238418579, 0.800000011920929]]
    """
    input = check.array("input", input)
    if not jnp.issubdtype(input.dtype, jnp.complexfloating):
        input = check.floating("normalize", "input", input)
    axes = tuple(check.axis(d, input.ndim) for d in (dim if isinstance(dim, (tuple, list)) else (dim,)))
    if not input.ndim:
        return normalize.pure(input[None], p, 0, eps)[0]
    wide = input if jnp.issubdtype(input.dtype, jnp.complexfloating) else input.astype(check.accumulator(input.dtype))
    check_order(p)
    if not isinstance(eps, (float, int, jax.Array)):
        raise TypeError(f"normalize(): argument 'eps' must be a number, not {type(eps).__name__}")
    length = lp_norm(wide, p, axes, keepdims=True)
    length = length if jnp.iscomplexobj(input) else length.astype(input.dtype)  # rounded before the division, as torch does
    return input / jnp.maximum(length, jnp.asarray(eps, length.dtype))
