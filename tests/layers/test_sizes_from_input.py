"""Sizes that are found from an example, and initial values that depend on it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from funnn import checkpoint
from funnn.layers import (
    ActNorm,
    BatchNorm1d,
    BatchNorm2d,
    Conv1d,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Flatten,
    InstanceNorm2d,
    Layer,
    Linear,
    ReLU,
    Repeat,
    Sequential,
)

KEY = jax.random.key(0)
IMAGE = jax.random.normal(jax.random.key(1), (2, 3, 8, 8))


def net(c0, c1, c2, f0, f1):
    return Sequential(
        Conv2d(c0, 4, 3, groups=1),
        BatchNorm2d(c1),
        ReLU(),
        ConvTranspose2d(c2, 6, 2),
        Flatten(),
        Linear(f0, 5),
        Dropout(0.5),
        BatchNorm1d(f1),
    )


LAZY, FULL = net(None, None, None, None, None), net(3, 4, 4, 6 * 49, 5)


@pytest.mark.parametrize("example", [IMAGE, jax.ShapeDtypeStruct(IMAGE.shape, jnp.float32)], ids=["array", "shape"])
def test_the_values_are_those_of_the_layer_with_sizes(example):
    params, state = LAZY.init(KEY, example)
    expected = FULL.init(KEY)
    jax.tree.map(np.testing.assert_array_equal, (params, state), expected)
    assert LAZY.with_sizes(example) == FULL and FULL.with_sizes(example) is FULL
    for train in (False, True):
        got, wanted = (layer.apply(params, state, IMAGE, key=KEY, train=train) for layer in (LAZY, FULL))
        jax.tree.map(np.testing.assert_array_equal, got, wanted)
    jitted = jax.jit(lambda p, s, x: LAZY.apply(p, s, x))
    np.testing.assert_allclose(jitted(params, state, IMAGE)[0], LAZY.apply(params, state, IMAGE)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Conv1d(None, 4, 3, groups=2), (4, 9)),
        (Conv2d(None, 4, 1), (3, 5, 5)),
        (InstanceNorm2d(None, affine=True), (3, 5, 5)),
        (Linear(None, 2), (7,)),
    ],
    ids=str,
)
def test_without_a_batch(layer, shape):
    x = jnp.ones(shape)
    params, state = layer.init(KEY, x)
    assert layer.apply(params, state, x)[0].shape == layer.with_sizes(x).apply(params, state, x)[0].shape


class Shared(Layer):
    a: Layer
    b: Layer
    unused: Layer | None = None

    def forward(self, x, scale=1.0, flag=False):
        assert flag
        return self.b(self.a(x)) * scale


def test_shared_layers_and_named_inputs():
    linear = Linear(None, 3)
    layer = Shared(linear, Sequential(ReLU(), linear))
    x = jnp.ones((2, 3))
    params, state = layer.init(KEY, x, scale=2.0, flag=True)
    assert list(checkpoint.flatten(params)) == ["a.weight", "a.bias"]
    assert layer.apply(params, state, x, flag=True)[0].shape == (2, 3)


def test_what_is_wrong_is_said():
    with pytest.raises(
        ValueError, match=r"Linear\(in_features=None, out_features=3, bias=True\) has in_features=None; give init an example"
    ):
        Sequential(Linear(None, 3)).init(KEY)
    with pytest.raises(ValueError, match="the layer at 'unused' has in_features=None and does not run with this example"):
        Shared(ReLU(), ReLU(), Linear(None, 3)).init(KEY, jnp.ones(3), flag=True)
    with pytest.raises(ValueError, match="finds in_channels from axis -3 of its first input, but got an array of shape"):
        Conv2d(None, 4, 3).init(KEY, jnp.ones(3))
    with pytest.raises(NotImplementedError, match="inside one that stacks parameters"):
        Sequential(Repeat(Linear(None, 3), 2)).init(KEY, jnp.ones(3))


def test_values_that_depend_on_data():
    layer = Sequential(Linear(None, 4), ActNorm(None), ReLU(), Linear(4, 2), ActNorm(2))
    x = jax.random.normal(KEY, (64, 3)) * 5 + 2
    params, state = layer.init(KEY, x)
    y, _, captured = layer.apply(params, state, x, capture="1")
    for value in (y, captured["1"]):
        np.testing.assert_allclose(value.mean(0), 0, atol=1e-4)
        np.testing.assert_allclose(value.std(0), 1, atol=1e-4)
    np.testing.assert_array_equal(params["0"]["weight"], Linear(3, 4).init(jax.random.key(0))[0]["weight"] * 0 + params["0"]["weight"])
    images = ActNorm(None)
    y, _ = images.apply(*images.init(KEY, IMAGE), IMAGE)
    np.testing.assert_allclose(y.mean((0, 2, 3)), 0, atol=1e-5)
    assert float(ActNorm(3).init(KEY)[0]["weight"].sum()) == 3

    class Bad(Layer):
        def init_from(self, x):
            return {"scale": x}

        def forward(self, x):
            return x

    with pytest.raises(ValueError, match=r"init_from of Bad at '0' gives \['scale'\], which are no parameters or buffers"):
        Sequential(Bad()).init(KEY, jnp.ones(3))
