"""The benchmark's models in Flax NNX, channels last."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

POOL = partial(nnx.max_pool, window_shape=(2, 2), strides=(2, 2))


class GPTBlock(nnx.Module):
    def __init__(self, d, rngs):
        self.n1, self.n2 = nnx.LayerNorm(d, epsilon=1e-5, rngs=rngs), nnx.LayerNorm(d, epsilon=1e-5, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(4, d, decode=False, rngs=rngs)
        self.up, self.down = nnx.Linear(d, 4 * d, rngs=rngs), nnx.Linear(4 * d, d, rngs=rngs)

    def __call__(self, x):
        x = x + self.attention(self.n1(x), mask=nnx.make_causal_mask(x[..., 0]))
        return x + self.down(nnx.gelu(self.up(self.n2(x)), approximate=False))


class GPT(nnx.Module):
    def __init__(self, rngs):
        self.tokens, self.places = nnx.Embed(1000, 128, rngs=rngs), nnx.Embed(128, 128, rngs=rngs)
        self.blocks = nnx.Sequential(*(GPTBlock(128, rngs) for _ in range(4)))
        self.norm, self.head = nnx.LayerNorm(128, epsilon=1e-5, rngs=rngs), nnx.Linear(128, 1000, rngs=rngs)

    def __call__(self, x):
        return self.head(self.norm(self.blocks(self.tokens(x) + self.places(jnp.arange(x.shape[1])))))


class LanguageModel(nnx.Module):
    def __init__(self, rngs):
        self.tokens, self.head = nnx.Embed(1000, 256, rngs=rngs), nnx.Linear(256, 1000, rngs=rngs)
        self.rnn = nnx.RNN(nnx.OptimizedLSTMCell(256, 256, rngs=rngs))

    def __call__(self, x):
        return self.head(self.rnn(self.tokens(x)))


def conv(c, out, kernel, stride, padding, rngs):
    return nnx.Conv(c, out, (kernel, kernel), stride, padding=padding, use_bias=False, rngs=rngs)


class Block(nnx.Module):
    def __init__(self, c, out, stride, rngs):
        norm = partial(nnx.BatchNorm, momentum=0.9, rngs=rngs)
        self.body = nnx.Sequential(
            *(conv(c, out, 3, stride, 1, rngs), norm(out), nnx.relu, conv(out, out, 3, 1, 1, rngs), norm(out)),
        )
        same = c == out and stride == 1
        self.shortcut = nnx.identity if same else nnx.Sequential(conv(c, out, 1, stride, 0, rngs), norm(out))

    def __call__(self, x):
        return nnx.relu(self.shortcut(x) + self.body(x))


def flatten(x):
    return x.reshape(x.shape[0], -1)


def mean(x):
    return x.mean((1, 2))


def model(row: str) -> Callable:
    rngs = nnx.Rngs(0)
    if row in ("gpt", "lstm"):
        return {"gpt": GPT, "lstm": LanguageModel}[row](rngs)
    if row == "cnn":
        convs = [nnx.Conv(c, o, (3, 3), rngs=rngs) for c, o in itertools.pairwise((3, 32, 64, 128, 128))]
        return nnx.Sequential(*(f for c in convs for f in (c, nnx.relu, POOL)), flatten, nnx.Linear(512, 10, rngs=rngs))
    if row == "lenet":
        convs = (nnx.Conv(1, 6, (5, 5), rngs=rngs), nnx.relu, POOL, nnx.Conv(6, 16, (5, 5), padding="VALID", rngs=rngs), nnx.relu, POOL)
        a, b, c = (nnx.Linear(i, o, rngs=rngs) for i, o in ((400, 120), (120, 84), (84, 10)))
        return nnx.Sequential(*convs, flatten, a, nnx.relu, b, nnx.relu, c)
    if row == "resnet18":
        widths = [(32, 32, 1), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1)]
        stem = (conv(3, 32, 3, 1, 1, rngs), nnx.BatchNorm(32, momentum=0.9, rngs=rngs), nnx.relu)
        return nnx.Sequential(*stem, *(Block(*width, rngs) for width in widths), mean, nnx.Linear(256, 10, rngs=rngs))
    layers = [f for _ in range(7) for f in (nnx.Linear(64, 64, rngs=rngs), nnx.relu)]
    return nnx.Sequential(*layers, nnx.Linear(64, 64, rngs=rngs))


def step(row: str, x: np.ndarray, y: np.ndarray) -> tuple[Callable, int]:
    net = model(row)
    optimizer = nnx.Optimizer(net, optax.sgd(0.1), wrt=nnx.Param)
    x, y = jnp.asarray(np.moveaxis(x, 1, -1) if x.ndim == 4 else x), jnp.asarray(y)

    @nnx.jit
    def train(net, optimizer, x, y):
        def loss(net):
            return optax.softmax_cross_entropy_with_integer_labels(net(x), y).mean()

        value, grads = nnx.value_and_grad(loss)(net)
        optimizer.update(net, grads)
        return value

    def run() -> jax.Array:
        return train(net, optimizer, x, y)

    return run, sum(p.size for p in jax.tree.leaves(nnx.state(net, nnx.Param)))
