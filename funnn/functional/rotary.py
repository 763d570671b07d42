"""Rotary positions: pairs of features turned by an angle that grows with the position."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from funnn.errors import ArgumentError, ShapeError
from funnn.functional import _checks as check
from funnn.functional._dispatch import public

SCALINGS = None, "linear", "ntk", "llama3"


@public
def rotary_frequencies(
    dim: int,
    base: float = 10000.0,
    scaling: str | None = None,
    factor: float = 1.0,
    low_freq_factor: float = 1.0,
    high_freq_factor: float = 4.0,
    original_length: int = 8192,
) -> jax.Array:
    """The angles by which rotary positions turn each pair of features from one position to the next: ``θ_i = base^(−2i/dim)``.

    Args:
      dim: how many features are turned, an even number.
      base: of the geometric sequence; default 10000.
      scaling: how a model that was trained on short texts reads longer ones: None (default) not at all; ``"linear"``, ``θ_i / factor``;
        ``"ntk"``, ``base · factor^(dim/(dim−2))`` for base, which leaves the fastest pair as it is and slows the slowest by factor; ``"llama3"``, by
        factor where the wavelength 2π/θ_i is above original_length/low_freq_factor, not at all where it is below original_length/high_freq_factor,
        and in between by a linear mixture of both.
      factor: how much longer the texts are; default 1.
      low_freq_factor: see ``"llama3"``; default 1.
      high_freq_factor: see ``"llama3"``; default 4.
      original_length: of the texts in training, for ``"llama3"``; default 8192.

    Returns:
      ``θ``, an array of shape (dim/2,), in radians, in JAX's default floating dtype.

    Raises:
      ArgumentError: dim is odd or not positive, or scaling is none of these.

    Source: Su et al., "RoFormer" (2021); Chen et al., "Extending context window of large language models via positional interpolation" (2023)
    for "linear"; bloc97, "NTK-aware scaled RoPE" (2023); Llama 3.1's code.

    Example:
      >>> import jax.numpy as jnp
      >>> rotary_frequencies(4).tolist() == [1.0, jnp.float32(0.01).item()]
      True
    """
    if dim <= 0 or dim % 2:
        raise ArgumentError(f"rotary_frequencies: dim must be even and positive, for features are turned in pairs, but got dim={dim}")
    if scaling not in SCALINGS:
        raise ArgumentError(f"rotary_frequencies: scaling must be one of {SCALINGS}, but got {scaling!r}")
    if scaling == "ntk" and dim > 2:
        base = base * factor ** (dim / (dim - 2))
    angles = base ** -(np.arange(0, dim, 2, dtype=np.float64) / dim)
    if scaling == "linear":
        angles = angles / factor
    elif scaling == "llama3":
        turns = original_length * angles / (2 * math.pi)  # in a text of the original length
        kept = np.clip((turns - low_freq_factor) / (high_freq_factor - low_freq_factor), 0, 1)
        angles = angles * (kept + (1 - kept) / factor)
    return jnp.asarray(angles, jnp.result_type(float))


@public
def rotary_embedding(input: jax.Array, positions: jax.Array, frequencies: jax.Array, interleaved: bool = False) -> jax.Array:
    """Turn pair i of the features of the token at position p by the angle ``p θ_i``:
    ``(a, b) -> (a cos pθ_i − b sin pθ_i, a sin pθ_i + b cos pθ_i)``.

    The product of a query and a key so turned depends on the difference of their positions only.

    Args:
      input: queries or keys, of shape (*, L, D), or (*, H, L, D) with an axis of heads.
      positions: of the tokens, integers, (L,), the same for all, or (*, L) without the axis of heads.
      frequencies: ``θ``, of shape (F,), as :func:`rotary_frequencies` gives them; 2F ≤ D, and features after the first 2F stay as they are.
      interleaved: which features are a pair. False (default): i and i + F, as in GPT-NeoX and Llama in Hugging Face's order; True: 2i and 2i + 1, as
        in GPT-J and in Meta's own Llama.

    Returns:
      An array of the input's shape and dtype. Angles and products are in float32 at least.

    Raises:
      ShapeError: there are more frequencies than pairs, or positions do not fit.
      DtypeError: input is not floating point.

    Source: Su et al., "RoFormer: enhanced transformer with rotary position embedding" (2021).

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.array([[1.0, 0.0], [1.0, 0.0]])
      >>> rotary_embedding(x, jnp.arange(2), jnp.array([jnp.pi / 2])).round(3).tolist()
      [[1.0, 0.0], [-0.0, 1.0]]
    """
    input, positions, frequencies = check.floating("rotary_embedding", "input", input), *map(jnp.asarray, (positions, frequencies))
    count = frequencies.shape[-1]
    if input.ndim < 2 or frequencies.ndim != 1 or 2 * count > input.shape[-1]:
        raise ShapeError(
            f"rotary_embedding: expected input (*, L, D) and frequencies (F,) with 2F ≤ D, but got {check.shape(input)} and {check.shape(frequencies)}"
        )
    wide = check.accumulator(input.dtype)
    angles = positions[..., None].astype(wide) * frequencies.astype(wide)
    if positions.ndim > 1:
        angles = angles[..., None, :, :]  # for all heads
    if angles.ndim > input.ndim or any(a not in (1, n) for a, n in zip(angles.shape[-2::-1], input.shape[-2::-1], strict=False)):
        raise ShapeError(
            f"rotary_embedding: positions must be (L,), or (*, L) for an input (*, H, L, D), but got {check.shape(positions)} for {check.shape(input)}"
        )
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    turned, rest = input[..., : 2 * count].astype(wide), input[..., 2 * count :]
    if interleaved:
        a, b = turned[..., ::2], turned[..., 1::2]
        turned = jnp.stack([a * cos - b * sin, a * sin + b * cos], -1).reshape(turned.shape)
    else:
        a, b = turned[..., :count], turned[..., count:]
        turned = jnp.concatenate([a * cos - b * sin, a * sin + b * cos], -1)
    turned = turned.astype(input.dtype)
    return turned if not rest.shape[-1] else jnp.concatenate([turned, rest], -1)
