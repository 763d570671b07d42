"""The normalisations against torch, and their derivatives against the textbook form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as T
from oracle import assert_same, compare, mode, tensor, to_jax

import funnn.functional as F
from funnn.errors import ArgumentError, DtypeError, ShapeError


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


def _textbook(x, weight, bias, axes, shape, centered=True):
    offset = x - x.mean(axes, keepdims=True) if centered else x
    return offset / jnp.sqrt((offset**2).mean(axes, keepdims=True) + 1e-5) * weight.reshape(shape) + bias.reshape(shape)


# name -> (shape of x, of the parameters, ours, textbook)
NORMS = {
    "layer_norm": ((2, 3, 4), (4,), lambda x, w, b: F.layer_norm(x, (4,), w, b), lambda *a: _textbook(*a, (2,), (1, 1, 4))),
    "layer_norm over two axes": (
        (2, 3, 4),
        (3, 4),
        lambda x, w, b: F.layer_norm(x, (3, 4), w, b),
        lambda *a: _textbook(*a, (1, 2), (1, 3, 4)),
    ),
    "rms_norm": ((3, 4), (4,), lambda x, w, b: F.rms_norm(x, (4,), w, 1e-5) + b, lambda *a: _textbook(*a, (1,), (1, 4), False)),
    "batch_norm": (
        (4, 3, 2),
        (3,),
        lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
        lambda *a: _textbook(*a, (0, 2), (1, 3, 1)),
    ),
    "instance_norm": ((2, 3, 4), (3,), lambda x, w, b: F.instance_norm(x, weight=w, bias=b), lambda *a: _textbook(*a, (2,), (1, 3, 1))),
    "group_norm": (
        (2, 4, 3),
        (4,),
        lambda x, w, b: F.group_norm(x, 2, w, b),
        lambda x, w, b: _textbook(x.reshape(2, 2, 2, 3), w, b, (2, 3), (1, 2, 2, 1)).reshape(2, 4, 3),
    ),
}


@pytest.mark.parametrize("name", NORMS)
def test_derivatives_equal_the_textbook_form(name):
    """First and second, forward and reverse, batched, in all three arguments, in float64."""
    shape, per_channel, norm, textbook = NORMS[name]
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(0), 3)
        args = [jax.random.normal(key, s, jnp.float64) for key, s in zip(keys, (shape, per_channel, per_channel), strict=True)]

        def scalar(function):
            return lambda *args: jnp.tanh(function(*args)).sum()

        def derivatives(f):
            every = (0, 1, 2)
            return (
                jax.grad(f, every)(*args),
                jax.jacfwd(f, every)(*args),
                jax.hessian(f, every)(*args),
                jax.jacrev(jax.grad(f, every), every)(*args),
                jax.vmap(jax.grad(f, every), (0, None, 0))(*(jnp.stack([a, 2 * a]) if i != 1 else a for i, a in enumerate(args))),
            )

        got, expected = jax.jit(lambda: derivatives(scalar(norm)))(), jax.jit(lambda: derivatives(scalar(textbook)))()
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11), got, expected)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("size", [(2, 3, 4), (3, 4, 5, 2), (1, 2, 2)])
def test_running_statistics_of_instance_norm(size, dtype):
    mean, var, weight, bias = _channels(size[1], dtype, True)
    x = tensor(*size, dtype=dtype, grad=False)
    with mode(dtype):
        evaluated = F.instance_norm(*map(to_jax, (x, mean, var, weight, bias)), False)
        assert_same(evaluated, T.instance_norm(x, mean, var, weight, bias, False), "evaluation")
        ours = jax.jit(F.instance_norm_with_stats)(*map(to_jax, (x, mean, var, weight, bias)), 0.3)
        y = T.instance_norm(x, mean, var, weight, bias, True, 0.3)
        for got, expected, what in zip(ours, (y, mean, var), ("output", "running_mean", "running_var"), strict=True):
            assert_same(got, expected, what)


@pytest.mark.parametrize("p", [2.0, 1.0, 3.5, 0.5, float("inf"), -float("inf")])
def test_normalize_at_zero_and_at_kinks(p):
    x = torch.tensor([[0.0, 0.0, 0.0], [1.0, -1.0, 0.0], [3.0, 4.0, -5.0]], requires_grad=True)
    compare(F.normalize, T.normalize, (x, p, 1, 0.1))


def _bn(size, stat=3, **kwargs):
    return lambda: F.batch_norm(jnp.ones(size), jnp.zeros(stat), jnp.ones(stat), **kwargs)


ERRORS = [
    (_bn((2, 3), training=True, eps=0.0), ArgumentError, "batch_norm eps must be positive during training, but got 0.0"),
    (_bn((2, 3), eps=-1.0), ArgumentError, "batch_norm eps must be non-negative, but got -1.0"),
    (
        lambda: F.instance_norm(jnp.ones((2, 3, 1))),
        ShapeError,
        r"Expected more than 1 spatial element when training, got input size \[2, 3, 1\]",
    ),
    (lambda: F.instance_norm(jnp.ones((2, 3, 4)), use_input_stats=False), ArgumentError, "running_mean must be defined"),
    (lambda: F.group_norm(jnp.ones((2, 3)), 2), ShapeError, r"divisible by num_groups, but got input of shape \[2, 3\] and num_groups=2"),
    (lambda: F.group_norm(jnp.ones((2, 4)), 0), ArgumentError, "num_groups=0"),
    (lambda: F.group_norm(jnp.ones((2, 4)), 2, jnp.ones(3)), ShapeError, r"weight of shape \[3\] and input of shape \[2, 4\]"),
    (lambda: F.rms_norm(jnp.ones((2, 3)), (4,)), ShapeError, r"Given normalized_shape=\[4\]"),
    (lambda: F.local_response_norm(jnp.ones((2, 3)), 2), ShapeError, r"Expected 3D or higher dimensionality input \(got 2 dimensions\)"),
    (lambda: F.normalize(jnp.ones((2, 3)), dim=2), IndexError, "Dimension out of range"),
    (_bn((1, 3), training=True), ShapeError, r"Expected more than 1 value per channel when training, got input size \[1, 3\]"),
    (_bn((2, 3), 4), ShapeError, "running_mean should contain 3 elements not 4"),
    (_bn((2, 3), weight=jnp.ones(4)), ShapeError, "weight should contain 3 elements not 4"),
    (_bn((3,)), ShapeError, "expected an input of at least 2D"),
    (lambda: F.batch_norm(jnp.ones((2, 3)), None, None), ValueError, "running_mean must be defined in evaluation mode"),
    (lambda: F.batch_norm(jnp.ones((2, 3)), jnp.ones(3), None), ValueError, "running_mean and running_var must either both be None"),
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
