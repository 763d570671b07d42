"""Children as trees of fields, layers in two places, tied parameters, and what a constructor refuses."""

from __future__ import annotations

import copy
import pickle
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import funnn.torch as ft
from funnn import checkpoint, init
from funnn.layers import (
    BatchNorm1d,
    Buffer,
    Dropout,
    Embedding,
    Layer,
    LayerDict,
    LayerList,
    LayerNorm,
    Linear,
    Param,
    ReLU,
    Repeat,
    Sequential,
    TransformerEncoder,
    TransformerEncoderLayer,
)

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (4, 3))


class Heads(Layer):
    heads: Any

    def forward(self, x):
        return {name: head(x) for name, head in self.heads.items()}


class Walk(Layer):
    stages: Any

    def forward(self, x):
        return self.walk(self.stages, x)

    def walk(self, item, x):
        if item is None:
            return x
        if isinstance(item, LayerDict):
            item = item.values()
        elif not isinstance(item, LayerList):
            return item(x)
        for inside in item:
            x = self.walk(inside, x)
        return x


class Pair(NamedTuple):
    first: Any
    second: Any


def shapes(layer):
    return {name: value.shape for name, value in checkpoint.flatten(layer.init(KEY)[0]).items()}


def test_a_dict_of_layers():
    layer = Heads({"a": Linear(3, 2), "b": Sequential(Linear(3, 1))})
    assert list(shapes(layer)) == ["heads.a.weight", "heads.a.bias", "heads.b.0.weight", "heads.b.0.bias"]
    params, state = layer.init(KEY)
    y, _ = layer.apply(params, state, X)
    np.testing.assert_allclose(y["b"], Linear(3, 1).apply(params["heads"]["b"]["0"], {}, X)[0])
    theirs = torch.nn.ModuleDict({"a": torch.nn.Linear(3, 2), "b": torch.nn.Sequential(torch.nn.Linear(3, 1))})
    assert repr(layer.heads) == repr(theirs) and list(theirs.state_dict()) == [name.removeprefix("heads.") for name in shapes(layer)]
    module = ft.from_functional(layer, params, state)
    assert repr(module.heads) == repr(theirs) and list(module.state_dict()) == list(shapes(layer))
    np.testing.assert_allclose(module(ft.tensor(np.asarray(X)))["a"].detach().numpy(), y["a"], rtol=1e-6)
    assert "a" in layer.heads and len(layer.heads) == 2 and layer == Heads({"a": Linear(3, 2), "b": Sequential(Linear(3, 1))})
    assert hash(layer) == hash(pickle.loads(pickle.dumps(layer)))


@pytest.mark.parametrize(
    ("tree", "names"),
    [
        ([[Linear(3, 3), ReLU()], [Linear(3, 2)]], ["stages.0.0", "stages.1.0"]),
        ([Linear(3, 3), None], ["stages.0"]),
        ([Linear(3, 3), jax.nn.relu, Linear(3, 2)], ["stages.0", "stages.2"]),
        ((None, {"x": [Linear(3, 3)], "y": None}), ["stages.1.x.0"]),
        (Pair(Linear(3, 3), [Linear(3, 2)]), ["stages.first", "stages.second.0"]),
    ],
    ids=["nested lists", "None", "functions", "a dict in a tuple", "a named tuple"],
)
def test_trees(tree, names):
    layer = Walk(tree)
    assert [name for name in shapes(layer) if name.endswith("weight")] == [f"{name}.weight" for name in names]
    params, state = layer.init(KEY)
    y, _ = layer.apply(params, state, X)
    expected = X
    for name in names:
        if name == "stages.2" or names == ["stages.0.0", "stages.1.0"]:
            expected = jax.nn.relu(expected) if name != names[0] else expected
        weights = params
        for step in name.split("."):
            weights = weights[step]
        expected = expected @ weights["weight"].T + weights["bias"]
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    assert hash(layer) == hash(Walk(tree)) and layer == Walk(tree) and repr(layer)
    jax.jit(layer.apply)(params, state, X)


def test_wrong_keys_and_items():
    for keys, error in (({"a.b": ReLU()}, KeyError), ({"": ReLU()}, KeyError), ({"keys": ReLU()}, KeyError), ({1: ReLU()}, TypeError)):
        with pytest.raises(error, match="LayerDict"):
            Heads(keys)
    with pytest.raises(TypeError, match="LayerList takes layers, None, functions"):
        Walk([Linear(3, 3), "relu"])
    with pytest.raises(TypeError, match="Sequential takes layers"):
        Sequential(Linear(3, 3), None)


# -- one layer in two places


class Shared(Layer):
    one: Layer
    two: Layer

    def forward(self, x):
        return self.two(self.one(x))


