"""conv1d, conv2d, conv3d and linear against torch."""

import itertools

import jax.numpy as jnp
import pytest
import torch.nn.functional as T
from oracle import compare, mode, tensor

import funnn.functional as F
from funnn.errors import DtypeError, ShapeError

# dimensions, input, weight, keyword arguments
CASES = [
    (1, (2, 3, 9), (4, 3, 3), {}),
    (1, (3, 9), (4, 3, 3), {"padding": "same"}),
    (1, (2, 3, 9), (4, 3, 4), {"padding": "same", "dilation": 2}),
    (1, (2, 4, 9), (4, 1, 3), {"groups": 4, "stride": 2, "padding": 1}),
    (2, (2, 3, 8, 7), (4, 3, 3, 3), {}),
    (2, (2, 3, 8, 7), (4, 3, 3, 2), {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}),
    (2, (2, 3, 8, 7), (4, 3, 2, 4), {"padding": "same"}),
    (2, (2, 3, 8, 7), (4, 3, 3, 3), {"padding": "valid", "stride": 3}),
    (2, (3, 8, 7), (4, 3, 3, 3), {"padding": 2}),
    (2, (2, 4, 8, 7), (6, 2, 3, 3), {"groups": 2}),
    (2, (0, 3, 8, 7), (4, 3, 3, 3), {}),
    (2, (1, 1, 1, 1), (1, 1, 1, 1), {}),
    (2, (1, 2, 3, 3), (2, 2, 3, 3), {"stride": 5}),
    (3, (2, 2, 5, 4, 4), (3, 2, 2, 3, 2), {"stride": (1, 2, 1), "padding": (0, 1, 1)}),
    (3, (2, 5, 4, 4), (3, 2, 3, 3, 3), {"padding": "same"}),
]
ROWS = {1: (F.conv1d, T.conv1d), 2: (F.conv2d, T.conv2d), 3: (F.conv3d, T.conv3d)}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("n", "size", "kernel", "kwargs"), CASES)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_conv_matches_torch(n, size, kernel, kwargs, dtype):
    bias = tensor(kernel[0], dtype=dtype) if sum(size) % 2 else None
    with mode(dtype):
        compare(*ROWS[n], (tensor(*size, dtype=dtype), tensor(*kernel, dtype=dtype, seed=1), bias), kwargs)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_conv_half_precision(dtype):
    args = (tensor(2, 3, 6, 6, dtype=dtype), tensor(4, 3, 3, 3, dtype=dtype), tensor(4, dtype=dtype))
    compare(F.conv2d, T.conv2d, args, tolerance=(3e-2, 6e-2))


@pytest.mark.parametrize(("size", "weight", "bias"), [((8, 5), (3, 5), (3,)), ((5,), (3, 5), (3,)), ((2, 0, 5), (3, 5), None)])
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_linear_matches_torch(size, weight, bias, dtype):
    args = (tensor(*size, dtype=dtype), tensor(*weight, dtype=dtype, seed=1), bias and tensor(*bias, dtype=dtype, seed=2))
    with mode(dtype):
        compare(F.linear, T.linear, args)


@pytest.mark.parametrize(("size", "weight", "bias"), [((2, 3, 5), (4, 5), (4,)), ((8, 5), (5,), None), ((3, 0), (4, 0), (4,))])
def test_linear_shapes(size, weight, bias):
    compare(F.linear, T.linear, (tensor(*size), tensor(*weight, seed=1), bias and tensor(*bias, seed=2)))


