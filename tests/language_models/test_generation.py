"""generate and beam_search against loops in Python that read the whole text again for every token."""

from __future__ import annotations

import functools
import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import funnn.functional as F
from funnn.errors import ArgumentError, KeyRequiredError, ShapeError
from funnn.examples.gpt2 import GPT2
from funnn.examples.llama import Llama
from funnn.generation import Generated, beam_search, generate
from funnn.layers import Policy
from tests.quick import quick

KEY = jax.random.key(0)
VOCABULARY = 5
MODELS = {
    "Llama": Llama(VOCABULARY, width=8, hidden=12, depth=2, heads=2, kv_heads=1),
    "a window": Llama(VOCABULARY, width=8, hidden=12, depth=1, heads=2, window=3, tied=True),
    "GPT-2": GPT2(VOCABULARY, context=16, width=8, depth=1, heads=2),
}
PROMPT = jnp.array([[1, 3, 2], [4, 0, 4]])


def weights(name):
    """Large ones, so that what comes next depends on what came before."""
    params, _ = MODELS[name].init(KEY)
    return jax.tree.map(lambda p: 3 * p, params)


@functools.cache
def reader(name):
    return quick(lambda params, text: jax.nn.log_softmax(MODELS[name].apply(params, {}, text[None])[0][0][0]))


def log_probabilities(name, params, text):
    """Of every next token of one text, from reading it as a whole. What stands behind it does not matter, and makes all of one shape."""
    return np.asarray(reader(name)(params, jnp.asarray([*text, *[0] * (12 - len(text))])))[: len(text)]


def by_loop(name, params, prompt, count, stop=(), pad=0):
    """Tokens, length and score of one text, greedily."""
    text, score = list(prompt), 0.0
    for _ in range(count):
        row = log_probabilities(name, params, text)[-1]
        text.append(int(row.argmax()))
        score += row.max()
        if text[-1] in stop:
            break
    made = text[len(prompt) :]
    return made + [pad] * (count - len(made)), len(made), score