class TheirShared(torch.nn.Module):
    def __init__(self, body):
        super().__init__()
        self.one = self.two = body

    def forward(self, x):
        return self.two(self.one(x))


def test_a_layer_in_two_places_is_one_set_of_parameters():
    norm = Sequential(Linear(3, 3), BatchNorm1d(3))
    layer = Shared(norm, norm)
    theirs = TheirShared(torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3)))
    assert list(shapes(layer)) == [name for name, _ in theirs.named_parameters()]
    params, state = layer.init(KEY)
    assert list(state) == ["one"]
    theirs.one.load_state_dict(
        {name: torch.tensor(np.asarray(value)) for name, value in checkpoint.to_state_dict(params["one"], state["one"]).items()}
    )
    x = torch.tensor(np.asarray(X), requires_grad=True)
    expected = theirs(x)
    y, new = layer.apply(params, state, X, train=True)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-4, atol=1e-5)
    assert list(new) == ["one"] and int(new["one"]["1"]["num_batches_tracked"]) == 2
    np.testing.assert_allclose(new["one"]["1"]["running_var"], theirs.one[1].running_var.numpy(), rtol=1e-5)
    (expected**2).sum().backward()
    grads = jax.grad(lambda p: (layer.apply(p, state, X, train=True)[0] ** 2).sum())(params)
    for name, parameter in theirs.named_parameters():
        np.testing.assert_allclose(checkpoint.flatten(grads)[name], parameter.grad.numpy(), rtol=1e-3, atol=1e-4)
    assert layer != Shared(norm, copy.deepcopy(norm)) and copy.deepcopy(layer) == layer


def test_sharing_deep_inside_and_at_several_levels():
    embed, norm = Linear(3, 3), LayerNorm(3)
    layer = Sequential(Shared(embed, norm), Shared(norm, Sequential(embed, ReLU())), norm)
    assert list(shapes(layer)) == ["0.one.weight", "0.one.bias", "0.two.weight", "0.two.bias"]
    params, state = layer.init(KEY)
    assert Sequential(Shared(embed, norm)).init(KEY)[0]["0"]["two"].keys() == params["0"]["two"].keys()
    y, _ = layer.apply(params, state, X)
    p = params["0"]

    def normed(x):
        return norm.apply(p["two"], {}, x)[0]

    def embedded(x):
        return embed.apply(p["one"], {}, x)[0]

    np.testing.assert_allclose(y, normed(jax.nn.relu(embedded(normed(normed(embedded(X)))))), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"params of Sequential: '1.one' has the arrays of '0.two', because they are shared; leave it out"):
        layer.apply({**params, "1": {"one": p["two"]}}, state, X)
    module = ft.from_functional(Sequential(Linear(3, 3)), *Sequential(Linear(3, 3)).init(KEY))
    assert module(ft.tensor(np.asarray(X))).shape == (4, 3)


def test_what_is_not_shared():
    class Block(Layer):
        body: Layer = Linear(3, 3)

        def forward(self, x):
            return self.body(x)

    assert len(shapes(Sequential(Block(), Block()))) == 4  # a default belongs to each
    assert len(shapes(Sequential(*[copy.deepcopy(Linear(3, 3)) for _ in range(3)]))) == 6
    assert list(shapes(Sequential(*[Linear(3, 3)] * 3))) == ["0.weight", "0.bias"]  # as in torch
    encoder = TransformerEncoder(TransformerEncoderLayer(4, 2, 8, batch_first=True), 2)
    assert len(shapes(encoder)) == len(
        list(torch.nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 2).parameters())
    )
    relu, drop = ReLU(), Dropout(0.5)
    y, _ = Shared(drop, Shared(relu, drop)).apply({}, {}, jnp.ones(10_000), key=KEY, train=True)
    assert 0.2 < float((y > 0).mean()) < 0.3  # two masks


def test_shared_layers_under_repeat_and_policy():
    norm = LayerNorm(3)
    layer = Repeat(Shared(norm, Sequential(Linear(3, 3), norm)), 3)
    assert sorted(shapes(layer)) == ["layer.one.bias", "layer.one.weight", "layer.two.0.bias", "layer.two.0.weight"]
    assert layer.apply(*layer.init(KEY), X)[0].shape == X.shape


# -- tied parameters


class Tied(Layer):
    embed: Layer
    head: Layer

    def ties(self):
        return {"head.weight": "embed.weight"}

    def forward(self, x):
        return self.head(self.embed(x))


class TheirTied(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = torch.nn.Embedding(5, 3), torch.nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x):
        return self.head(self.embed(x))


