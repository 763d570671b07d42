"""Gradients of each example, products with the Hessian, and the Fisher matrix, against loops, matrices and closed forms."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from funnn import functional as F
from funnn.layers import BatchNorm1d, Linear, Sequential, Tanh
from tests.quick import quick

NET = Sequential(Linear(3, 8), Tanh(), Linear(8, 4))
X, Y = jax.random.normal(jax.random.key(1), (6, 3)), jnp.array([0, 1, 2, 3, 0, 1])
PARAMS, _ = NET.init(jax.random.key(0))


def loss(params, x, y):
    return F.cross_entropy(NET.apply(params, {}, x)[0], y)


def test_gradients_of_each_example_and_their_clipped_mean():
    """As differentially private training needs them (Abadi et al., 2016)."""
    each = quick(jax.vmap(jax.grad(loss), (None, 0, 0)))(PARAMS, X, Y)
    alone = quick(jax.grad(loss))
    for i in range(len(X)):
        jax.tree.map(lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-4, atol=1e-6), each, alone(PARAMS, X[i], Y[i]))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a.mean(0), b, rtol=1e-4, atol=1e-6), each, jax.grad(lambda p: loss(p, X, Y))(PARAMS)
    )
    norms = jnp.sqrt(sum(jnp.square(g).reshape(len(X), -1).sum(1) for g in jax.tree.leaves(each)))
    flat = jax.vmap(lambda g: ravel_pytree(g)[0])(each)
    np.testing.assert_allclose(norms, jnp.linalg.norm(flat, axis=1), rtol=1e-5)
    clipped = flat / jnp.maximum(1, norms / 0.5)[:, None]
    assert (jnp.linalg.norm(clipped, axis=1) <= 0.5 + 1e-5).all()


def test_hessian_vector_products():
    vector = jax.tree.map(lambda p: jax.random.normal(jax.random.key(p.size), p.shape), PARAMS)
    gradient = jax.grad(lambda params: loss(params, X, Y))
    forward_over_reverse = quick(lambda p, v: jax.jvp(gradient, (p,), (v,))[1])(PARAMS, vector)
    reverse_over_reverse = quick(lambda p, v: jax.grad(lambda p: ravel_pytree(gradient(p))[0] @ ravel_pytree(v)[0])(p))(PARAMS, vector)
    flat, unravel = ravel_pytree(PARAMS)
    hessian = quick(jax.hessian(lambda flat: loss(unravel(flat), X, Y)))(flat)
    expected = hessian @ ravel_pytree(vector)[0]
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-5)
    for product in (forward_over_reverse, reverse_over_reverse):
        np.testing.assert_allclose(ravel_pytree(product)[0], expected, rtol=1e-3, atol=1e-5)


def test_the_hessian_of_logistic_regression():
    """Σ x xᵀ ⊗ (diag p − p pᵀ) / N, which is its Fisher matrix too."""
    net = Linear(3, 4, bias=False)
    params, _ = net.init(jax.random.key(0))
    hessian = quick(jax.hessian(lambda w: F.cross_entropy(net.apply({"weight": w}, {}, X)[0], Y)))(params["weight"])
    p = jax.nn.softmax(net.apply(params, {}, X)[0])
    curvature = jax.vmap(jnp.diag)(p) - p[:, :, None] * p[:, None, :]
    np.testing.assert_allclose(hessian, jnp.einsum("nij,na,nb->iajb", curvature, X, X) / len(X), rtol=1e-4, atol=1e-6)


def test_examples_by_themselves_where_a_layer_reads_the_batch():
    """Batch statistics make examples depend on each other; with those kept from training each is by itself."""
    net = Sequential(Linear(3, 4), BatchNorm1d(4), Linear(4, 4))
    params, state = net.init(jax.random.key(0))
    _, state = net.apply(params, state, X, train=True)

    def one(params, x, y):
        return F.cross_entropy(net.apply(params, state, x[None])[0], y[None])

    each = quick(jax.vmap(jax.grad(one), (None, 0, 0)))(params, X, Y)
    whole = jax.grad(lambda params: F.cross_entropy(net.apply(params, state, X)[0], Y))(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a.mean(0), b, rtol=1e-4, atol=1e-6), each, whole)
