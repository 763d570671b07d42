"""A sequence tagger over sentences of several lengths in one batch: each is tagged, and differentiated, as it is alone."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from funnn import Layer, checkpoint
from funnn import functional as F
from funnn.layers import LSTM, Dropout, Embedding, Linear
from tests.quick import quick

WORDS, TAGS, IGNORED = 20, 4, -100
LENGTHS = (5, 3, 1)


class Tagger(Layer):
    embed: Embedding
    rnn: LSTM
    drop: Dropout
    head: Linear

    def forward(self, words, lengths=None):
        y, _ = self.rnn(self.embed(words), lengths=lengths)
        return self.head(self.drop(y))


NET = Tagger(Embedding(WORDS, 8), LSTM(8, 6, num_layers=2, batch_first=True, bidirectional=True), Dropout(0.1), Linear(12, TAGS))


def sentences():
    rng = np.random.default_rng(0)
    return [(rng.integers(0, WORDS, n), rng.integers(0, TAGS, n)) for n in LENGTHS]


def padded():
    words = np.stack([np.pad(w, (0, max(LENGTHS) - len(w)), constant_values=13) for w, _ in sentences()])
    tags = np.stack([np.pad(t, (0, max(LENGTHS) - len(t)), constant_values=IGNORED) for _, t in sentences()])
    return jnp.asarray(words), jnp.asarray(tags), jnp.array(LENGTHS)


def loss_of(params, words, tags, lengths):
    logits, _ = NET.apply(params, {}, words, lengths)
    return F.cross_entropy(logits.reshape(-1, TAGS), tags.reshape(-1), ignore_index=IGNORED)


def summed_loss(params, words, tags):
    return F.cross_entropy(NET.apply(params, {}, words[None])[0][0], tags, reduction="sum")


def test_a_batch_is_its_sentences():
    params, _ = NET.init(jax.random.key(0))
    words, tags, lengths = padded()
    logits, _ = quick(NET.apply)(params, {}, words, lengths)
    value, grads = quick(jax.value_and_grad(loss_of))(params, words, tags, lengths)
    total, summed = 0.0, jax.tree.map(jnp.zeros_like, params)
    for row, (own_words, own_tags) in enumerate(sentences()):
        alone, _ = quick(NET.apply)(params, {}, jnp.asarray(own_words)[None])
        np.testing.assert_allclose(logits[row, : len(own_words)], alone[0], rtol=1e-4, atol=1e-5)

        own, own_grads = quick(jax.value_and_grad(summed_loss))(params, jnp.asarray(own_words), jnp.asarray(own_tags))
        total, summed = total + own, jax.tree.map(jnp.add, summed, own_grads)
    assert value.item() == pytest.approx(total.item() / sum(LENGTHS), rel=1e-5)
    for name, grad in checkpoint.flatten(grads).items():
        np.testing.assert_allclose(grad, checkpoint.flatten(summed)[name] / sum(LENGTHS), rtol=1e-3, atol=1e-6, err_msg=name)


def test_padding_means_nothing():
    params, _ = NET.init(jax.random.key(0))
    words, tags, lengths = padded()
    other = jnp.where(tags == IGNORED, 2, words)
    both = [quick(jax.value_and_grad(loss_of))(params, w, tags, lengths) for w in (words, other)]
    jax.tree.map(np.testing.assert_array_equal, *both)