@pytest.mark.parametrize(
    "layer",
    [Tied(Embedding(5, 3), Linear(3, 5, bias=False)), Sequential(Embedding(5, 3), Linear(3, 5, bias=False)).tie("1.weight", to="0.weight")],
    ids=["ties", "tie"],
)
def test_tied_weights(layer):
    theirs = TheirTied()
    params, state = layer.init(KEY)
    assert len(checkpoint.flatten(params)) == len(list(theirs.named_parameters())) == 1
    (name,) = checkpoint.flatten(params)
    with torch.no_grad():
        theirs.embed.weight.copy_(torch.tensor(np.asarray(checkpoint.flatten(params)[name])))
    index = jnp.array([1, 4])
    expected = theirs(torch.tensor([1, 4]))
    np.testing.assert_allclose(layer.apply(params, state, index)[0], expected.detach().numpy(), rtol=1e-5, atol=1e-6)
    (expected**2).sum().backward()
    grads = jax.grad(lambda p: (layer.apply(p, state, index)[0] ** 2).sum())(params)
    np.testing.assert_allclose(checkpoint.flatten(grads)[name], theirs.embed.weight.grad.numpy(), rtol=1e-4, atol=1e-5)
    assert layer == pickle.loads(pickle.dumps(layer)) if type(layer) is not Tied else True


def test_ties_that_cannot_be():
    net = Sequential(Embedding(5, 3), Linear(3, 4))
    for path, to, text in (
        ("1.weights", "0.weight", "is no parameter"),
        ("1.weight", "0.bias", "is no parameter"),
        ("1.weight", "0.weight", "has shape"),
    ):
        with pytest.raises(ValueError, match=text):
            net.tie(path, to=to)
    assert Sequential(Linear(2, 2)) != Sequential(Linear(2, 2)).tie("0.weight", to="0.weight")


# -- constructors


def test_parameters_that_a_constructor_assigns():
    class Scale(Layer):
        def __init__(self, features):
            self.features = features
            self.weight = Param((features,), init.ones)
            self.count = Buffer((), init.zeros, jnp.int32)

        def forward(self, x):
            self.count = self.count + 1
            return x * self.weight

    layer = Sequential(Scale(3), Scale(3))
    params, state = layer.init(KEY)
    assert list(shapes(layer)) == ["0.weight", "1.weight"]
    y, state = layer.apply(params, state, X)
    np.testing.assert_allclose(y, X)
    assert state["1"]["count"] == 1 and Scale(3) == Scale(3) != Scale(4)
    module = ft.from_functional(layer, params, state)
    np.testing.assert_allclose(module(ft.tensor(np.asarray(X))).detach().numpy(), X)
    assert module[0].count.item() == 2


def test_arrays_in_fields_compute():
    class Shift(Layer):
        by: Any

        def forward(self, x):
            return x * 2 + self.by

    layer = Shift(np.arange(3.0, dtype=np.float32))
    y, _ = jax.jit(layer.apply)({}, {}, X)
    np.testing.assert_allclose(y, X * 2 + np.arange(3.0), rtol=1e-6)
    assert Shift(jnp.ones(3)) == Shift(jnp.ones(3)) != Shift(jnp.zeros(3)) and hash(Shift(jnp.ones(3)))
    np.testing.assert_allclose(ft.from_functional(layer, {}, {})(ft.tensor(np.asarray(X))).numpy(), y, rtol=1e-6)


def test_what_a_constructor_refuses():
    with pytest.raises(TypeError, match=r"Net.body is a layer that no annotation makes a field.* write body: Layer = Linear"):

        class Net(Layer):
            body = Linear(3, 3)

    with pytest.raises(TypeError, match=r"List.blocks is a layer"):

        class List(Layer):
            blocks = [Linear(3, 3)]  # noqa: RUF012 - the mistake

    class Twice(Layer):
        weight: Layer

        def spec(self):
            return {"weight": Param((3,), init.ones)}

    with pytest.raises(ValueError, match=r"Twice: \['weight'\] are names of parameters or buffers and of layers inside"):
        Twice(Linear(3, 3))

    class Body(Layer):
        body: Layer
        other: Linear | None = None

    for bad in ({"weight": jnp.ones(3)}, jnp.ones(3), 3, "relu"):
        with pytest.raises(TypeError, match="Body: body must be a layer, but got"):
            Body(bad)
    with pytest.raises(TypeError, match="Body: other must be a layer"):
        Body(ReLU(), {"weight": 3})
    assert Body(jax.nn.relu, None).body is jax.nn.relu

    class Half(Layer):
        def __init__(self):
            self.weight, self.bias = Param((3,), init.ones), Param((3,), init.zeros)

        def spec(self):
            return {"weight": self.weight}

    with pytest.raises(
        TypeError, match=r"Half: __init__ assigns \['bias'\] as parameters or buffers, but the class has a spec without them"
    ):
        Half()
