"""Initial values of parameters: torch.nn.init's distributions as pure functions of a random source.

Every function takes ``(source, shape, …, dtype)`` and returns a new array. The source is a JAX key, or any object with the two methods of
``RandomSource`` — funnn.torch's generator is one, and gives PyTorch's own numbers.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import jax
import jax.numpy as jnp

from funnn._types import DTypeLike, Shape
from funnn.functional._random import KeySource as KeySource
from funnn.functional._random import RandomSource as RandomSource
from funnn.functional._random import random_source


def uniform(source: Any, shape: Shape, a: float = 0.0, b: float = 1.0, *, dtype: DTypeLike = jnp.float32) -> jax.Array:
    """Values from the uniform distribution U(a, b).

    >>> uniform(jax.random.key(0), (2, 3)).shape
    (2, 3)
    """
    return random_source(source).uniform(shape, dtype, a, b)


def normal(source: Any, shape: Shape, mean: float = 0.0, std: float = 1.0, *, dtype: DTypeLike = jnp.float32) -> jax.Array:
    """Values from the normal distribution N(mean, std²)."""
    return random_source(source).normal(shape, dtype, mean, std)


def constant(source: Any, shape: Shape, val: float, *, dtype: DTypeLike = jnp.float32) -> jax.Array:
    """The value ``val`` everywhere; draws nothing."""
    return jnp.full(tuple(shape), val, dtype)


def zeros(source: Any, shape: Shape, *, dtype: DTypeLike = jnp.float32) -> jax.Array:
    """Zeros; draws nothing."""
    return jnp.zeros(tuple(shape), dtype)


def ones(source: Any, shape: Shape, *, dtype: DTypeLike = jnp.float32) -> jax.Array:
    """Ones; draws nothing."""
    return jnp.ones(tuple(shape), dtype)


_GAINS = {
    **dict.fromkeys(("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "sigmoid"), 1.0),
    "tanh": 5.0 / 3.0,
    "relu": math.sqrt(2.0),
    "selu": 3.0 / 4.0,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The recommended gain of a nonlinearity, by which an initial standard deviation is multiplied.

    1 for linear, conv and sigmoid; 5/3 for tanh; √2 for relu; √(2/(1+param²)) for leaky_relu (``param`` is its slope, default 0.01);
    3/4 for selu.

    >>> calculate_gain("tanh")
    1.6666666666666667
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"negative_slope {slope} not a valid number")
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        raise ValueError(f"Unsupported nonlinearity {nonlinearity}; expected one of {sorted([*_GAINS, 'leaky_relu'])}")
    return _GAINS[nonlinearity]


def fans(shape: Shape) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight of shape (out, in, *kernel): in or out channels times the size of the kernel."""
    if len(shape) < 2:
        raise ValueError(f"Fan in and fan out can not be computed for tensor with fewer than 2 dimensions; got shape {tuple(shape)}")
    receptive = math.prod(shape[2:])
    return shape[1] * receptive, shape[0] * receptive


def fan(shape: Shape, mode: str) -> int:
    """fan_in or fan_out of a weight, by ``mode``."""
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    return fans(shape)[mode == "fan_out"]


def _kaiming(shape: Shape, a: float, mode: str, nonlinearity: str) -> float:
    """gain/√fan."""
    if 0 in shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=4)
        return 0.0
    return calculate_gain(nonlinearity, a) / math.sqrt(fan(shape, mode))


def kaiming_uniform(
    source: Any, shape: Shape, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", *, dtype: DTypeLike = jnp.float32
) -> jax.Array:
    """U(−b, b) with b = gain·√(3/fan), where gain = calculate_gain(nonlinearity, a) and fan is fan_in or fan_out by ``mode``.

    He et al., "Delving deep into rectifiers" (2015), https://arxiv.org/abs/1502.01852.
    """
    bound = math.sqrt(3.0) * _kaiming(shape, a, mode, nonlinearity)
    return uniform(source, shape, -bound, bound, dtype=dtype)


def kaiming_normal(
    source: Any, shape: Shape, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", *, dtype: DTypeLike = jnp.float32
) -> jax.Array:
    """N(0, gain²/fan); the arguments are those of :func:`kaiming_uniform`."""
    return normal(source, shape, 0.0, _kaiming(shape, a, mode, nonlinearity), dtype=dtype)


def xavier_uniform(source: Any, shape: Shape, gain: float = 1.0, *, dtype: DTypeLike = jnp.float32) -> jax.Array:
    """U(−b, b) with b = gain·√(6/(fan_in + fan_out)).

    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks" (2010).
    """
    bound = math.sqrt(3.0) * gain * math.sqrt(2.0 / sum(fans(shape)))
    return uniform(source, shape, -bound, bound, dtype=dtype)


def xavier_normal(source: Any, shape: Shape, gain: float = 1.0, *, dtype: DTypeLike = jnp.float32) -> jax.Array:
    """N(0, gain²·2/(fan_in + fan_out)); the source is that of :func:`xavier_uniform`."""
    return normal(source, shape, 0.0, gain * math.sqrt(2.0 / sum(fans(shape))), dtype=dtype)


