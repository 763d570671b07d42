"""find_nans names the call of the layer at which a NaN begins; jax.debug_nans names the layer whose forward made it."""

from __future__ import annotations

import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import funnn
from funnn import Layer, find_nans, init, optim
from funnn import functional as F
from funnn.layers import Lambda, Linear, Param, ReLU, Remat, Repeat, Sequential, Tanh

KEY, X = jax.random.key(0), jnp.ones((2, 3))


class Log(Layer):
    """NaN of numbers below zero."""

    def forward(self, x):
        return jnp.log(-jnp.abs(x) - 1)


class Root(Layer):
    """Right, but for its gradient, ∞ · 0."""

    def forward(self, x):
        return jnp.sqrt(x * 0)


class Below(Layer):
    """A NaN of its own parameter's gradient alone."""

    def spec(self):
        return {"depth": Param((), init.zeros)}

    def forward(self, index):
        return jnp.sqrt(self.depth * 0) + index.astype(jnp.float32)


def nets(layer):
    return {
        "a sequence": (Sequential(Linear(3, 3), Sequential(layer, ReLU())), "1.0"),
        "a scan": (Repeat(Sequential(Linear(3, 3), layer), 3), "layer.1"),
        "recomputed": (Sequential(Linear(3, 3), Remat(Sequential(layer))), "1.layer.0"),
    }


@pytest.mark.parametrize("name", nets(Log()))
def test_a_nan_in_the_output(name):
    net, path = nets(Log())[name]
    params, state = net.init(KEY)
    (source,) = find_nans(net.apply, params, state, X)
    assert source == (path, "Log()", 1, False, ())
    assert str(source) == f"layer {path!r} (call 1) makes a NaN of inputs without one: Log()"
    assert [(s.path, s.call) for s in find_nans(jax.jit(net.apply), params, state, X)] == [(path, 1)]
    assert find_nans(jax.vmap(net.apply, (None, None, 0)), params, state, X)[0].path == path


@pytest.mark.parametrize("name", nets(Root()))
def test_a_nan_in_the_gradient_alone(name):
    net, path = nets(Root())[name]
    params, state = net.init(KEY)
    last = 3 if name == "a scan" else 1
    assert find_nans(net.apply, params, state, X) == []
    (source,) = find_nans(jax.grad(lambda params: net.apply(params, state, X)[0].sum()), params)
    assert source == (path, "Root()", last, True, ())
    start, step, _ = funnn.train_step(net, F.mse_loss, optim.sgd(lr=0.1))
    train_state = start(KEY)
    assert find_nans(step, train_state, (X, X)) == [source]
    step(train_state, (X, X))  # which is still there


def test_parameters():
    params, state = Below().init(KEY)
    (source,) = find_nans(jax.grad(lambda params: Below().apply(params, state, jnp.arange(3))[0].sum()), params)
    assert source == ("", "Below()", 1, True, ())
    net = Sequential(Tanh(), Linear(3, 3), Linear(3, 3))
    params, state = net.init(KEY)
    params["1"]["bias"] = params["1"]["bias"].at[0].set(jnp.nan)
    (source,) = find_nans(net.apply, params, state, X)
    assert (source.path, source.parameters) == ("1", ("bias",))
    assert "makes a NaN of inputs without one; its parameters ['bias'] are NaN: Linear(" in str(source)


def test_the_innermost_and_only_where_they_begin():
    class Outer(Layer):
        first: Layer
        second: Layer

        def forward(self, x, *, scale):
            return self.second(self.first(x) * scale) + self.first(x)

    net = Outer(Sequential(Tanh(), Log()), Lambda(jnp.sin))
    assert [(s.path, s.call) for s in find_nans(net.apply, {}, {}, X, scale=2.0)] == [("first.1", 1), ("first.1", 2)]
    own = Outer(Tanh(), Tanh())
    assert [s.path for s in find_nans(own.apply, {}, {}, X * 0, scale=jnp.inf)] == [""]  # ∞ · 0, no layer's but the one's around them
    nan = np.full((2, 3), np.nan, np.float32)
    assert find_nans(own.apply, {}, {}, X, scale=float("nan")) == find_nans(own.apply, {}, {}, nan, scale=1.0) == []


def test_every_mode_of_differentiation_goes_through():
    net = Sequential(Linear(3, 4), Tanh(), Linear(4, 1))
    params, state = net.init(KEY)

    def loss(x):
        return net.apply(params, state, x)[0].sum()

    assert find_nans(jax.hessian(loss), jnp.ones(3)) == find_nans(lambda x: jax.jvp(loss, (x,), (x,)), jnp.ones(3)) == []
    (source,) = find_nans(jax.hessian(lambda x: jnp.sum(Root().apply({}, {}, x)[0])), jnp.ones(3))
    assert source.gradient


@pytest.mark.parametrize("through", ["apply", "jit", "grad", "step"])
def test_debug_nans_names_the_layer(through):
    net = Sequential(Linear(3, 3), Sequential(Log(), ReLU()))
    params, state = net.init(KEY)
    start, step, _ = funnn.train_step(net, F.mse_loss, optim.sgd(lr=0.1))
    call = {
        "apply": lambda: net.apply(params, state, X),
        "jit": lambda: jax.jit(net.apply)(params, state, X),
        "grad": lambda: jax.grad(lambda params: net.apply(params, state, X)[0].sum())(params),
        "step": lambda: step(start(KEY), (X, X)),
    }[through]
    logging.disable(logging.WARNING)
    try:
        with jax.debug_nans(True), pytest.raises(FloatingPointError, match=r"invalid value \(nan\) encountered in log") as caught:
            call()
    finally:
        logging.disable(logging.NOTSET)
    assert "in layer '1.0': Log()" in caught.value.__notes__
