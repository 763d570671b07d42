"""relu, tanh, sigmoid, softmax and log_softmax against torch."""

import jax
import jax.numpy as jnp
import pytest
import torch
import torch.nn.functional as T
from oracle import compare, mode, tensor

import funnn.functional as F
from funnn.errors import DtypeError

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
