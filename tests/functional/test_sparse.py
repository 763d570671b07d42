"""embedding, embedding_bag and one_hot against torch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as T
from oracle import compare, indices, mode, tensor, to_jax

import funnn.functional as F
import funnn.torch as ft
from funnn.errors import ArgumentError, DtypeError, ShapeError


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("size", [(7,), (2, 3), (), (0,)])
@pytest.mark.parametrize("padding_idx", [None, 0, -1])
def test_embedding(size, padding_idx, dtype):
    with mode(dtype):
        compare(F.embedding, T.embedding, (indices(5, *size), tensor(5, 3, dtype=dtype), padding_idx))


def test_embedding_out_of_range_is_nan():
    weight = jnp.ones((4, 2))
    rows = F.embedding(jnp.array([0, 4, -1]), weight)
    assert jnp.isnan(rows).all(1).tolist() == [False, True, True]
    assert jax.grad(lambda w: F.embedding(jnp.array([0, 4, -1]), w).sum())(weight).tolist() == [[1, 1]] + [[0, 0]] * 3


@pytest.mark.parametrize("num_classes", [-1, 5, 9])
def test_one_hot(num_classes):
    x = indices(5, 3, 4)
    assert F.one_hot(to_jax(x), num_classes).tolist() == T.one_hot(x, num_classes).tolist()
    if num_classes > 0:
        assert jax.jit(F.one_hot, static_argnums=1)(to_jax(x), num_classes).tolist() == T.one_hot(x, num_classes).tolist()


def drawn(trial: int) -> tuple:
    """A call of embedding_bag with random bags, some of them empty, and options that fit together."""
    random = np.random.default_rng(trial)
    options = {"mode": ["sum", "mean", "max"][trial % 3]}
    if trial % 2:
        size = int(random.integers(0, 9))
        input = torch.from_numpy(random.integers(0, 6, size))
        ends = np.sort(random.integers(0, size + 1, 3))
        options["include_last_offset"] = bool(trial % 4 == 1)
        options["offsets"] = torch.from_numpy(np.concatenate([[0], ends, [size] * options["include_last_offset"]]).astype(np.int64))
    else:
        input = torch.from_numpy(random.integers(0, 6, (3, int(random.integers(1, 5)))))
    if random.random() < 0.5:
        options["padding_idx"] = int(random.integers(-6, 6))
    if options["mode"] == "sum" and random.random() < 0.6:
        options["per_sample_weights"] = torch.from_numpy(random.normal(size=input.shape)).requires_grad_()
    if random.random() < 0.4:
        options |= {"max_norm": 1.0, "norm_type": [1.0, 2.0, 3.0][int(random.integers(3))]}
    return input, torch.from_numpy(random.normal(size=(6, 3)).round(trial % 3)).requires_grad_(), options


@pytest.mark.parametrize("trial", range(24))
def test_embedding_bag(trial):
    """Outputs and gradients. torch writes the bounded rows into its table, so it gets a copy."""
    input, weight, options = drawn(trial)

    def oracle(input, weight, **options):
        return T.embedding_bag(input, weight.clone() if "max_norm" in options else weight, **options)

    with mode("float64"):
        compare(F.embedding_bag, oracle, (input, weight), options)


@pytest.mark.parametrize("name", ["embedding", "embedding_bag-sum", "embedding_bag-mean"])
def test_gradients_by_frequency(name):
    """Each row's gradient divided by how often it is looked up, in both modes of differentiation. torch's embedding_bag on a CPU divides by the
    frequency of another row, so the rule itself is the oracle."""
    index, weight = jnp.array([[0, 3, 0], [3, 2, 3]]), jnp.asarray(tensor(6, 2, grad=False).numpy())
    function, *how = name.split("-")

    def call(weight, scaled):
        return getattr(F, function)(index, weight, scale_grad_by_freq=scaled, **({"mode": how[0]} if how else {}))

    cotangent = jnp.cos(jnp.arange(call(weight, True).size)).reshape(call(weight, True).shape)
    plain, scaled = (jax.vjp(lambda w, s=s: call(w, s), weight)[1](cotangent)[0] for s in (False, True))
    times = jnp.maximum(jnp.bincount(index.reshape(-1), length=6), 1)[:, None]
    np.testing.assert_allclose(scaled, plain / times, rtol=1e-6)
    tangent = jnp.sin(weight)
    _, along = jax.jvp(lambda w: call(w, True), (weight,), (tangent,))
    np.testing.assert_allclose(jnp.vdot(along, cotangent), jnp.vdot(scaled, tangent), rtol=1e-5)
    if not how:
        compare(F.embedding, T.embedding, (torch.tensor(np.asarray(index)), tensor(6, 2)), {"scale_grad_by_freq": True})


def test_max_norm_is_a_look_up_in_the_renormed_table():
    """Values and gradients; and the caller's table is as it was."""
    index, weight = jnp.array([4, 1, 1]), 3 * jnp.asarray(tensor(6, 2, grad=False).numpy())
    before = np.array(weight)

    def look(weight, fly):
        return F.embedding(index, weight, max_norm=1.0) if fly else F.embedding(index, F.embedding_renorm(index, weight, 1.0))

    (a, da), (b, db) = (jax.vjp(lambda w, fly=fly: look(w, fly), weight) for fly in (True, False))
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(da(jnp.cos(a))[0], db(jnp.cos(a))[0])
    np.testing.assert_array_equal(weight, before)
    table = torch.tensor(before)
    T.embedding(torch.tensor([4, 1, 1]), table, max_norm=1.0)
    np.testing.assert_allclose(F.embedding_renorm(index, weight, 1.0), table.numpy(), rtol=1e-6)


