"""What goes to cuDNN on an NVIDIA GPU: layouts, weights, and every mode of differentiation.

Without such a GPU, JAX's own reference functions stand in for the two bindings; they take the same arguments.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import rnn

import funnn.functional as F
from funnn.functional import _cudnn as cudnn
from tests.quick import quick


@pytest.fixture
def calls(monkeypatch):
    """Whether the stand-ins were called, as a list of names."""
    found = []

    @jax.custom_vjp
    def only_backward(x):  # the bindings have no forward mode; neither have the stand-ins
        return x

    only_backward.defvjp(lambda x: (x, None), lambda _, g: (g,))
    attend = jax.nn.dot_product_attention

    def attention(q, k, v, *, implementation, **settings):
        assert implementation == "cudnn"
        found.append("attention")
        wide = (x.astype(jnp.float32) for x in (q, k, v))  # a CPU has no product of half precision
        return only_backward(attend(*wide, implementation="xla", **settings).astype(q.dtype))

    def lstm(x, h0, c0, weights, lengths, input_size, hidden_size, num_layers, dropout, bidirectional):
        found.append("lstm")
        parts = rnn.unpack_lstm_weights(weights, input_size, hidden_size, num_layers, bidirectional)
        outputs = rnn.lstm_ref(x, h0, c0, *parts, lengths, input_size, hidden_size, num_layers, dropout, bidirectional)
        return tuple(only_backward(y) for y in outputs)

    monkeypatch.setattr(cudnn, "available", lambda: not jax.config.jax_enable_x64)
    monkeypatch.setattr(jax.nn, "dot_product_attention", attention)
    monkeypatch.setattr(rnn, "lstm", lstm)
    return found


def derivatives(function, arrays):
    def scalar(arrays):
        return sum(jnp.sum(jnp.sin(y.astype(jnp.float32))) for y in jax.tree.leaves(function(*arrays)))

    gradient = jax.grad(scalar)
    tangents = jax.tree.map(lambda a: jnp.cos(jnp.arange(a.size)).reshape(a.shape).astype(a.dtype), arrays)
    return (
        function(*arrays),
        gradient(arrays),
        jax.jvp(lambda arrays: function(*arrays), (arrays,), (tangents,))[1],
        jax.jvp(gradient, (arrays,), (tangents,))[1],
        jax.grad(lambda arrays: sum(jnp.sum(jnp.sin(g.astype(jnp.float32))) for g in jax.tree.leaves(gradient(arrays))))(arrays),
    )


def compare(function, arrays, calls, name, tolerance):
    got = quick(partial(derivatives, function))(arrays)
    assert name in calls
    calls.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cudnn, "available", lambda: False)
        expected = quick(partial(derivatives, function))(arrays)
    assert not calls
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a.astype(jnp.float32), b.astype(jnp.float32), rtol=tolerance, atol=tolerance)


def numbers(*shapes, dtype=jnp.float32):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.standard_normal(shape), dtype) for shape in shapes]


@pytest.mark.parametrize("causal", [False, True])
def test_attention(calls, causal):
    arrays = numbers(*[(2, 3, 6, 8)] * 3, dtype=jnp.float16)
    compare(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=causal), arrays, calls, "attention", 2e-2)


@pytest.mark.parametrize(
    "options",
    [{"attn_mask": jnp.ones((6, 6), bool)}, {"dropout_p": 0.5, "dropout_key": jax.random.key(0)}, {"dtype": jnp.float32}, {"size": (6, 8)}],
    ids=str,
)
def test_other_attention_stays_here(calls, options):
    options = dict(options)
    q, k, v = numbers(*[options.pop("size", (2, 3, 6, 8))] * 3, dtype=options.pop("dtype", jnp.float16))
    F.scaled_dot_product_attention(q, k, v, **options)
    assert not calls


@pytest.mark.parametrize(("layers", "bidirectional", "biases"), [(1, False, False), (1, True, True), (2, False, True)])
def test_lstm(calls, layers, bidirectional, biases):
    directions = 2 if bidirectional else 1
    shapes = []
    for layer in range(layers):
        shapes += ([(16, 4 * directions if layer else 3), (16, 4)] + [(16,)] * 2 * biases) * directions

    def run(x, h, c, *params):
        return F.lstm(x, (h, c), list(params), biases, layers, 0.0, True, bidirectional, False)

    state = (layers * directions, 2, 4)
    compare(run, numbers((5, 2, 3), state, state, *shapes), calls, "lstm", 2e-4)


def test_other_lstms_stay_here(calls):
    x, h, w, u, p = numbers((5, 2, 3), (1, 2, 4), (16, 3), (16, 4), (2, 4))
    F.lstm(x, (h, h), [w, u], False, 1, 0.0, True, False, False, lengths=jnp.array([5, 2]))
    F.lstm(x, (h[..., :2], h), [w, u[:, :2], p], False, 1, 0.0, True, False, False)
    F.lstm(x, (jnp.zeros((2, 2, 4)),) * 2, [w, u, u, u], False, 2, 0.5, True, False, False, key=jax.random.key(0))
    assert not calls
