"""Recurrent sequences: derivatives against the textbook scan, lengths against torch's packed sequences, dropout between layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from oracle import to_jax

import funnn.functional as F
import funnn.torch as ft
from funnn.errors import ArgumentError, DtypeError, KeyRequiredError, ShapeError
from tests.quick import quick

T, B, I, H, P = 4, 3, 2, 5, 2
GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


def textbook(name, x, state, weights, mask):
    """One layer, one cell a step, everything inside the scan."""
    w_ih, w_hh, b_ih, b_hh, *projection = weights

    def step(state, at):
        x, keep = at
        h = state[0]
        if name == "gru":
            xr, xz, xn = jnp.split(x @ w_ih.T + b_ih, 3, -1)
            hr, hz, hn = jnp.split(h @ w_hh.T + b_hh, 3, -1)
            r, z = jax.nn.sigmoid(xr + hr), jax.nn.sigmoid(xz + hz)
            new = ((1 - z) * jnp.tanh(xn + r * hn) + z * h,)
        else:
            a = x @ w_ih.T + b_ih + h @ w_hh.T + b_hh
            if name == "lstm":
                i, f, g, o = jnp.split(a, 4, -1)
                c = jax.nn.sigmoid(f) * state[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
                new = jax.nn.sigmoid(o) * jnp.tanh(c)
                new = (new @ projection[0].T if projection else new, c)
            else:
                new = (jnp.tanh(a) if name == "rnn_tanh" else jnp.where(a > 0, a, 0.0),)
        new = tuple(jnp.where(keep, n, s) for n, s in zip(new, state, strict=True))
        return new, jnp.where(keep, new[0], 0.0)

    final, y = jax.lax.scan(step, state, (x, mask))
    return y, *(s[None] for s in final)


@pytest.mark.parametrize("lengths", [None, (4, 1, 3)], ids=["full", "lengths"])
@pytest.mark.parametrize(("name", "projected"), [*((name, False) for name in GATES), ("lstm", True)])
def test_derivatives_equal_the_textbook_scan(name, projected, lengths):
    """Value, first and second derivatives, forward and reverse, in every argument, in float64."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        rows, out = GATES[name] * H, P if projected else H
        shapes = [(rows, I), (rows, out), (rows,), (rows,)] + [(P, H)] * projected
        x = jnp.asarray(rng.standard_normal((T, B, I)))
        weights = [jnp.asarray(rng.standard_normal(shape)) * 0.5 for shape in shapes]
        state = [jnp.asarray(rng.standard_normal((B, size))) for size in ((out, H) if name == "lstm" else (H,))]
        mask = jnp.ones((T, B, 1), bool) if lengths is None else (jnp.arange(T)[:, None] < jnp.array(lengths))[..., None]

        def ours(x, state, weights):
            hx = tuple(s[None] for s in state)
            limits = None if lengths is None else jnp.array(lengths)
            return getattr(F, name)(x, hx if name == "lstm" else hx[0], weights, True, 1, 0.0, False, False, False, lengths=limits)

        def scalar(function):
            return lambda args: sum(jnp.sum(jnp.sin(y)) for y in function(*args))

        def everything(function):
            args = (x, state, weights)
            tangents = jax.tree.map(lambda a: jnp.cos(jnp.arange(a.size, dtype=a.dtype)).reshape(a.shape), args)
            gradient = jax.grad(scalar(function))
            return (
                function(*args),
                gradient(args),
                jax.jvp(lambda args: function(*args), (args,), (tangents,))[1],
                jax.jvp(gradient, (args,), (tangents,))[1],
                jax.grad(lambda args: sum(jnp.sum(jnp.sin(g)) for g in jax.tree.leaves(gradient(args))))(args),
            )

        got = quick(lambda: everything(ours))()
        expected = quick(lambda: everything(lambda x, state, weights: textbook(name, x, tuple(state), weights, mask)))()
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-9), got, expected)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_lengths_are_torchs_packed_sequences(name, bidirectional):
    torch.manual_seed(0)
    module = getattr(torch.nn, name)(I, H, num_layers=2, bidirectional=bidirectional)
    x, lengths = torch.randn(T, B, I, requires_grad=True), torch.tensor([4, 1, 3])
    packed, states = module(torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False))
    padded, _ = torch.nn.utils.rnn.pad_packed_sequence(packed, total_length=T)
    states = states if name == "LSTM" else (states,)
    (padded.sin().sum() + sum(s.cos().sum() for s in states)).backward()
    run = {"LSTM": F.lstm, "GRU": F.gru, "RNN": F.rnn_tanh}[name]

    def scalar(x, weights):
        y, *finals = run(x, None, weights, True, 2, 0.0, False, bidirectional, False, lengths=to_jax(lengths))
        return jnp.sum(jnp.sin(y)) + sum(jnp.sum(jnp.cos(s)) for s in finals), (y, finals)

    weights = [to_jax(w) for w in module._flat_weights]
    (dx, dw), (y, finals) = jax.grad(scalar, (0, 1), has_aux=True)(to_jax(x), weights)
    np.testing.assert_allclose(y, padded.detach().numpy(), rtol=1e-5, atol=1e-6)
    for got, expected in zip(finals, states, strict=True):
        np.testing.assert_allclose(got, expected.detach().numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(dx, x.grad.numpy(), rtol=1e-4, atol=1e-5)
    for got, weight in zip(dw, module._flat_weights, strict=True):
        np.testing.assert_allclose(got, weight.grad.numpy(), rtol=1e-4, atol=1e-5)


def test_dropout_between_layers_draws_torchs_numbers():
    x = np.random.default_rng(0).standard_normal((T, B, I)).astype(np.float32)
    results = []
    for t in (ft, torch):
        t.manual_seed(0)
        module = t.nn.GRU(I, H, num_layers=3, dropout=0.4, batch_first=True)
        y, h = module(t.tensor(x))
        results.append((y.detach().numpy(), h.detach().numpy(), t.rand(2).numpy()))
    for got, expected in zip(*results, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def weights(gates=4, hidden=H, inputs=I, dtype=jnp.float32):
    shapes = [(gates * hidden, inputs), (gates * hidden, hidden), (gates * hidden,), (gates * hidden,)]
    return [jnp.ones(shape, dtype) for shape in shapes]


def lstm(x=None, hx=None, params=None, layers=1, dropout=0.0, train=False, **named):
    x = jnp.ones((T, B, I)) if x is None else x
    return F.lstm(x, hx, weights() if params is None else params, True, layers, dropout, train, False, False, **named)


ERRORS = [
    (lambda: lstm(jnp.ones((T, B, 3))), ShapeError, r"input.size\(-1\) must be equal to input_size. Expected 2, got 3"),
    (lambda: lstm(jnp.ones(3)), ShapeError, "Expected input to be 2D or 3D, got 1D instead"),
    (lambda: lstm(hx=(jnp.ones((1, B, 4)), jnp.ones((1, B, H)))), ShapeError, r"Expected hidden\[0\] size \(1, 3, 5\), got \[1, 3, 4\]"),
    (lambda: lstm(hx=(jnp.ones((B, H)),) * 2), ShapeError, "For batched 3-D input, hx should also be 3-D but got 2-D"),
    (lambda: lstm(params=weights()[:3]), ArgumentError, "expected 4 weights"),
    (lambda: lstm(params=weights(dtype=jnp.bfloat16)), DtypeError, "does not match weight dtype"),
    (lambda: lstm(params=weights() + weights(inputs=H), layers=2, dropout=0.5, train=True), KeyRequiredError, "needs a key"),
    (lambda: lstm(lengths=jnp.array([1, 2])), ShapeError, "lengths must hold 3 integers"),
    (lambda: F.gru_cell(jnp.ones((2, 3)), jnp.ones((2, H)), *weights(3)), ShapeError, "inconsistent input_size: got 3 expected 2"),
    (
        lambda: F.gru_cell(jnp.ones((2, I)), jnp.ones((3, H)), *weights(3)),
        ShapeError,
        "Input batch size 2 doesn't match hidden0 batch size 3",
    ),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()
