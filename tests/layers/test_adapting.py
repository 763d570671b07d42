"""LoRA and adapters: put into a layer, trained alone, merged and taken out."""

from __future__ import annotations

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import funnn.torch as ft
from funnn import Layer, Policy, checkpoint
from funnn import functional as F
from funnn.layers import (
    Adapter,
    BatchNorm1d,
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    Dropout,
    Embedding,
    LayerNorm,
    Linear,
    LoRAConv,
    LoRAEmbedding,
    LoRALinear,
    LoRAMultiheadAttention,
    MultiheadAttention,
    Parallel,
    ReLU,
    Remat,
    Repeat,
    Residual,
    Sequential,
    Tanh,
    TransformerEncoder,
    TransformerEncoderLayer,
    adapter,
    adapter_mask,
    combine,
    lora,
    merge,
    param_mask,
    partition,
    remove_adapters,
)
from tests.quick import quick

KEY, KEY2 = jax.random.key(0), jax.random.key(1)


def block():
    return Residual(Sequential(LayerNorm(4), Linear(4, 8), ReLU(), Linear(8, 4, bias=False)))


def floats(*shape):
    return jnp.linspace(-1, 1, int(np.prod(shape))).reshape(shape)


#: A layer, its inputs, the type to adapt.
CASES = {
    "linear": (Linear(4, 3), (floats(5, 4),), Linear),
    "linear without bias": (Linear(4, 3, bias=False), (floats(4),), Linear),
    "inside": (Sequential(block(), Remat(block()), Parallel([Linear(4, 2), Tanh()])), (floats(5, 4),), Linear),
    "repeat": (Repeat(block(), 3), (floats(5, 4),), Linear),
    "repeat in repeat": (Sequential(Repeat(Repeat(block(), 2), 3)), (floats(5, 4),), Linear),
    "repeat of a linear": (Repeat(Linear(4, 4), 2), (floats(5, 4),), Linear),
    "embedding": (Embedding(6, 3, padding_idx=2), (jnp.array([[0, 2], [5, 2]]),), Embedding),
    "repeated conv1d": (Repeat(Residual(Sequential(Tanh(), Conv1d(4, 4, 3, padding=1))), 2), (floats(2, 4, 5),), Conv1d),
    "conv1d": (Conv1d(3, 4, 3, padding="same", dilation=2), (floats(2, 3, 9),), Conv1d),
    "conv2d": (Conv2d(3, 4, (3, 2), stride=2, padding=1, padding_mode="circular"), (floats(2, 3, 7, 6),), Conv2d),
    "conv3d": (Conv3d(2, 3, 2), (floats(1, 2, 3, 4, 3),), Conv3d),
    "attention": (MultiheadAttention(4, 2, bias=False), (floats(3, 2, 4), floats(5, 2, 4), floats(5, 2, 4)), MultiheadAttention),
    "transformer": (
        TransformerEncoder(TransformerEncoderLayer(4, 2, 8, 0.0), 2),
        (floats(3, 2, 4),),
        (Linear, MultiheadAttention),
    ),
    "repeated transformer": (Repeat(TransformerEncoderLayer(4, 2, 8, 0.0), 2), (floats(3, 2, 4),), (Linear, MultiheadAttention)),
}


def applied(layer, params, inputs):
    return quick(lambda params: layer.apply(params, {}, *inputs)[0])(params)


def randomly(params, seed=3):
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    return structure.unflatten([jax.random.normal(key, leaf.shape, leaf.dtype) for key, leaf in zip(keys, leaves, strict=True)])


def assert_close(a, b, tolerance=2e-5):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance), a, b)


