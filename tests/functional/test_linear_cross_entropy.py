"""linear_cross_entropy in chunks: equal to the whole in every derivative, without the whole logits; options; refused input."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import funnn.functional as F
from funnn.errors import ArgumentError, ShapeError
from funnn.layers import LinearCrossEntropyLoss, LinearCrossEntropyOptions
from tests.quick import quick

TARGET = jnp.array([0, 2, -100, 4, 1, 1, 3])


def arguments(dtype=jnp.float32):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.normal(size=size), dtype) for size in ((7, 3), (5, 3), (5,), (5,))]


def loss(options, reduction):
    def function(x, a, b, w):
        y = F.linear_cross_entropy(x, a, TARGET, linear_bias=b, weight=jnp.square(w), reduction=reduction, options=options)
        return jnp.sum(jnp.sin(y))

    return function


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_chunks_equal_the_whole(reduction, size):
    """Value, gradients, forward mode, Hessian-vector products both ways, and vmap, in all four arguments."""
    with jax.enable_x64(True):
        args = arguments(jnp.float64)
        tangents = [jnp.cos(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape) for x in args]
        every = (0, 1, 2, 3)

        def everything(function):
            return quick(partial(derivatives, function))(args, tangents)

        def derivatives(function, args, tangents):
            gradient = jax.grad(function, every)
            along = jax.jvp(function, args, tangents)
            forward = jax.jvp(lambda *args: gradient(*args), args, tangents)[1]
            reverse = jax.grad(lambda *args: sum(jnp.vdot(g, t) for g, t in zip(gradient(*args), tangents, strict=True)), every)(*args)
            batched = jax.vmap(gradient)(*[jnp.stack([x, 2 * x]) for x in args])
            return gradient(*args), along, forward, reverse, batched

        whole = everything(loss(None, reduction))
        chunked = everything(loss(LinearCrossEntropyOptions(batch_chunk_size=size), reduction))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11), chunked, whole)


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_no_array_has_the_size_of_the_logits(reduction):
    x, a = jnp.ones((64, 8)), jnp.ones((96, 8))
    target = jnp.zeros(64, jnp.int32)

    def total(x, a):
        return F.linear_cross_entropy(x, a, target, reduction=reduction, options=LinearCrossEntropyOptions(batch_chunk_size=4)).sum()

    compiled = jax.jit(jax.value_and_grad(total, (0, 1))).lower(x, a).compile().as_text()
    assert "f32[4,96]" in compiled and "f32[64,96]" not in compiled and "f32[16,4,96]" not in compiled


def test_some_arguments_alone():
    x, a, b, w = arguments()
    options = LinearCrossEntropyOptions(batch_chunk_size=2)
    for i in range(4):
        gradients = [jax.grad(loss(o, "mean"), i)(x, a, b, w) for o in (None, options)]
        np.testing.assert_allclose(*gradients, rtol=1e-4, atol=1e-6)
    assert F.linear_cross_entropy(x[0], a, jnp.array(1), options=options, reduction="none").shape == ()


@pytest.mark.parametrize("method", ["auto", "aspect_ratio", "aspect_ratio:2", None])
@pytest.mark.parametrize("sizes", [(1024, 128, 32000), (1024, 128, 1000), (7, 3, 5), (5, 8, 2), (1, 1, 1)])
def test_chunk_sizes_are_torchs(method, sizes):
    from funnn.functional.linear_cross_entropy import _chunk_size

    theirs = torch.nn.LinearCrossEntropyOptions(chunking_method=method if method != "auto" else "aspect_ratio")
    expected = theirs._adjust(*sizes, torch.float32, torch.device("cpu")).batch_chunk_size
    assert _chunk_size(LinearCrossEntropyOptions(chunking_method=method), *sizes) == expected


def test_options_that_cannot_be_followed_are_ignored_with_a_warning():
    x, a, _, _ = arguments()
    with pytest.warns(UserWarning, match="options`` ignored; chunked path needs") as caught:
        F.linear_cross_entropy(x, a, TARGET, label_smoothing=0.1, options=LinearCrossEntropyOptions())
    assert caught[0].filename == __file__


def test_options():
    assert repr(LinearCrossEntropyOptions()) == repr(torch.nn.LinearCrossEntropyOptions())
    for bad, text in (
        ({"acc_policy": "x"}, "acc_policy"),
        ({"chunking_method": "aspect_ratio:0"}, "chunking_method"),
        ({"batch_chunk_size": 0}, "size"),
    ):
        for options in (LinearCrossEntropyOptions, torch.nn.LinearCrossEntropyOptions):
            with pytest.raises(ValueError, match=text):
                options(**bad)
    with pytest.raises(ValueError, match="give different chunk sizes"):
        x, a, _, _ = arguments()
        F.linear_cross_entropy(x, a, TARGET, options=LinearCrossEntropyOptions(batch_chunk_size=3, chunking_method="aspect_ratio"))


def call(*sizes, target=(3,), **kwargs):
    return lambda: F.linear_cross_entropy(*map(jnp.ones, sizes), jnp.zeros(target, int), **kwargs)


ERRORS = [
    (call((2, 3, 4), (5, 4)), ShapeError, "expected input with dimensionality 1 or 2, got 3"),
    (call((3, 4), (4,)), ShapeError, "expected linear_weight with dimensionality at least 2, got 1"),
    (call((3, 4), (5, 2)), ShapeError, r"last dimensions \(in_features\), got 4 and 2, respectively"),
    (call((3, 4), (5, 4), linear_bias=jnp.ones(3)), ShapeError, r"expected linear_bias shape \(5,\), got \(3,\)"),
    (call((4,), (5, 2, 4), target=()), ShapeError, "K-dimensional loss defined by linear_weight shape"),
    (call((3, 4), (3, 4), target=(3, 3), ignore_index=1), ArgumentError, "ignore_index cannot be specified when target contains prob"),
    (lambda: LinearCrossEntropyLoss(3, 5, weight=jnp.ones(3)), ShapeError, r"expected weight shape to be \(5,\), got \(3,\)"),
    (lambda: LinearCrossEntropyLoss(3, 5, label_smoothing=2), ArgumentError, r"expected label_smoothing to be in range \[0, 1\], got 2"),
]


@pytest.mark.parametrize(("function", "error", "text"), ERRORS)
def test_errors(function, error, text):
    with pytest.raises(error, match=text):
        function()