ERRORS = [
    (F.linear, ((8, 5), (3, 4)), {}, ShapeError, r"mat1 and mat2 shapes cannot be multiplied \(8x5 and 4x3\).*in_features=5"),
    (F.linear, ((2, 8, 5), (3, 4)), {}, ShapeError, r"\(16x5 and 4x3\)"),
    (F.linear, ((), (3, 5)), {}, ShapeError, "both arguments to linear need to be at least 1D, but they are 0D and 2D"),
    (F.linear, ((8, 5), (3, 5), (4,)), {}, ShapeError, r"bias.*must match.*\[4\]"),
    (F.linear, ((8, 5), (3, 2, 5)), {}, ShapeError, r"weight must have shape \(out_features, in_features\), but got \[3, 2, 5\]"),
    (F.conv2d, ((1, 3, 8, 8), (4, 2, 3, 3)), {}, ShapeError, r"expected input\[1, 3, 8, 8\] to have 2 channels, but got 3 channels"),
    (F.conv2d, ((3, 8), (4, 2, 3, 3)), {}, ShapeError, r"Expected 3D \(unbatched\) or 4D \(batched\) input to conv2d, .*\[3, 8\]"),
    (F.conv1d, ((1, 3, 8, 8), (4, 2, 3)), {}, ShapeError, r"Expected 2D \(unbatched\) or 3D \(batched\) input to conv1d"),
    (F.conv2d, ((1, 3, 8, 8), (4, 3, 3)), {}, ShapeError, "expected a 4D weight"),
    (F.conv2d, ((1, 3, 2, 2), (4, 3, 3, 3)), {}, ShapeError, r"input size per channel: \(2 x 2\). Kernel size: \(3 x 3\)."),
    (F.conv2d, ((1, 3, 8, 8), (4, 3, 3, 3), (5,)), {}, ShapeError, r"bias to be 1-dimensional with 4 elements, but got bias of size \[5\]"),
    (F.conv2d, ((1, 4, 8, 8), (3, 2, 3, 3)), {"groups": 2}, ShapeError, "expected weight to be divisible by 2 at dimension 0"),
    (F.conv2d, ((1, 4, 8, 8), (4, 4, 3, 3)), {"stride": (1, 2, 3)}, ShapeError, "stride to be a single integer value or a list of 2"),
    (F.conv2d, ((1, 4, 8, 8), (4, 4, 3, 3)), {"stride": 1.5}, TypeError, "stride must be an int or a tuple of ints, but got 1.5"),
    (F.conv2d, ((1, 4, 8, 8), (4, 4, 3, 3)), {"stride": 0}, ValueError, "non-positive stride is not supported"),
    (F.conv2d, ((1, 4, 8, 8), (4, 4, 3, 3)), {"groups": 0}, ValueError, "non-positive groups is not supported"),
    (F.conv2d, ((1, 4, 8, 8), (4, 4, 3, 3)), {"padding": -1}, ValueError, "negative padding is not supported"),
    (F.conv2d, ((1, 4, 8, 8), (4, 4, 3, 3)), {"dilation": 0}, ValueError, "dilation should be greater than zero"),
    (F.conv2d, ((1, 4, 8, 8), (4, 4, 3, 3)), {"padding": "same", "stride": 2}, ValueError, "padding='same' is not supported for strided"),
    (F.conv2d, ((1, 4, 8, 8), (4, 4, 3, 3)), {"padding": "foo"}, ValueError, "Invalid padding string: 'foo'"),
]


@pytest.mark.parametrize(("function", "shapes", "kwargs", "error", "text"), ERRORS)
def test_errors(function, shapes, kwargs, error, text):
    with pytest.raises(error, match=text):
        function(*[jnp.ones(s) for s in shapes], **kwargs)


@pytest.mark.parametrize(("function", "weight"), [(F.linear, (3, 4)), (F.conv1d, (2, 3, 1))])
def test_dtype_errors(function, weight):
    with pytest.raises(
        DtypeError, match=r"expected input and weight to have the same dtype, but got: int32 != float32\. Convert one of them"
    ):
        function(jnp.ones((3, 4), jnp.int32), jnp.ones(weight))
    with pytest.raises(DtypeError, match="expected input and weight to have the same dtype, but got: float32 != bfloat16"):
        function(jnp.ones((3, 4)), jnp.ones(weight, jnp.bfloat16))
    with pytest.raises(TypeError, match="input must be an array, but got list"):
        function([1.0], jnp.ones(weight))


def test_same_padding_sizes():
    for kernel, dilation in itertools.product((1, 2, 3, 4), (1, 2)):
        assert F.conv1d(jnp.ones((1, 9)), jnp.ones((1, 1, kernel)), padding="same", dilation=dilation).shape == (1, 9)


@pytest.mark.parametrize(
    ("n", "size", "weight", "kwargs"),
    [
        (1, (2, 3, 5), (3, 4, 3), {"dilation": 3, "output_padding": 2}),  # an output longer than the windows reach
        (2, (2, 3, 5, 4), (3, 4, 3, 2), {"stride": (2, 3), "padding": (1, 0), "output_padding": (1, 2)}),
        (2, (2, 4, 5, 4), (4, 3, 3, 3), {"groups": 2, "stride": 2}),
        (3, (2, 3, 3, 4), (2, 2, 2, 3, 1), {"padding": (0, 1, 0)}),
    ],
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_conv_transpose_matches_torch(n, size, weight, kwargs, dtype):
    functions = (getattr(library, f"conv_transpose{n}d") for library in (F, T))
    with mode(dtype):
        compare(*functions, (tensor(*size, dtype=dtype), tensor(*weight, dtype=dtype, seed=1)), kwargs)
