"""Layers inside a layer by their paths: found, replaced, set to training or evaluation."""

from __future__ import annotations

import pickle
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import funnn.torch as ft
from funnn import Layer, Policy, init
from funnn.layers import (
    BatchNorm1d,
    Dropout,
    Identity,
    LayerList,
    LayerNorm,
    Linear,
    Parallel,
    ReLU,
    Remat,
    Repeat,
    Residual,
    Sequential,
    Tanh,
    TransformerEncoder,
    TransformerEncoderLayer,
    lora,
    merge,
)
from tests.quick import quick

KEY = jax.random.key(0)
X = jnp.linspace(-1, 1, 20).reshape(5, 4)


class Net(Layer):
    """Fields, a list, a child that the constructor makes of an argument."""

    width: int
    blocks: list
    head: Layer | None = None

    def __post_init__(self):
        self.stem = Linear(self.width, self.width)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return x if self.head is None else self.head(x)


class Tower(Layer):
    """A constructor of its own with open arguments."""

    def __init__(self, *sizes, norm=None):
        self.layers = [Linear(a, b) for a, b in pairwise(sizes)]
        self.norm = norm

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x if self.norm is None else self.norm(x)


def net():
    return Net(4, [Residual(Sequential(Linear(4, 4), Dropout(0.5))), Remat(Sequential(BatchNorm1d(4), ReLU())), Repeat(Linear(4, 4), 3)])


@pytest.mark.parametrize(
    "path",
    ["stem", "blocks.0", "blocks.0.body", "blocks.0.body.0", "blocks.1.layer.1", "blocks.2.layer", "blocks.2", "blocks"],
)
def test_a_layer_at_any_depth_is_replaced_and_nothing_else(path):
    whole, new = net(), Sequential(Tanh()) if path != "blocks" else LayerList(Tanh())
    changed = whole.at(path).set(new)
    assert changed.at(path).get() == new and whole == net() and changed != whole
    others = {p: layer for p, layer in whole.named_layers() if not p.startswith(path) and not path.startswith(p)}
    assert others and {p: changed.at(p).get() for p in others} == others
    assert hash(changed) == hash(whole.at(path).set(new)) and changed == pickle.loads(pickle.dumps(changed))
    assert changed.at(path).set(whole.at(path).get()) == whole
    params, state = changed.init(KEY)
    assert quick(lambda *trees: changed.apply(*trees, X)[0])(params, state).shape == X.shape
    kept = whole.init(KEY)[0]["stem"] if path != "stem" else whole.init(KEY)[0]["blocks"]["0"]
    jax.tree.map(np.testing.assert_array_equal, params["stem"] if path != "stem" else params["blocks"]["0"], kept)


def test_the_replaced_layer_is_what_its_constructor_would_make():
    body = Sequential(Linear(4, 4), Tanh())
    assert Residual(body).at("body.1").set(ReLU()) == Residual(Sequential(Linear(4, 4), ReLU()))
    assert Parallel([body, Tanh()]).at("layers.1").set(ReLU()) == Parallel([body, ReLU()])
    assert Repeat(body, 2).at("layer.0").apply(lambda layer: layer.replace(bias=False)) == Repeat(
        Sequential(Linear(4, 4, bias=False), Tanh()), 2
    )
    assert net().at("blocks").set([Tanh(), ReLU()]) == Net(4, [Tanh(), ReLU()])
    assert net().at("").set(Tanh()) == Tanh() and net().at("").get() == net()


def test_an_optional_layer_is_put_in_and_taken_out():
    with_head = net().at("head").set(Linear(4, 1))
    assert with_head == net().replace(head=Linear(4, 1)) and with_head.at("head").set(None) == net()
    assert net().at("head").get() is None
    assert Sequential(Residual(Tanh())).at("0.shortcut").set(ReLU()) == Sequential(Residual(Tanh(), ReLU()))
    with pytest.raises(TypeError, match=r"Residual can't do without 'body', whose default is not None; put Identity\(\) in its place"):
        Residual(Tanh()).at("body").set(None)