def assert_generated(got: Generated, expected):
    tokens, lengths, scores = zip(*expected, strict=True)
    assert got.tokens.tolist() == list(tokens) and got.lengths.tolist() == list(lengths)
    np.testing.assert_allclose(got.scores, scores, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_greedy_is_the_loop(name):
    params = weights(name)
    got = quick(partial(generate, MODELS[name], max_new_tokens=6))(params, {}, PROMPT)
    assert_generated(got, [by_loop(name, params, row, 6) for row in PROMPT.tolist()])


@pytest.mark.parametrize("stop", [(), 2, (0, 3)], ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_stop_tokens_lengths_and_padding(name, stop):
    params, stops = weights(name), stop if isinstance(stop, tuple) else (stop,)
    write = quick(partial(generate, MODELS[name], max_new_tokens=6, stop=stop, pad=9))
    rows = [[1, 3, 2, 4], [4], [0, 2, 1]]
    expected = [by_loop(name, params, row, 6, stops, 9) for row in rows]
    left = [[0] * (5 - len(row)) + row for row in rows]
    right = [row + [3] * (5 - len(row)) for row in rows]
    middle = [row[:1] + [2] * (5 - len(row)) + row[1:] for row in rows]
    for prompt, mask in (
        (left, [[False] * (5 - len(row)) + [True] * len(row) for row in rows]),
        (right, [[True] * len(row) + [False] * (5 - len(row)) for row in rows]),
        (middle, [[True] + [False] * (5 - len(row)) + [True] * (len(row) - 1) for row in rows]),
    ):
        assert_generated(write(params, {}, jnp.array(prompt), mask=jnp.array(mask)), expected)


def test_one_program_for_all_tokens_and_none_again():
    traces = []

    class Counted(Llama, init=False):
        def forward(self, *args, **kwargs):
            traces.append(args[0].shape)
            return super().forward(*args, **kwargs)

    model, params = Counted(VOCABULARY, width=8, hidden=12, depth=2, heads=2, kv_heads=1), weights("Llama")
    write = jax.jit(generate, static_argnames=("model", "max_new_tokens", "temperature"))
    write(model, params, {}, PROMPT, max_new_tokens=6, temperature=0)
    assert traces[0] == (2, 3) and set(traces[1:]) == {(2, 1)}
    before = len(traces)
    equal = Counted(VOCABULARY, width=8, hidden=12, depth=2, heads=2, kv_heads=1)
    write(equal, params, {}, PROMPT[::-1], max_new_tokens=6, temperature=0)
    assert len(traces) == before and write._cache_size() == 1
    text = str(jax.make_jaxpr(partial(generate, model, max_new_tokens=100))(params, {}, PROMPT))
    assert text.count("while[") == 1


def test_sampling():
    name, params = "Llama", weights("Llama")
    write = jax.jit(partial(generate, MODELS[name], max_new_tokens=2), static_argnames="top_k")
    same = write(params, {}, PROMPT, temperature=0.9, key=KEY)
    np.testing.assert_array_equal(write(params, {}, PROMPT, temperature=0.9, key=KEY).tokens, same.tokens)
    keys = jax.random.split(KEY, 4000)
    drawn = jax.vmap(lambda key: write(params, {}, PROMPT[:1], temperature=0.8, key=key).tokens[0])(keys)
    shares = np.zeros((VOCABULARY, VOCABULARY))
    np.add.at(shares, tuple(np.asarray(drawn).T), 1 / len(keys))
    first = np.asarray(jax.nn.softmax(log_probabilities(name, params, PROMPT[0].tolist())[-1] / 0.8))
    for token in range(VOCABULARY):
        then = np.asarray(jax.nn.softmax(log_probabilities(name, params, [*PROMPT[0].tolist(), token])[-1] / 0.8))
        np.testing.assert_allclose(shares[token], first[token] * then, atol=0.03)
    greedy = write(params, {}, PROMPT, temperature=0.0001, key=KEY)
    np.testing.assert_array_equal(greedy.tokens, generate(MODELS[name], params, {}, PROMPT, 2).tokens)
    np.testing.assert_array_equal(write(params, {}, PROMPT, temperature=5.0, top_k=1, key=KEY).tokens, greedy.tokens)
    np.testing.assert_allclose(write(params, {}, PROMPT, temperature=5.0, top_k=1, key=KEY).scores, greedy.scores, rtol=1e-5)


def test_caches_of_half_precision_and_policies():
    model, params = MODELS["Llama"], weights("Llama")
    assert generate(model, params, {}, PROMPT, 4, dtype=jnp.bfloat16).tokens.shape == (2, 4)
    half = model.with_policy(Policy())
    for dtype in (jnp.float32, jnp.bfloat16):
        got = jax.jit(partial(generate, half, max_new_tokens=4, dtype=dtype))(params, {}, PROMPT)
        assert got.tokens.shape == (2, 4) and got.scores.dtype == jnp.float32
        assert beam_search(half, params, {}, PROMPT, 3, 2, dtype=dtype).tokens.shape == (2, 2, 3)


# -- beam search


def every_text(name, params, prompt, count, stop, penalty):
    """All texts up to this length that end with a stop token or at the end, by their score, the best first."""
    found = []
    for length in range(1, count + 1):
        for text in itertools.product(range(VOCABULARY), repeat=length):
            ends = text[-1] in stop or length == count
            if ends and not any(token in stop for token in text[:-1]):
                rows = log_probabilities(name, params, [*prompt, *text])[len(prompt) - 1 : -1]
                found.append((sum(rows[i, token] for i, token in enumerate(text)) / length**penalty, text))
    return sorted(found, reverse=True)


@pytest.mark.parametrize(("stop", "penalty"), [((), 1.0), ((2,), 1.0), ((2,), 0.0), ((1, 2), 2.0)], ids=str)
def test_with_beams_enough_it_finds_the_best_of_all_texts(stop, penalty):
    name, params, count = "Llama", weights("Llama"), 3
    beams = VOCABULARY**count
    got = quick(partial(beam_search, MODELS[name], max_new_tokens=count, beams=beams, length_penalty=penalty, stop=stop))(
        params, {}, PROMPT
    )
    for row, prompt in enumerate(PROMPT.tolist()):
        expected = every_text(name, params, prompt, count, stop, penalty)
        np.testing.assert_allclose(got.scores[row, : len(expected)], [score for score, _ in expected], rtol=1e-4, atol=1e-5)
        assert np.isneginf(got.scores[row, len(expected) :]).all()
        best = got.tokens[row, 0, : got.lengths[row, 0]].tolist()
        assert best == list(expected[0][1])


def test_one_beam_is_greedy():
    params = weights("GPT-2")
    one = beam_search(MODELS["GPT-2"], params, {}, PROMPT, 6, beams=1)
    greedy = generate(MODELS["GPT-2"], params, {}, PROMPT, 6)
    np.testing.assert_array_equal(one.tokens[:, 0], greedy.tokens)
    np.testing.assert_allclose(one.scores[:, 0] * 6, greedy.scores, rtol=1e-5)


# -- errors


@pytest.mark.parametrize(
    ("error", "text", "change"),
    [
        (ShapeError, r"prompt must be integers of shape \(B, P\).*int32 of shape \[3\]", {"prompt": PROMPT[0]}),
        (ShapeError, r"prompt must be integers.*float32", {"prompt": jnp.ones((2, 3))}),
        (ShapeError, r"prompt must be integers.*at least one token", {"prompt": PROMPT[:, :0]}),
        (ShapeError, r"mask must have the prompt's shape \[2, 3\], but got \[2, 2\]", {"mask": jnp.ones((2, 2), bool)}),
        (ArgumentError, "max_new_tokens must be positive, but got 0", {"max_new_tokens": 0}),
        (KeyRequiredError, "temperature=0.5 draws random numbers and needs a key", {"temperature": 0.5}),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_errors(error, text, change):
    arguments = {"prompt": PROMPT, "max_new_tokens": 2} | change
    with pytest.raises(error, match=text):
        generate(MODELS["Llama"], weights("Llama"), {}, **arguments)


def test_beams_must_be_positive():
    with pytest.raises(ArgumentError, match="beams must be positive, but got 0"):
        beam_search(MODELS["Llama"], weights("Llama"), {}, PROMPT, 2, beams=0)


def test_a_token_alone_as_prompt():
    params = weights("Llama")
    got = generate(MODELS["Llama"], params, {}, jnp.array([[2]]), 1)
    assert_generated(got, [by_loop("Llama", params, [2], 1)])
    assert F.sample_tokens(jnp.asarray(log_probabilities("Llama", params, [2])), 0).tolist() == got.tokens[0].tolist()
