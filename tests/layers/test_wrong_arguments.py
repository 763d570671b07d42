"""What goes wrong in calls of init and apply says what to write."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import funnn.torch as ft
from funnn.layers import Conv2d, Dropout, Layer, Linear, Sequential

KEY, X = jax.random.key(0), jnp.ones(4)
LINEAR = Linear(4, 8)
PARAMS, STATE = LINEAR.init(KEY)

WRONG = {
    "a number to init": (lambda: LINEAR.init(0), r"init takes a JAX key, but got the number 0; write jax.random.key\(0\)"),
    "a number to apply": (
        lambda: Dropout(0.5).apply({}, {}, X, key=np.int64(3), train=True),
        r"apply takes a JAX key, but got the number .*3.*; write jax.random.key\(3\)",
    ),
    "a size that is no int": (
        lambda: Sequential(Linear(4, 8.0)).init(KEY),
        r"Linear\(in_features=4, out_features=8.0, bias=True\): sizes are ints, but 'weight' has the shape \(8.0, 4\), where 8.0 is none",
    ),
    "a channel that is no int": (lambda: Conv2d(3.0, 4, 3).init(KEY), r"sizes are ints, but 'weight' has the shape \(4, 3.0, 3, 3\)"),
    "a traced mode": (
        lambda: jax.jit(lambda train: Dropout(0.5).apply({}, {}, X, key=KEY, train=train))(True),
        r"train decides in Python, so it can't be traced: close over it, or make it static",
    ),
    "no state": (
        lambda: LINEAR.apply(PARAMS, X),
        r"state of Linear must be a dict .* is an argument left out\? It is layer.apply\(params, state, x\)",
    ),
    "another order": (lambda: LINEAR.apply(X, PARAMS, STATE), r"params of Linear must be a dict"),
    "a layer that is traced": (lambda: jax.jit(lambda layer, x: layer.apply(PARAMS, STATE, x))(LINEAR, X), r"Linear"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said(name):
    call, text = WRONG[name]
    with pytest.raises(TypeError, match=text):
        call()


def test_what_is_right():
    y, _ = jax.jit(lambda layer, x: layer.apply(PARAMS, STATE, x), static_argnums=0)(LINEAR, X)
    np.testing.assert_allclose(y, LINEAR.apply(PARAMS, STATE, X, key=KEY)[0], rtol=1e-6)  # a key that nobody draws from is no mistake
    assert Dropout(0.5).apply({}, {}, X, key=jax.random.PRNGKey(0), train=True)[0].shape == (4,)
    assert Linear(np.int64(4), 8).init(KEY)[0]["weight"].shape == (8, 4)


def test_nan_debugging_names_the_layer():
    class Broken(Layer):
        def forward(self, x):
            return jnp.log(x - 2.0)

    with jax.debug_nans(True), pytest.raises(FloatingPointError) as caught:
        Sequential(Broken()).apply({}, {}, X)
    assert any("in layer '0': Broken()" in note for note in caught.value.__notes__)


def test_a_module_may_sow():
    class Sowing(Layer):
        body: Layer

        def forward(self, x):
            y = self.body(x)
            self.sow("mean", y.mean())
            return y

    layer = Sowing(Linear(4, 2))
    params, state = layer.init(KEY)
    module = ft.from_functional(layer, params, state)
    np.testing.assert_allclose(module(ft.ones(4)).detach().numpy(), layer.apply(params, state, X)[0], rtol=1e-6)
