"""The pools and the ways back from them against torch: what PyTorch's database of operations does not cover."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as T
from oracle import compare, mode, tensor

import funnn.functional as F
import funnn.torch as ft
from funnn.errors import DtypeError, KeyRequiredError, ShapeError

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
    assert F.avg_pool2d(jnp.asarray(x.numpy()), 3, 2, 1).tolist() == T.avg_pool2d(x, 3, 2, 1).tolist()
    with pytest.raises(DtypeError, match=r'"avg_pool2d" not implemented for uint8: input must be floating point'):
        F.avg_pool2d(jnp.ones((1, 4, 4), jnp.uint8), 2)


TIED = torch.tensor([[0.0, 2.0, 2.0, 1.0, 2.0, 0.0, 2.0], [1.0, torch.nan, 3.0, torch.nan, 0.0, 0.0, 0.0]] * 3).reshape(1, 2, 3, 7)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("max_pool1d", (3, 2, 1)),
        ("max_pool2d", (2, 1, 1)),
        ("max_pool2d", (3, 2, 1, 1, True)),
        ("max_pool2d", ((2, 3), 1, 0, (1, 2))),
        ("adaptive_max_pool1d", (3,)),
        ("adaptive_max_pool2d", ((2, 4),)),
        ("fractional_max_pool2d", (2, (2, 4), None, False, torch.tensor([[[0.3, 0.9], [0.6, 0.1]]]))),
    ],
)
def test_ties_and_nan_in_indices_and_gradient(name, args):
    """Of equal elements the first, of several NaN the last, and padding never."""
    x = TIED.clone() if "2d" in name else TIED.flatten(0, 1)
    compare(getattr(F, f"{name}_with_indices"), getattr(T, f"{name}_with_indices"), (x.requires_grad_(), *args))


def test_indices_of_all_smallest():
    x = torch.full((1, 4, 4), -torch.inf)
    assert (
        F.max_pool2d(jnp.asarray(x.numpy()), 3, 2, 1, return_indices=True)[1].tolist()
        == T.max_pool2d(x, 3, 2, 1, return_indices=True)[1].tolist()
    )


def test_dtype_of_indices_follows_the_mode():
    for x64, dtype in ((False, jnp.int32), (True, jnp.int64)):
        with jax.enable_x64(x64):
            assert F.max_pool1d(jnp.ones((1, 4)), 2, return_indices=True)[1].dtype == dtype


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("output_size", [0, 1, 3, 5, 7])
def test_adaptive_pools_of_any_size(n, output_size):
    with mode("float64"):
        # torch has no derivative of an empty output
        x = tensor(2, 3, *(5, 4, 3)[:n], dtype="float64", ties=True, grad=output_size > 0)
        compare(getattr(F, f"adaptive_avg_pool{n}d"), getattr(T, f"adaptive_avg_pool{n}d"), (x, output_size))
        compare(getattr(F, f"adaptive_max_pool{n}d_with_indices"), getattr(T, f"adaptive_max_pool{n}d_with_indices"), (x, output_size))


@pytest.mark.parametrize("norm", [1.0, 2.0, 3.0, float("inf")])
@pytest.mark.filterwarnings("ignore:Note that order of the arguments")
def test_lp_pools(norm):
    with mode("float64"):
        for n, size in INPUTS[:2]:
            x = (tensor(*size, dtype="float64").detach().abs() + 0.1).requires_grad_()
            compare(getattr(F, f"lp_pool{n}d"), getattr(T, f"lp_pool{n}d"), (x, norm, 3, 2, True))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_unpool_is_the_way_back(n):
    with mode("float64"):
        x = tensor(2, 3, *(6, 4, 4)[:n], dtype="float64")
        y, where = getattr(T, f"max_pool{n}d")(x.detach(), 2, return_indices=True)
        compare(getattr(F, f"max_unpool{n}d"), getattr(T, f"max_unpool{n}d"), (y.requires_grad_(), where, 2))
        compare(getattr(F, f"max_unpool{n}d"), getattr(T, f"max_unpool{n}d"), (y, where, 2), second=True)


def test_unpool_with_one_place_for_many():
    """As in torch, each of them gets the gradient of the place."""
    x = jnp.array([[1.0, 2.0]])
    _, vjp = jax.vjp(lambda x: F.max_unpool1d(x, jnp.array([[3, 3]]), 2), x)
    assert vjp(jnp.arange(4.0)[None])[0].tolist() == [[3.0, 3.0]]


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fractional_pools_draw_torchs_numbers(n, dtype):
    size = (2, 3, *(9, 8, 7)[:n])
    results = []
    for t in (ft, torch):
        t.manual_seed(5)
        x = t.arange(2 * 3 * 504 // (7 if n == 2 else 1)).to(getattr(t, dtype)).reshape(size).sin()
        pool = getattr(t.nn.functional, f"fractional_max_pool{n}d_with_indices")
        results.append([a.tolist() for a in pool(x, 2, output_ratio=(0.5,) * n)] + [t.rand(1).item()])
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-6)
    assert results[0][1:] == results[1][1:]


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
    (F.adaptive_avg_pool2d, (3, 8), {"output_size": 2}, ShapeError, r"adaptive_avg_pool2d: Expected 3D or 4D tensor, but got \[3, 8\]"),
    (F.adaptive_max_pool2d, (3, 8, 8), {"output_size": (2, 2, 2)}, ShapeError, "output_size must be an int or have 2 elements"),
    (F.adaptive_max_pool1d, (3, 8), {"output_size": -1}, ValueError, "greater than or equal to 0, but got"),
    (
        F.fractional_max_pool2d,
        (1, 8, 8),
        {"kernel_size": 2, "output_size": 3},
        KeyRequiredError,
        "fractional_max_pool2d with _random_samples=None",
    ),
    (F.fractional_max_pool2d, (1, 8, 8), {"kernel_size": 2}, ValueError, "requires specifying either an output_size or an output_ratio"),
    (F.fractional_max_pool2d, (1, 8, 8), {"kernel_size": 6, "output_size": 5}, ValueError, "too large relative to input size"),
]


@pytest.mark.parametrize(("function", "size", "kwargs", "error", "text"), ERRORS)
def test_errors(function, size, kwargs, error, text):
    with pytest.raises(error, match=text):
        function(jnp.ones(size), **kwargs)
