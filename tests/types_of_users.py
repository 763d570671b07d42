"""A user's program, with the types that its author would expect: mypy reads it, and nothing runs it."""

from __future__ import annotations

from typing import Any, assert_type

import jax
import jax.numpy as jnp
import optax

import funnn
from funnn import functional as F
from funnn import init, layers, optim
from funnn.layers import Layer, Param


class Scale(Layer):
    """A layer of one's own, with fields as constructor arguments."""

    features: int
    inner: Layer | None = None

    def spec(self) -> dict[str, Param]:
        return {"weight": Param((self.features,), init.ones)}

    def forward(self, x: jax.Array) -> jax.Array:
        y: jax.Array = x * self.weight
        return y


def constructors() -> None:
    layers.Sequential(layers.Linear(2, 3, bias=False), layers.ReLU(), Scale(3, inner=layers.Tanh()))
    layers.LSTM(3, 4, num_layers=2, proj_size=1)
    layers.RNN(3, 4, nonlinearity="relu")
    layers.ConvTranspose2d(1, 2, 3, 2, 1, 1)
    layers.BatchNorm2d(3, 1e-3, bias=False)
    layers.PReLU(init=0.5)
    assert_type(Scale(3).replace(features=4), Scale)
    assert_type(layers.Linear(2, 3).with_policy(layers.Policy()), layers.Linear)


def functions(x: jax.Array, weight: jax.Array, key: jax.Array) -> None:
    assert_type(F.relu(x), jax.Array)
    assert_type(F.linear(x, weight, bias=None), jax.Array)
    assert_type(F.conv2d(x, weight, stride=2, padding="valid"), jax.Array)
    assert_type(F.avg_pool1d(x, kernel_size=2), jax.Array)
    assert_type(F.dropout2d(x, p=0.1, key=key), jax.Array)
    assert_type(F.batch_norm(x, None, None, training=True, momentum=0.2), jax.Array)
    assert_type(F.max_pool2d_with_indices(x, 2), tuple[jax.Array, jax.Array])
    assert_type(F.lstm_cell(x, None, weight, weight), tuple[jax.Array, jax.Array])
    assert_type(init.normal(key, (2, 3), std=0.1, dtype=jnp.bfloat16), jax.Array)


def training(x: jax.Array, y: jax.Array) -> float:
    layer = layers.Sequential(layers.Linear(2, 3))
    optimizer = optax.chain(optim.adamw(lr=optim.schedules.cosine_annealing_lr(0.1, 100)))
    start, step, evaluate = funnn.train_step(layer, F.cross_entropy, optimizer)
    train_state = start(jax.random.key(0))
    assert_type(train_state, funnn.TrainState)
    train_state, metrics = step(train_state, (x, y))
    assert_type(metrics, dict[str, Any])
    assert_type(funnn.find_nans(step, train_state, (x, y))[0].path, str)
    return float(evaluate(train_state, (x, y))["loss"])


@F.public
def double(input: jax.Array, by: float = 2.0) -> jax.Array:
    """A kernel of one's own keeps its signature."""
    return by * input


assert_type(double(jnp.ones(2), by=3.0), jax.Array)