def test_replace_takes_children_by_name_and_by_path():
    layer = TransformerEncoderLayer(4, 2, 8, 0.0)
    plain = layer.replace(linear1=Identity(), linear2=Identity())
    assert plain.linear1 == plain.linear2 == Identity() and plain.self_attn == layer.self_attn
    encoder = TransformerEncoder(layer, 2)
    changed = encoder.replace(**{"layers.0.linear1": Linear(4, 8, bias=False)})
    assert changed == encoder.at("layers.0.linear1").set(Linear(4, 8, bias=False))
    assert list(changed.init(KEY)[0]["layers"]["0"]["linear1"]) == ["weight"]
    both = layer.replace(linear1=Linear(4, 8, bias=False), norm_first=True)
    assert both == TransformerEncoderLayer(4, 2, 8, 0.0, norm_first=True).at("linear1").set(Linear(4, 8, bias=False))
    assert Sequential(Tanh(), ReLU()).replace(**{"1": Tanh()}) == Sequential(Tanh(), Tanh())
    assert Tower(4, 3, 2).replace(**{"layers.1": Identity()}).layers[1] == Identity()


def test_what_was_replaced_stays_when_arguments_change():
    bare = Linear(4, 8, bias=False)
    layer = TransformerEncoderLayer(4, 2, 8, 0.0).at("linear1").set(bare).with_policy(Policy()).with_mode(False)
    later = pickle.loads(pickle.dumps(layer)).replace(nhead=4)
    assert later.linear1 == bare and later.self_attn.num_heads == 4 and later._policy == Policy() and later._mode is False
    assert later.replace(nhead=2) == layer
    assert net().at("stem").set(Tanh()).at("blocks.0").set(ReLU()).replace(head=ReLU()) == Net(4, [ReLU(), *net().blocks[1:]], ReLU()).at(
        "stem"
    ).set(Tanh())
    # The last one at a path counts, and what was put inside an earlier one is gone with it.
    twice = net().at("stem").set(Sequential(Tanh())).at("stem.0").set(ReLU()).at("stem").set(Sequential(Tanh()))
    assert twice.replace(width=4).stem == Sequential(Tanh())
    inside = net().at("stem").set(Sequential(Tanh())).at("stem.0").set(ReLU())
    assert inside.replace(width=4).stem == Sequential(ReLU())
    encoder = TransformerEncoder(TransformerEncoderLayer(4, 2, 8), 3).at("layers.2.linear1").set(bare)
    assert encoder.replace(num_layers=4).layers[2].linear1 == bare
    with pytest.raises(
        ValueError,
        match=r"TransformerEncoder.replace\(num_layers\): the new layer has nothing at 'layers.2.linear1', where Linear\(.* had been put; start",
    ):
        encoder.replace(num_layers=2)


def test_several_at_once():
    whole = net()
    assert whole.at(type=Linear).paths == ("blocks.0.body.0", "blocks.2.layer", "stem")
    assert whole.at("blocks.*").paths == ("blocks.0", "blocks.1", "blocks.2")
    assert whole.at("**.[01]", type=(Linear, Dropout)).paths == ("blocks.0.body.0", "blocks.0.body.1")
    assert repr(whole.at("blocks.*")) == "Net.at('blocks.0', 'blocks.1', 'blocks.2')"
    bare = whole.at(type=Linear).apply(lambda layer: layer.replace(bias=False))
    assert not any("bias" in p for p in jax.tree_util.tree_leaves_with_path(bare.init(KEY)[0]["blocks"]["2"]))
    assert bare.at("stem").get() == Linear(4, 4, bias=False) == bare.at("blocks.2.layer").get()
    assert whole.at("**", type=(Sequential, Linear)).set(Tanh()).blocks[0] == Residual(Tanh())  # the outermost
    with pytest.raises(ValueError, match=r"get\(\) is for one layer, but \['blocks.0', 'blocks.1', 'blocks.2'\] fit"):
        whole.at("blocks.*").get()


