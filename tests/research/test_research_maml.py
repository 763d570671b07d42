"""Model-agnostic meta-learning: the gradient through inner steps of gradient descent, against its closed form."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax

from funnn import functional as F
from funnn import optim
from funnn.layers import Linear, Sequential, Tanh
from tests.quick import quick

RATE = 0.1


def adapt(net, params, x, y, steps=1):
    """Parameters after steps of gradient descent on a task."""
    for _ in range(steps):
        grads = jax.grad(lambda params: F.mse_loss(net.apply(params, {}, x)[0], y))(params)
        params = jax.tree.map(lambda p, g: p - RATE * g, params, grads)
    return params


def meta_loss(net, params, tasks, steps=1):
    def of_task(x, y, new_x, new_y):
        return F.mse_loss(net.apply(adapt(net, params, x, y, steps), {}, new_x)[0], new_y)

    return jax.vmap(of_task)(*tasks).mean()


def sines(key, tasks, points=10):
    amplitude_key, phase_key, x_key = jax.random.split(key, 3)
    amplitude = jax.random.uniform(amplitude_key, (tasks, 1, 1), minval=0.5, maxval=2)
    phase = jax.random.uniform(phase_key, (tasks, 1, 1), maxval=jnp.pi)
    x = jax.random.uniform(x_key, (2, tasks, points, 1), minval=-3, maxval=3)
    y = amplitude * jnp.sin(x + phase)
    return x[0], y[0], x[1], y[1]


def test_the_meta_gradient_of_a_linear_model():
    """With H the Hessian of the inner loss, w' = w − α ∇L(w) and ∇ L'(w') = (I − α H) ∇L'(w)|w'."""
    net = Linear(3, 1, bias=False)
    params, _ = net.init(jax.random.key(0))
    rng = np.random.default_rng(0)
    x, new_x = rng.standard_normal((2, 4, 8, 3)).astype(np.float32)
    y, new_y = rng.standard_normal((2, 4, 8, 1)).astype(np.float32)
    got = quick(jax.grad(lambda params: meta_loss(net, params, (x, y, new_x, new_y))))(params)["weight"][0]
    w, expected = np.asarray(params["weight"][0], np.float64), np.zeros(3)
    for task in range(4):
        hessian = 2 * x[task].T @ x[task] / 8
        adapted = w - RATE * 2 * x[task].T @ (x[task] @ w - y[task, :, 0]) / 8
        expected += (np.eye(3) - RATE * hessian) @ (2 * new_x[task].T @ (new_x[task] @ adapted - new_y[task, :, 0]) / 8) / 4
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_what_is_learnt_adapts_better_than_what_is_trained_on_all_tasks():
    net = Sequential(Linear(1, 32), Tanh(), Linear(32, 1))
    optimizer = optim.adam(lr=5e-3)

    def train(loss):
        def step(carry, key):
            params, opt_state = carry
            grads = jax.grad(loss)(params, sines(key, 16))
            updates, opt_state = optimizer.update(grads, opt_state, params)
            return (optax.apply_updates(params, updates), opt_state), None

        params, _ = net.init(jax.random.key(0))
        keys = jax.random.split(jax.random.key(1), 300)
        return quick(lambda start: jax.lax.scan(step, start, keys)[0][0])((params, optimizer.init(params)))

    meta = train(lambda params, tasks: meta_loss(net, params, tasks))
    plain = train(lambda params, tasks: meta_loss(net, params, tasks, steps=0))
    tasks = sines(jax.random.key(2), 200)
    assert meta_loss(net, meta, tasks) < 0.9 * meta_loss(net, plain, tasks)
