"""What goes wrong names the layer: wrong shapes, NaN, checks of values, prints."""

from __future__ import annotations

import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import checkify

import funnn
from funnn import Layer
from funnn.layers import Embedding, Linear, Repeat, Residual, Sequential, Tanh


class Norm(Layer):
    """x / |x|, which is NaN of zeros; checked, if somebody looks."""

    def forward(self, x):
        length = jnp.linalg.norm(x, axis=-1, keepdims=True)
        checkify.debug_check(jnp.all(length > 0), "a vector has the length {length}", length=length.min())
        return x / length


NET = Sequential(Linear(3, 3, bias=False), Sequential(Norm(), Tanh()), Linear(3, 2))
PARAMS, STATE = NET.init(jax.random.key(0))


def test_a_wrong_shape_names_the_layer_its_shapes_and_the_fix():
    with pytest.raises(ValueError, match=r"linear got input of shape \[4, 5\] and weight of shape \[3, 3\]") as caught:
        jax.jit(NET.apply)(PARAMS, STATE, jnp.ones((4, 5)))
    assert "in layer '0': Linear(in_features=3, out_features=3, bias=False)" in caught.value.__notes__
    deep = Sequential(Repeat(Residual(Sequential(Linear(3, 4), Linear(3, 3))), 2))
    with pytest.raises(ValueError, match="Give an input with 3 features") as caught:
        deep.apply(*deep.init(jax.random.key(0)), jnp.ones((4, 3)))
    assert "in layer '0.layer.body.1': Linear(in_features=3, out_features=3, bias=True)" in caught.value.__notes__


def test_wrong_parameters_name_the_layer():
    wrong = {**PARAMS, "2": {"weight": PARAMS["2"]["weight"]}}
    with pytest.raises(ValueError, match=r"params of Linear at '2' do not fit the layer: missing \['bias'\]"):
        NET.apply(wrong, STATE, jnp.ones((4, 3)))


def test_debug_nans_names_the_layer():
    logging.disable(logging.WARNING)
    try:
        with jax.debug_nans(True), pytest.raises(FloatingPointError, match=r"invalid value \(nan\) encountered in div") as caught:
            jax.jit(NET.apply)(PARAMS, STATE, jnp.zeros((1, 3)))
    finally:
        logging.disable(logging.NOTSET)
    assert "in layer '1.0': Norm()" in caught.value.__notes__


def test_find_nans_names_the_layer_under_grad():
    def loss(params):
        return NET.apply(params, STATE, jnp.zeros((1, 3)))[0].sum()

    forward, *_ = funnn.find_nans(jax.value_and_grad(loss), PARAMS)
    assert (forward.path, forward.gradient) == ("1.0", False)


def test_checks_of_values():
    """checkify goes through layers: its own checks, those of indices and those that a layer makes."""
    checked = checkify.checkify(jax.jit(lambda params, x: NET.apply(params, STATE, x)[0]), errors=checkify.all_checks)
    error, _ = checked(PARAMS, jnp.ones((1, 3)))
    error.throw()
    error, _ = checked(PARAMS, jnp.zeros((1, 3)))
    with pytest.raises(checkify.JaxRuntimeError, match=r"a vector has the length 0\.|division by zero|nan generated"):
        error.throw()
    words = Embedding(4, 2)
    params, _ = words.init(jax.random.key(0))
    indexed = checkify.checkify(lambda i: words.apply(params, {}, i)[0], errors=checkify.index_checks)
    assert indexed(jnp.array([3]))[0].get() is None


def test_gradients_under_checkify():
    def loss(params, x):
        return jnp.sum(NET.apply(params, STATE, x)[0] ** 2)

    error, grads = checkify.checkify(jax.grad(loss), errors=checkify.float_checks | checkify.user_checks)(PARAMS, jnp.ones((2, 3)))
    error.throw()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), grads, jax.grad(loss)(PARAMS, jnp.ones((2, 3))))


def test_prints_and_callbacks_inside():
    seen = []

    class Telling(Layer):
        body: Linear

        def forward(self, x):
            y = self.body(x)
            jax.debug.callback(lambda mean: seen.append(float(mean)), y.mean())
            return y

    net = Sequential(Telling(Linear(3, 2)))
    params, state = net.init(jax.random.key(0))
    y, _ = jax.jit(net.apply)(params, state, jnp.ones((1, 3)))
    jax.effects_barrier()
    assert seen == [pytest.approx(y.mean().item(), rel=1e-6)]
