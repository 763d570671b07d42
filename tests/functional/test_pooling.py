"""The six pools against torch."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as T
from oracle import compare, mode, tensor

import funnn.functional as F
from funnn.errors import DtypeError, ShapeError

MAX = {1: (F.max_pool1d, T.max_pool1d), 2: (F.max_pool2d, T.max_pool2d), 3: (F.max_pool3d, T.max_pool3d)}
AVG = {1: (F.avg_pool1d, T.avg_pool1d), 2: (F.avg_pool2d, T.avg_pool2d), 3: (F.avg_pool3d, T.avg_pool3d)}

# kernel_size, stride, padding, ceil_mode, for each of these inputs
WINDOWS = [
    (2, None, 0, False),  # tiles, with a remainder where the size is odd
    (2, None, 0, True),
    (3, 2, 1, False),
    (3, 2, 1, True),
    (2, 3, 1, True),  # windows that start in the right padding are dropped
    (3, 1, 1, False),
    (1, 2, 0, False),
]
INPUTS = [(1, (3, 9)), (2, (2, 3, 8, 7)), (2, (3, 5, 6)), (2, (0, 3, 6, 6)), (3, (1, 2, 4, 5, 6))]


@pytest.mark.parametrize(("n", "size"), INPUTS)
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.filterwarnings("ignore:Note that order of the arguments")
def test_pools_match_torch(n, size, window):
    kernel, stride, padding, ceil = window
    with mode("float64"):
        # ties tell whether the gradient goes to the first maximum
        x = tensor(*size, dtype="float64", ties=True)
        compare(*MAX[n], (x, kernel, stride, padding), {"ceil_mode": ceil})
        compare(*AVG[n], (x, kernel, stride, padding, ceil), {"count_include_pad": sum(size) % 2 == 0})


OPTIONS = [
    (MAX[1], (2, 3, 40), {"kernel_size": 34, "stride": 2, "padding": 3, "ceil_mode": True}),  # a window too long to unroll
    (MAX[1], (2, 3, 12), {"kernel_size": 3, "dilation": 2, "stride": 3}),
    (MAX[2], (2, 3, 9, 8), {"kernel_size": (3, 2), "dilation": (2, 1), "padding": (1, 0)}),
    (MAX[2], (3, 9, 8), {"kernel_size": [3, 2], "stride": (1, 2), "ceil_mode": True}),
    (MAX[2], (1, 1, 1, 1), {"kernel_size": 1}),
    (MAX[2], (2, 3, 6, 6), {"kernel_size": 6}),
    (AVG[1], (2, 3, 80), {"kernel_size": 40, "stride": 3, "padding": 20}),
    (AVG[2], (2, 3, 9, 8), {"kernel_size": (3, 2), "stride": (2, 3), "padding": (1, 0), "ceil_mode": True}),
    (AVG[2], (2, 3, 9, 8), {"kernel_size": 3, "padding": 1, "divisor_override": 4}),
    (AVG[2], (2, 3, 9, 8), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False}),
    (AVG[3], (2, 4, 5, 6), {"kernel_size": 2, "padding": 1, "ceil_mode": True, "divisor_override": -3}),
]


@pytest.mark.parametrize(("pair", "size", "kwargs"), OPTIONS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_options(pair, size, kwargs, dtype):
    if dtype == "bfloat16" and pair is AVG[3]:
        pytest.skip("torch has no avg_pool3d for bfloat16 on a CPU")
    with mode(dtype):
        compare(*pair, (tensor(*size, dtype=dtype),), kwargs)


@pytest.mark.parametrize("size", [(4, 4), (5, 5)])
@pytest.mark.parametrize("stride", [1, 2])
def test_nan_spreads_as_in_torch(size, stride):
    x = np.tile(np.arange(size[0] * size[1], dtype=np.float32).reshape(size), (9, 1, 1))
    for item, (i, j) in enumerate(itertools.product(range(3), range(3))):
        x[item, i, j] = np.nan
    compare(*MAX[2], (torch.tensor(x, requires_grad=True), 2, stride))
    compare(*AVG[2], (torch.tensor(x, requires_grad=True), 2, stride))


def test_ties_go_to_the_first_in_every_mode():
    x = jnp.zeros((1, 4, 4))
    for stride, expected in ((2, [[1, 0, 1, 0], [0] * 4] * 2), (1, [[1, 1, 1, 0]] * 3 + [[0] * 4])):
        gradient = jax.jit(jax.grad(lambda x, s=stride: F.max_pool2d(x, 2, s).sum()))(x)
        assert gradient[0].tolist() == expected
        tangent = jnp.arange(16.0).reshape(1, 4, 4)
        _, along = jax.jit(lambda x, t, s=stride: jax.jvp(lambda x: F.max_pool2d(x, 2, s), (x,), (t,)))(x, tangent)
        assert along.sum() == (gradient * tangent).sum()


def test_integers():
    x = torch.randint(-9, 9, (1, 2, 5, 6))
    assert F.max_pool2d(jnp.asarray(x.numpy()), 3, 2, 1).tolist() == T.max_pool2d(x, 3, 2, 1).tolist()
    with pytest.raises(DtypeError, match=r'"avg_pool2d" not implemented for int32: input must be floating point'):
        F.avg_pool2d(jnp.ones((1, 4, 4), jnp.int32), 2)


ERRORS = [
    (F.max_pool2d, (3, 8), {"kernel_size": 2}, ShapeError, r"max_pool2d: Expected 3D or 4D \(batch mode\) tensor.*but got:\[3, 8\]"),
    (F.avg_pool1d, (8,), {"kernel_size": 2}, ShapeError, r"avg_pool1d: Expected 2D or 3D"),
    (F.max_pool2d, (2, 0, 2, 2), {"kernel_size": 2}, ShapeError, r"optional 0 dim batch size for input.*\[2, 0, 2, 2\]"),
    (F.max_pool2d, (1, 3, 2, 2), {"kernel_size": 3}, ShapeError, r"\(3x2x2\). Calculated output size: \(3x0x0\). Output size is too small"),
    (F.max_pool2d, (1, 8, 8), {"kernel_size": 2, "padding": 2}, ValueError, "at most half of effective kernel size, but got pad=2"),
    (F.avg_pool2d, (1, 8, 8), {"kernel_size": 2, "padding": -1}, ValueError, "pad must be non-negative, but got pad: -1"),
    (F.max_pool2d, (1, 8, 8), {"kernel_size": 2, "stride": 0}, ValueError, "stride should be greater than zero"),
    (F.max_pool2d, (1, 8, 8), {"kernel_size": 2, "dilation": 0}, ValueError, "dilation should be greater than zero"),
    (F.max_pool2d, (1, 8, 8), {"kernel_size": (2, 2, 2)}, ShapeError, "kernel_size to be a single integer value or a list of 2"),
    (F.avg_pool2d, (1, 8, 8), {"kernel_size": 2, "divisor_override": 0}, ValueError, "divisor must be not zero"),
    (F.max_pool2d, (1, 8, 8), {"kernel_size": 2, "return_indices": True}, NotImplementedError, "max_pool2d: return_indices=True"),
]


@pytest.mark.parametrize(("function", "size", "kwargs", "error", "text"), ERRORS)
def test_errors(function, size, kwargs, error, text):
    with pytest.raises(error, match=text):
        function(jnp.ones(size), **kwargs)
