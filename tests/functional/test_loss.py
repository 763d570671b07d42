"""mse_loss, l1_loss, nll_loss and cross_entropy against torch."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as T
from oracle import assert_same, compare, indices, mode, tensor, to_jax

import funnn.functional as F
from funnn.errors import DtypeError, ShapeError
from funnn.layers import NLLLoss2d
from tests.quick import quick

ELEMENTWISE = [(F.mse_loss, T.mse_loss), (F.l1_loss, T.l1_loss)]
CLASSES = [(F.nll_loss, T.nll_loss), (F.cross_entropy, T.cross_entropy)]
LEGACY = [
    (getattr(F, name), getattr(T, name))
    for name in ("smooth_l1_loss", "soft_margin_loss", "binary_cross_entropy_with_logits", "hinge_embedding_loss", "poisson_nll_loss")
]
REDUCTIONS = ["mean", "sum", "none"]
HALF = {"bfloat16": (4e-2, 4e-2), "float16": (6e-3, 6e-3)}  # torch rounds log softmax on the way


def _ids(pair):
    return pair[0].__name__ if isinstance(pair, tuple) and callable(pair[0]) else None


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("pair", ELEMENTWISE, ids=_ids)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_elementwise(pair, reduction, dtype):
    with mode(dtype):
        for size in ((3, 4), (), (0, 2)):
            x, y = tensor(*size, dtype=dtype, ties=True), tensor(*size, dtype=dtype, ties=True, seed=1)
            compare(*pair, (x, y), {"reduction": reduction})
    if dtype == "float32":
        compare(*pair, (tensor(3, 4), tensor(3, 4, seed=1)), {"reduction": reduction, "weight": tensor(3, 4, seed=2).abs().detach()})


@pytest.mark.parametrize("pair", ELEMENTWISE, ids=_ids)
def test_different_sizes_warn_and_broadcast(pair):
    text = r"Using a target size \(.*\) that is different to the input size \(.*\). This will likely lead to incorrect results"
    with pytest.warns(UserWarning, match=text):
        compare(*pair, (tensor(3, 4), tensor(4, seed=1)), jit=False)
    with pytest.warns(UserWarning, match=text) as caught:
        pair[0](jnp.ones((3, 4)), jnp.ones(4))
    assert caught[0].filename == __file__
    with (
        pytest.warns(UserWarning),
        pytest.raises(ShapeError, match=r"tensor a \(3\) must match the size of tensor b \(4\) .*got input \[3\] and target \[4\]"),
    ):
        pair[0](jnp.ones(3), jnp.ones(4))


@pytest.mark.parametrize("pair", ELEMENTWISE + CLASSES + LEGACY, ids=_ids)
@pytest.mark.parametrize(("size_average", "reduce"), list(itertools.product([None, True, False], repeat=2)))
def test_legacy_arguments(pair, size_average, reduce):
    ours, theirs = pair
    x = tensor(3, 4, grad=False)
    y = indices(4, 3) if pair in CLASSES else tensor(3, 4, seed=1, grad=False)
    legacy = {"size_average": size_average, "reduce": reduce}
    if size_average is reduce is None:
        assert_same(ours(to_jax(x), to_jax(y), **legacy), theirs(x, y, **legacy), "loss")
        return
    with pytest.warns(UserWarning, match="size_average and reduce args will be deprecated, please use reduction='") as caught:
        assert_same(ours(to_jax(x), to_jax(y), **legacy), theirs(x, y, **legacy), "loss")
    assert len({str(w.message) for w in caught}) == 1  # the same text as torch's


# input size, target size
SIZES = [((5, 4), (5,)), ((4,), ()), ((2, 3, 4), (2, 4)), ((2, 3, 2, 2), (2, 2, 2)), ((1, 1), (1,)), ((0, 4), (0,))]


@pytest.mark.parametrize("pair", CLASSES, ids=_ids)
@pytest.mark.parametrize(("size", "target"), SIZES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_class_indices(pair, size, target, reduction):
    classes = size[min(len(size) - 1, 1)]
    x, y = tensor(*size, dtype="float64"), indices(classes, *target)
    weight = tensor(classes, dtype="float64", seed=1, grad=False).abs()
    with mode("float64"):
        compare(*pair, (x, y), {"reduction": reduction})
        compare(*pair, (x, y), {"reduction": reduction, "weight": weight, "ignore_index": 1})
        if pair[0] is F.cross_entropy:
            compare(*pair, (x, y), {"reduction": reduction, "weight": weight, "ignore_index": 0, "label_smoothing": 0.3})


@pytest.mark.parametrize("size", [(5, 4), (4,), (2, 3, 2, 2)])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_class_probabilities(size, reduction):
    axis = min(len(size) - 1, 1)
    x, y = tensor(*size, dtype="float64"), tensor(*size, dtype="float64", seed=1).detach().softmax(axis).requires_grad_()
    weight = tensor(size[axis], dtype="float64", seed=1, grad=False).abs()
    with mode("float64"):
        compare(*CLASSES[1], (x, y), {"reduction": reduction})
        compare(*CLASSES[1], (x, y), {"reduction": reduction, "weight": weight, "label_smoothing": 0.3})


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_class_losses_in_other_dtypes(dtype):
    x, y, weight = tensor(6, 5, dtype=dtype), indices(5, 6), tensor(5, dtype=dtype, seed=1, grad=False).abs()
    for pair in CLASSES:
        compare(*pair, (x, y, weight), tolerance=HALF.get(dtype))
    compare(*CLASSES[1], (x, x.detach().softmax(1)), {"label_smoothing": 0.1}, tolerance=HALF.get(dtype))


@pytest.mark.parametrize("pair", CLASSES, ids=_ids)
def test_special_targets(pair):
    x = tensor(3, 4)
    compare(*pair, (x, torch.full((3,), -100)))  # nothing counts: the mean is NaN
    compare(*pair, (x, torch.full((3,), -100)), {"reduction": "sum"})
    compare(*pair, (x, torch.tensor([1, 2, 3], dtype=torch.uint8)))
    for bad in (4, -1, 1000):
        losses = pair[0](to_jax(x), jnp.array([0, bad, 1]), reduction="none")
        assert jnp.isnan(losses).tolist() == [False, True, False]  # where torch raises IndexError
        assert jnp.isnan(pair[0](to_jax(x), jnp.array([0, bad, 1]), jnp.ones(4)))


def test_cross_entropy_keeps_small_losses_of_large_logits():
    compare(*CLASSES[1], (torch.tensor([[1e4, 1e4 - 8], [-1e4, 1e4]], requires_grad=True), torch.tensor([0, 0])))


def _ce(size, target, dtype=jnp.int32, function=F.cross_entropy, **kwargs):
    return lambda: function(jnp.ones(size), jnp.zeros(target, dtype), **kwargs)


ERRORS = [
    (_ce((3, 5), 4), ShapeError, r"Expected input batch_size \(3\) to match target batch_size \(4\)."),
    (_ce((3, 5), 4, function=F.nll_loss), ShapeError, r"Expected input batch_size \(3\) to match target batch_size \(4\)."),
    (_ce((3, 5), (3, 5)), DtypeError, "Expected floating point type for target with class probabilities, got int32"),
    (_ce((3, 5), (3, 4)), ShapeError, "0D or 1D target tensor expected, multi-target not supported"),
    (_ce((3, 5), 3, jnp.float32), DtypeError, "expected target dtype to be Long or Byte .*, but got float32"),
    (_ce((5,), 3), ShapeError, "For 1D input, 1D target must have size 1, but got target size"),
    (_ce((3, 5, 2), (3, 4)), ShapeError, r"Expected target size \[3, 2\], got \[3, 4\]"),
    (_ce((3, 5), 3, weight=jnp.ones(4)), ShapeError, r"for all 5 classes or no classes but got weight tensor of shape: \[4\]"),
    (_ce((3, 5), (3, 5), jnp.float32, ignore_index=1), ValueError, "ignore_index is not supported for floating point target"),
    (_ce((3, 5), 3, label_smoothing=1.5), ValueError, "label_smoothing must be between 0.0 and 1.0. Got: 1.5"),
    (_ce((3, 5), 3, reduction="foo"), ValueError, "foo is not a valid value for reduction"),
    (_ce((), ()), ShapeError, "Expected 1 or more dimensions"),
    (lambda: F.cross_entropy(jnp.ones((3, 5), jnp.int32), jnp.zeros(3, jnp.int32)), DtypeError, "input must be floating point"),
    (lambda: F.mse_loss(jnp.ones(3, jnp.int32), jnp.ones(3, jnp.int32)), DtypeError, '"mse_loss" not implemented for int32'),
    (lambda: F.mse_loss(jnp.ones(3), jnp.ones(3), reduction="foo"), ValueError, "foo is not a valid value for reduction"),
    (lambda: F.l1_loss(jnp.ones(3), jnp.ones(3), weight=jnp.ones(2)), ShapeError, "Weights and input must have the same size"),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_no_one_hot_is_built():
    """No array of the program has the logits' size and an integer or boolean dtype."""
    x, y = jnp.ones((6, 11)), jnp.zeros(6, jnp.int32)
    text = str(jax.make_jaxpr(F.cross_entropy)(x, y))
    assert "f32[6,11]" in text and "i32[6,11]" not in text and "bool[6,11]" not in text


