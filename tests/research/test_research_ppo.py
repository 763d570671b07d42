"""Proximal policy optimisation in one jit, on a corridor whose values have a closed form."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from funnn import Layer, optim
from funnn import functional as F
from funnn.layers import Embedding, Linear
from tests.quick import quick

PLACES, PLAYERS, LENGTH, DISCOUNT, TRACE = 5, 32, 16, 0.9, 0.95


def move(place, action):
    """One to the left (0) or right (1); behind the last place is a reward of 1, and the next episode at place 0."""
    after = jnp.maximum(place + 2 * action - 1, 0)
    over = after == PLACES
    return jnp.where(over, 0, after), over.astype(jnp.float32), over


class ActorCritic(Layer):
    embed: Embedding
    policy: Linear
    value: Linear

    def forward(self, place):
        x = jnp.tanh(self.embed(place))
        return self.policy(x), self.value(x)[..., 0]


class Played(NamedTuple):
    place: jax.Array
    action: jax.Array
    log_p: jax.Array
    value: jax.Array
    reward: jax.Array
    over: jax.Array


def advantages_of(played, last_value):
    """Generalised advantage estimation (Schulman et al., 2016), backwards over the steps."""

    def back(carry, step):
        following, next_value = carry
        error = step.reward + DISCOUNT * next_value * (1 - step.over) - step.value
        following = error + DISCOUNT * TRACE * (1 - step.over) * following
        return (following, step.value), following

    return jax.lax.scan(back, (jnp.zeros_like(last_value), last_value), played, reverse=True)[1]


def loss_of(net, params, played, advantages, returns):
    logits, value = net.apply(params, {}, played.place)[0]
    log_p = jnp.take_along_axis(jax.nn.log_softmax(logits), played.action[:, None], 1)[:, 0]
    ratio = jnp.exp(log_p - played.log_p)
    kept = jnp.minimum(ratio * advantages, jnp.clip(ratio, 0.8, 1.2) * advantages)
    return -kept.mean() + F.mse_loss(value, returns)


def train(net, optimizer, key, updates):
    """All of it: playing, advantages, epochs and minibatches are scans inside a scan."""

    def play(params, carry, key):
        def one(place, key):
            logits, value = net.apply(params, {}, place)[0]
            action = jax.random.categorical(key, logits)
            log_p = jnp.take_along_axis(jax.nn.log_softmax(logits), action[:, None], 1)[:, 0]
            after, reward, over = move(place, action)
            return after, Played(place, action, log_p, value, reward, over)

        return jax.lax.scan(one, carry, jax.random.split(key, LENGTH))

    def update(carry, key):
        params, opt_state, place = carry
        play_key, *epoch_keys = jax.random.split(key, 5)
        place, played = play(params, place, play_key)
        advantages = advantages_of(played, net.apply(params, {}, place)[0][1])
        flat = jax.tree.map(lambda a: a.reshape(-1), (played, advantages, advantages + played.value))

        def minibatch(carry, rows):
            params, opt_state = carry
            grads = jax.grad(lambda params: loss_of(net, params, *jax.tree.map(lambda a: a[rows], flat)))(params)
            updates, opt_state = optimizer.update(grads, opt_state, params)
            return (optax.apply_updates(params, updates), opt_state), None

        rows = jnp.concatenate([jax.random.permutation(key, PLAYERS * LENGTH).reshape(4, -1) for key in epoch_keys])
        (params, opt_state), _ = jax.lax.scan(minibatch, (params, opt_state), rows)
        return (params, opt_state, place), played.reward.mean()

    params, _ = net.init(key)
    start = params, optimizer.init(params), jnp.zeros(PLAYERS, jnp.int32)
    (params, _, _), rewards = jax.lax.scan(update, start, jax.random.split(jax.random.fold_in(key, 1), updates))
    return params, rewards


def test_the_best_way_and_its_values_are_found():
    net = ActorCritic(Embedding(PLACES, 16), Linear(16, 2), Linear(16, 1))
    params, rewards = quick(lambda key: train(net, optim.adam(lr=3e-3), key, 60))(jax.random.key(0))
    logits, value = net.apply(params, {}, jnp.arange(PLACES))[0]
    assert rewards[-1] > 0.95 / PLACES and (jax.nn.softmax(logits)[:, 1] > 0.97).all()
    # To the right always: a reward after PLACES − place steps, and an episode ends with it.
    np.testing.assert_allclose(value, DISCOUNT ** (PLACES - 1 - np.arange(PLACES)), atol=0.06)


def test_advantages_are_sums_of_discounted_errors():
    rng = np.random.default_rng(0)
    reward, value, over = rng.standard_normal(6), rng.standard_normal(7), np.array([0, 0, 1, 0, 0, 0.0])
    none = jnp.zeros(6)
    played = Played(none, none, none, jnp.asarray(value[:-1]), jnp.asarray(reward), jnp.asarray(over))
    errors = reward + DISCOUNT * value[1:] * (1 - over) - value[:-1]
    alive = np.concatenate([[1], np.cumprod(1 - over)])
    expected = []
    for t in range(6):
        end = 3 if t < 3 else 6
        expected.append(sum((DISCOUNT * TRACE) ** (n - t) * errors[n] for n in range(t, end)))
    assert alive[3] == 0
    np.testing.assert_allclose(advantages_of(played, jnp.asarray(value[-1])), expected, rtol=1e-5, atol=1e-6)
