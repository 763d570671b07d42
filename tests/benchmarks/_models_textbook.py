"""The benchmark's models as plain JAX with textbook formulas: what autodiff makes of them is the baseline.

They take their parameters from funnn's layers, so that both start alike, and share no kernel with them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tests.benchmarks import _models_funnn

#: Means and variances that the layers met while they were traced; the step keeps running ones.
STATISTICS: list[jax.Array] = []
#: The running ones that are still to come, while a forward pass for inference is traced.
RUNNING: list[jax.Array] = []


def linear(p, x):
    return x @ p["weight"].T + p.get("bias", 0)


def layer_norm(p, x):
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / jnp.sqrt(var + 1e-5) * p["weight"] + p["bias"]


def batch_norm(p, x):
    if RUNNING:
        mean, var = (RUNNING.pop(0)[:, None, None] for _ in range(2))
        return (x - mean) / jnp.sqrt(var + 1e-5) * p["weight"][:, None, None] + p["bias"][:, None, None]
    mean, var = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
    STATISTICS.extend((mean.ravel(), var.ravel() * x.size / (x.size - x.shape[1])))
    return (x - mean) / jnp.sqrt(var + 1e-5) * p["weight"][:, None, None] + p["bias"][:, None, None]


def conv(p, x, stride=1, padding=0, groups=1):
    pads, names = [(padding, padding)] * 2, ("NCHW", "OIHW", "NCHW")
    y = lax.conv_general_dilated(x, p["weight"], (stride, stride), pads, dimension_numbers=names, feature_group_count=groups)
    return y + p["bias"][:, None, None] if "bias" in p else y


def max_pool(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")


def attention(p, x, heads=4):
    n, t, d = x.shape
    q, k, v = jnp.moveaxis(linear(p["qkv"], x).reshape(n, t, 3, heads, d // heads), 2, 0)
    scores = jnp.einsum("nqhd,nkhd->nhqk", q, k) / np.sqrt(d // heads)
    weights = jax.nn.softmax(jnp.where(jnp.tril(jnp.ones((t, t), bool)), scores, -jnp.inf), -1)
    return linear(p["out"], jnp.einsum("nhqk,nkhd->nqhd", weights, v).reshape(n, t, d))


def gpt(p, x):
    x = p["tokens"]["weight"][x] + p["places"]["weight"][jnp.arange(x.shape[1])]
    for block in p["blocks"].values():
        first, second = block["0"]["body"], block["1"]["body"]
        x = x + attention(first["1"], layer_norm(first["0"], x))
        hidden = jax.nn.gelu(linear(second["1"], layer_norm(second["0"], x)), approximate=False)
        x = x + linear(second["3"], hidden)
    return linear(p["head"], layer_norm(p["norm"], x))


def lstm(p, x):
    r = p["rnn"]
    x = p["tokens"]["weight"][x].swapaxes(0, 1)

    def cell(carry, x):
        h, c = carry
        gates = x @ r["weight_ih_l0"].T + r["bias_ih_l0"] + h @ r["weight_hh_l0"].T + r["bias_hh_l0"]
        i, f, g, o = jnp.split(gates, 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    zeros = jnp.zeros((x.shape[1], 256))
    return linear(p["head"], lax.scan(cell, (zeros, zeros), x)[1].swapaxes(0, 1))


def cnn(p, x):
    for i in ("0", "3", "6", "9"):
        x = max_pool(jax.nn.relu(conv(p[i], x, padding=1)))
    return linear(p["13"], x.reshape(x.shape[0], -1))


def lenet(p, x):
    x = max_pool(jax.nn.relu(conv(p["0"], x, padding=2)))
    x = max_pool(jax.nn.relu(conv(p["3"], x)))
    x = x.reshape(x.shape[0], -1)
    x = jax.nn.relu(linear(p["7"], x))
    return linear(p["11"], jax.nn.relu(linear(p["9"], x)))


def resnet18(p, x):
    x = jax.nn.relu(batch_norm(p["1"], conv(p["0"], x, padding=1)))
    for i, stride in enumerate((1, 1, 2, 1, 2, 1, 2, 1)):
        block = p[str(3 + i)]
        body, shortcut = block["body"], block.get("shortcut")
        y = jax.nn.relu(batch_norm(body["1"], conv(body["0"], x, stride, 1)))
        y = batch_norm(body["4"], conv(body["3"], y, 1, 1))
        x = jax.nn.relu(y + (x if shortcut is None else batch_norm(shortcut["1"], conv(shortcut["0"], x, stride))))
    return linear(p["12"], x.mean((2, 3)))


def mlp(p, x):
    *hidden, last = (p[name] for name in sorted(p, key=int))  # under jit a dict's keys are in the order of their texts
    for layer in hidden:
        x = jax.nn.relu(linear(layer, x))
    return linear(last, x)


MODELS = {"gpt": gpt, "lstm": lstm, "cnn": cnn, "lenet": lenet, "resnet18": resnet18, "mlp": mlp}


def step(row: str, x: np.ndarray, y: np.ndarray) -> tuple[Callable, int]:
    return step_of(MODELS[row], _models_funnn.model(row), x, y)


def init_of(model: Callable, layer: Any, x: np.ndarray) -> tuple[Any, list[jax.Array]]:
    """The layer's parameters, and the first running statistics: means of 0 and variances of 1."""
    params, _ = layer.init(jax.random.key(0))
    STATISTICS.clear()
    jax.eval_shape(model, params, x)
    return params, [jnp.full(s.shape, i % 2, s.dtype) for i, s in enumerate(STATISTICS)]


def step_of(model: Callable, layer: Any, x: np.ndarray, y: np.ndarray) -> tuple[Callable, int]:
    """One step of training of a function of parameters, which are those of the layer, and of inputs."""
    params, running = init_of(model, layer, x)
    x, y = jnp.asarray(x), jnp.asarray(y)

    @jax.jit
    def train(params, running, x, y):
        def loss(params):
            STATISTICS.clear()
            log_p = jax.nn.log_softmax(model(params, x), -1)
            return -jnp.take_along_axis(log_p, y[..., None], -1).mean(), list(STATISTICS)

        (value, seen), grads = jax.value_and_grad(loss, has_aux=True)(params)
        running = [0.9 * old + 0.1 * new for old, new in zip(running, seen, strict=True)]
        return jax.tree.map(lambda p, g: p - 0.1 * g, params, grads), running, value

    def run():
        nonlocal params, running
        params, running, value = train(params, running, x, y)
        return value

    return run, sum(p.size for p in jax.tree.leaves(params))


def predict_of(model: Callable, layer: Any, x: np.ndarray) -> Callable:
    """The function on these inputs, with running statistics."""
    params, running = init_of(model, layer, x)

    @jax.jit
    def forward(params, running, x):
        RUNNING[:] = running
        return model(params, x)

    x = jnp.asarray(x)
    return lambda: forward(params, running, x)