@pytest.mark.parametrize("name", CASES)
def test_equal_at_first_and_when_merged(name):
    layer, inputs, kind = CASES[name]
    params, _ = layer.init(KEY)
    copies = jax.tree.map(np.array, params)
    tuned, tuned_params = lora(layer, params, rank=2, alpha=3, type=kind, key=KEY2)
    y = applied(layer, params, inputs)
    assert_close(applied(tuned, tuned_params, inputs), y, 1e-6)
    shapes = jax.eval_shape(tuned.init, KEY)[0]
    assert jax.tree.map(jnp.shape, tuned_params) == jax.tree.map(lambda leaf: leaf.shape, shapes)
    assert layer == CASES[name][0] and tuned != layer and tuned == pickle.loads(pickle.dumps(tuned)) and hash(tuned) == hash(tuned)

    mask = adapter_mask(tuned, tuned_params)
    added, base = partition(tuned_params, mask)
    assert all("lora_" in path for path in checkpoint.flatten(added)) and not any("lora_" in path for path in checkpoint.flatten(base))
    assert mask == param_mask(tuned, tuned_params, path="**.lora_*")
    learnt = combine(randomly(added), base)
    changed = applied(tuned, learnt, inputs)
    assert max(float(jnp.abs(a - b).max()) for a, b in zip(jax.tree.leaves(changed), jax.tree.leaves(y), strict=True)) > 1e-3

    merged, merged_params = merge(tuned, learnt)
    assert merged == layer and repr(merged) == repr(layer)
    assert jax.tree.map(jnp.shape, merged_params) == jax.tree.map(jnp.shape, params)
    assert_close(applied(merged, merged_params, inputs), changed)
    plain, plain_params = remove_adapters(tuned, learnt)
    assert plain == layer
    jax.tree.map(np.testing.assert_array_equal, plain_params, copies)


def test_the_product_is_the_papers():
    x, alpha = floats(5, 4), 6.0
    layer, params = lora(Linear(4, 3), Linear(4, 3).init(KEY)[0], rank=2, alpha=alpha, key=KEY2)
    params = randomly(params)
    w, b, a, b2 = params["base_layer"]["weight"], params["base_layer"]["bias"], params["lora_A"]["weight"], params["lora_B"]["weight"]
    assert_close(layer.apply(params, {}, x)[0], x @ w.T + b + alpha / 2 * (x @ a.T) @ b2.T, 1e-5)


def test_names_are_pefts():
    tuned, params = lora(
        Sequential(Embedding(5, 4), MultiheadAttention(4, 2)),
        Sequential(Embedding(5, 4), MultiheadAttention(4, 2)).init(KEY)[0],
        rank=2,
        type=(Embedding, MultiheadAttention),
        key=KEY2,
    )
    shapes = {path: leaf.shape for path, leaf in checkpoint.flatten(params).items()}
    assert shapes == {
        "0.base_layer.weight": (5, 4),
        "0.lora_embedding_A": (2, 5),
        "0.lora_embedding_B": (4, 2),
        "1.base_layer.in_proj_weight": (12, 4),
        "1.base_layer.in_proj_bias": (12,),
        "1.base_layer.out_proj.base_layer.weight": (4, 4),
        "1.base_layer.out_proj.base_layer.bias": (4,),
        "1.base_layer.out_proj.lora_A.weight": (2, 4),
        "1.base_layer.out_proj.lora_B.weight": (4, 2),
        "1.lora_A.weight": (2, 4),
        "1.lora_B.weight": (12, 2),
    }
    assert repr(tuned[0]) == "LoRAEmbedding(\n  rank=2, alpha=2\n  (base_layer): Embedding(5, 4)\n)"


