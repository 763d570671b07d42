"""A variational autoencoder and a denoising diffusion, on data whose best models have closed forms."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import funnn
from funnn import Layer, init, optim
from funnn.layers import Embedding, Linear, Param
from tests.quick import quick


class VAE(Layer):
    """x ~ N(W z + b, σ²) with z ~ N(0, 1), and the approximate posterior N(encoder(x), exp(log_std)²)."""

    encoder: Linear
    decoder: Linear

    def spec(self):
        return {"log_std": Param((self.encoder.out_features,), init.zeros), "log_noise": Param((), init.zeros)}

    def forward(self, x):
        mean = self.encoder(x)
        z = mean + jnp.exp(self.log_std) * jax.random.normal(self.make_key(always=True), mean.shape)
        return self.decoder(z), mean, self.log_std, self.log_noise


def negative_elbo(output, x):
    """The evidence lower bound's negative, in nats an example; the divergence of the posterior from N(0, 1) in closed form."""
    reconstruction, mean, log_std, log_noise = output
    error = 0.5 * ((x - reconstruction) / jnp.exp(log_noise)) ** 2 + log_noise + 0.5 * jnp.log(2 * jnp.pi)
    divergence = 0.5 * (mean**2 + jnp.exp(2 * log_std) - 1) - log_std
    return (error.sum(-1) + divergence.sum(-1)).mean()


def test_a_linear_autoencoder_reaches_the_likelihood_of_probabilistic_pca():
    """Its bound is tight at the optimum (Tipping and Bishop, 1999; Lucas et al., 2019): −log p(x) of the best rank-1 model."""
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((500, 1)) @ np.array([[2.0, -1.0, 0.5]]) + 0.5 * rng.standard_normal((500, 3))).astype(np.float32)
    x -= x.mean(0)
    eigenvalues = np.linalg.eigvalsh(x.T @ x / len(x))
    noise = eigenvalues[:2].mean()
    best = 0.5 * (3 * np.log(2 * np.pi) + np.log(eigenvalues[2]) + 2 * np.log(noise) + 3)

    net = VAE(Linear(3, 1), Linear(1, 3))
    schedule = optim.schedules.exponential_lr(2e-2, gamma=0.995)
    start, step, evaluate = funnn.train_step(net, negative_elbo, optim.adam(lr=schedule))
    batch = (jnp.asarray(x), jnp.asarray(x))
    train_state, _ = quick(lambda state: jax.lax.scan(lambda state, _: step(state, batch), state, None, 1000))(start(jax.random.key(0)))
    reached = np.mean([evaluate(train_state._replace(step=jnp.int32(n)), batch)["loss"] for n in range(20)])
    assert reached == pytest.approx(best, abs=0.03)
    assert jnp.exp(2 * train_state.params["log_noise"]).item() == pytest.approx(noise, rel=0.1)


TIMES = 50
BETA = np.linspace(1e-3, 0.2, TIMES, dtype=np.float32)
LEFT = np.cumprod(1 - BETA)
MEAN, STD = 1.5, 0.5


class Denoiser(Layer):
    """The noise in x (N,) at the times (N,): a straight line for each time, which is what the best denoiser of a normal distribution is."""

    lines: Embedding

    def forward(self, x, time):
        slope, offset = self.lines(time).T
        return slope * x + offset


def test_a_diffusion_of_a_normal_distribution():
    net = Denoiser(Embedding(TIMES, 2))

    def draw(key):
        data_key, time_key, noise_key = jax.random.split(key, 3)
        x = MEAN + STD * jax.random.normal(data_key, (1024,))
        time = jax.random.randint(time_key, (1024,), 0, TIMES)
        noise = jax.random.normal(noise_key, (1024,))
        left = jnp.asarray(LEFT)[time]
        return (jnp.sqrt(left) * x + jnp.sqrt(1 - left) * noise, time), noise

    schedule = optim.schedules.exponential_lr(0.1, gamma=0.998)
    start, step, _ = funnn.train_step(net, lambda output, noise: jnp.mean((output - noise) ** 2), optim.adam(lr=schedule))
    keys = jax.random.split(jax.random.key(1), 2000)
    train_state, _ = quick(lambda state: jax.lax.scan(lambda state, key: step(state, draw(key)), state, keys))(start(jax.random.key(0)))

    # E[noise | x] of x = √ᾱ · data + √(1 − ᾱ) · noise
    slope = np.sqrt(1 - LEFT) / (LEFT * STD**2 + 1 - LEFT)
    usual, spread = np.sqrt(LEFT) * MEAN, np.sqrt(LEFT * STD**2 + 1 - LEFT)
    for x in (usual - spread, usual, usual + spread):
        found, _ = net.apply(train_state.params, {}, jnp.asarray(x), jnp.arange(TIMES))
        np.testing.assert_allclose(found, slope * (x - usual), atol=0.1)

    def less_noise(x, inputs):
        time, key = inputs
        beta, left = jnp.asarray(BETA)[time], jnp.asarray(LEFT)[time]
        noise, _ = net.apply(train_state.params, {}, x, jnp.full(len(x), time))
        x = (x - beta / jnp.sqrt(1 - left) * noise) / jnp.sqrt(1 - beta)
        return x + jnp.where(time > 0, jnp.sqrt(beta), 0) * jax.random.normal(key, x.shape), None

    first = jax.random.normal(jax.random.key(2), (20000,))
    made, _ = quick(lambda x: jax.lax.scan(less_noise, x, (jnp.arange(TIMES)[::-1], jax.random.split(jax.random.key(3), TIMES))))(first)
    assert made.mean().item() == pytest.approx(MEAN, abs=0.05) and made.std().item() == pytest.approx(STD, abs=0.05)
