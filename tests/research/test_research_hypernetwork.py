"""A network that writes the weights of another, and tied weights whose gradient is the sum of both uses."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import funnn
from funnn import Layer, optim
from funnn import functional as F
from funnn.errors import TransformedLayerError
from funnn.layers import Dropout, Embedding, FunctionalCall, Linear, Sequential, Tanh
from tests.quick import quick

MAIN = Sequential(Linear(2, 8), Tanh(), Linear(8, 1))
FLAT, UNRAVEL = ravel_pytree(MAIN.init(jax.random.key(0))[0])


class Hyper(Layer):
    """A ``main`` network whose parameters are what ``writer`` makes of a task's number (Ha et al., 2016)."""

    writer: Sequential
    main: FunctionalCall

    def forward(self, task, x):
        return self.main(UNRAVEL(FLAT + self.writer(task)), x)


HYPER = Hyper(Sequential(Embedding(3, 4), Linear(4, FLAT.size)), FunctionalCall(MAIN))


def test_a_hypernetwork_is_its_formula():
    params, state = HYPER.init(jax.random.key(1))
    assert list(params) == ["writer"] and state == {}
    x, task = jax.random.normal(jax.random.key(2), (5, 2)), jnp.int32(1)

    def by_hand(params, x):
        row, writer = params["writer"]["0"]["weight"][task], params["writer"]["1"]
        w1, b1, w2, b2 = (UNRAVEL(FLAT + writer["weight"] @ row + writer["bias"])[n][name] for n in "02" for name in ("weight", "bias"))
        return jnp.tanh(x @ w1.T + b1) @ w2.T + b2

    def layered(params, x):
        return HYPER.apply(params, {}, task, x)[0]

    np.testing.assert_allclose(layered(params, x), by_hand(params, x), rtol=1e-5, atol=1e-6)
    gradients = [quick(jax.grad(lambda params, f=f: jnp.sum(f(params, x) ** 2)))(params) for f in (layered, by_hand)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), *gradients)


def test_one_hypernetwork_for_three_tasks():
    x = jnp.linspace(-1, 1, 20)[:, None] * jnp.array([1.0, 0.5])
    tasks, y = jnp.arange(3), jnp.stack([x[:, :1], -x[:, :1], x[:, :1] ** 2])

    class Tasks(Layer):
        hyper: Hyper

        def forward(self, tasks, x):
            return jax.vmap(self.hyper, (0, None))(tasks, x)

    init, step, _ = funnn.train_step(Tasks(HYPER), F.mse_loss, optim.adam(lr=1e-2))
    _, metrics = quick(lambda state: jax.lax.scan(lambda state, _: step(state, ((tasks, x), y)), state, None, 300))(init(jax.random.key(0)))
    assert metrics["loss"][-1] < 1e-2 < metrics["loss"][0]


def test_a_child_with_other_parameters_than_its_own():
    """A target network: the same child, run with a slowly moving copy of its parameters."""

    class Agreeing(Layer):
        online: Sequential

        def forward(self, target, x):
            return self.online(x) - self.online.apply(target, {}, x)[0]

    net = Agreeing(Sequential(Linear(2, 3), Tanh()))
    params, state = net.init(jax.random.key(0))
    target, _ = net.online.init(jax.random.key(1))
    x = jnp.ones((4, 2))
    expected = net.online.apply(params["online"], {}, x)[0] - net.online.apply(target, {}, x)[0]
    np.testing.assert_allclose(quick(net.apply)(params, state, target, x)[0], expected, rtol=1e-6)
    slopes = jax.grad(lambda target: net.apply(params, state, target, x)[0].sum())(target)
    assert all(leaf.any() for leaf in jax.tree.leaves(slopes))


class Twice(Layer):
    drop: FunctionalCall
    mapped: bool = False

    def forward(self, x):
        return jax.vmap(lambda x: self.drop({}, x))(x) if self.mapped else (self.drop({}, x), self.drop({}, x))


def test_what_does_not_fit_and_draws():
    with pytest.raises(ValueError, match=r"params of Linear at 'layer' do not fit the layer: missing \['bias'\]"):
        FunctionalCall(Linear(2, 1)).apply({}, {}, {"weight": jnp.ones((1, 2))}, jnp.ones(2))
    drop = FunctionalCall(Dropout(0.5))
    y, _ = drop.apply({}, {}, {}, jnp.ones(100), key=jax.random.key(0), train=True)
    assert 0 < (y == 0).mean() < 1 and repr(drop) == "FunctionalCall(Dropout(p=0.5, inplace=False))"
    with pytest.raises(ValueError, match="at 'layer' is stochastic in training and got key=None"):
        drop.apply({}, {}, {}, jnp.ones(100), train=True)
    twice, _ = Twice(drop).apply({}, {}, jnp.ones(100), key=jax.random.key(0), train=True)
    assert (twice[0] != twice[1]).any()
    with pytest.raises(TransformedLayerError, match=r"Dropout at 'drop\.layer' draws random numbers inside a transformation"):
        Twice(drop, mapped=True).apply({}, {}, jnp.ones((2, 100)), key=jax.random.key(0), train=True)


def test_the_gradient_of_tied_weights_is_the_sum_of_both_uses():
    def tied_net(tied):
        net = Sequential(Embedding(5, 3), Tanh(), Linear(3, 5, bias=False))
        return net.tie("2.weight", to="0.weight") if tied else net

    tied, loose = tied_net(True), tied_net(False)
    params, _ = tied.init(jax.random.key(0))
    assert list(params) == ["0"]
    words = jnp.array([0, 3, 3, 1])

    def loss(net, params):
        return F.cross_entropy(net.apply(params, {}, words)[0], (words + 1) % 5)

    got = jax.grad(lambda p: loss(tied, p))(params)["0"]["weight"]
    both = jax.grad(lambda p: loss(loose, p))({"0": params["0"], "2": params["0"]})
    np.testing.assert_allclose(got, both["0"]["weight"] + both["2"]["weight"], rtol=1e-5, atol=1e-6)