def test_where():
    layer = Sequential(block(), block(), Linear(4, 2))
    params, _ = layer.init(KEY)
    for path, expected in {
        "0": ["0.body.1", "0.body.3"],
        ("*.body.1", "2"): ["0.body.1", "1.body.1", "2"],
        "**.[13]": ["0.body.1", "0.body.3", "1.body.1", "1.body.3"],
    }.items():
        tuned, _ = lora(layer, params, path=path, key=KEY2)
        assert list(tuned.at(type=LoRALinear).paths) == expected
    first, first_params = lora(layer, params, path="0", key=KEY2)
    both, both_params = lora(first, first_params, path=("0", "2"), rank=3, key=KEY2)  # what has LoRA gets no second one
    assert [both.at(path).get().rank for path in both.at(type=LoRALinear).paths] == [8, 8, 3]
    assert merge(both, both_params)[0] == layer
    # The new values come from the paths.
    np.testing.assert_array_equal(
        first_params["0"]["body"]["1"]["lora_A"]["weight"], lora(layer, params, key=KEY2)[1]["0"]["body"]["1"]["lora_A"]["weight"]
    )


def test_a_stack_has_values_of_its_own_in_each():
    _, params = lora(Repeat(block(), 3), Repeat(block(), 3).init(KEY)[0], rank=2, key=KEY2)
    a = params["layer"]["body"]["1"]["lora_A"]["weight"]
    assert a.shape == (3, 2, 4) and not np.allclose(a[0], a[1])