def textbook(x, y, weight, smoothing):
    """cross_entropy with an axis of classes last, as reverse mode would have it by itself."""
    log_p = jax.nn.log_softmax(x)
    at_target = jnp.take_along_axis(log_p, y[..., None], -1)[..., 0]
    smooth = jnp.sum(log_p * weight, -1) / x.shape[-1]
    return -jnp.sum((1 - smoothing) * at_target * weight[y] + smoothing * smooth) / jnp.sum(weight[y])


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_kernel_in_every_mode_of_differentiation(smoothing):
    """Value, gradient, forward mode, both orders of second derivative, Hessian, vmap of grad, remat: as the textbook form, in float64."""
    with jax.enable_x64(True):
        x, t = jnp.sin(jnp.arange(20.0).reshape(4, 5)) * 3, jnp.cos(jnp.arange(20.0).reshape(4, 5))
        y, weight = jnp.array([0, 4, 2, 2]), jnp.array([0.5, 1.0, 2.0, 0.25, 3.0])

        def everything(loss):
            return quick(partial(derivatives, loss))(x, t)

        def derivatives(loss, x, t):
            gradient = jax.grad(loss)
            return (
                jax.value_and_grad(loss)(x),
                jax.jvp(loss, (x,), (t,)),
                jax.jvp(gradient, (x,), (t,))[1],
                jax.grad(lambda x: jnp.vdot(gradient(x), t))(x),
                jax.hessian(loss)(x),
                jax.jacrev(jax.jacfwd(loss))(x),
                jax.vmap(gradient)(jnp.stack([x, t])),
                jax.grad(jax.checkpoint(loss))(x),
                jax.grad(lambda x: jnp.sum(jax.hessian(loss)(x) ** 2))(x),
            )

        ours = everything(lambda x: F.cross_entropy(x, y, weight, label_smoothing=smoothing))
        expected = everything(lambda x: textbook(x, y, weight, smoothing))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11), ours, expected)
        last = everything(lambda x: F.cross_entropy(jnp.moveaxis(x[None], -1, 1), y[None], weight, label_smoothing=smoothing))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11), last, expected)


def test_gradient_is_written_without_scatter():
    x, y = jnp.ones((6, 11)), jnp.zeros(6, jnp.int32)
    assert "scatter" not in jax.jit(jax.grad(F.cross_entropy)).lower(x, y).as_text()


def test_deprecated_layer_warns():
    with pytest.warns(FutureWarning, match="`NLLLoss2d` has been deprecated. Please use `NLLLoss`") as caught:
        NLLLoss2d()
    assert caught[0].filename == __file__
