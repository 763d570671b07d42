"""Parameters chosen by path, type and name; trees taken apart and joined."""

from __future__ import annotations

import operator

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from funnn import checkpoint, optim
from funnn.layers import (
    Embedding,
    LayerNorm,
    Linear,
    Repeat,
    Residual,
    Sequential,
    Tanh,
    combine,
    param_mask,
    partition,
)

KEY = jax.random.key(0)
X = jnp.linspace(-1, 1, 20).reshape(5, 4)


def net():
    return Sequential(
        Linear(4, 4), Residual(Sequential(LayerNorm(4), Linear(4, 4))), Repeat(Residual(Sequential(Linear(4, 4), LayerNorm(4))), 3)
    )


def chosen(layer, **kwargs):
    mask = param_mask(layer, layer.init(KEY)[0], **kwargs)
    assert {type(leaf) for leaf in jax.tree.leaves(mask)} == {bool}
    return [path for path, picked in checkpoint.flatten(mask).items() if picked]


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        ({"path": "0"}, ["0.weight", "0.bias"]),
        ({"path": "0.weight"}, ["0.weight"]),
        ({"path": ("0.weight", "1.body.0")}, ["0.weight", "1.body.0.weight", "1.body.0.bias"]),
        ({"path": "*.bias"}, ["0.bias"]),
        ({"path": "**.bias"}, ["0.bias", "1.body.0.bias", "1.body.1.bias", "2.layer.body.0.bias", "2.layer.body.1.bias"]),
        ({"type": LayerNorm}, ["1.body.0.weight", "1.body.0.bias", "2.layer.body.1.weight", "2.layer.body.1.bias"]),
        ({"type": (Residual, Repeat), "name": "bias", "path": "[12].**.0"}, ["1.body.0.bias", "2.layer.body.0.bias"]),
        ({"name": ("w*",), "type": Linear}, ["0.weight", "1.body.1.weight", "2.layer.body.0.weight"]),
    ],
    ids=str,
)
def test_path_type_and_name(kwargs, expected):
    assert sorted(chosen(net(), **kwargs)) == sorted(expected)


def test_any_tree_of_the_names_will_do():
    layer = net()
    params, _ = layer.init(KEY)
    shapes = jax.eval_shape(layer.init, KEY)[0]
    assert param_mask(layer, shapes, type=Linear) == param_mask(layer, params, type=Linear)
    assert param_mask(layer, {"0": params["0"]}, path="0.bias") == {"0": {"weight": False, "bias": True}}


@pytest.mark.parametrize(
    ("error", "text", "kwargs"),
    [
        (ValueError, r"param_mask: Sequential has no parameter with path='1.bodi.0'; nearest: \['1.body.0'", {"path": "1.bodi.0"}),
        (ValueError, r"has no parameter with name='wieght'; nearest: \['weight'\]", {"name": "wieght"}),
        (ValueError, r"has no parameter with type=Embedding or Tanh; it has \['0.weight', '0', ", {"type": (Embedding, Tanh)}),
        (ValueError, r"has no parameter with path='0', type=LayerNorm; nearest: \['0'", {"path": "0", "type": LayerNorm}),
        (TypeError, r"param_mask takes at least one of path, type and name", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mask_of_nothing_is_an_error(error, text, kwargs):
    with pytest.raises(error, match=text):
        chosen(net(), **kwargs)


def test_params_must_be_a_dict():
    with pytest.raises(TypeError, match=r"params must be a dict as layer.init\(key\) gives it, got tuple"):
        param_mask(net(), net().init(KEY), name="bias")


def test_masks_freeze_and_decay_in_optax():
    layer = net()
    params, state = layer.init(KEY)
    frozen = param_mask(layer, params, type=Linear)
    optimizer = optax.chain(optax.adamw(0.1, mask=optim.decay_mask(layer)), optax.masked(optax.set_to_zero(), frozen))
    opt_state = optimizer.init(params)

    @jax.jit
    def step(params, opt_state):
        grads = jax.grad(lambda p: jnp.sum(layer.apply(p, state, X)[0] ** 2))(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    new, _ = step(params, opt_state)
    same = jax.tree.map(lambda a, b: bool((a == b).all()), params, new)
    assert same == frozen
    # Rates of their own: labels from masks.
    labels = jax.tree.map(lambda slow: "slow" if slow else "fast", param_mask(layer, params, path="0"))
    optimizer = optax.multi_transform({"slow": optax.sgd(0.0), "fast": optax.sgd(0.1)}, labels)
    updates, _ = optimizer.update(jax.tree.map(jnp.ones_like, params), optimizer.init(params), params)
    assert not updates["0"]["weight"].any() and updates["1"]["body"]["1"]["weight"].all()


def test_partition_and_combine_are_inverse_and_leave_out_what_is_not_trained():
    layer = net()
    params, state = layer.init(KEY)
    mask = param_mask(layer, params, type=LayerNorm)
    trained, frozen = partition(params, mask)
    assert set(checkpoint.flatten(trained)) == set(chosen(layer, type=LayerNorm)) and "0" not in trained
    jax.tree.map(np.testing.assert_array_equal, combine(trained, frozen), params)
    jax.tree.map(np.testing.assert_array_equal, combine(frozen, trained), params)
    other = partition(params, jax.tree.map(operator.not_, mask))
    assert jax.tree.structure(other) == jax.tree.structure((frozen, trained))

    grads = jax.jit(jax.grad(lambda trained: jnp.sum(layer.apply(combine(trained, frozen), state, X)[0])))(trained)
    expected = jax.jit(jax.grad(lambda params: jnp.sum(layer.apply(params, state, X)[0])))(params)
    assert jax.tree.structure(grads) == jax.tree.structure(trained)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), grads, partition(expected, mask)[0])
    assert partition({}, {}) == ({}, {}) and combine() == {}
    with pytest.raises(ValueError, match=r"combine: '1.body.0.(weight|bias)' is in several of the trees"):
        combine(trained, params)
    with pytest.raises(ValueError, match=r"partition: the tree has \['bias', 'weight'\] where the mask has \['weight'\]; make the mask"):
        partition(params, {**mask, "0": {"weight": True}})
    with pytest.raises(ValueError, match=r"where the mask has tuple"):
        partition(params, ())
