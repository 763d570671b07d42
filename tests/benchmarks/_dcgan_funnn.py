"""DCGAN's two networks as funnn Layers, and the step of ``_dcgan_torch``."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from funnn import functional as F
from funnn.layers import BatchNorm2d, Conv2d, ConvTranspose2d, Flatten, LeakyReLU, ReLU, Sequential, Tanh

GENERATOR = Sequential(
    *(ConvTranspose2d(64, 64, 4, bias=False), BatchNorm2d(64), ReLU()),
    *(ConvTranspose2d(64, 32, 4, 2, 1, bias=False), BatchNorm2d(32), ReLU()),
    *(ConvTranspose2d(32, 16, 4, 2, 1, bias=False), BatchNorm2d(16), ReLU()),
    *(ConvTranspose2d(16, 3, 4, 2, 1, bias=False), Tanh()),
)
DISCRIMINATOR = Sequential(
    *(Conv2d(3, 16, 4, 2, 1, bias=False), LeakyReLU(0.2)),
    *(Conv2d(16, 32, 4, 2, 1, bias=False), BatchNorm2d(32), LeakyReLU(0.2)),
    *(Conv2d(32, 64, 4, 2, 1, bias=False), BatchNorm2d(64), LeakyReLU(0.2)),
    *(Conv2d(64, 1, 4, bias=False), Flatten(0)),
)


def init() -> dict:
    """Parameters and state of both."""
    return {
        name: layer.init(jax.random.key(i))
        for i, (name, layer) in enumerate({"generator": GENERATOR, "discriminator": DISCRIMINATOR}.items())
    }


def descend(params, grads):
    return jax.tree.map(lambda p, g: p - 0.01 * g, params, grads)


def step(row: str, x: np.ndarray, y: np.ndarray) -> tuple[Callable, int]:
    (make, make_state), (judge, judge_state) = init().values()
    images, noise = jnp.asarray(x), jnp.asarray(y)

    def loss_of(judge, state, images, real: bool):
        logits, state = DISCRIMINATOR.apply(judge, state, images, train=True)
        return F.binary_cross_entropy_with_logits(logits, jnp.full_like(logits, float(real))), state

    @jax.jit
    def train(make, make_state, judge, judge_state, images, noise):
        def made(make):
            return GENERATOR.apply(make, make_state, noise, train=True)

        fake, pull, make_state = jax.vjp(made, make, has_aux=True)

        def judged(judge):
            real, state = loss_of(judge, judge_state, images, True)
            other, state = loss_of(judge, state, fake, False)
            return real + other, state

        (value, judge_state), grads = jax.value_and_grad(judged, has_aux=True)(judge)
        judge = descend(judge, grads)
        (deceived, judge_state), of_fake = jax.value_and_grad(loss_of, 2, has_aux=True)(judge, judge_state, fake, True)
        return descend(make, pull(of_fake)[0]), make_state, judge, judge_state, value + deceived

    def run():
        nonlocal make, make_state, judge, judge_state
        make, make_state, judge, judge_state, value = train(make, make_state, judge, judge_state, images, noise)
        return value

    return run, sum(p.size for p in jax.tree.leaves((make, judge)))
