"""flatten and unflatten against torch."""

import jax.numpy as jnp
import pytest
import torch
from oracle import compare, tensor

import funnn.functional as F
from funnn.errors import ShapeError
from funnn.layers import Unflatten


@pytest.mark.parametrize(
    ("size", "args"),
    [((2, 3, 4), ()), ((2, 3, 4), (1,)), ((2, 3, 4), (0, 1)), ((), ()), ((0, 3, 2), (1,)), ((0, 3), ())],
)
def test_flatten(size, args):
    compare(F.flatten, torch.flatten, (tensor(*size), *args))


@pytest.mark.parametrize(("size", "dim", "sizes"), [((2, 12), 1, (3, -1)), ((2, 12), -1, [2, 2, 3]), ((0, 4), 0, (0, 2))])
def test_unflatten(size, dim, sizes):
    compare(F.unflatten, torch.unflatten, (tensor(*size), dim, sizes))


ERRORS = [
    (lambda x: F.flatten(x, 1, 0), ShapeError, "start_dim cannot come after end_dim"),
    (lambda x: F.flatten(x, 5), IndexError, r"Dimension out of range \(expected to be in range of \[-2, 1\], but got 5\)"),
    (lambda x: F.unflatten(x, 1, (5, -1)), ShapeError, r"Provided sizes \[5, -1\] don't multiply up to the size of dim 1 \(12\)"),
    (lambda x: F.unflatten(x, 1, (5, 2)), ShapeError, r"Provided sizes \[5, 2\] don't multiply up"),
    (lambda x: F.unflatten(x, 1, (-1, -1)), ShapeError, "only one dimension can be inferred"),
    (lambda x: F.unflatten(x, 1, ()), ShapeError, "sizes must be non-empty"),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call(jnp.ones((2, 12)))


@pytest.mark.parametrize("sizes", [6, (2, "a"), (2.0, 3)])
def test_unflattened_size_is_refused(sizes):
    for kind in (torch.nn.Unflatten, Unflatten):
        with pytest.raises(TypeError, match=r"unflattened_size must be a? ?tuple of ints, but found"):
            kind(1, sizes)
