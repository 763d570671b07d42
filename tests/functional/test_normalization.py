"""batch_norm and layer_norm against torch, and their derivative against the textbook form."""

import jax
import jax.numpy as jnp
import pytest
import torch.nn.functional as T
from oracle import assert_same, compare, mode, tensor, to_jax

import funnn.functional as F
from funnn.errors import DtypeError, ShapeError


def _channels(c: int, dtype: str, affine: bool):
    stats = tensor(c, dtype=dtype, seed=1, grad=False), tensor(c, dtype=dtype, seed=2, grad=False).abs() + 0.5
    return (*stats, tensor(c, dtype=dtype, seed=3), tensor(c, dtype=dtype, seed=4)) if affine else (*stats, None, None)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("size", "affine"), [((6, 3), True), ((2, 3, 5), False), ((3, 4, 5, 2), True), ((2, 1, 1), True), ((0, 3), True)])
def test_batch_norm(size, affine, training, dtype):
    mean, var, weight, bias = _channels(size[1], dtype, affine)
    x = tensor(*size, dtype=dtype)
    # torch updates the statistics in place: it gets copies
    with mode(dtype):
        compare(
            lambda x, w, b: F.batch_norm(x, to_jax(mean), to_jax(var), w, b, training, 0.2, 1e-3),
            lambda x, w, b: T.batch_norm(x, mean.clone(), var.clone(), w, b, training, 0.2, 1e-3),
            (x, weight, bias),
            tolerance=(6e-2, 6e-2) if dtype == "bfloat16" else (1e-2, 1e-2) if dtype == "float16" else None,
        )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("size", [(6, 3), (3, 4, 5, 2), (2, 1), (0, 3)])
@pytest.mark.parametrize("momentum", [0.1, 1.0, 0.0])
def test_running_statistics(size, momentum, dtype):
    mean, var, weight, bias = _channels(size[1], dtype, True)
    x = tensor(*size, dtype=dtype, grad=False)
    with mode(dtype):
        ours = jax.jit(F.batch_norm_with_stats)(*map(to_jax, (x, mean, var, weight, bias)), momentum)
        y = T.batch_norm(x, mean, var, weight, bias, True, momentum)
        for got, expected, what in zip(ours, (y, mean, var), ("output", "running_mean", "running_var"), strict=True):
            assert_same(got, expected, what)


def test_batch_norm_without_running_statistics():
    y, mean, var = F.batch_norm_with_stats(jnp.array([[1.0], [3.0]]), None, None)
    assert mean is None and var is None and y.shape == (2, 1)


def test_half_input_with_float32_parameters():
    """Mixed precision: float32 weights and statistics, half input and output."""
    x, weight = tensor(8, 4, dtype="bfloat16"), tensor(4, seed=1)
    compare(lambda x, w: F.layer_norm(x, (4,), w), lambda x, w: T.layer_norm(x, (4,), w), (x, weight), tolerance=(2e-2, 2e-2))
    new = F.batch_norm_with_stats(to_jax(x), jnp.zeros(4), jnp.ones(4), to_jax(weight))
    assert [a.dtype for a in new] == [jnp.bfloat16, jnp.float32, jnp.float32]


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize(("size", "shape"), [((4, 6), (6,)), ((2, 3, 4), (3, 4)), ((6,), (6,)), ((2, 1), (1,)), ((0, 3), [3])])
def test_layer_norm(size, shape, dtype):
    weight, bias = (tensor(*shape, dtype=dtype, seed=1), tensor(*shape, dtype=dtype, seed=2)) if len(size) > 1 else (None, None)
    tolerance = (6e-2, 6e-2) if dtype == "bfloat16" else (1e-2, 1e-2) if dtype == "float16" else None
    with mode(dtype):
        compare(F.layer_norm, T.layer_norm, (tensor(*size, dtype=dtype), shape, weight, bias, 1e-3), tolerance=tolerance)


def test_derivatives_equal_the_textbook_form():
    """First and second, forward and reverse, batched, of both norms."""

    def textbook(x):
        centered = x - x.mean(-1, keepdims=True)
        return jnp.tanh(centered / jnp.sqrt((centered**2).mean(-1, keepdims=True) + 1e-5)).sum()

    norms = (lambda x: F.layer_norm(x, (4,)), lambda x: F.batch_norm(x.T, None, None, training=True).T)
    with jax.enable_x64(True):
        x = jax.random.normal(jax.random.key(0), (3, 4), jnp.float64)
        for norm in norms:

            def ours(x, norm=norm):
                return jnp.tanh(norm(x)).sum()

            for derivative in (jax.grad, jax.jacfwd, jax.hessian, lambda f: jax.jacrev(jax.jacrev(f))):
                assert jnp.allclose(jax.jit(derivative(ours))(x), jax.jit(derivative(textbook))(x), rtol=1e-10, atol=1e-12)
            xs = jnp.stack([x, 2 * x])
            assert jnp.allclose(jax.jit(jax.vmap(jax.grad(ours)))(xs)[0], jax.jit(jax.grad(textbook))(x), rtol=1e-10, atol=1e-12)


def _bn(size, stat=3, **kwargs):
    return lambda: F.batch_norm(jnp.ones(size), jnp.zeros(stat), jnp.ones(stat), **kwargs)


ERRORS = [
    (_bn((1, 3), training=True), ShapeError, r"Expected more than 1 value per channel when training, got input size \[1, 3\]"),
    (_bn((2, 3), 4), ShapeError, "running_mean should contain 3 elements not 4"),
    (_bn((2, 3), weight=jnp.ones(4)), ShapeError, "weight should contain 3 elements not 4"),
    (_bn((3,)), ShapeError, "expected an input of at least 2D"),
    (lambda: F.batch_norm(jnp.ones((2, 3)), None, None), ValueError, "running_mean must be defined in evaluation mode"),
    (lambda: F.batch_norm(jnp.ones((2, 3)), jnp.ones(3), None), ValueError, "running_var must be defined in evaluation mode"),
    (lambda: F.batch_norm(jnp.ones((2, 3), jnp.int32), None, None, training=True), DtypeError, '"batch_norm" not implemented for int32'),
    (_bn((2, 3), weight=jnp.ones(3, jnp.float16)), DtypeError, "input and weight to have the same dtype, but got: float32 != float16"),
    (
        lambda: F.layer_norm(jnp.ones((3, 4)), (5,)),
        ShapeError,
        r"Given normalized_shape=\[5\], expected input with shape \[\*, 5\], but got input of size\[3, 4\]",
    ),
    (lambda: F.layer_norm(jnp.ones(3), ()), ShapeError, "Expected normalized_shape to be at least 1-dimensional"),
    (lambda: F.layer_norm(jnp.ones((3, 4)), 4, jnp.ones(5)), ShapeError, r"weight to be of same shape as normalized_shape.*\[5\].*\[4\]"),
    (lambda: F.layer_norm(jnp.ones((3, 4)), 4, None, jnp.ones(5)), ShapeError, r"bias of shape \[5\] and normalized_shape = \[4\]"),
    (lambda: F.layer_norm(jnp.ones((3, 4), jnp.int32), 4), DtypeError, '"layer_norm" not implemented for int32'),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()
