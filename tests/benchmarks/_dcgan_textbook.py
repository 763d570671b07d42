"""DCGAN as plain JAX with textbook formulas, on the parameters of ``_dcgan_funnn``: the step of ``_dcgan_torch``."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from tests.benchmarks._dcgan_funnn import descend, init
from tests.benchmarks._models_textbook import STATISTICS, batch_norm, conv
from tests.benchmarks._networks_textbook import conv_transpose


def generator(p, x):
    for i, (stride, padding) in enumerate(((1, 0), (2, 1), (2, 1))):
        x = jax.nn.relu(batch_norm(p[str(3 * i + 1)], conv_transpose(p[str(3 * i)], x, stride, padding)))
    return jnp.tanh(conv_transpose(p["9"], x, 2, 1))


def discriminator(p, x):
    x = jax.nn.leaky_relu(conv(p["0"], x, 2, 1), 0.2)
    for i in (2, 5):
        x = jax.nn.leaky_relu(batch_norm(p[str(i + 1)], conv(p[str(i)], x, 2, 1)), 0.2)
    return conv(p["8"], x).reshape(-1)


def loss_of(judge, images, real: bool):
    """Binary cross entropy of logits: log(1 + e^∓z)."""
    logits = discriminator(judge, images)
    return jnp.logaddexp(0, -logits if real else logits).mean()


def recorded(function: Callable) -> Callable:
    """The function's result, and the means and variances that it met."""

    def record(*args):
        STATISTICS.clear()
        result = function(*args)
        return result, list(STATISTICS)

    return record


def step(row: str, x: np.ndarray, y: np.ndarray) -> tuple[Callable, int]:
    make, judge = (params for params, _ in init().values())
    images, noise = jnp.asarray(x), jnp.asarray(y)

    def train(make, judge, running, images, noise):
        fake, pull, seen = jax.vjp(recorded(lambda make: generator(make, noise)), make, has_aux=True)
        both = recorded(lambda judge: loss_of(judge, images, True) + loss_of(judge, fake, False))
        (value, judged), grads = jax.value_and_grad(both, has_aux=True)(judge)
        judge = descend(judge, grads)
        (deceived, again), of_fake = jax.value_and_grad(recorded(lambda fake: loss_of(judge, fake, True)), has_aux=True)(fake)
        running = [0.9 * old + 0.1 * new for old, new in zip(running, [*seen, *judged, *again], strict=True)]
        return descend(make, pull(of_fake)[0]), judge, running, value + deceived

    seen, judged = jax.eval_shape(recorded(generator), make, noise)[1], jax.eval_shape(recorded(discriminator), judge, images)[1]
    running = [jnp.full(s.shape, i % 2, s.dtype) for i, s in enumerate([*seen, *judged * 3])]
    jitted = jax.jit(train)

    def run():
        nonlocal make, judge, running
        make, judge, running, value = jitted(make, judge, running, images, noise)
        return value

    return run, sum(p.size for p in jax.tree.leaves((make, judge)))
