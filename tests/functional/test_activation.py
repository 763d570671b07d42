"""Activations against torch: kinks, extremes, derivatives, refused input; the databases of operations have the rest."""

import jax
import jax.numpy as jnp
import pytest
import torch
import torch.nn.functional as T
from oracle import compare, mode, tensor

import funnn.functional as F
from funnn.errors import ArgumentError, DtypeError, ShapeError

ELEMENTWISE = [(F.relu, T.relu), (F.tanh, torch.tanh), (F.sigmoid, torch.sigmoid)]
SOFTMAX = [(F.softmax, T.softmax), (F.log_softmax, T.log_softmax)]


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("pair", ELEMENTWISE, ids=lambda p: p[0].__name__)
def test_elementwise(pair, dtype):
    with mode(dtype):
        compare(*pair, (tensor(3, 5, dtype=dtype),))
        special = torch.tensor([0.0, -0.0, float("inf"), -float("inf"), float("nan"), 200.0, -200.0], dtype=getattr(torch, dtype))
        compare(*pair, (special.requires_grad_(),))


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("pair", SOFTMAX, ids=lambda p: p[0].__name__)
@pytest.mark.parametrize(("size", "dim"), [((3, 5), 1), ((3, 5), -2), ((), 0), ((2, 3, 4), 1), ((3, 0), 1), ((0, 3), 1), ((1,), 0)])
def test_softmax(pair, size, dim, dtype):
    with mode(dtype):
        compare(*pair, (tensor(*size, dtype=dtype), dim))


@pytest.mark.parametrize("pair", SOFTMAX, ids=lambda p: p[0].__name__)
def test_softmax_extremes(pair):
    inf = float("inf")
    compare(*pair, (torch.tensor([[1e4, -1e4, 9999.0], [0.0, -inf, 0.0], [-inf, -inf, -inf], [inf, 0.0, 1.0]]), 1))


@pytest.mark.parametrize("pair", SOFTMAX, ids=lambda p: p[0].__name__)
@pytest.mark.parametrize("size", [(), (3,), (2, 3), (2, 3, 4), (2, 3, 2, 2)])
def test_softmax_implicit_dim(pair, size):
    text = f"Implicit dimension choice for {pair[0].__name__} has been deprecated. Change the call to include dim=X as an argument."
    with pytest.warns(UserWarning, match=text) as caught:
        compare(*pair, (tensor(*size),), jit=False)
    assert len({str(w.message) for w in caught}) == 1  # the same text as torch's
    with pytest.warns(UserWarning, match=text) as caught:
        pair[0](jnp.ones(size))
    assert caught[0].filename == __file__  # it points at the caller


@pytest.mark.parametrize("pair", SOFTMAX, ids=lambda p: p[0].__name__)
def test_softmax_dtype(pair):
    ours, theirs = pair
    assert ours(jnp.ones(3, jnp.int32), 0, dtype=jnp.float32).tolist() == theirs(torch.ones(3), 0).tolist()
    assert ours(jnp.ones(3, jnp.bfloat16), 0, dtype=jnp.float32).dtype == jnp.float32
    with pytest.raises(DtypeError, match="not implemented for int32: input must be floating point"):
        ours(jnp.ones(3, jnp.int32), 0)
    with pytest.raises(IndexError, match=r"Dimension out of range \(expected to be in range of \[-2, 1\], but got 5\)"):
        ours(jnp.ones((3, 4)), 5)


def test_integers():
    assert F.relu(jnp.array([-1, 2])).tolist() == [0, 2]
    assert F.sigmoid(jnp.array([0, 1])).dtype == F.tanh(jnp.array([True])).dtype == jnp.float32
    with pytest.raises(DtypeError, match="Boolean inputs not supported for relu"):
        F.relu(jnp.array([True]))


def test_softmax_second_derivative():
    with jax.enable_x64(True):
        x = jnp.array([0.3, -1.0, 2.0], jnp.float64)

        def textbook(x):
            return jnp.exp(x) / jnp.sum(jnp.exp(x))

        for order in (jax.jacfwd, jax.jacrev, jax.hessian):
            assert jnp.allclose(jax.jit(order(lambda x: F.softmax(x, 0)))(x), jax.jit(order(textbook))(x), rtol=1e-12, atol=1e-14)


