"""Weights of 8 bits: what they are off by, the layers that have them, and the networks that are given them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from funnn import Layer, Policy, checkpoint
from funnn.errors import DtypeError, ShapeError
from funnn.functional import _int8
from funnn.functional._int8 import quantize_rows
from funnn.layers import (
    GRU,
    LSTM,
    RNN,
    Conv2d,
    Embedding,
    Linear,
    MultiheadAttention,
    QuantizedEmbedding,
    QuantizedLinear,
    ReLU,
    Repeat,
    Residual,
    Sequential,
    quantize,
)

KEY = jax.random.key(0)


def numbers(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def test_no_weight_is_off_by_more_than_half_a_step():
    w = numbers(3, 20, 50) * jnp.exp(numbers(3, 20, 1, seed=1))
    w = w.at[0, 3].set(0)
    q, s = quantize_rows(w)
    assert q.dtype == jnp.int8 and s.shape == (3, 20, 1) and s.dtype == jnp.float32
    assert (np.abs(q * np.asarray(s, np.float64) - w) <= 0.5 * s * (1 + 1e-6)).all()
    assert (jnp.abs(q).max(-1)[s[..., 0] != 1] == 127).all(), "each row uses all of the range"
    assert not q[0, 3].any() and s[0, 3] == 1


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_is_the_product_with_the_rounded_weights(bias, dtype):
    """As computed in float64, within the rounding of the result."""
    layer, params = QuantizedLinear.from_layer(Linear(60, 7, bias), Linear(60, 7, bias).init(KEY, dtype=dtype)[0])
    assert layer == QuantizedLinear(60, 7, bias)
    x = numbers(4, 3, 60).astype(dtype)
    y = jax.jit(lambda params, x: layer.apply(params, {}, x)[0])(params, x)
    assert y.dtype == jnp.dtype(dtype)
    q, s = np.asarray(params["quantized_weight"], np.float64), np.asarray(params["weight_scale"], np.float64)
    expected = np.asarray(x, np.float64) @ (q * s).T + (np.asarray(params["bias"], np.float64) if bias else 0)
    step = {"float32": 2e-6, "bfloat16": 2**-8, "float16": 2**-11}[dtype]
    np.testing.assert_allclose(np.asarray(y, np.float64), expected, rtol=step, atol=1e-5)


def test_derivatives_of_the_input():
    layer, params = quantize(Linear(5, 3), Linear(5, 3).init(KEY)[0])
    x = numbers(2, 5)
    jacobian = jax.jacrev(lambda x: layer.apply(params, {}, x)[0])(x[0])
    np.testing.assert_allclose(jacobian, params["quantized_weight"] * params["weight_scale"], rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(lambda x: layer.apply(params, {}, x)[0])(x), layer.apply(params, {}, x)[0], rtol=1e-6)


def test_embedding_gives_the_rounded_rows():
    layer, params = quantize(Embedding(9, 4), Embedding(9, 4).init(KEY, dtype=jnp.bfloat16)[0])
    rows = layer.apply(params, {}, jnp.array([[1, 8]]))[0]
    assert rows.dtype == jnp.bfloat16 and rows.shape == (1, 2, 4)
    expected = params["quantized_weight"].astype(jnp.bfloat16) * params["weight_scale"]
    np.testing.assert_array_equal(rows[0].astype(jnp.float32), expected[jnp.array([1, 8])].astype(jnp.float32))


class Tied(Layer):
    tokens: Layer
    body: Layer

    def forward(self, x):
        return self.body(self.tokens(x)) @ self.tokens.weight.T


def block():
    return Residual(Sequential(Linear(4, 8), ReLU(), Linear(8, 4)))


def test_a_network_and_what_reads_its_weights():
    net = Tied(Embedding(9, 4), Sequential(Repeat(block(), 3), Conv2d(1, 1, 1)))
    net = net.at("body").set(Repeat(block(), 3))
    params, state = net.init(KEY)
    small, small_params = quantize(net, params)
    assert small.at(type=QuantizedLinear).paths == net.at(type=Linear).paths and isinstance(small.tokens, QuantizedEmbedding)
    assert {x.dtype for x in jax.tree.leaves(small_params)} == {jnp.dtype(jnp.int8), jnp.dtype(jnp.float32)}
    assert small_params["body"]["layer"]["body"]["0"]["weight_scale"].shape == (3, 8, 1)
    x = jnp.arange(9)
    got, expected = small.apply(small_params, state, x)[0], net.apply(params, state, x)[0]
    assert 0 < jnp.abs(got - expected).max() < 0.02 * jnp.abs(expected).max()
    memory = [sum(leaf.nbytes for leaf in jax.tree.leaves(tree)) for tree in (small_params, params)]
    assert memory[0] < 0.7 * memory[1]  # of so small matrices the scales and biases are much
    assert quantize(small.at("tokens").set(Embedding(9, 4)), {**small_params, "tokens": params["tokens"]}, type=Embedding)[0] == small


def test_paths_types_and_modes():
    net = Sequential(Linear(2, 3), Sequential(Linear(3, 3), Embedding(3, 2))).with_policy(Policy())
    params, _ = net.init(KEY)
    assert quantize(net, params, path="1.*")[0].at(type=(QuantizedLinear, QuantizedEmbedding)).paths == ("1.0", "1.1")
    some, tree = quantize(net, params, type=Linear)
    assert some.at(type=QuantizedLinear).paths == ("0", "1.0") and tree["1"]["1"] is params["1"]["1"]
    y, _ = some[0].with_policy(Policy()).apply(tree["0"], {}, numbers(4, 2))
    np.testing.assert_allclose(y, net[0].apply(params["0"], {}, numbers(4, 2))[0], atol=0.05)


def test_projections_of_attention_stay():
    net = Sequential(MultiheadAttention(4, 2), Linear(4, 4))
    small, params = quantize(net, net.init(KEY)[0])
    assert small[0] == net[0] and small[1] == QuantizedLinear(4, 4) and params["0"]["out_proj"]["weight"].dtype == jnp.float32


def test_files(tmp_path):
    """A file that torch reads has the integers, and gives the same parameters back."""
    torch = pytest.importorskip("torch", reason="it reads the file")
    layer, params = quantize(Linear(5, 3), Linear(5, 3).init(KEY)[0])
    checkpoint.save_pt(checkpoint.to_state_dict(params), tmp_path / "x.pt")
    found = torch.load(tmp_path / "x.pt")
    assert {name: str(x.dtype) for name, x in found.items()} == {
        "quantized_weight": "torch.int8",
        "weight_scale": "torch.float32",
        "bias": "torch.float32",
    }
    again, _ = checkpoint.from_state_dict(checkpoint.load_pt(tmp_path / "x.pt"), layer.init(KEY)[0])
    jax.tree.map(np.testing.assert_array_equal, again, params)


class Own(Linear):
    def forward(self, input):
        return 2 * super().forward(input)


def init(layer):
    return layer, layer.init(KEY)[0]


@pytest.mark.parametrize(
    ("error", "text", "call"),
    [
        (ValueError, "quantize: ReLU has no", lambda: quantize(ReLU(), {})),
        (ValueError, "has none of Linear, Embedding, RNN, LSTM and GRU but projections", lambda: quantize(*init(MultiheadAttention(4, 2)))),
        (
            TypeError,
            r"quantize: Conv2d\(1, 1.* at '0' has no form of 8 bits",
            lambda: quantize(*init(Sequential(Conv2d(1, 1, 1))), type=Conv2d),
        ),
        (TypeError, r"quantize: Own\(.* has no form of 8 bits", lambda: quantize(*init(Own(2, 3)))),
        (TypeError, "an Embedding without max_norm, got max_norm=1.0", lambda: quantize(*init(Embedding(3, 2, max_norm=1.0)))),
        (ValueError, "params have no weight at '0'", lambda: quantize(Sequential(Linear(2, 3)), {})),
        (ShapeError, "last axis must be in_features=3, but got", lambda: apply(QuantizedLinear(3, 2), jnp.ones((2, 4)))),
        (DtypeError, "QuantizedLinear.*int32", lambda: apply(QuantizedLinear(3, 2), jnp.ones((2, 3), jnp.int32))),
        (DtypeError, "must hold integers, the rows' numbers, but got float32", lambda: apply(QuantizedEmbedding(3, 2), jnp.ones(2))),
    ],
)
def test_errors(error, text, call):
    with pytest.raises(error, match=text):
        call()


def apply(layer, x):
    return layer.apply(*layer.init(KEY), x)


@pytest.mark.parametrize(("rows", "columns"), [(10, 3), (7, 3), (9, 16), (4, 40)])
def test_a_few_rows_at_a_time(rows, columns, monkeypatch):
    """The products and their derivatives are those of the whole weight, and no floating-point weight is made."""
    monkeypatch.setattr(_int8, "BLOCK", 8)
    x, w, b = (
        jnp.asarray(np.random.default_rng(i).standard_normal(s), jnp.float32)
        for i, s in enumerate([(2, 3, columns), (rows, columns), rows])
    )
    q, scale = quantize_rows(w)

    def ours(x, scale, b):
        return jnp.sin(_int8.scaled_linear(x, q, scale, b))

    def plain(x, scale, b):
        return jnp.sin(x @ (q * scale).T + b)

    for function in (
        lambda f: f(x, scale, b),
        lambda f: jax.grad(lambda x, scale, b: f(x, scale, b).sum(), (0, 1, 2))(x, scale, b),
        lambda f: jax.vmap(f, (0, None, None))(x, scale, b),
    ):
        for a, e in zip(jax.tree.leaves(function(ours)), jax.tree.leaves(function(plain)), strict=True):
            np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(_int8.scaled_linear(x[0, 0], q, scale, b), x[0, 0] @ (q * scale).T + b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("derivative", [False, True], ids=["value", "gradient"])
def test_no_weight_of_full_size_is_made(derivative):
    x, q, scale = (jax.ShapeDtypeStruct(*of) for of in (((1, 1024), jnp.float32), ((4096, 1024), jnp.int8), ((4096, 1), jnp.float32)))
    if jax.default_backend() != "cpu":
        pytest.skip("elsewhere XLA converts within the product")

    def product(x, q, scale):
        return _int8.scaled_linear(x, q, scale, None)

    function = jax.grad(lambda *arrays: jnp.sum(product(*arrays) ** 2), (0, 2)) if derivative else product
    taken = jax.jit(function).lower(x, q, scale).compile().memory_analysis().temp_size_in_bytes
    assert taken < 4096 * 1024 * 4 / 3, f"{taken / 2**20:.1f} MiB"


RECURRENT = {
    "rnn": RNN(6, 8, nonlinearity="relu"),
    "lstm": LSTM(6, 8, num_layers=2, bidirectional=True, batch_first=True),
    "lstm, projected": LSTM(6, 8, proj_size=3, bias=False),
    "gru": GRU(6, 8, num_layers=2),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_layers_compute_with_the_rounded_weights(name):
    layer = RECURRENT[name]
    params, state = layer.init(KEY)
    small, small_params = quantize(Sequential(layer), {"0": params})
    assert type(small[0]).__name__ == f"Quantized{type(layer).__name__}" and repr(small[0]) == f"Quantized{layer!r}"
    rounded = {
        key: x if key.startswith("bias") else q * s for key, x in params.items() for q, s in [quantize_rows(x) if x.ndim == 2 else (x, 1)]
    }
    x = numbers(3, 4, 6)
    got, expected, exact = (of.apply(tree, state, x)[0] for of, tree in ((small[0], small_params["0"]), (layer, rounded), (layer, params)))
    for a, b, c in zip(*map(jax.tree.leaves, (got, expected, exact)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
        assert 0 < jnp.abs(a - c).max() < 0.02 * jnp.abs(c).max()
    made = small[0].init(KEY)[0]
    assert jax.tree.map(lambda x: (x.shape, x.dtype), made) == jax.tree.map(lambda x: (x.shape, x.dtype), small_params["0"])
    lengths = jnp.array([3, 1, 2] if layer.batch_first else [3, 1, 2, 3])
    masked = small[0].apply(small_params["0"], state, x, lengths=lengths)[0][0]
    np.testing.assert_allclose(masked, layer.apply(rounded, state, x, lengths=lengths)[0][0], rtol=1e-6, atol=1e-6)