@pytest.mark.parametrize(
    ("error", "text", "call"),
    [
        (AttributeError, r"Net has no layer at 'blocks.0.bodi'; nearest: \['blocks.0.body'", lambda: net().at("blocks.0.bodi")),
        (AttributeError, r"Net has no layer at 'blocks.7.x'; nearest: \['blocks.", lambda: net().at("blocks.7.x")),
        (AttributeError, r"Linear has no layer at 'weight'; it has none", lambda: Linear(2, 3).at("weight")),
        (AttributeError, r"at: Net has no layer with path='block.\*'; nearest: \['blocks.", lambda: net().at("block.*")),
        (AttributeError, r"at: Net has no layer with type=LayerNorm or Tanh; it has \['blocks',", lambda: net().at(type=(LayerNorm, Tanh))),
        (TypeError, r"at takes a path, at\(\"encoder.0\"\), or a type", lambda: net().at()),
        (TypeError, r"Sequential at '0' takes a layer, got 3 of type int", lambda: net().at("blocks.0.body.0").set(3)),
        (TypeError, r"Net.replace can change .* got \['sten'\]; .* a layer inside, nearest: \['stem'", lambda: net().replace(sten=Tanh())),
        (AttributeError, r"Net has no layer at 'blocks.9'; nearest", lambda: net().replace(**{"blocks.9": Tanh()})),
        (TypeError, r"with_mode takes True, False or None, got 'eval'", lambda: net().with_mode("eval")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_errors_name_what_is_near(error, text, call):
    with pytest.raises(error, match=text):
        call()


# -- modes


def test_a_part_in_evaluation():
    whole = Sequential(BatchNorm1d(4), Sequential(Linear(4, 4), BatchNorm1d(4), Dropout(0.5)))
    frozen = whole.at("1").eval()
    params, state = whole.init(KEY)
    state["1"]["1"]["running_mean"] += 1
    traces = []

    @jax.jit
    def run(params, state):
        traces.append(1)
        return frozen.apply(params, state, X, train=True)

    y, new = run(params, state)  # no key: nothing draws
    run(params, state)
    assert len(traces) == 1
    jax.tree.map(np.testing.assert_array_equal, new["1"], state["1"])
    assert int(new["0"]["num_batches_tracked"]) == 1
    first, _ = whole[0].apply(params["0"], state["0"], X, train=True)
    np.testing.assert_allclose(y, whole[1].apply(params["1"], state["1"], first)[0], rtol=1e-6)


def test_a_part_in_training_and_the_innermost_mode_counts():
    whole = Sequential(Dropout(0.5), Sequential(Dropout(0.5), BatchNorm1d(4)))
    drawing = whole.at(type=Dropout).train()
    params, state = whole.init(KEY)
    y, new = drawing.apply(params, state, jnp.ones((5, 4)), key=KEY)
    assert (y == 0).any() and int(new["1"]["1"]["num_batches_tracked"]) == 0
    assert not (drawing.at("1.0").eval().at("0").eval().apply(params, state, jnp.ones((5, 4)))[0] == 0).any()
    inner = whole.at("1.0").train().at("1").eval()
    _, new = inner.apply(params, state, jnp.ones((5, 4)), key=KEY, train=True)
    assert int(new["1"]["1"]["num_batches_tracked"]) == 0
    with pytest.raises(ValueError, match=r"at '1.0' is stochastic in training"):
        inner.at("0").eval().apply(params, state, X)
    assert whole.with_mode(True).with_mode(None) == whole


def test_modes_under_combinators():
    for make in (lambda body: Repeat(body, 2), Remat, Residual):
        layer = make(Sequential(Linear(4, 4), BatchNorm1d(4)))
        params, state = layer.init(KEY)
        (path,) = layer.at(type=BatchNorm1d).paths
        for frozen in (layer.at(path).eval(), layer.with_mode(False)):
            y, new = quick(lambda *trees, frozen=frozen: frozen.apply(*trees, X, train=True))(params, state)
            jax.tree.map(np.testing.assert_array_equal, new, state)
            np.testing.assert_allclose(y, quick(lambda *trees, layer=layer: layer.apply(*trees, X)[0])(params, state), rtol=1e-6)


def test_a_mode_is_part_of_the_value():
    layer = Sequential(Dropout(0.5))
    frozen = layer.at("0").eval()
    assert frozen != layer and frozen == Sequential(Dropout(0.5).with_mode(False)) != Sequential(Dropout(0.5).with_mode(True))
    assert hash(frozen) == hash(pickle.loads(pickle.dumps(frozen))) and frozen == pickle.loads(pickle.dumps(frozen))
    assert repr(frozen) == "Sequential(\n  (0): Dropout(p=0.5, inplace=False, training=False)\n)"
    assert "training=True" in repr(net().at("blocks").train())
    a, b = Linear(2, 2).with_mode(True).with_policy(Policy()), Linear(2, 2).with_policy(Policy()).with_mode(True)
    assert a == b and hash(a) == hash(b)
    with pytest.raises(NotImplementedError, match=r"Dropout has a mode, .* layer.with_mode\(None\) and call eval\(\) on the part"):
        ft.from_functional(frozen, *frozen.init(KEY))


def test_a_replaced_layer_goes_both_ways_between_the_worlds():
    layer = TransformerEncoderLayer(4, 2, 8, 0.0).at("linear1").set(Linear(4, 8, bias=False))
    params, state = layer.init(KEY)
    back, params, state = ft.to_functional(ft.from_functional(layer, params, state))
    assert back == layer and back.linear1 == Linear(4, 8, bias=False)
    assert back.apply(params, state, jnp.ones((3, 2, 4)))[0].shape == (3, 2, 4)


def test_initialisers():
    net = Sequential(Linear(3, 4), Linear(4, 2)).at(type=Linear).apply(lambda linear: linear.with_init(bias=init.ones))
    params, _ = net.init(KEY)
    plain, _ = Sequential(Linear(3, 4), Linear(4, 2)).init(KEY)
    assert float(params["1"]["bias"].sum()) == 2 and bool((params["1"]["weight"] == plain["1"]["weight"]).all())
    again = net[0].replace(out_features=5).with_init(weight=init.zeros)
    assert float(again.init(KEY)[0]["bias"].sum()) == 5 and not again.init(KEY)[0]["weight"].any()
    assert net[0] != Linear(3, 4) and net[0] == Linear(3, 4).with_init(bias=init.ones) and hash(again)
    assert BatchNorm1d(3).with_init(running_mean=init.ones).init(KEY)[1]["running_mean"].tolist() == [1, 1, 1]
    module = ft.from_functional(net, params, {})
    assert float(module[0].bias.detach().sum()) == 4
    with pytest.raises(ValueError, match=r"Linear: with_init\(scale=…\) names no parameter or buffer of it; they are \['weight', 'bias'\]"):
        Linear(3, 4).with_init(scale=init.ones)
    arguments = Linear(3, 4, weight_init=init.zeros, bias_init=init.ones)
    assert arguments == Linear(3, 4).with_init(weight=init.zeros, bias=init.ones) and arguments.replace(out_features=2)._initialisers
    assert not Linear(None, 4, weight_init=init.zeros).init(KEY, jnp.ones(3))[0]["weight"].any()
    with pytest.raises(ValueError, match=r"Linear: kernel_init names no parameter or buffer of it; they are \['weight', 'bias'\]"):
        Linear(3, 4, kernel_init=init.zeros)
    with pytest.raises(ValueError, match="Linear: bias_init names no parameter"):
        Linear(3, 4, bias=False, bias_init=init.zeros)
    with pytest.raises(TypeError, match="unexpected keyword argument 'weight_init'"):
        ft.nn.Linear(3, 4, weight_init=init.zeros)
    with pytest.raises(TypeError, match=r"Linear: with_init\(bias=…\) takes an initialiser such as"):
        Linear(3, 4).with_init(bias=0)


def test_a_function_of_the_output():
    net = Sequential(Linear(2, 3), Linear(3, 2))
    params, state = net.init(jax.random.key(0))
    x = jnp.ones((4, 2))
    inner, _ = net.at("0").get().apply(params["0"], {}, x)
    expected, _ = net.at("1").get().apply(params["1"], {}, jnp.abs(inner))
    changed = net.at("0").apply(lambda layer: layer.with_output(jnp.abs))
    assert jax.tree.structure(changed.init(jax.random.key(0))) == jax.tree.structure((params, state))
    assert jnp.array_equal(changed.apply(params, state, x)[0], expected) and not jnp.array_equal(net.apply(params, state, x)[0], expected)
    assert changed != net and changed.at("0").apply(lambda layer: layer.with_output(None)) == net and "output=" in repr(changed)
    seen = changed.apply(params, state, x, capture="0")[2]
    assert jnp.array_equal(seen["0"], jnp.abs(inner))
    adapted, its = lora(changed, params, key=jax.random.key(1), path="0", rank=1)
    assert adapted.at("0").get()._output is jnp.abs and jnp.allclose(adapted.apply(its, state, x)[0], expected)
    assert merge(adapted, its)[0] == changed
    with pytest.raises(TypeError, match="with_output takes a function of the output or None, got 3"):
        net.with_output(3)
    with pytest.raises(NotImplementedError, match="has a function of its output, which a Module can't"):
        ft.from_functional(changed, params, state)
