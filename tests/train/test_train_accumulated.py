"""A step that takes its batch in parts: the numbers of the whole batch, or of the parts one by one where they have something of their own."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import funnn
from funnn import functional as F
from funnn import optim
from funnn.layers import BatchNorm1d, Dropout, Linear, ReLU, Sequential

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (12, 3))
Y = jax.random.normal(jax.random.key(2), (12, 2))


def close(ours, theirs):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), ours, theirs)


@pytest.mark.parametrize("one_reduction", [False, True])
@pytest.mark.parametrize("parts", [2, 3, 12])
def test_of_a_mean_the_numbers_are_those_of_the_whole_batch(parts, one_reduction):
    net = Sequential(Linear(3, 4), ReLU(), Linear(4, 2))
    states = []
    for options in ({}, {"accumulate": parts, "one_reduction": one_reduction}):
        init, step, _ = funnn.train_step(net, F.mse_loss, optim.adam(lr=1e-2), **options)
        state = init(KEY)
        for _ in range(3):
            state, metrics = step(state, {"input": X, "target": Y})
        states.append((state.params, state.opt_state, metrics))
    close(*states)


def test_buffers_go_from_part_to_part_and_draws_differ():
    net = Sequential(Linear(3, 4), BatchNorm1d(4), Dropout(0.5), Linear(4, 2))
    init, step, _ = funnn.train_step(net, F.mse_loss, optax.sgd(0.1), accumulate=3)
    state = init(KEY)
    before, key = jax.device_get((state.params, state.state)), state.key
    (params, buffers), grads, losses = before, [], []
    for part in range(3):

        def loss(params, buffers=buffers, part=part):
            own = jax.random.fold_in(jax.random.fold_in(key, 0), part)
            y, new = net.apply(params, buffers, X[part::3], key=own, train=True)
            return F.mse_loss(y, Y[part::3]), new

        (value, buffers), grad = jax.value_and_grad(loss, has_aux=True)(params)
        grads.append(grad)
        losses.append(value)
    mean = jax.tree.map(lambda *parts: sum(parts) / 3, *grads)
    state, metrics = step(state, (X, Y))
    close(state.params, jax.tree.map(lambda p, g: p - 0.1 * g, params, mean))
    close(state.state, buffers)
    close(metrics["loss"], sum(losses) / 3)
    assert (
        state.state["1"]["num_batches_tracked"] == 3
        and state.state["1"]["num_batches_tracked"].dtype == before[1]["1"]["num_batches_tracked"].dtype
    )


def test_with_a_loss_scale_and_a_loss_of_the_parameters():
    net = Linear(3, 2)

    def loss(output, target, params, key):
        noise = jax.random.normal(key, ())
        return F.mse_loss(output, target) + 0.1 * jnp.sum(params["weight"] ** 2), {"noise": noise, "count": jnp.int32(len(target))}

    init, step, _ = funnn.train_step(net, loss, optax.sgd(0.1), accumulate=2, loss_scale=funnn.LossScale())
    state = init(KEY)
    params = jax.device_get(state.params)
    grad = jax.grad(lambda p: F.mse_loss(net.apply(p, {}, X)[0], Y) + 0.1 * jnp.sum(p["weight"] ** 2))(params)
    state, metrics = step(state, (X, Y))
    close(state.params, jax.tree.map(lambda p, g: p - 0.1 * g, params, grad))
    assert metrics["count"] == 6 and metrics["noise"].dtype == jnp.float32 and not metrics["skipped"]


def test_refusals():
    net = Sequential(Linear(3, 4), BatchNorm1d(4))
    for options, text in (
        ({"accumulate": 0}, "accumulate must be a positive integer, got 0"),
        ({"accumulate": 2, "one_reduction": True}, r"one_reduction=True, but BatchNorm1d at '1' has the buffers \['running_mean'"),
    ):
        with pytest.raises(ValueError, match=text):
            funnn.train_step(net, F.mse_loss, optax.sgd(0.1), **options)
    init, step, _ = funnn.train_step(net, F.mse_loss, optax.sgd(0.1), accumulate=5)
    with pytest.raises(ValueError, match=r"accumulate=5 divides the batch's first dimension, but got an array of shape \(12, 3\)"):
        step(init(KEY), (X, jnp.ones((12, 4))))
