"""Values inside a run, gradients at activations, and modes that change on the way."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from funnn import errors
from funnn.layers import BatchNorm1d, Dropout, Layer, Linear, Policy, Repeat, Sequential, Tanh, lift

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (4, 3))
NET = Sequential(Linear(3, 5), Tanh(), Sequential(Linear(5, 5), Tanh()), Linear(5, 2))


def test_which_outputs_are_captured():
    params, state = NET.init(KEY)
    y, new, captured = NET.apply(params, state, X, capture=True)
    assert list(captured) == ["0", "1", "2.0", "2.1", "2", "3", ""] and new == state
    np.testing.assert_array_equal(captured[""], y)
    np.testing.assert_array_equal(captured["1"], jnp.tanh(captured["0"]))
    for capture, expected in (("2.*", ["2.0", "2.1"]), (["0", "3"], ["0", "3"]), (lambda path: path == "2", ["2"]), (False, [])):
        assert list(NET.apply(params, state, X, capture=capture)[2]) == expected
    assert len(NET.apply(params, state, X)) == 2
    jitted = jax.jit(lambda p, x: NET.apply(p, state, x, capture="2.*"))(params, X)[2]
    np.testing.assert_allclose(jitted["2.1"], captured["2.1"], rtol=1e-5, atol=1e-6)


class Loss(Layer):
    body: Layer

    def forward(self, x):
        y = self.body(self.body(x))
        self.sow("size", (y**2).mean())
        return y


def test_sown_values_and_layers_that_run_twice():
    layer = Sequential(Loss(Linear(3, 3)), Loss(Linear(3, 3)))
    params, state = layer.init(KEY)
    y, _ = layer.apply(params, state, X)
    again, _, captured = layer.apply(params, state, X, capture="0.body")
    np.testing.assert_array_equal(y, again)
    assert list(captured) == ["0.body", "0.size", "1.size"] and len(captured["0.body"]) == 2
    np.testing.assert_allclose(captured["1.size"], (y**2).mean(), rtol=1e-6)

    def total(params):
        y, _, captured = layer.apply(params, state, X, capture=[])
        return y.sum() + sum(captured.values())

    assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(jax.grad(total)(params)))


def test_values_inside_lifted_transformations():
    layer = Repeat(Loss(Linear(3, 3)), 4)
    params, state = layer.init(KEY)
    y, _, captured = layer.apply(params, state, X, capture="layer.body")
    assert captured["layer.size"].shape == (4,) and [a.shape for a in captured["layer.body"]] == [(4, 4, 3)] * 2
    np.testing.assert_allclose(captured["layer.body"][1][-1], y, rtol=1e-6)

    class Net(Layer):
        body: Layer

        def forward(self, xs):
            return lift.vmap(lambda layer, x: lift.remat(lambda layer, x: layer(x), layer)(x), self.body)(xs)

    params, state = Net(NET).init(KEY)
    _, _, captured = Net(NET).apply(params, state, jnp.stack([X] * 2), capture="body.2")
    assert captured["body.2"].shape == (2, 4, 5)


def test_nothing_leaks_out_of_other_transformations():
    class Net(Layer):
        body: Layer

        def forward(self, xs):
            return jax.vmap(self.body)(xs)

    layer = Net(Sequential(Linear(3, 3), Tanh()))
    params, state = layer.init(KEY)
    with pytest.raises(errors.TransformedLayerError, match=r"Linear at 'body.0' is captured inside a transformation"):
        layer.apply(params, state, X, capture=True)
    assert list(layer.apply(params, state, X, capture="")[2]) == [""]


def test_the_gradient_at_an_activation():
    params, state = NET.init(KEY)

    def loss(added):
        return (NET.apply(params, state, X, perturb={"1": added})[0] ** 2).sum()

    def rest(hidden):
        y, _ = NET[2:].apply({"2": params["2"], "3": params["3"]}, {}, hidden)
        return (y**2).sum()

    hidden = NET.apply(params, state, X, capture="1")[2]["1"]
    np.testing.assert_allclose(jax.grad(loss)(jnp.zeros((4, 5))), jax.grad(rest)(hidden), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"perturb: no layer ran at \['2.5'\]; those that ran: \['2.*"):
        NET.apply(params, state, X, perturb={"2.5": jnp.zeros(1)})


def test_modes_inside_forward():
    class Net(Layer):
        frozen: Layer
        drop: Layer

        def forward(self, x):
            self.frozen.training = False
            return self.drop.train()(self.frozen.eval()(x))

    net = Net(Sequential(BatchNorm1d(3), Dropout(0.9)), Sequential(Dropout(0.5)))
    params, state = net.init(KEY)
    for train in (True, False):
        y, new = net.apply(params, state, jnp.ones((1000, 3)), key=KEY, train=train)
        assert 0.4 < float((y == 0).mean()) < 0.6
        assert all((a == b).all() for a, b in zip(jax.tree.leaves(new), jax.tree.leaves(state), strict=True))
    for call in (net.eval, net.train):
        with pytest.raises(TypeError, match="is a description and has no mode of its own: say train="):
            call()


def test_a_policy_casts_in_every_method():
    class Net(Layer):
        body: Layer

        def forward(self, x):
            return self.body.half(x), self.body.weight.dtype, self.body(x).dtype

    class Body(Linear):
        def half(self, x):
            assert x.dtype == jnp.bfloat16
            return self.once(x) / 2

        def once(self, x):
            y = self.forward(x)
            assert y.dtype == jnp.bfloat16  # no cast between methods of one layer
            return y

    net = Net(Body(3, 3).with_policy(Policy(output=jnp.float16)))
    params, state = net.init(KEY)
    (y, weight, full), _ = net.apply(params, state, X)
    assert params["body"]["weight"].dtype == jnp.float32 and (y.dtype, weight, full) == (jnp.float16, jnp.bfloat16, jnp.float16)