@pytest.mark.parametrize("call", [lambda t, i, w: t.nn.functional.embedding(i, w, max_norm=1.0),
                                  lambda t, i, w: t.nn.functional.embedding_bag(i, w, t.tensor([0, 2]), 1.0, 1.0)])  # fmt: skip
def test_the_shim_writes_bounded_rows_as_torch(call):
    results = []
    for t in (torch, ft):
        weight = (t.arange(12.0).reshape(6, 2) - 5).requires_grad_()
        y = call(t, t.tensor([4, 1, 1]), weight)
        (y * y).sum().backward()
        results.append((y.detach().numpy(), weight.detach().numpy(), weight.grad.numpy()))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize("name", ["Embedding", "EmbeddingBag"])
def test_pretrained_tables_in_the_shim(name):
    seen = []
    for t in (torch, ft):
        t.manual_seed(0)
        table = t.arange(12.0).reshape(6, 2)
        module, free = (getattr(t.nn, name).from_pretrained(table, freeze, padding_idx=1) for freeze in (True, False))
        table[4, 0] = -1.0  # which the Modules see, for they share it
        y = module(t.tensor([[4, 1], [0, 5]]))
        seen.append((y.tolist(), module.weight.requires_grad, free.weight.requires_grad, repr(module), t.rand(1).item()))
        with pytest.raises(AssertionError, match="expected to be 2-dimensional"):
            getattr(t.nn, name).from_pretrained(table[0])
    assert seen[0] == seen[1]


def test_one_hot_in_the_shim():
    for x, classes in (([0, 3, 1], -1), ([[1], [0]], 4)):
        got, expected = (t.nn.functional.one_hot(t.tensor(x), classes) for t in (ft, torch))
        assert got.tolist() == expected.tolist() and str(got.dtype) == str(expected.dtype)
    with pytest.raises(RuntimeError, match="Class values must be smaller than num_classes"):
        ft.nn.functional.one_hot(ft.tensor([3]), 2)


def test_maxima_ignore_what_does_not_count():
    weight = jnp.array([[9.0, -9.0], [jnp.nan, 1.0], [-2.0, -3.0]])
    y = F.embedding_bag(jnp.array([0, 2, 1, 0]), weight, jnp.array([0, 2, 2, 3]), mode="max", padding_idx=0)
    np.testing.assert_array_equal(y, [[-2, -3], [0, 0], [jnp.nan, 1], [0, 0]])


I, W, OFFSETS = jnp.array([0, 1, 2]), jnp.ones((4, 2)), jnp.array([0, 1])
ERRORS = [
    (lambda: F.embedding(jnp.ones(3), jnp.ones((4, 2))), DtypeError, "scalar types: Long, Int; but got float32 instead"),
    (lambda: F.embedding(jnp.ones(3, jnp.int32), jnp.ones(4)), ShapeError, "'weight' must be 2-D"),
    (lambda: F.embedding(jnp.ones(3, jnp.int32), jnp.ones((4, 2)), 4), ValueError, "Padding_idx must be within num_embeddings"),
    (lambda: F.embedding_bag(I.astype(float), W, OFFSETS), DtypeError, "scalar types: Long, Int; but got float32"),
    (lambda: F.embedding_bag(I, W), ArgumentError, "offsets has to be a 1D Tensor but got None"),
    (lambda: F.embedding_bag(I[None], W, OFFSETS), ArgumentError, "if input is 2D, then offsets has to be None"),
    (lambda: F.embedding_bag(I, W, OFFSETS[None]), ShapeError, "offsets has to be a 1D Tensor"),
    (lambda: F.embedding_bag(I[None, None], W), ShapeError, "input has to be 1D or 2D Tensor, but got Tensor of dimension 3"),
    (lambda: F.embedding_bag(I, W, OFFSETS, mode="min"), ArgumentError, "mode has to be one of sum, mean or max"),
    (lambda: F.embedding_bag(I, W, OFFSETS, mode="max", scale_grad_by_freq=True), ArgumentError, "max mode does not support scaling"),
    (lambda: F.embedding_bag(I, W, OFFSETS, mode="max", sparse=True), ArgumentError, "max mode does not support sparse weights"),
    (lambda: F.embedding_bag(I, W, OFFSETS, per_sample_weights=jnp.ones(3)), NotImplementedError, "only supported for mode='sum'"),
    (
        lambda: F.embedding_bag(I, W, OFFSETS, mode="sum", per_sample_weights=jnp.ones(2)),
        ShapeError,
        "must have the same shape as the input",
    ),
    (lambda: F.embedding_bag(I, W, OFFSETS, padding_idx=4), ArgumentError, "Padding_idx must be within num_embeddings"),
    (lambda: F.embedding_bag(I, W[0], OFFSETS), ShapeError, "weight has to be a 2D Tensor, but got Tensor of dimension 1"),
    (lambda: F.one_hot(jnp.array([1, 5]), 3), ValueError, "Class values must be smaller than num_classes. Got 5"),
    (lambda: F.one_hot(jnp.array([-1]), 3), ValueError, "Class values must be non-negative"),
    (lambda: F.one_hot(jnp.zeros(0, jnp.int32)), ValueError, "Can not infer total number of classes from empty tensor"),
    (lambda: jax.jit(F.one_hot)(jnp.array([1])), ValueError, "unknown under jit; pass num_classes"),
    (lambda: F.one_hot(jnp.ones(3)), DtypeError, "one_hot: .* but got float32"),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()
