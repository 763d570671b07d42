"""Texts from a language model: token by token as one compiled program, and by beam search.

A model is a layer with ``init_cache(batch, length, dtype)`` and ``forward(tokens, positions, cache, at)``, which gives ``(logits, cache)``: tokens
(B, L) and their positions (B, L), negative for padding; a cache, a pytree of ``funnn.functional.KVCache``; ``at`` (B,), the one place of each sequence
whose logits (B, 1, V) are wanted. ``funnn.examples.gpt2`` and ``llama`` are such models.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from funnn import functional as F
from funnn._types import DTypeLike, PyTree, Tree
from funnn.errors import ArgumentError, ShapeError


class Model(Protocol):
    """What :func:`generate` asks of a layer."""

    def init_cache(self, batch: int, length: int, dtype: DTypeLike) -> PyTree:
        """An empty cache for ``batch`` sequences of up to ``length`` tokens."""

    def apply(self, params: Tree, state: Tree, *args: Any, **kwargs: Any) -> Any:
        """``((logits, cache), state)`` of ``(tokens, positions, cache, at)``."""


class Generated(NamedTuple):
    """What :func:`generate` and :func:`beam_search` return.

    Attributes:
      tokens: (B, N), or (B, beams, N) best first; the new tokens, without the prompt, with ``pad`` after the stop token.
      lengths: (B,) or (B, beams), how many of them count, the stop token included.
      scores: the sum of the log-probabilities of the tokens as the model gives them; a beam's is divided by length^length_penalty.
    """

    tokens: jax.Array
    lengths: jax.Array
    scores: jax.Array


class Prompt(NamedTuple):
    """A prompt that was read: where the next token of each sequence goes, the scores of what it may be, and the cache."""

    position: jax.Array
    logits: jax.Array
    cache: PyTree


def generate(
    model: Model,
    params: Tree,
    state: Tree,
    prompt: jax.Array,
    max_new_tokens: int,
    *,
    mask: jax.Array | None = None,
    stop: int | tuple[int, ...] = (),
    pad: int = 0,
    temperature: Any = 0.0,
    top_k: int | None = None,
    top_p: Any = None,
    min_p: Any = None,
    key: jax.Array | None = None,
    dtype: DTypeLike = jnp.float32,
) -> Generated:
    """Continue texts: read the prompts at once, then choose and read a token at a time, until all have stopped.

    Pure, and one program under ``jax.jit`` with ``model``, ``max_new_tokens``, ``stop``, ``top_k`` and a ``temperature`` of 0 static; the loop over the
    tokens is a ``jax.lax.while_loop``, whose body is compiled once.

    Args:
      model: see this module.
      params, state: the model's.
      prompt: integers of shape (B, P).
      max_new_tokens: N, how many tokens are made at most.
      mask: (B, P), True for tokens of the prompt, False for padding, which may stand on the left or on the right; default no padding.
      stop: a token, or several, that ends a text; default none.
      pad: what stands after it; default 0.
      temperature, top_k, top_p, min_p: as ``funnn.functional.sample_tokens`` has them; default temperature 0, the likeliest token.
      key: a JAX random key; needed unless temperature is 0.
      dtype: of the cache; default float32.

    Returns:
      A Generated with tokens (B, N), lengths (B,) and scores (B,).

    Raises:
      ShapeError: prompt or mask have other shapes, or no tokens.
      ArgumentError: max_new_tokens is not positive.
      KeyRequiredError: temperature is not 0 and key is None.

    Example:
      >>> from funnn.examples.llama import Llama
      >>> model = Llama(vocab_size=16, width=8, hidden=16, depth=1, heads=2)
      >>> params, state = model.init(jax.random.key(0))
      >>> generate(model, params, state, jnp.array([[3, 1, 2]]), 5).tokens.shape
      (1, 5)
    """
    if temperature is None or (isinstance(temperature, (int, float)) and temperature == 0):
        temperature = 0
    elif key is None:
        F.sample_tokens(jnp.zeros(1), temperature)  # raises the error that says what to give
    read = _read_prompt(model, params, state, prompt, max_new_tokens, mask, dtype)
    batch = prompt.shape[0]

    def choose(step: Any, logits: jax.Array, finished: jax.Array, made: Generated) -> tuple[jax.Array, jax.Array, Generated]:
        at_step = None if key is None else jax.random.fold_in(key, step)
        token = F.sample_tokens(logits, temperature, top_k, top_p, min_p, key=at_step)
        score = jnp.take_along_axis(_log_probabilities(logits), token[:, None], -1)[:, 0]
        tokens = made.tokens.at[:, step].set(jnp.where(finished, pad, token))
        made = Generated(tokens, jnp.where(finished, made.lengths, step + 1), jnp.where(finished, made.scores, made.scores + score))
        return token, finished | _is_stop(token, stop), made

    def unfinished(carry: Any) -> Any:
        step, _, finished, _, _ = carry
        going: jax.Array = (step < max_new_tokens) & ~jnp.all(finished)
        return going

    def advance(carry: Any) -> Any:
        step, token, finished, made, cache = carry
        logits, cache = _read_token(model, params, state, token, read.position + step - 1, cache)
        return step + 1, *choose(step, logits, finished, made), cache

    none = Generated(jnp.full((batch, max_new_tokens), pad, jnp.int32), jnp.zeros(batch, jnp.int32), jnp.zeros(batch, read.logits.dtype))
    first = choose(jnp.zeros((), jnp.int32), read.logits, jnp.zeros(batch, bool), none)
    return jax.lax.while_loop(unfinished, advance, (jnp.ones((), jnp.int32), *first, read.cache))[3]


def beam_search(
    model: Model,
    params: Tree,
    state: Tree,
    prompt: jax.Array,
    max_new_tokens: int,
    beams: int,
    *,
    length_penalty: float = 1.0,
    mask: jax.Array | None = None,
    stop: int | tuple[int, ...] = (),
    pad: int = 0,
    dtype: DTypeLike = jnp.float32,
) -> Generated:
    """The ``beams`` best texts that a search finds which keeps as many unfinished ones at each length, and as many finished ones.

    A text's score is the sum of its tokens' log-probabilities divided by ``length^length_penalty``, the stop token included in both.

    Args:
      model, params, state, prompt, max_new_tokens, mask, stop, pad, dtype: as for :func:`generate`.
      beams: K, how many.
      length_penalty: above 0 favours longer texts, 0 leaves the sums; default 1.

    Returns:
      A Generated with tokens (B, K, N), lengths and scores (B, K), the best text first.

    Raises:
      ShapeError: prompt or mask have other shapes, or no tokens.
      ArgumentError: max_new_tokens or beams is not positive.

    Source: Hugging Face's ``generate(num_beams=K)``, to whose ``early_stopping="never"`` it corresponds: the search ends when no unfinished text can
    become better than the finished ones. Its loop is one ``jax.lax.while_loop``.

    Example:
      >>> from funnn.examples.llama import Llama
      >>> model = Llama(vocab_size=16, width=8, hidden=16, depth=1, heads=2)
      >>> params, state = model.init(jax.random.key(0))
      >>> beam_search(model, params, state, jnp.array([[3, 1, 2]]), 5, beams=2).tokens.shape
      (1, 2, 5)
    """
    if beams < 1:
        raise ArgumentError(f"beam_search: beams must be positive, but got {beams}")
    read = _read_prompt(model, params, state, prompt, max_new_tokens, mask, dtype)
    batch, count = prompt.shape[0], read.logits.shape[-1]
    rows = jnp.repeat(jnp.arange(batch), beams)
    positions = read.position[rows]
    stops = len(stop) if isinstance(stop, tuple) else 1
    # So many that at least `beams` of them do not stop, if there are as many.
    wanted = min(beams * (1 + stops), beams * count)

    def at_length(score: jax.Array, length: Any) -> jax.Array:
        return score / jnp.asarray(length, score.dtype) ** length_penalty

    def unfinished(carry: Any) -> Any:
        step, alive, _, _, done, _, _, _ = carry
        # A sum only falls; whether dividing by a longer length can lift it depends on the penalty's sign.
        best = at_length(alive[:, 0], max_new_tokens if length_penalty > 0 else jnp.maximum(step, 1))
        going: jax.Array = (step < max_new_tokens) & jnp.any(best > done[:, -1])
        return going

    def advance(carry: Any) -> Any:
        step, alive, tokens, logits, done, done_tokens, done_lengths, cache = carry
        sums = alive[..., None] + _log_probabilities(logits).reshape(batch, beams, count)
        sums, index = jax.lax.top_k(sums.reshape(batch, -1), wanted)
        parents, token = index // count, (index % count).astype(jnp.int32)
        texts = jnp.take_along_axis(tokens, parents[..., None], 1).at[:, :, step].set(token)
        stopped = _is_stop(token, stop)
        # As in Hugging Face's search, what stops below the rank of the beams is not counted as found.
        ended = (stopped | (step == max_new_tokens - 1)) & (jnp.arange(wanted) < beams)

        scores = jnp.where(ended, at_length(sums, step + 1), -jnp.inf)
        done, chosen = jax.lax.top_k(jnp.concatenate([done, scores], 1), beams)
        done_tokens = jnp.take_along_axis(jnp.concatenate([done_tokens, texts], 1), chosen[..., None], 1)
        lengths = jnp.concatenate([done_lengths, jnp.full_like(token, step + 1)], 1)
        done_lengths = jnp.take_along_axis(lengths, chosen, 1)

        alive, chosen = jax.lax.top_k(jnp.where(stopped, -jnp.inf, sums), beams)
        tokens = jnp.take_along_axis(texts, chosen[..., None], 1)
        parents, token = (jnp.take_along_axis(x, chosen, 1) for x in (parents, token))
        cache = F.reorder_kv_cache(cache, (parents + beams * jnp.arange(batch)[:, None]).reshape(-1))
        logits, cache = _read_token(model, params, state, token.reshape(-1), positions + step, cache)
        return step + 1, alive, tokens, logits, done, done_tokens, done_lengths, cache

    none = jnp.full((batch, beams), -jnp.inf, read.logits.dtype)
    empty = jnp.full((batch, beams, max_new_tokens), pad, jnp.int32)
    start = (
        jnp.zeros((), jnp.int32),
        none.at[:, 0].set(0.0),  # all beams are the prompt, of which one is enough
        empty,
        read.logits[rows],
        none,
        empty,
        jnp.zeros((batch, beams), jnp.int32),
        F.reorder_kv_cache(read.cache, rows),
    )
    _, _, _, _, done, tokens, lengths, _ = jax.lax.while_loop(unfinished, advance, start)
    return Generated(tokens, lengths, done)


def _read_prompt(model: Model, params: Tree, state: Tree, prompt: jax.Array, new: int, mask: jax.Array | None, dtype: DTypeLike) -> Prompt:
    prompt = jnp.asarray(prompt)
    if prompt.ndim != 2 or not prompt.size or not jnp.issubdtype(prompt.dtype, jnp.integer):
        raise ShapeError(
            f"prompt must be integers of shape (B, P), at least one token each, but got {prompt.dtype} of shape {[*prompt.shape]}"
        )
    if mask is not None and mask.shape != prompt.shape:
        raise ShapeError(f"mask must have the prompt's shape {[*prompt.shape]}, but got {[*mask.shape]}")
    if new < 1:
        raise ArgumentError(f"max_new_tokens must be positive, but got {new}")
    batch, length = prompt.shape
    present = jnp.ones(prompt.shape, bool) if mask is None else jnp.asarray(mask, bool)
    positions = jnp.where(present, jnp.cumsum(present, -1, dtype=jnp.int32) - 1, -1)
    last = length - 1 - jnp.argmax(present[:, ::-1], -1)
    cache = model.init_cache(batch, length + new, dtype)
    (logits, cache), _ = model.apply(params, state, prompt, positions, cache, last)
    return Prompt(positions.max(-1) + 1, _wide(logits[:, 0]), cache)


def _read_token(model: Model, params: Tree, state: Tree, token: jax.Array, position: jax.Array, cache: PyTree) -> tuple[jax.Array, PyTree]:
    (logits, new), _ = model.apply(params, state, token[:, None], position[:, None], cache, jnp.zeros_like(token))
    # A policy may have cast it.
    return _wide(logits[:, 0]), jax.tree.map(lambda x, like: x.astype(like.dtype), new, cache)


def _wide(logits: jax.Array) -> jax.Array:
    return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))


def _log_probabilities(logits: jax.Array) -> jax.Array:
    return jax.nn.log_softmax(logits, -1)


def _is_stop(token: jax.Array, stop: int | tuple[int, ...]) -> jax.Array:
    stops = stop if isinstance(stop, tuple) else (stop,)
    found = jnp.zeros(token.shape, bool)
    for number in stops:
        found = found | (token == number)
    return found
