"""An ensemble by vmap over init and over training: each member is what it would be alone."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

import funnn
from funnn import functional as F
from funnn import optim
from funnn.layers import BatchNorm1d, Dropout, Linear, ReLU, Sequential
from tests.quick import quick

NET = Sequential(Linear(3, 16, bias=False), BatchNorm1d(16), ReLU(), Dropout(0.2), Linear(16, 1))
X = jax.random.normal(jax.random.key(5), (32, 3))
Y = jnp.sin(X.sum(-1, keepdims=True))


def test_members_are_those_trained_alone():
    init, step, _ = funnn.train_step(NET, F.mse_loss, optim.adam(lr=1e-2))

    def train(key):
        return jax.lax.scan(lambda state, _: step(state, (X, Y)), init(key), None, 20)

    keys = jax.random.split(jax.random.key(0), 4)
    together, metrics = quick(jax.vmap(train))(keys)
    assert metrics["loss"].shape == (4, 20) and len(set(metrics["loss"][:, -1].tolist())) == 4
    alone = quick(train)
    for number, key in enumerate(keys):
        one, losses = alone(key)
        np.testing.assert_allclose(metrics["loss"][number], losses["loss"], rtol=1e-3)
        for ours, theirs in zip(jax.tree.leaves(together.params), jax.tree.leaves(one.params), strict=True):
            np.testing.assert_allclose(ours[number], theirs, rtol=2e-3, atol=2e-4)

    answers, _ = jax.vmap(lambda params, state: NET.apply(params, state, X))(together.params, together.state)
    spread = answers.var(0)  # what the members disagree about
    assert answers.shape == (4, 32, 1) and (spread > 0).all()
