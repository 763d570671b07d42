"""The benchmark's models as funnn Layers."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import jax
import numpy as np

from funnn import functional as F
from funnn.layers import (
    GELU,
    LSTM,
    BatchNorm2d,
    Conv2d,
    Embedding,
    Flatten,
    Layer,
    LayerNorm,
    Linear,
    MaxPool2d,
    ReLU,
    Residual,
    Sequential,
)


class Attention(Layer):
    width: int
    heads: int
    qkv: Layer
    out: Layer

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = (self.qkv(x).reshape(n, t, 3, self.heads, d // self.heads).transpose(2, 0, 3, 1, 4)[i] for i in range(3))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(0, 2, 1, 3).reshape(n, t, d))


class GPT(Layer):
    tokens: Layer
    places: Layer
    blocks: list
    norm: Layer
    head: Layer

    def forward(self, x):
        x = self.tokens(x) + self.places(np.arange(x.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class LanguageModel(Layer):
    tokens: Layer
    rnn: Layer
    head: Layer

    def forward(self, x):
        return self.head(self.rnn(self.tokens(x))[0])


class Block(Layer):
    """ResNet's basic block."""

    body: Layer
    shortcut: Layer | None

    def forward(self, x):
        return F.relu((x if self.shortcut is None else self.shortcut(x)) + self.body(x))


class Mean(Layer):
    def forward(self, x):
        return x.mean((2, 3))


def gpt_block(d: int) -> Layer:
    return Sequential(
        Residual(Sequential(LayerNorm(d), Attention(d, 4, Linear(d, 3 * d), Linear(d, d)))),
        Residual(Sequential(LayerNorm(d), Linear(d, 4 * d), GELU(), Linear(4 * d, d))),
    )


def basic_block(c: int, out: int, stride: int) -> Layer:
    body = Sequential(
        Conv2d(c, out, 3, stride, 1, bias=False), BatchNorm2d(out), ReLU(), Conv2d(out, out, 3, 1, 1, bias=False), BatchNorm2d(out)
    )
    same = c == out and stride == 1
    return Block(body, None if same else Sequential(Conv2d(c, out, 1, stride, bias=False), BatchNorm2d(out)))


def model(row: str) -> Layer:
    if row == "gpt":
        return GPT(Embedding(1000, 128), Embedding(128, 128), [gpt_block(128) for _ in range(4)], LayerNorm(128), Linear(128, 1000))
    if row == "lstm":
        return LanguageModel(Embedding(1000, 256), LSTM(256, 256, batch_first=True), Linear(256, 1000))
    if row == "cnn":
        sizes = (3, 32, 64, 128, 128)
        parts = [layer for c, o in itertools.pairwise(sizes) for layer in (Conv2d(c, o, 3, padding=1), ReLU(), MaxPool2d(2))]
        return Sequential(*parts, Flatten(), Linear(128 * 4, 10))
    if row == "lenet":
        return Sequential(
            *(Conv2d(1, 6, 5, padding=2), ReLU(), MaxPool2d(2), Conv2d(6, 16, 5), ReLU(), MaxPool2d(2), Flatten()),
            *(Linear(400, 120), ReLU(), Linear(120, 84), ReLU(), Linear(84, 10)),
        )
    if row == "resnet18":
        widths = [(32, 32, 1), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1)]
        stem = (Conv2d(3, 32, 3, padding=1, bias=False), BatchNorm2d(32), ReLU())
        return Sequential(*stem, *(basic_block(*width) for width in widths), Mean(), Linear(256, 10))
    return Sequential(*(layer for _ in range(7) for layer in (Linear(64, 64), ReLU())), Linear(64, 64))


def step(row: str, x: np.ndarray, y: np.ndarray) -> tuple[Callable, int]:
    return step_of(model(row), x, y)


def step_of(layer: Layer, x: np.ndarray, y: np.ndarray) -> tuple[Callable, int]:
    """One step of training of a layer that gives logits."""
    params, state = layer.init(jax.random.key(0))
    x, y = jax.numpy.asarray(x), jax.numpy.asarray(y)

    @jax.jit
    def train(params, state, x, y):
        def loss(params):
            logits, new_state = layer.apply(params, state, x, train=True)
            return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), y.reshape(-1)), new_state

        (value, new_state), grads = jax.value_and_grad(loss, has_aux=True)(params)
        return jax.tree.map(lambda p, g: p - 0.1 * g, params, grads), new_state, value

    def run():
        nonlocal params, state
        params, state, value = train(params, state, x, y)
        return value

    return run, sum(p.size for p in jax.tree.leaves(params))


def predict_of(layer: Layer, x: np.ndarray) -> Callable:
    """The layer in evaluation mode on these inputs."""
    params, state = layer.init(jax.random.key(0))
    x = jax.numpy.asarray(x)
    forward = jax.jit(lambda params, state, x: layer.apply(params, state, x)[0])
    return lambda: forward(params, state, x)
