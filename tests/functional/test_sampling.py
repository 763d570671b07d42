"""Filters against loops over sorted probabilities, and draws against the probabilities that the filters leave."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import funnn.functional as F
from funnn.errors import ArgumentError, DtypeError, KeyRequiredError

LOGITS = np.random.default_rng(0).standard_normal((3, 11)).astype(np.float32) * 2
INF = np.inf


def softmax(x):
    e = np.exp(x.astype(float) - x.max())
    return e / e.sum()


def nucleus(row, p):
    """The definition, token by token."""
    probabilities, kept, total = softmax(row), np.full(row.shape, -INF, np.float32), 0.0
    for token in np.argsort(-row, kind="stable"):
        kept[token] = row[token]
        total += probabilities[token]
        if total >= p:
            break
    return kept


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_top_p(p):
    expected = np.stack([nucleus(row, p) for row in LOGITS])
    np.testing.assert_array_equal(F.top_p_filter(LOGITS, p), expected)
    np.testing.assert_array_equal(jax.jit(F.top_p_filter)(LOGITS, p), expected)  # a traced p


def test_top_p_of_each_row_and_of_equals():
    p = np.array([[0.2], [0.5], [0.95]])
    expected = np.stack([nucleus(row, q) for row, q in zip(LOGITS, p[:, 0], strict=True)])
    np.testing.assert_array_equal(F.top_p_filter(LOGITS, p), expected)
    assert F.top_p_filter(jnp.zeros(4), 0.5).tolist() == [0, 0, -INF, -INF]


@pytest.mark.parametrize("k", [1, 3, 11, 50])
def test_top_k(k):
    expected = np.where(np.sort(LOGITS)[:, -min(k, 11)][:, None] <= LOGITS, LOGITS, -INF)
    np.testing.assert_array_equal(F.top_k_filter(LOGITS, k), expected)
    assert F.top_k_filter(jnp.array([1.0, 1.0, 0.0]), 1).tolist() == [1, 1, -INF]


@pytest.mark.parametrize("p", [0.0, 0.1, 1.0])
def test_min_p(p):
    probabilities = np.stack([softmax(row) for row in LOGITS])
    expected = np.where(probabilities >= p * probabilities.max(1, keepdims=True), LOGITS, -INF)
    np.testing.assert_array_equal(F.min_p_filter(LOGITS, p), expected)


def test_what_is_left_out_already_stays_out():
    row = jnp.array([-INF, 1.0, -INF, 0.0])
    assert F.top_k_filter(row, 3).tolist() == F.top_p_filter(row, 1.0).tolist() == F.min_p_filter(row, 0.0).tolist() == row.tolist()


def test_half_precision_keeps_its_dtype():
    for function, value in ((F.top_k_filter, 2), (F.top_p_filter, 0.5), (F.min_p_filter, 0.5)):
        assert function(jnp.asarray(LOGITS, jnp.bfloat16), value).dtype == jnp.bfloat16


def test_draws_follow_the_probabilities():
    count = 20000
    keys = jax.random.split(jax.random.key(0), count)

    def shares(**options):
        tokens = jax.vmap(lambda key: F.sample_tokens(LOGITS[0], key=key, **options))(keys)
        assert tokens.dtype == jnp.int32
        return np.bincount(tokens, minlength=11) / count

    def check(expected, **options):
        np.testing.assert_allclose(shares(**options), softmax(expected), atol=4 * 0.5 / np.sqrt(count))
        assert (shares(**options)[np.isinf(expected)] == 0).all()

    row = LOGITS[0]
    check(row)
    check(row / 0.5, temperature=0.5)
    check(row / 2, temperature=jnp.array([2.0]))
    check(np.asarray(F.top_k_filter(row, 3)), top_k=3)
    # the filters see the logits after the temperature, and each what the one before left
    warm = F.top_p_filter(F.top_k_filter(row / 1.5, 5), 0.8)
    check(np.asarray(F.min_p_filter(warm, 0.3)), temperature=1.5, top_k=5, top_p=0.8, min_p=0.3)


def test_the_likeliest():
    assert F.sample_tokens(LOGITS, 0.0).tolist() == LOGITS.argmax(1).tolist()
    assert F.sample_tokens(jnp.array([2.0, 2.0]), 0).item() == 0
    for options in ({"top_k": 1}, {"top_p": 0.0}, {"min_p": 1.0}, {"temperature": 1e-3}):
        assert F.sample_tokens(LOGITS, key=jax.random.key(1), **options).tolist() == LOGITS.argmax(1).tolist()


def test_a_key_gives_the_same_tokens_and_rows_draw_apart():
    same = jnp.zeros((64, 11))
    key = jax.random.key(3)
    tokens = F.sample_tokens(same, key=key)
    np.testing.assert_array_equal(tokens, jax.jit(lambda: F.sample_tokens(same, key=key))())
    assert len(set(tokens.tolist())) > 5


@pytest.mark.parametrize(
    ("error", "text", "call"),
    [
        (KeyRequiredError, "sample_tokens with temperature=0.7 draws random numbers", lambda: F.sample_tokens(LOGITS, 0.7)),
        (ArgumentError, "temperature must be at least 0, but got temperature=-1", lambda: F.sample_tokens(LOGITS, -1)),
        (ArgumentError, "k must be at least 1, but got k=0", lambda: F.top_k_filter(LOGITS, 0)),
        (ArgumentError, "top_p_filter: p must be between 0 and 1, but got p=1.5", lambda: F.top_p_filter(LOGITS, 1.5)),
        (ArgumentError, "min_p_filter: p must be between 0 and 1, but got p=-0.1", lambda: F.min_p_filter(LOGITS, -0.1)),
        (DtypeError, "logits must be floating point", lambda: F.sample_tokens(jnp.arange(3))),
    ],
)
def test_errors(error, text, call):
    with pytest.raises(error, match=text):
        call()