# name -> arguments behind the input; the piecewise ones with limits among the values below
CALLS = {
    "relu6": (), "hardtanh": (-0.5, 3.0), "hardsigmoid": (), "hardswish": (), "hardshrink": (0.5,), "softshrink": (0.5,), "threshold": (0.5, -3.0),
    "leaky_relu": (-0.5,), "tanhshrink": (), "softsign": (), "elu": (0.3,), "celu": (-2.0,), "selu": (), "gelu": (), "silu": (), "mish": (),
    "softplus": (2.0, 6.0), "logsigmoid": (), "tanh": (), "sigmoid": (),
}  # fmt: skip
VALUES = [
    0.0,
    -0.0,
    1e-30,
    -1e-30,
    1e-8,
    -1e-8,
    0.5,
    -0.5,
    1.0,
    -1.0,
    3.0,
    -3.0,
    5.0,
    -5.0,
    6.0,
    -6.0,
    20.0,
    -20.0,
    100.0,
    -100.0,
    6e4,
    -6e4,
]
INFINITE = [float("inf"), -float("inf")]


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", CALLS)
def test_kinks_and_extremes(name, dtype):
    """Values and derivatives, also at kinks, where the numbers overflow, and at infinity. NaN stays NaN."""
    ours, theirs = getattr(F, name), getattr(T if hasattr(T, name) and name not in ("tanh", "sigmoid") else torch, name)
    # x·Φ(x) at ∞ is ∞·1, and torch's vector code gives NaN
    values = VALUES + ([] if name == "gelu" else INFINITE)
    # torch multiplies the derivative in float64 by a float32 constant
    tolerance = (1e-7, 1e-7) if (name, dtype) == ("hardsigmoid", "float64") else None
    with mode(dtype):
        compare(ours, theirs, (torch.tensor(values, dtype=getattr(torch, dtype), requires_grad=True), *CALLS[name]), tolerance=tolerance)
        assert jnp.isnan(ours(jnp.array([jnp.nan, 1.0], dtype), *CALLS[name])).tolist() == [True, False]


@pytest.mark.parametrize("name", [name for name in CALLS if name not in ("softsign", "mish", "softplus")])
def test_second_derivatives_at_kinks(name):
    """Left out: where torch's second derivative is NaN (mish of 100), or another at a kink than its first derivative has (softplus)."""
    ours, theirs = getattr(F, name), getattr(T if hasattr(T, name) and name not in ("tanh", "sigmoid") else torch, name)
    x = torch.tensor([v for v in VALUES if abs(v) < 1e3], dtype=torch.float64, requires_grad=True)
    if name != "hardsigmoid":
        compare(ours, theirs, (x, *CALLS[name]), second=True)
    else:
        assert jax.vmap(jax.grad(jax.grad(F.hardsigmoid)))(jnp.array([-3.0, 0.0, 3.0])).tolist() == [0.0] * 3


@pytest.mark.parametrize("name", ["softsign", "mish", "softplus", "gelu", "glu", "prelu"])
def test_second_derivatives(name):
    weight = (tensor(5, dtype="float64", seed=3),) if name == "prelu" else ()
    compare(getattr(F, name), getattr(T, name), (tensor(3, 6 - len(weight), dtype="float64"), *weight), second=True)


@pytest.mark.parametrize("weight", [[0.25], [0.25, -2.0, 0.0, float("inf")]])
def test_prelu_keeps_infinity_out_of_gradients(weight):
    x = torch.tensor([[0.0, -0.0, float("inf"), 3.0], [-1.0, 2.0, 5.0, 1.0]], requires_grad=True)
    compare(F.prelu, T.prelu, (x, torch.tensor(weight, requires_grad=True)))


@pytest.mark.parametrize("name", ["gelu", "silu", "mish", "softplus", "elu", "selu", "celu", "hardswish", "logsigmoid", "softmax"])
def test_backward_keeps_one_array(name):
    """What the derivatives of our own are for."""
    call = (lambda x: F.softmax(x, 1)) if name == "softmax" else getattr(F, name)
    kept = jax.tree.leaves(jax.eval_shape(jax.jit(lambda x: jax.vjp(call, x)[1]), jnp.ones((64, 64))))
    assert sum(leaf.size for leaf in kept if leaf.ndim) == 64 * 64


def test_constants_may_have_derivatives():
    """A learned α or β is traced, and then JAX derives the formula."""
    x = jnp.array([-1.0, 2.0])
    for function, derivative in ((F.elu, jnp.expm1(-1.0)), (F.softplus, None), (F.leaky_relu, -1.0)):
        got = jax.grad(lambda c, function=function: function(x, c).sum())(0.5)
        near = (function(x, 0.501).sum() - function(x, 0.499).sum()) / 0.002
        assert abs(got - (near if derivative is None else derivative)) < 2e-3


def test_error_texts():
    x = jnp.ones((2, 3))
    for call, kind, text in (
        (lambda: F.gelu(x, "erf"), ArgumentError, "approximate argument must be either none or tanh, but got 'erf'"),
        (lambda: F.celu(x, 0), ArgumentError, "alpha cannot be 0 for CELU"),
        (lambda: F.softshrink(x, -1.0), ArgumentError, "lambda must be greater or equal to 0, but found to be -1.0"),
        (lambda: F.hardtanh(x, 2.0, 1.0), ArgumentError, "min_val cannot be greater than max_val: got min_val=2.0 and max_val=1.0"),
        (lambda: F.glu(x), ShapeError, "Halving dimension must be even, but dimension 1 is size 3"),
        (lambda: F.prelu(x, jnp.ones(2)), ShapeError, "Found parameter numbers = 2 and channel size = 3"),
        (lambda: F.prelu(x, jnp.ones(3, jnp.float16)), DtypeError, "Type promoting not supported. Got float32 and float16"),
        (lambda: F.silu(jnp.ones(2, jnp.int32)), DtypeError, "input must be floating point. Convert it"),
    ):
        with pytest.raises(kind, match=text):
            call()
