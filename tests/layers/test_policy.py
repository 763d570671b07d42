"""A layer's policy: the types of its parameters, its computation and its output."""

from __future__ import annotations

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from funnn import Policy, layers
from funnn.torch import from_functional
from tests.quick import quick


def _network():
    return layers.Sequential(layers.Linear(4, 8), layers.BatchNorm1d(8), layers.Sequential(layers.Linear(8, 3)))


X = jnp.linspace(-1, 1, 20).reshape(5, 4)


def test_types_and_values():
    layer = _network().with_policy(Policy())
    params, state = layer.init(jax.random.key(0))
    assert jax.tree.structure((params, state)) == jax.tree.structure(_network().init(jax.random.key(0)))

    def loss(params, layer):
        y, new = layer.apply(params, state, X, train=True)
        return jnp.square(y).sum(), (y, new)

    run = jax.jit(jax.grad(loss, has_aux=True), static_argnums=1)
    grads, (y, new) = run(params, layer)
    exact, (expected, expected_state) = run(params, _network())
    assert {leaf.dtype for leaf in jax.tree.leaves((params, grads, y))} == {jnp.dtype("float32")}
    assert jax.tree.map(lambda leaf: leaf.dtype, new) == jax.tree.map(lambda leaf: leaf.dtype, state)
    # bfloat16 has 8 bits
    np.testing.assert_allclose(y, expected, atol=2e-2)
    assert np.abs(y - expected).max() > 0
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-2, atol=2e-2), (new, grads), (expected_state, exact))
    assert run._cache_size() == 2


def test_the_computation_is_in_the_compute_type():
    seen = []

    class Probe(layers.Layer):
        def spec(self):
            return {"weight": layers.Param((2,), lambda key, shape, dtype: jnp.ones(shape, dtype))}

        def forward(self, x, mask, scale=None):
            seen.append((x.dtype, mask.dtype, self.weight.dtype, scale.dtype))
            return x * self.weight * scale, mask

    layer = Probe().with_policy(Policy(params="float64", compute=jnp.float16, output=jnp.bfloat16))
    with jax.enable_x64(True):
        params, state = layer.init(jax.random.key(0))
    assert params["weight"].dtype == jnp.float64
    (y, mask), _ = layer.apply(params, state, np.ones(2, np.float32), jnp.arange(2), scale=jnp.ones(()))
    assert seen == [(jnp.float16, jnp.int32, jnp.float16, jnp.float16)]
    assert (y.dtype, mask.dtype) == (jnp.bfloat16, jnp.int32)


def test_a_layer_inside_keeps_its_own_policy():
    exact = Policy(compute=jnp.float32)
    inner = layers.Sequential(layers.Linear(8, 3).with_policy(exact))
    layer = layers.Sequential(layers.Linear(4, 8), layers.Tanh(), inner).with_policy(Policy(params=jnp.float16))
    params, state = layer.init(jax.random.key(0))
    assert params["0"]["weight"].dtype == jnp.float16 and params["2"]["0"]["weight"].dtype == jnp.float32
    below = {**params, "0": jax.tree.map(jnp.zeros_like, params["0"])}
    below["2"] = {"0": {**params["2"]["0"], "bias": jnp.full((3,), 1 + 2.0**-10)}}  # float16 holds it, bfloat16 would not
    y, _ = layer.apply(below, state, X)
    assert y.dtype == jnp.float16 and float(y[0, 0]) == 1 + 2.0**-10


def test_state_is_wide_enough_for_the_computation():
    for params_in, compute in ((jnp.float16, jnp.bfloat16), (jnp.bfloat16, jnp.float32)):
        layer = layers.Sequential(layers.BatchNorm1d(4), layers.Repeat(layers.BatchNorm1d(4), 2)).with_policy(Policy(params_in, compute))
        params, state = layer.init(jax.random.key(0))
        assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(params_in)}
        kinds = jax.tree.map(lambda leaf: leaf.dtype, state)
        assert {kind for kind in jax.tree.leaves(kinds) if jnp.issubdtype(kind, jnp.floating)} == {jnp.dtype("float32")}
        y, new = layer.apply(params, state, X, train=True)
        assert y.dtype == params_in and jax.tree.map(lambda leaf: leaf.dtype, new) == kinds
        exact, expected = layer.with_policy(None).apply(*layer.with_policy(None).init(jax.random.key(0)), X, train=True)
        np.testing.assert_allclose(y.astype(jnp.float32), exact, atol=3e-2)  # bfloat16 has 8 bits
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-2, atol=2e-2), new, expected)


