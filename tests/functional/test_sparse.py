"""embedding and one_hot against torch."""

import jax
import jax.numpy as jnp
import pytest
import torch.nn.functional as T
from oracle import compare, indices, mode, tensor, to_jax

import funnn.functional as F
from funnn.errors import DtypeError, ShapeError


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


ERRORS = [
    (lambda: F.embedding(jnp.ones(3), jnp.ones((4, 2))), DtypeError, "scalar types: Long, Int; but got float32 instead"),
    (lambda: F.embedding(jnp.ones(3, jnp.int32), jnp.ones(4)), ShapeError, "'weight' must be 2-D"),
    (lambda: F.embedding(jnp.ones(3, jnp.int32), jnp.ones((4, 2)), 4), ValueError, "Padding_idx must be within num_embeddings"),
    (
        lambda: F.embedding(jnp.ones(3, jnp.int32), jnp.ones((4, 2)), max_norm=1.0),
        NotImplementedError,
        "embedding: max_norm=1.0 is",
    ),
    (
        lambda: F.embedding(jnp.ones(3, jnp.int32), jnp.ones((4, 2)), scale_grad_by_freq=True),
        NotImplementedError,
        "scale_grad_by_freq",
    ),
    (lambda: F.embedding(jnp.ones(3, jnp.int32), jnp.ones((4, 2)), sparse=True), NotImplementedError, "sparse=True is not implemented"),
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
