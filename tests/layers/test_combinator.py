"""The layers around layers: Lambda, Residual, Parallel, Remat, Repeat."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import funnn.torch as ft
from funnn.layers import BatchNorm1d, Dropout, Identity, Lambda, Linear, Parallel, Remat, Repeat, Residual, Sequential, Tanh
from funnn.layers._scope import fold_name

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (5, 4))


def block():
    return Residual(Sequential(Linear(4, 8), Tanh(), BatchNorm1d(8), Dropout(0.2), Linear(8, 4)))


def run(layer, params, state, x=X, key=KEY, train=True):
    return layer.apply(params, state, x, key=key, train=train)


def tree_allclose(a, b, **tolerance):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


def test_values_print_compare_and_hash():
    assert repr(Lambda(jnp.sin)) == "Lambda(sin)" and Lambda(jnp.sin) == Lambda(jnp.sin) != Lambda(jnp.cos)
    assert hash(Repeat(block(), 2)) == hash(Repeat(block(), 2)) and Repeat(Tanh(), 2) != Repeat(Tanh(), 3)
    assert repr(Repeat(Tanh(), 2)) == "Repeat(\n  times=2\n  (layer): Tanh()\n)"
    assert repr(Residual(Tanh())) == "Residual(\n  (body): Tanh()\n)"


def test_residual_and_parallel():
    layer = Parallel([Residual(Linear(4, 3), Linear(4, 3)), Linear(4, 3)], merge=lambda a, b: jnp.concatenate([a, b], -1))
    params, state = layer.init(KEY)
    assert list(params["layers"]["0"]) == ["body", "shortcut"]
    y, _ = run(layer, params, state)
    parts = [
        X @ p["weight"].T + p["bias"] for p in (params["layers"]["0"]["body"], params["layers"]["0"]["shortcut"], params["layers"]["1"])
    ]
    np.testing.assert_allclose(y, jnp.concatenate([parts[0] + parts[1], parts[2]], -1), rtol=1e-5, atol=1e-6)
    a, b = Parallel([Identity(), Tanh()]).apply({}, {}, X)[0]
    assert (a == X).all() and (b == jnp.tanh(X)).all()


def test_remat_changes_nothing_but_what_is_kept():
    plain, remat = Sequential(block()), Sequential(Remat(block()))
    params, state = plain.init(KEY)
    moved = {"0": {"layer": params["0"]}}, {"0": {"layer": state["0"]}}
    assert jax.tree.structure(remat.init(KEY)[0]) == jax.tree.structure(moved[0])
    train = False

    def loss(layer):
        return lambda params, state: (jnp.sum(jnp.sin((out := run(layer, params, state, train=train))[0])), out[1])

    expected, state1 = jax.grad(loss(plain), has_aux=True)(params, state)
    got, state2 = jax.grad(loss(remat), has_aux=True)(*moved)
    tree_allclose(got["0"]["layer"], expected["0"], rtol=1e-5, atol=1e-6)
    tree_allclose(state2["0"]["layer"], state1["0"])
    train = True
    _, state2 = jax.jit(jax.grad(loss(remat), has_aux=True))(*moved)
    assert int(state2["0"]["layer"]["body"]["2"]["num_batches_tracked"]) == 1
    kept = str(jax.make_jaxpr(jax.grad(lambda p: loss(remat)(p, moved[1])[0]))(moved[0]))
    assert "remat" in kept or "checkpoint" in kept


def test_repeat_is_the_layers_one_after_the_other():
    layer, times = block(), 3
    repeat = Repeat(layer, times)
    params, state = repeat.init(KEY)
    assert {leaf.shape[0] for leaf in jax.tree.leaves((params, state))} == {times}
    weights = params["layer"]["body"]["0"]["weight"]
    assert not np.allclose(weights[0], weights[1])

    def by_hand(params, state, train):
        x, states = X, []
        for i in range(times):
            p, s = jax.tree.map(lambda a, i=i: a[i], (params["layer"], state["layer"]))
            keys = jax.random.split(jax.random.fold_in(fold_name(KEY, "layer"), 1), times)
            x, s = layer.apply(p, s, x, key=keys[i], train=train)
            states.append(s)
        return x, {"layer": jax.tree.map(lambda *s: jnp.stack(s), *states)}

    for train in (False, True):
        y, new_state = run(repeat, params, state, train=train)
        expected, expected_state = by_hand(params, state, train)
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
        tree_allclose(new_state, expected_state, rtol=1e-5, atol=1e-6)
    gradients = jax.grad(lambda p: jnp.sum(run(repeat, p, state)[0] ** 2))(params)
    expected = jax.grad(lambda p: jnp.sum(by_hand(p, state, True)[0] ** 2))(params)
    tree_allclose(gradients, expected, rtol=1e-3, atol=1e-4)


def test_repeats_program_does_not_grow_with_depth():
    def size(times):
        layer = Repeat(block(), times)
        params, state = layer.init(KEY)
        text = jax.jit(jax.grad(lambda p: jnp.sum(run(layer, p, state)[0]))).lower(params).as_text()
        return len(text.splitlines())

    assert size(40) < 1.5 * size(4)  # not equal: the keys of the layers are derived one by one


def test_repeat_passes_other_inputs_and_nests():
    class Shift(type(block())):
        def forward(self, x, by):
            return self.body(x) + by

    layer = Repeat(Shift(Identity()), 4)
    assert layer.apply({}, {}, jnp.zeros(2), jnp.ones(2))[0].tolist() == [4.0, 4.0]
    nested = Sequential(Repeat(Repeat(Linear(4, 4), 2), 3))
    params, state = nested.init(KEY)
    assert params["0"]["layer"]["layer"]["weight"].shape == (3, 2, 4, 4) and state == {}
    assert nested.apply(params, state, X)[0].shape == X.shape


def test_errors():
    with pytest.raises(ValueError, match="Repeat: times must be positive, but got times=0"):
        Repeat(Tanh(), 0)
    with pytest.raises(ValueError, match="params of Linear at 'layer' do not fit the layer"):
        Repeat(Linear(2, 2), 2).apply({}, {}, jnp.ones(2))
    with pytest.raises(ValueError, match=r"params of Repeat do not fit the layer: arrays have leading sizes \[\(3,\)\], but times=2"):
        Repeat(Linear(2, 2), 2).apply(Repeat(Linear(2, 2), 3).init(KEY)[0], {}, jnp.ones(2))
    with pytest.raises(TypeError):
        layer = Repeat(Linear(2, 3), 2)
        layer.apply(*layer.init(KEY), jnp.ones(2))


def test_in_the_torch_world():
    layer = Sequential(Residual(Linear(4, 4)), Parallel([Linear(4, 2), Linear(4, 2)], merge=lambda a, b: a + b), Remat(Linear(2, 1)))
    params, state = layer.init(KEY)
    module = ft.from_functional(layer, params, state)
    np.testing.assert_allclose(module(ft.tensor(np.asarray(X))).detach().numpy(), layer.apply(params, state, X)[0], rtol=1e-5, atol=1e-6)
    repeat = Repeat(Linear(2, 2), 2)
    with pytest.raises(NotImplementedError, match=r"Repeat.*Sequential"):
        ft.from_functional(repeat, *repeat.init(KEY))
