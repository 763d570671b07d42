"""The benchmark's models in Haiku, channels last."""

from __future__ import annotations

from collections.abc import Callable

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax


def layer_norm(x):
    return hk.LayerNorm(-1, create_scale=True, create_offset=True)(x)


def batch_norm(x):
    return hk.BatchNorm(create_scale=True, create_offset=True, decay_rate=0.9)(x, is_training=True)


def conv(x, out, kernel, stride=1, bias=False, padding="SAME"):
    return hk.Conv2D(out, kernel, stride, padding=padding, with_bias=bias)(x)


def pool(x):
    return hk.MaxPool((2, 2, 1), (2, 2, 1), "VALID")(x)


def gpt(x):
    t, d = x.shape[1], 128
    x = hk.Embed(1000, d)(x) + hk.Embed(128, d)(jnp.arange(t))
    mask = jnp.tril(jnp.ones((1, 1, t, t), bool))
    for _ in range(4):
        y = layer_norm(x)
        x = x + hk.MultiHeadAttention(4, d // 4, w_init=hk.initializers.VarianceScaling(), model_size=d)(y, y, y, mask=mask)
        x = x + hk.Linear(d)(jax.nn.gelu(hk.Linear(4 * d)(layer_norm(x)), approximate=False))
    return hk.Linear(1000)(layer_norm(x))


def lstm(x):
    x = hk.Embed(1000, 256)(x)
    core = hk.LSTM(256)
    y, _ = hk.dynamic_unroll(core, x, core.initial_state(x.shape[0]), time_major=False)
    return hk.Linear(1000)(y)


def cnn(x):
    for out in (32, 64, 128, 128):
        x = pool(jax.nn.relu(conv(x, out, 3, bias=True)))
    return hk.Linear(10)(x.reshape(x.shape[0], -1))


def lenet(x):
    x = pool(jax.nn.relu(conv(x, 6, 5, bias=True)))
    x = pool(jax.nn.relu(conv(x, 16, 5, bias=True, padding="VALID"))).reshape(x.shape[0], -1)
    return hk.nets.MLP((120, 84, 10))(x)


def resnet18(x):
    x = jax.nn.relu(batch_norm(conv(x, 32, 3)))
    for out, stride in ((32, 1), (32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1)):
        y = jax.nn.relu(batch_norm(conv(x, out, 3, stride, padding=(1, 1))))
        y = batch_norm(conv(y, out, 3))
        x = jax.nn.relu(y + (x if x.shape == y.shape else batch_norm(conv(x, out, 1, stride))))
    return hk.Linear(10)(x.mean((1, 2)))


def mlp(x):
    return hk.nets.MLP((64,) * 8)(x)


MODELS = {"gpt": gpt, "lstm": lstm, "cnn": cnn, "lenet": lenet, "resnet18": resnet18, "mlp": mlp}


def step(row: str, x: np.ndarray, y: np.ndarray) -> tuple[Callable, int]:
    net = hk.transform_with_state(MODELS[row])
    x, y = jnp.asarray(np.moveaxis(x, 1, -1) if x.ndim == 4 else x), jnp.asarray(y)
    params, state = net.init(jax.random.key(0), x)
    optimizer = optax.sgd(0.1)
    opt_state = optimizer.init(params)

    @jax.jit
    def train(params, state, opt_state, x, y):
        def loss(params):
            logits, new_state = net.apply(params, state, None, x)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean(), new_state

        (value, new_state), grads = jax.value_and_grad(loss, has_aux=True)(params)
        updates, opt_state = optimizer.update(grads, opt_state)
        return optax.apply_updates(params, updates), new_state, opt_state, value

    def run():
        nonlocal params, state, opt_state
        params, state, opt_state, value = train(params, state, opt_state, x, y)
        return value

    return run, sum(p.size for p in jax.tree.leaves(params))