def trunc_normal(
    source: Any, shape: Shape, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, *, dtype: DTypeLike = jnp.float32
) -> jax.Array:
    """N(mean, std²) with the values outside [a, b] drawn again.

    A key, and any source whose numbers are not known yet (under jit), draws by the inverse distribution function instead: the same
    distribution, in one draw. Source: torch.nn.init.trunc_normal_.
    """
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. The distribution of values may be incorrect.", stacklevel=3
        )
    source, low, high = random_source(source), *(0.5 * (1 + math.erf((x - mean) / std / math.sqrt(2))) for x in (a, b))
    draw = _redrawn_normal if high - low > 0.3 else _accepted_uniform
    values = None if isinstance(source, KeySource) else draw(source, tuple(shape), dtype, mean, std, a, b)
    if values is None:
        u = source.uniform(shape, dtype, 2 * low - 1, 2 * high - 1)
        values = jnp.clip(mean + std * math.sqrt(2) * jax.scipy.special.erfinv(u), a, b)
    return values.astype(dtype)


def _redrawn_normal(source: RandomSource, shape: Shape, dtype: DTypeLike, mean: float, std: float, a: float, b: float) -> jax.Array | None:
    """Normal values until all are in [a, b]; None where they are not known."""
    low, high = (jnp.asarray(x, dtype) for x in (a, b))
    values = source.normal(shape, dtype, mean, std)
    while not isinstance(values, jax.core.Tracer):
        outside = (values < low) | (values > high)
        if not outside.any():
            return values
        values = jnp.where(outside, source.normal(shape, dtype, mean, std), values)
    return None


def _accepted_uniform(
    source: RandomSource, shape: Shape, dtype: DTypeLike, mean: float, std: float, a: float, b: float
) -> jax.Array | None:
    """Uniform values, each drawn until it is accepted with the density's probability; None where they are not known."""
    peak = -0.5 * ((max(a, min(mean, b)) - mean) / std) ** 2
    values, pending = jnp.zeros(shape, dtype), jnp.ones(shape, bool)
    while True:
        candidates = source.uniform(shape, dtype, a, b)
        if isinstance(candidates, jax.core.Tracer):
            return None
        values = jnp.where(pending, candidates, values)
        refused = jnp.log(source.uniform(shape, dtype)) > ((candidates - mean) / std) ** 2 * -0.5 - peak
        pending &= refused
        if not pending.any():
            return values


def eye(source: Any, shape: Shape, *, dtype: DTypeLike = jnp.float32) -> jax.Array:
    """The identity matrix, for two dimensions; draws nothing."""
    if len(shape) != 2:
        raise ValueError(f"Only tensors with 2 dimensions are supported, got shape {tuple(shape)}")
    return jnp.eye(shape[0], shape[1], dtype=dtype)


def dirac(source: Any, shape: Shape, groups: int = 1, *, dtype: DTypeLike = jnp.float32) -> jax.Array:
    """A convolution's weight that passes as many channels on as it can, in each group: 1 in the middle of the kernel; draws nothing."""
    if len(shape) not in (3, 4, 5):
        raise ValueError(f"Only tensors with 3, 4, or 5 dimensions are supported, got shape {tuple(shape)}")
    if shape[0] % groups:
        raise ValueError(f"dim 0 must be divisible by groups, got shape {tuple(shape)} and groups={groups}")
    size = shape[0] // groups
    channels = jnp.arange(min(size, shape[1]))
    middle = tuple(length // 2 for length in shape[2:])
    weight = jnp.zeros((groups, size, *shape[1:]), dtype).at[(slice(None), channels, channels, *middle)].set(1)
    return weight.reshape(tuple(shape))


def orthogonal(source: Any, shape: Shape, gain: float = 1, *, dtype: DTypeLike = jnp.float32) -> jax.Array:
    """``gain`` times a matrix (shape[0], the rest) whose rows or columns, whichever are fewer, are orthonormal.

    Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks" (2013).
    """
    if len(shape) < 2:
        raise ValueError(f"Only tensors with 2 or more dimensions are supported, got shape {tuple(shape)}")
    if 0 in shape:
        return jnp.zeros(tuple(shape), dtype)
    rows, columns = shape[0], math.prod(shape[1:])
    matrix = normal(source, (rows, columns), dtype=dtype)
    q: jax.Array
    q, r = jnp.linalg.qr(matrix.T if rows < columns else matrix)
    q = q * jnp.sign(jnp.diagonal(r))  # which makes it uniformly distributed
    return jnp.asarray(gain, dtype) * (q.T if rows < columns else q).reshape(tuple(shape))


def sparse(source: Any, shape: Shape, sparsity: float, std: float = 0.01, *, dtype: DTypeLike = jnp.float32) -> jax.Array:
    """N(0, std²) for two dimensions, with ⌈sparsity · rows⌉ zeros in each column.

    Martens, "Deep learning via Hessian-free optimization" (2010).
    """
    if len(shape) != 2:
        raise ValueError(f"Only tensors with 2 dimensions are supported, got shape {tuple(shape)}")
    random, (rows, columns) = random_source(source), shape
    zeros = math.ceil(sparsity * rows)
    values = random.normal(shape, dtype, 0.0, std)
    if not columns:
        return values
    chosen = jnp.stack([random.permutation(rows)[:zeros] for _ in range(columns)], axis=1)
    return values.at[chosen, jnp.arange(columns)].set(0)
