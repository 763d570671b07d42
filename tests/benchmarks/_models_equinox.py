"""The benchmark's models in Equinox: one example a call, vmapped over the batch."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax


class Keys:
    """A stream of keys."""

    def __init__(self):
        self.key = jax.random.key(0)

    def __call__(self):
        self.key, key = jax.random.split(self.key)
        return key


class GPTBlock(eqx.Module):
    n1: eqx.nn.LayerNorm
    n2: eqx.nn.LayerNorm
    qkv: eqx.nn.Linear
    out: eqx.nn.Linear
    up: eqx.nn.Linear
    down: eqx.nn.Linear

    def __init__(self, d, key):
        self.n1, self.n2 = eqx.nn.LayerNorm(d), eqx.nn.LayerNorm(d)
        self.qkv, self.out = eqx.nn.Linear(d, 3 * d, key=key()), eqx.nn.Linear(d, d, key=key())
        self.up, self.down = eqx.nn.Linear(d, 4 * d, key=key()), eqx.nn.Linear(4 * d, d, key=key())

    def __call__(self, x):
        t, d = x.shape
        q, k, v = jnp.moveaxis(jax.vmap(self.qkv)(jax.vmap(self.n1)(x)).reshape(t, 3, 4, d // 4), 1, 0)
        scores = jnp.einsum("qhd,khd->hqk", q, k) / np.sqrt(d // 4)
        weights = jax.nn.softmax(jnp.where(jnp.tril(jnp.ones((t, t), bool)), scores, -jnp.inf), -1)
        x = x + jax.vmap(self.out)(jnp.einsum("hqk,khd->qhd", weights, v).reshape(t, d))
        return x + jax.vmap(lambda row: self.down(jax.nn.gelu(self.up(self.n2(row)), approximate=False)))(x)


class GPT(eqx.Module):
    tokens: eqx.nn.Embedding
    places: eqx.nn.Embedding
    blocks: list
    norm: eqx.nn.LayerNorm
    head: eqx.nn.Linear

    def __init__(self, key):
        self.tokens, self.places = eqx.nn.Embedding(1000, 128, key=key()), eqx.nn.Embedding(128, 128, key=key())
        self.blocks = [GPTBlock(128, key) for _ in range(4)]
        self.norm, self.head = eqx.nn.LayerNorm(128), eqx.nn.Linear(128, 1000, key=key())

    def __call__(self, x, state):
        x = jax.vmap(self.tokens)(x) + self.places.weight[: x.shape[0]]
        for block in self.blocks:
            x = block(x)
        return jax.vmap(lambda row: self.head(self.norm(row)))(x), state


class LanguageModel(eqx.Module):
    tokens: eqx.nn.Embedding
    cell: eqx.nn.LSTMCell
    head: eqx.nn.Linear

    def __init__(self, key):
        self.tokens, self.head = eqx.nn.Embedding(1000, 256, key=key()), eqx.nn.Linear(256, 1000, key=key())
        self.cell = eqx.nn.LSTMCell(256, 256, key=key())

    def __call__(self, x, state):
        def step(carry, x):
            carry = self.cell(x, carry)
            return carry, carry[0]

        zeros = jnp.zeros(256)
        return jax.vmap(self.head)(jax.lax.scan(step, (zeros, zeros), jax.vmap(self.tokens)(x))[1]), state


class Block(eqx.Module):
    convs: list
    norms: list
    shortcut: list

    def __init__(self, c, out, stride, key):
        conv, norm = conv_of(key), norm_of
        self.convs = [conv(c, out, 3, stride, 1), conv(out, out, 3, 1, 1)]
        self.norms = [norm(out), norm(out)]
        self.shortcut = [] if c == out and stride == 1 else [conv(c, out, 1, stride, 0), norm(out)]

    def __call__(self, x, state):
        y, state = self.norms[0](self.convs[0](x), state)
        y, state = self.norms[1](self.convs[1](jax.nn.relu(y)), state)
        if self.shortcut:
            x, state = self.shortcut[1](self.shortcut[0](x), state)
        return jax.nn.relu(x + y), state


def conv_of(key):
    return lambda c, out, kernel, stride, padding: eqx.nn.Conv2d(c, out, kernel, stride, padding, use_bias=False, key=key())


def norm_of(size):
    return eqx.nn.BatchNorm(size, axis_name="batch", mode="batch")


class ResNet(eqx.Module):
    stem: eqx.nn.Conv2d
    norm: eqx.nn.BatchNorm
    blocks: list
    head: eqx.nn.Linear

    def __init__(self, key):
        widths = [(32, 32, 1), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1)]
        self.stem, self.norm = conv_of(key)(3, 32, 3, 1, 1), norm_of(32)
        self.blocks = [Block(*width, key) for width in widths]
        self.head = eqx.nn.Linear(256, 10, key=key())

    def __call__(self, x, state):
        x, state = self.norm(self.stem(x), state)
        x = jax.nn.relu(x)
        for block in self.blocks:
            x, state = block(x, state)
        return self.head(x.mean((1, 2))), state


class Stack(eqx.Module):
    layers: list

    def __call__(self, x, state):
        for layer in self.layers:
            x = layer(x)
        return x, state


def model(row: str) -> eqx.Module:
    key = Keys()
    if row in ("gpt", "lstm", "resnet18"):
        return {"gpt": GPT, "lstm": LanguageModel, "resnet18": ResNet}[row](key)
    pool, relu = eqx.nn.MaxPool2d(2, 2), jax.nn.relu
    if row == "cnn":
        convs = [eqx.nn.Conv2d(c, o, 3, padding=1, key=key()) for c, o in itertools.pairwise((3, 32, 64, 128, 128))]
        return Stack([*(layer for conv in convs for layer in (conv, relu, pool)), jnp.ravel, eqx.nn.Linear(512, 10, key=key())])
    if row == "lenet":
        convs = [eqx.nn.Conv2d(1, 6, 5, padding=2, key=key()), relu, pool, eqx.nn.Conv2d(6, 16, 5, key=key()), relu, pool, jnp.ravel]
        a, b, c = (eqx.nn.Linear(i, o, key=key()) for i, o in ((400, 120), (120, 84), (84, 10)))
        return Stack([*convs, a, relu, b, relu, c])
    return Stack([layer for _ in range(7) for layer in (eqx.nn.Linear(64, 64, key=key()), relu)] + [eqx.nn.Linear(64, 64, key=key())])


def step(row: str, x: np.ndarray, y: np.ndarray) -> tuple[Callable, int]:
    net, state = eqx.nn.make_with_state(model)(row)
    x, y = jnp.asarray(x), jnp.asarray(y)
    optimizer = optax.sgd(0.1)
    opt_state = optimizer.init(eqx.filter(net, eqx.is_inexact_array))

    @eqx.filter_jit
    def train(net, state, opt_state, x, y):
        def loss(net):
            run = jax.vmap(net, axis_name="batch", in_axes=(0, None), out_axes=(0, None))
            logits, new_state = run(x, state)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean(), new_state

        (value, new_state), grads = eqx.filter_value_and_grad(loss, has_aux=True)(net)
        updates, opt_state = optimizer.update(grads, opt_state)
        return eqx.apply_updates(net, updates), new_state, opt_state, value

    def run():
        nonlocal net, state, opt_state
        net, state, opt_state, value = train(net, state, opt_state, x, y)
        return value

    return run, sum(p.size for p in jax.tree.leaves(eqx.filter(net, eqx.is_inexact_array)))
