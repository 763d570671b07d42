"""NVIDIA's cuDNN for attention and LSTM.

JAX's bindings have a gradient, but neither forward mode nor second derivatives. Here both come from the plain formula: ``differentiable`` runs the
bound kernel for the value and for its pull-back, and differentiates the plain function wherever another derivative is asked for.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp

from funnn._types import Arrays
from funnn.functional._attention_block import Band
from funnn.functional._linear_map import linear_map

Settings = tuple[tuple[str, Any], ...]


def available() -> bool:
    """Whether computations go to an NVIDIA GPU by default."""
    return jax.default_backend() == "gpu" and "cuda" in jax.devices()[0].client.platform_version.lower()


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def differentiable(fast: Callable[..., Arrays], plain: Callable[..., Arrays], settings: Settings, *arrays: jax.Array) -> Arrays:
    """``fast(*arrays, **settings)``, a tuple; ``plain`` is the same function in operations that JAX can differentiate in every mode."""
    return fast(*arrays, **dict(settings))


@differentiable.defjvp
def _jvp(
    fast: Callable[..., Arrays], plain: Callable[..., Arrays], settings: Settings, arrays: Arrays, tangents: Arrays
) -> tuple[Arrays, Arrays]:
    outputs = differentiable(fast, plain, settings, *arrays)
    return outputs, linear_map(_push, _pull, tuple(tangents), tuple(arrays), outputs, fast=fast, plain=plain, settings=settings)


def _push(linear: Arrays, residuals: Arrays, fast: Callable[..., Arrays], plain: Callable[..., Arrays], settings: Settings) -> Arrays:
    tangents: Arrays = jax.jvp(functools.partial(plain, **dict(settings)), residuals, linear)[1]
    return tangents


def _pull(linear: Arrays, residuals: Arrays, fast: Callable[..., Arrays], plain: Callable[..., Arrays], settings: Settings) -> Arrays:
    return _pull_back(fast, plain, settings, linear, residuals)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _pull_back(fast: Callable[..., Arrays], plain: Callable[..., Arrays], settings: Settings, cotangents: Arrays, arrays: Arrays) -> Arrays:
    return _vjp(fast, settings, cotangents, arrays)


@_pull_back.defjvp
def _pull_back_jvp(
    fast: Callable[..., Arrays],
    plain: Callable[..., Arrays],
    settings: Settings,
    primals: tuple[Arrays, Arrays],
    tangents: tuple[Arrays, Arrays],
) -> tuple[Arrays, Arrays]:
    return _pull_back(fast, plain, settings, *primals), jax.jvp(functools.partial(_vjp, plain, settings), primals, tangents)[1]


def _vjp(function: Callable[..., Arrays], settings: Settings, cotangents: Arrays, arrays: Arrays) -> Arrays:
    results: Arrays = jax.vjp(functools.partial(function, **dict(settings)), *arrays)[1](cotangents)
    return results


# -- attention


def attention_fits(query: jax.Array, key: jax.Array, value: jax.Array, causal: bool) -> bool:
    """Whether cuDNN has the attention of these (B, H, L, E) arrays; of keys there may be fewer heads."""
    sizes = {query.shape[-1], key.shape[-1], value.shape[-1]}
    return (
        query.dtype in (jnp.float16, jnp.bfloat16)
        and query.ndim == key.ndim == value.ndim == 4
        and len(sizes) == 1
        and max(sizes) <= 128
        and max(sizes) % 8 == 0
        and (not causal or query.shape[-2] == key.shape[-2])
        and query.size > 0 < key.size
        and available()
    )


def attention(
    query: jax.Array, key: jax.Array, value: jax.Array, *, band: Band, scale: float, implementation: Literal["cudnn", "xla"] = "cudnn"
) -> Arrays:
    q, k, v = (jnp.swapaxes(x, 1, 2) for x in (query, key, value))
    output = jax.nn.dot_product_attention(q, k, v, scale=scale, is_causal=band == Band(0), implementation=implementation)
    return (jnp.swapaxes(output, 1, 2),)


# -- LSTM


def lstm_fits(input: jax.Array) -> bool:
    """Whether cuDNN has the LSTM of this (T, B, I) array."""
    return input.dtype == jnp.float32 and input.size > 0 and available()


def lstm_weights(params: Sequence[jax.Array], has_biases: bool) -> jax.Array:
    """torch's list of weights as the one vector that cuDNN takes: the matrices of all layers and directions, then the biases."""
    per = 4 if has_biases else 2
    matrices = [p for i, p in enumerate(params) if i % per < 2]
    biases = [p for i, p in enumerate(params) if i % per >= 2] or [jnp.zeros(p.shape[0], p.dtype) for p in matrices]
    return jnp.concatenate([p.reshape(-1) for p in (*matrices, *biases)])


def lstm_params(weights: jax.Array, input_size: int, hidden: int, layers: int, directions: int) -> list[jax.Array]:
    """The opposite of ``lstm_weights``, always with biases."""
    inputs = [input_size if layer == 0 else hidden * directions for layer in range(layers) for _ in range(directions)]
    shapes = [shape for size in inputs for shape in ((4 * hidden, size), (4 * hidden, hidden))] + [(4 * hidden,)] * (2 * len(inputs))
    ends = list(itertools.accumulate(math.prod(shape) for shape in shapes))
    parts = [part.reshape(shape) for part, shape in zip(jnp.split(weights, ends[:-1]), shapes, strict=True)]
    matrices, biases = parts[: 2 * len(inputs)], parts[2 * len(inputs) :]
    return [p for i in range(len(inputs)) for p in (*matrices[2 * i : 2 * i + 2], *biases[2 * i : 2 * i + 2])]


def lstm(x: jax.Array, h0: jax.Array, c0: jax.Array, weights: jax.Array, *, layers: int, bidirectional: bool) -> Arrays:
    """The output (T, B, H · directions), h and c of the last step; ``x`` is (T, B, I)."""
    from jax.experimental import rnn  # not at the top: `import funnn` need not load it

    lengths = jnp.full(x.shape[1], x.shape[0], jnp.int32)
    y, h, c = rnn.lstm(jnp.swapaxes(x, 0, 1), h0, c0, weights, lengths, x.shape[-1], h0.shape[-1], layers, 0.0, bidirectional)
    return jnp.swapaxes(y, 0, 1), h, c
