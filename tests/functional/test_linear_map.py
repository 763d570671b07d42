"""The linear map with its own transpose: every mode of differentiation, batching, and the transpose that was given."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from funnn.functional._linear_map import linear_map


def turn(linear, residuals, scale):
    """Two inputs, two outputs, linear in both: what the transpose below transposes."""
    a, b = linear
    matrix, angle = residuals
    return scale * jnp.sin(angle) * (matrix @ a), b * angle


def turn_back(cotangents, residuals, scale):
    c, d = cotangents
    matrix, angle = residuals
    return scale * jnp.sin(angle) * (matrix.T @ c), d * angle


def mapped(a, b, matrix, angle):
    return linear_map(turn, turn_back, (a, b), (matrix, angle), scale=2.0)


def plain(a, b, matrix, angle):
    return turn((a, b), (matrix, angle), 2.0)


def scalar(function):
    return lambda *args: sum(jnp.sum(jnp.tanh(y)) for y in function(*args))


A, B = jnp.arange(3.0), jnp.arange(4.0)
M, ANGLE = jnp.cos(jnp.arange(6.0)).reshape(2, 3), jnp.array(0.7)
STACKED = jnp.stack([M, 2 * M, M + 1])

DERIVATIVES = {
    "jacrev": lambda f: jax.jacrev(f, (0, 1, 2, 3))(A, B, M, ANGLE),
    "jacfwd": lambda f: jax.jacfwd(f, (0, 1, 2, 3))(A, B, M, ANGLE),
    "hessian": lambda f: jax.hessian(scalar(f), (0, 1, 2, 3))(A, B, M, ANGLE),
    "reverse over reverse": lambda f: jax.jacrev(jax.grad(scalar(f), (0, 1, 2, 3)), (0, 2))(A, B, M, ANGLE),
    "third": lambda f: jax.jacfwd(jax.jacrev(jax.grad(scalar(f), 3), 3), 3)(A, B, M, ANGLE),
    "vmap of grad over a linear input": lambda f: jax.vmap(jax.grad(scalar(f), (0, 2)), (0, None, None, None))(
        jnp.stack([A, -A]), B, M, ANGLE
    ),
    "vmap of grad over a residual": lambda f: jax.vmap(jax.grad(scalar(f), (0, 2)), (None, None, 0, None))(A, B, STACKED, ANGLE),
    "grad of vmap, other axis": lambda f: jax.jacrev(lambda a, m: jax.vmap(f, (None, None, 1, None))(a, B, m, ANGLE), (0, 1))(
        A, STACKED.swapaxes(0, 1)
    ),
    "vmap twice": lambda f: jax.vmap(jax.vmap(jax.jacrev(f), (0, None, None, None)), (None, None, 0, None))(
        jnp.stack([A, -A]), B, STACKED, ANGLE
    ),
    "linearize": lambda f: jax.linearize(f, A, B, M, ANGLE)[1](A, B, M, ANGLE),
    "remat": lambda f: jax.grad(jax.checkpoint(scalar(f)), (0, 3))(A, B, M, ANGLE),
    "scan": lambda f: jax.grad(lambda a: jax.lax.scan(lambda c, _: (jnp.tanh(f(c, B, M.T @ M, ANGLE)[0]), None), a, None, 4)[0].sum())(A),
}


@pytest.mark.parametrize("name", DERIVATIVES)
def test_agrees_with_the_plain_function(name):
    with jax.enable_x64(True):
        derive = DERIVATIVES[name]
        got, expected = jax.jit(lambda: derive(mapped))(), jax.jit(lambda: derive(plain))()
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6), got, expected)


def test_the_given_transpose_is_what_runs():
    def wrong(cotangents, residuals):
        return (7 * cotangents[0],)

    def forward(linear, residuals):
        return (3 * linear[0],)

    def f(x):
        return linear_map(forward, wrong, (x,), ())[0]

    assert jax.jvp(f, (1.0,), (1.0,))[1] == 3 and jax.grad(f)(1.0) == 7
    assert jax.grad(lambda x: jax.jvp(f, (x,), (x,))[1])(1.0) == 7


def test_a_second_call_compiles_nothing():
    traces = 0

    def forward(linear, residuals):
        nonlocal traces
        traces += 1
        return (linear[0] * residuals[0],)

    step = jax.jit(jax.vmap(jax.grad(lambda x: linear_map(forward, forward, (x,), (x,))[0])))
    step(jnp.ones(3))
    before = traces
    step(jnp.zeros(3))
    assert traces == before > 0
