"""cosine_similarity, pairwise_distance and pdist against torch: where norms vanish, and where elements tie."""

import jax.numpy as jnp
import pytest
import torch
import torch.nn.functional as T
from oracle import compare, mode, tensor

import funnn.functional as F
from funnn.errors import ArgumentError, DtypeError, ShapeError

INF = float("inf")


def pair(x: list, y: list, dtype: str) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.tensor(values, dtype=getattr(torch, dtype), requires_grad=True) for values in (x, y))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([0.0, 0.0, 0.0], [1.0, 2.0, 3.0]),
        ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
        ([1e-9, 0.0, 0.0], [1e-9, 1e-9, 0.0]),
        ([1e18, 1e18, 0.0], [1e18, -1e18, 1e18]),
        ([INF, 1.0, 1.0], [1.0, 1.0, 1.0]),
    ],
)
def test_cosine_similarity_at_extremes(x, y, dtype):
    """The derivative of a norm below eps is that of the norm, not 0."""
    with mode(dtype):
        compare(F.cosine_similarity, T.cosine_similarity, pair([x], [y], dtype))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_sums_are_not_rounded(dtype):
    x, y = tensor(3, 400, dtype=dtype), tensor(3, 400, dtype=dtype, seed=1)
    compare(F.cosine_similarity, T.cosine_similarity, (x, y))
    compare(F.pairwise_distance, T.pairwise_distance, (x, y))


@pytest.mark.parametrize("p", [0, 0.5, 1, 1.5, 2, 3, INF, -INF])
@pytest.mark.parametrize("eps", [1e-6, 0.0])
def test_pairwise_distance(p, eps):
    x, y = (
        [[1.0, 1.0, 2.0], [0.0, 0.0, 0.0], [1.0, 0.0, -1.0], [1.0, 1.0, 1.0]],
        [[1.0, 1.0, 2.0], [1.0, 2.0, 0.0], [0.0, 1.0, -2.0], [2.0, 2.0, 0.0]],
    )
    compare(F.pairwise_distance, T.pairwise_distance, (*pair(x, y, "float64"), p, eps))


@pytest.mark.parametrize("p", [0, 0.5, 1, 1.5, 2, 3, INF])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_pdist(p, dtype):
    """Equal rows, and differences of which several are the largest."""
    with mode(dtype):
        x = torch.tensor(
            [[1.0, 1.0, 2.0], [1.0, 1.0, 2.0], [0.0, 2.0, 3.0], [1.0, 0.0, -1.0]], dtype=getattr(torch, dtype), requires_grad=True
        )
        compare(F.pdist, T.pdist, (x, p))
        compare(F.pdist, T.pdist, (tensor(1, 3, dtype=dtype), p))


def test_second_derivatives():
    x, y = tensor(3, 4, dtype="float64"), tensor(3, 4, dtype="float64", seed=1)
    compare(F.cosine_similarity, T.cosine_similarity, (x, y), second=True)
    compare(F.pairwise_distance, T.pairwise_distance, (x, y), second=True)


def test_errors():
    x = jnp.ones((2, 3))
    for call, kind, text in (
        (lambda: F.cosine_similarity(x, jnp.ones((2, 4))), ShapeError, r"x1 of size \[2, 3\] and x2 of size \[2, 4\] do not broadcast"),
        (lambda: F.cosine_similarity(x, x, 2), IndexError, r"Dimension out of range \(expected to be in range of \[-2, 1\], but got 2\)"),
        (lambda: F.cosine_similarity(x > 0, x > 0), DtypeError, "must be floating point"),
        (lambda: F.pairwise_distance(x, jnp.ones((3, 3))), ShapeError, "do not broadcast together"),
        (lambda: F.pdist(x[0]), ShapeError, "pdist only supports 2D tensors, got: 1D"),
        (lambda: F.pdist(x, -1.0), ArgumentError, r"pdist only supports non-negative p values, but got p=-1.0"),
    ):
        with pytest.raises(kind, match=text):
            call()
