"""Masks by position against loops over all pairs, and ALiBi against the numbers that its paper gives."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import funnn.functional as F
from funnn.errors import ArgumentError

I, J = np.array([[3, 4, 5, -1], [0, 1, 2, 3]]), np.array([[-1, 3, 4, 5, 2], [0, 1, 2, 3, -1]])
SEGMENTS, OTHERS = np.array([[1, 1, 2, 2], [1, 1, 1, 1]]), np.array([[1, 1, 2, 2, 1], [1, 2, 1, 1, 1]])


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("window", [None, 1, 2, 100])
@pytest.mark.parametrize("packed", [False, True])
def test_every_pair(causal, window, packed):
    segments = (SEGMENTS, OTHERS) if packed else (None, None)
    got = np.asarray(jax.jit(lambda i, j: F.attention_mask(i, j, causal, window, *segments))(I, J))
    assert got.shape == (2, 4, 5)
    for b, q, k in itertools.product(range(2), range(4), range(5)):
        i, j = I[b, q], J[b, k]
        near = window is None or (i - j if causal else abs(i - j)) < window
        expected = i >= 0 and j >= 0 and (not causal or j <= i) and near and (not packed or SEGMENTS[b, q] == OTHERS[b, k])
        assert got[b, q, k] == expected, (b, q, k)


def test_window_1_is_the_token_itself_and_length_1_works():
    assert F.attention_mask(jnp.arange(4), jnp.arange(4), window=1).tolist() == np.eye(4, dtype=bool).tolist()
    assert F.attention_mask(jnp.array([7]), jnp.array([7])).tolist() == [[True]]


def test_segments_alone_are_those_of_keys_too():
    segments = jnp.array([1, 1, 2])
    expected = F.attention_mask(jnp.arange(3), jnp.arange(3), True, None, segments, segments)
    np.testing.assert_array_equal(F.attention_mask(jnp.arange(3), jnp.arange(3), query_segments=segments), expected)


def test_a_query_that_may_attend_to_nothing_gets_zeros_and_no_nan():
    q = jax.random.normal(jax.random.key(0), (1, 3, 4))
    mask = F.attention_mask(jnp.array([0, -1, 1]), jnp.array([0, -1, 1]))
    value, gradient = jax.value_and_grad(lambda q: jnp.sum(F.scaled_dot_product_attention(q, q, q, mask) ** 2))(q)
    assert (F.scaled_dot_product_attention(q, q, q, mask)[0, 1] == 0).all()
    assert np.isfinite(value) and np.isfinite(gradient).all() and (gradient[0, 1] == 0).all()


def test_positions_within_segments():
    segments = np.array([[3, 3, 3, 1, 1, 2], [0, 0, 1, 1, 0, 0]])
    assert F.segment_positions(segments).tolist() == [[0, 1, 2, 0, 1, 0], [0, 1, 0, 1, 0, 1]]
    assert jax.jit(F.segment_positions)(jnp.array([5])).tolist() == [0]


# -- ALiBi


def test_slopes():
    np.testing.assert_allclose(F.alibi_slopes(8), 0.5 ** np.arange(1, 9), rtol=1e-6)  # section 3 of the paper
    np.testing.assert_allclose(F.alibi_slopes(16), 2 ** (-np.arange(1, 17) / 2), rtol=1e-6)
    np.testing.assert_allclose(F.alibi_slopes(12), [*0.5 ** np.arange(1, 9), *(2 ** -np.array([0.5, 1.5, 2.5, 3.5]))], rtol=1e-6)
    np.testing.assert_allclose(F.alibi_slopes(3), [2**-4, 2**-8, 2**-2], rtol=1e-6)
    assert F.alibi_slopes(1).tolist() == [2**-8]


def test_attention_with_the_bias_is_torchs():
    q, k, v = (torch.tensor(np.random.default_rng(n).standard_normal((2, 4, 5, 3)).astype(np.float32)) for n in range(3))
    place = torch.arange(5)
    slopes = torch.tensor([0.25, 0.0625, 0.015625, 0.00390625])
    bias = slopes[:, None, None] * (place[None, :] - place[:, None])  # the paper's, of which a row may be shifted
    bias = bias.masked_fill(place[None, :] > place[:, None], -torch.inf)
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, bias)
    i = jnp.arange(5)
    ours = jnp.where(F.attention_mask(i, i), F.alibi_bias(i, i, 4), -jnp.inf)
    got = F.scaled_dot_product_attention(*(jnp.asarray(x.numpy()) for x in (q, k, v)), ours)
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-6)
    assert F.alibi_bias(jnp.zeros((2, 3), int), jnp.zeros((2, 5), int), 4).shape == (2, 4, 3, 5)


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("window must be at least 1.*window=0", lambda: F.attention_mask(jnp.arange(2), jnp.arange(2), window=0)),
        ("key_segments were given without", lambda: F.attention_mask(jnp.arange(2), jnp.arange(2), key_segments=jnp.arange(2))),
        ("num_heads must be positive, but got 0", lambda: F.alibi_slopes(0)),
    ],
)
def test_errors(text, call):
    with pytest.raises(ArgumentError, match=text):
        call()