def test_training_moves_the_new_parameters_alone_and_compiles_once():
    layer = Repeat(block(), 2)
    tuned, params = lora(layer, layer.init(KEY)[0], rank=2, dropout=0.25, key=KEY2)
    mask, x = adapter_mask(tuned, params), floats(5, 4)
    labels = jax.tree.map(lambda new: "train" if new else "freeze", mask)
    optimizer = optax.multi_transform({"train": optax.adam(1e-2), "freeze": optax.set_to_zero()}, labels)
    traces = []

    @jax.jit
    def step(params, opt_state, key):
        traces.append(1)
        loss, grads = jax.value_and_grad(lambda p: jnp.mean((tuned.apply(p, {}, x, key=key, train=True)[0] - 1) ** 2))(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, loss

    opt_state, losses, new = optimizer.init(params), [], params
    for number in range(30):
        new, opt_state, loss = step(new, opt_state, jax.random.key(number))
        losses.append(float(loss))
    assert len(traces) == 1 and losses[-1] < 0.8 * losses[0]
    assert jax.tree.map(lambda a, b: not bool((a == b).all()), params, new) == mask
    with pytest.raises(ValueError, match=r"Dropout.* is stochastic in training"):
        tuned.apply(new, {}, x, train=True)


def test_types_and_policies():
    layer = Sequential(Linear(4, 3).with_policy(Policy(params=jnp.bfloat16)), Linear(3, 2).with_mode(True))
    params, _ = layer.init(KEY, dtype=jnp.float16)
    tuned, new = lora(layer, params, rank=2, key=KEY2)
    assert {p: leaf.dtype for p, leaf in checkpoint.flatten(new).items() if "lora_A" in p} == {
        "0.lora_A.weight": jnp.bfloat16,
        "1.lora_A.weight": jnp.float16,
    }
    assert tuned[0]._policy == layer[0]._policy and tuned[0].base_layer._policy is None and tuned[1]._mode is True
    merged, merged_params = merge(tuned, new)
    assert merged == layer and merged_params["0"]["weight"].dtype == jnp.bfloat16
    wide = lora(layer, params, key=KEY2, dtype=jnp.float32)[1]
    added, _ = partition(wide, adapter_mask(tuned, wide))
    assert {leaf.dtype for leaf in jax.tree.leaves(added)} == {jnp.dtype("float32")}


def test_code_that_reads_the_weight_sees_the_sum():
    class Tied(Layer):
        table: Layer

        def forward(self, ids):
            return F.linear(self.table(ids), self.table.weight)

    layer, ids = Tied(Embedding(6, 3)), jnp.arange(4)
    tuned, params = lora(layer, layer.init(KEY)[0], rank=2, type=Embedding, key=KEY2)
    params = randomly(params)
    merged, merged_params = merge(tuned, params)
    assert_close(tuned.apply(params, {}, ids)[0], merged.apply(merged_params, {}, ids)[0], 1e-4)


def test_in_the_torch_world():
    layer = Sequential(Linear(4, 4), Conv1d(5, 5, 1), Linear(4, 4))
    tuned, params = lora(layer, layer.init(KEY)[0], rank=2, type=(Linear, Conv1d), path=("0", "1"), key=KEY2)
    tuned, params = adapter(tuned, params, bottleneck=2, key=KEY2)
    params = randomly(params)
    module = ft.from_functional(tuned, params, {})
    x = floats(5, 4)
    assert_close(module(ft.tensor(np.asarray(x))).detach().numpy(), tuned.apply(params, {}, x)[0])
    assert list(module.state_dict()) == list(checkpoint.flatten(tuned.init(KEY)[0]))
    attention, params = lora(MultiheadAttention(4, 2), MultiheadAttention(4, 2).init(KEY)[0], type=MultiheadAttention, key=KEY2)
    params, q = randomly(params), floats(3, 2, 4)
    module = ft.from_functional(attention, params, {})
    t = ft.tensor(np.asarray(q))
    assert_close(module(t, t, t)[0].detach().numpy(), attention.apply(params, {}, q, q, q)[0][0])
    back, params, _ = ft.to_functional(module)
    assert back == attention and merge(back, params)[0] == MultiheadAttention(4, 2)


# -- adapters


@pytest.mark.parametrize("name", ["inside", "repeat", "repeat of a linear", "embedding", "transformer"])
def test_adapters_are_put_in_and_taken_out(name):
    layer, inputs, kind = CASES[name]
    kind = Embedding if kind is Embedding else Linear
    params, _ = layer.init(KEY)
    where = "**.linear2" if name == "transformer" else None
    tuned, tuned_params = adapter(layer, params, bottleneck=2, type=kind, path=where, activation=Tanh(), key=KEY2)
    y = applied(layer, params, inputs)
    assert_close(applied(tuned, tuned_params, inputs), y, 1e-6)
    added, base = partition(tuned_params, adapter_mask(tuned, tuned_params))
    assert added and all("adapter_" in path for path in checkpoint.flatten(added))
    learnt = combine(randomly(added), base)
    assert not np.allclose(jax.tree.leaves(applied(tuned, learnt, inputs))[0], jax.tree.leaves(y)[0])
    assert merge(tuned, learnt)[0] == tuned  # no linear map
    plain, plain_params = remove_adapters(tuned, learnt)
    assert plain == layer
    jax.tree.map(np.testing.assert_array_equal, plain_params, params)


def test_an_adapter_computes_what_it_says():
    layer = Adapter(Linear(4, 3), 3, 2, F.relu)
    params, _ = layer.init(KEY)
    assert not params["adapter_up"]["weight"].any() and params["adapter_down"]["weight"].any()
    params, x = randomly(params), floats(5, 4)
    y = Linear(4, 3).apply(params["base_layer"], {}, x)[0]
    down, up = params["adapter_down"], params["adapter_up"]
    expected = y + jax.nn.relu(y @ down["weight"].T + down["bias"]) @ up["weight"].T + up["bias"]
    assert_close(layer.apply(params, {}, x)[0], expected)
    assert repr(layer).startswith("Adapter(\n  features=3, bottleneck=2\n  (base_layer): Linear(")


def test_an_adapter_behind_a_layer_without_parameters():
    layer = Sequential(Linear(4, 3), Tanh())
    params, _ = layer.init(KEY)
    tuned, new = adapter(layer, params, type=Tanh, features=3, key=KEY2)
    assert list(new["1"]) == ["adapter_down", "adapter_up"]
    assert_close(tuned.apply(new, {}, floats(4))[0], layer.apply(params, {}, floats(4))[0])
    plain, same = remove_adapters(tuned, new)
    assert plain == layer and list(same) == ["0"]


def simple(layer, function=lora, **kwargs):
    return function(layer, layer.init(KEY)[0], key=KEY2, **kwargs)


@pytest.mark.parametrize(
    ("error", "text", "call"),
    [
        (ValueError, r"lora: Sequential has no Linear; it has none", lambda: simple(Sequential(Tanh()))),
        (
            ValueError,
            r"lora: Sequential has no Linear at path='bodi'; it has \['0.body.1', '0.body.3'\]",
            lambda: simple(Sequential(block()), path="bodi"),
        ),
        (
            TypeError,
            r"lora: LayerNorm\(.* at '0.body.0' has no LoRA; there is one for Linear, Embedding",
            lambda: simple(Sequential(block()), type=LayerNorm),
        ),
        (
            TypeError,
            r"LoRAConv takes a convolution that is not transposed and has groups=1, got Conv1d\(4",
            lambda: simple(Conv1d(4, 4, 1, groups=2), type=Conv1d),
        ),
        (TypeError, r"LoRAConv takes a convolution that is not transposed", lambda: simple(ConvTranspose1d(4, 4, 1), type=ConvTranspose1d)),
        (
            TypeError,
            r"LoRAEmbedding takes an Embedding without max_norm, got max_norm=1.0",
            lambda: simple(Embedding(3, 2, max_norm=1.0), type=Embedding),
        ),
        (
            ValueError,
            r"LoRAEmbedding has no dropout, because its input are integers, but got dropout=0.1",
            lambda: LoRAEmbedding(Embedding(3, 2), dropout=0.1),
        ),
        (
            TypeError,
            r"takes kdim and vdim equal to embed_dim=4, got 2 and 4",
            lambda: simple(MultiheadAttention(4, 2, kdim=2), type=MultiheadAttention),
        ),
        (ValueError, r"LoRAMultiheadAttention has no dropout", lambda: LoRAMultiheadAttention(MultiheadAttention(4, 2), dropout=0.1)),
        (TypeError, r"LoRALinear takes a Linear as base_layer, got Tanh\(\)", lambda: LoRALinear(Tanh())),
        (ValueError, r"LoRALinear: rank must be a positive integer, but got rank=0", lambda: simple(Linear(2, 3), rank=0)),
        (ValueError, r"params do not fit Sequential: nothing is at '0'", lambda: lora(Sequential(Linear(2, 3)), (), key=KEY)),
        (
            ValueError,
            r"adapter: Linear has no LayerNorm; it has none without an adapter",
            lambda: simple(Linear(2, 3), adapter, type=LayerNorm),
        ),
        (
            ValueError,
            r"adapter: give features, .* of what LayerNorm at '0.body.0' gives",
            lambda: simple(Sequential(block()), adapter, type=LayerNorm),
        ),
        (TypeError, r"adapter: the layer at '' has buffers", lambda: simple(BatchNorm1d(2), adapter, type=BatchNorm1d)),
        (ValueError, r"Adapter: bottleneck must be positive, but got bottleneck=0", lambda: Adapter(Linear(2, 3), 3, 0)),
        (
            TypeError,
            r"Adapter takes a base_layer whose output is one array, got a tuple",
            lambda: Adapter(Parallel([Tanh()]), 3).apply(Adapter(Parallel([Tanh()]), 3).init(KEY)[0], {}, floats(3)),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_errors(error, text, call):
    with pytest.raises(error, match=text):
        call()


def test_they_are_values():
    a, b = LoRAConv(Conv2d(2, 3, 1), 2), LoRAConv(Conv2d(2, 3, 1), 2, 2.0)
    assert a == b and hash(a) == hash(b) and a.replace(rank=3) == LoRAConv(Conv2d(2, 3, 1), 3) != a
    assert a.at("base_layer").set(Conv2d(2, 3, 1, bias=False)).replace(rank=3) == LoRAConv(Conv2d(2, 3, 1, bias=False), 3)
    assert Adapter(Dropout(), 3) == pickle.loads(pickle.dumps(Adapter(Dropout(), 3)))