def test_in_combinators():
    policy = Policy(output=jnp.bfloat16)
    for layer in (
        layers.Repeat(layers.Linear(4, 4), 2),
        layers.Remat(layers.Linear(4, 4)),
        layers.Repeat(layers.Linear(4, 4).with_policy(Policy()), 2),
    ):
        layer = layer.with_policy(policy) if layer.layer._policy is None else layer
        params, _ = layer.init(jax.random.key(0))
        y, expected = quick(
            lambda layer=layer, params=params: [item.apply(params, {}, X)[0] for item in (layer, layer.with_policy(None))]
        )()
        assert y.dtype == (jnp.bfloat16 if layer._policy is policy else jnp.float32)
        np.testing.assert_allclose(y.astype(jnp.float32), expected, atol=5e-2)


def test_it_is_a_value():
    layer = layers.Linear(2, 3).with_policy(Policy())
    assert layer == layers.Linear(2, 3).with_policy(Policy()) != layers.Linear(2, 3)
    assert hash(layer) == hash(pickle.loads(pickle.dumps(layer))) and pickle.loads(pickle.dumps(layer)) == layer
    assert layer.replace(bias=False) == layers.Linear(2, 3, bias=False).with_policy(Policy())
    assert layer.with_policy(None) == layers.Linear(2, 3) and layer.with_policy(None).with_policy(None)._policy is None
    assert repr(layer) == (
        "Linear(in_features=2, out_features=3, bias=True, policy=Policy(params=float32, compute=bfloat16, output=float32))"
    )


def test_errors():
    with pytest.raises(TypeError, match=r"Policy: compute must be a floating-point type such as jnp.bfloat16, but got int8"):
        Policy(compute=jnp.int8)
    with pytest.raises(TypeError, match="with_policy takes a Policy or None, got 'bfloat16'"):
        layers.Linear(2, 3).with_policy("bfloat16")
    layer = layers.Sequential(layers.Linear(2, 3).with_policy(Policy()))
    with pytest.raises(NotImplementedError, match=r"take layer.with_policy\(None\) and run the Module under torch.autocast"):
        from_functional(layer, *layer.init(jax.random.key(0)))
    with pytest.raises(ValueError, match="missing"):
        layer.with_policy(Policy()).apply({}, {}, jnp.ones(2))


PRECISE = {
    "Linear": (layers.Linear(4, 3), [(5, 4)]),
    "Bilinear": (layers.Bilinear(4, 4, 2), [(5, 4), (5, 4)]),
    "Conv2d": (layers.Conv2d(3, 4, 3), [(2, 3, 8, 8)]),
    "strided": (layers.Conv2d(3, 4, 3, stride=2, padding=1), [(2, 3, 8, 8)]),
    "grouped": (layers.Conv1d(4, 6, 3, groups=2), [(2, 4, 9)]),
    "ConvTranspose2d": (layers.ConvTranspose2d(3, 4, 3), [(2, 3, 8, 8)]),
    "LSTM": (layers.LSTM(4, 3), [(5, 2, 4)]),
    "GRU": (layers.GRU(4, 3), [(5, 2, 4)]),
    "RNN": (layers.RNN(4, 3), [(5, 2, 4)]),
    "attention": (layers.MultiheadAttention(4, 2), [(5, 2, 4)] * 3),
    "transformer": (layers.TransformerEncoderLayer(4, 2, 6), [(5, 2, 4)]),
}


@pytest.mark.parametrize("name", PRECISE)
def test_precision_holds_for_every_product_and_its_derivatives(name):
    """Whatever is differentiated, and in whatever order jit and grad stand: rules that are traced after the layer ran use its precision."""
    plain, shapes = PRECISE[name]
    layer = plain.with_policy(Policy(compute=jnp.float32, precision="highest"))
    params, state = layer.init(jax.random.key(0))
    inputs = [jnp.ones(shape) for shape in shapes]
    apply = jax.jit(lambda params: layer.apply(params, state, *inputs, key=jax.random.key(1), train=True)[0])

    def loss(params):
        return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(apply(params)))

    def norm(params):
        return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(jax.grad(loss)(params)))

    for function in (loss, jax.grad(loss), lambda p: jax.jvp(loss, (p,), (p,))[1], jax.grad(norm)):
        text = jax.jit(function).lower(params).as_text()
        products = [line for line in text.splitlines() if "dot_general" in line or "stablehlo.convolution" in line]
        assert (products or "__onednn$convolution" in text) and all(
            "HIGHEST" in line for line in products
        )  # oneDNN knows no less than float32
    assert repr(layer._policy).endswith("precision='highest')")


def test_an_unknown_precision():
    with pytest.raises(ValueError, match="JAX knows no precision 'best'; give"):
        Policy(precision="best")
