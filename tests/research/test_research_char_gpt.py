"""A character-level GPT: trained in a scan, and writing with a cache what it would write without one."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

import funnn
from funnn import Layer, optim
from funnn import functional as F
from funnn.generation import generate
from funnn.layers import Embedding, FeedForward, GroupedQueryAttention, LayerNorm, Repeat, RotaryEmbedding
from tests.quick import quick

TEXT = "the cat sat on the mat. "
LETTERS = sorted(set(TEXT))
WIDTH, DEPTH = 32, 3


class Block(Layer):
    norm1: LayerNorm
    attn: GroupedQueryAttention
    norm2: LayerNorm
    mlp: FeedForward

    def forward(self, x, positions=None, cache=None):
        y, cache = self.attn(self.norm1(x), positions, cache=cache)
        x = x + y
        return x + self.mlp(self.norm2(x)), cache


class GPT(Layer):
    embed: Embedding
    blocks: Repeat
    norm: LayerNorm

    def init_cache(self, batch, length, dtype=jnp.float32):
        return self.blocks.layer.attn.init_cache(batch, length, dtype, layers=self.blocks.times)

    def forward(self, tokens, positions=None, cache=None, at=None):
        x, cache = self.blocks(self.embed(tokens), positions, each=cache)
        if at is not None:
            x = jnp.take_along_axis(x, at[:, None, None], 1)
        return F.linear(self.norm(x), self.embed.weight), cache


def gpt():
    attention = GroupedQueryAttention(WIDTH, 4, rotary=RotaryEmbedding(8))
    block = Block(LayerNorm(WIDTH), attention, LayerNorm(WIDTH), FeedForward(WIDTH, 64))
    return GPT(Embedding(len(LETTERS), WIDTH), Repeat(block, DEPTH, has_aux=True), LayerNorm(WIDTH))


def loss_of(output, target):
    logits, _ = output
    return F.cross_entropy(logits.reshape(-1, len(LETTERS)), target.reshape(-1))


def test_it_learns_a_text_by_heart_and_writes_it_with_a_cache():
    net = gpt()
    text = jnp.array([LETTERS.index(letter) for letter in TEXT * 8])
    init, step, _ = funnn.train_step(net, loss_of, optim.adamw(lr=1e-2))

    def one(train_state, key):
        starts = jax.random.randint(key, (8, 1), 0, len(TEXT))
        window = text[starts + jnp.arange(49)]
        return step(train_state, (window[:, :-1], window[:, 1:]))

    train_state, metrics = quick(lambda state, keys: jax.lax.scan(one, state, keys))(
        init(jax.random.key(0)), jax.random.split(jax.random.key(1), 100)
    )
    # Only what a text begins with can't be known: where in the sentence it is.
    assert metrics["loss"][0] > np.log(len(LETTERS)) - 0.5 and metrics["loss"][-1] < 0.25

    params, prompt = train_state.params, text[None, :30]
    written = quick(lambda params: generate(net, params, {}, prompt, 24))(params)
    assert "".join(LETTERS[i] for i in written.tokens[0]) == (TEXT * 8)[30:54]

    whole = jnp.concatenate([prompt, written.tokens], 1)
    (logits, none), _ = quick(net.apply)(params, {}, whole)
    assert none is None
    np.testing.assert_array_equal(logits[0, 29:-1].argmax(-1), written.tokens[0])
    cache = net.init_cache(1, 54)
    read = quick(lambda params, token, cache: net.apply(params, {}, token, cache=cache)[0])
    for i in range(54):
        piece, cache = read(params, whole[:, i : i + 1], cache)
        np.testing.assert_allclose(piece[0, 0], logits[0, i], rtol=1e-4, atol=1e-4)
    assert cache.length.tolist() == [54] * DEPTH
