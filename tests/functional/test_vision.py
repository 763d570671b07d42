"""interpolate, grid_sample, affine_grid, the shuffles and fold against torch, where its database does not look."""

import itertools
import random
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as T
from oracle import compare, mode, tensor, to_jax

import funnn.functional as F
from funnn.errors import ArgumentError, DtypeError, ShapeError

SPATIAL = {"nearest": 1, "nearest-exact": 3, "linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3, "area": 2}


def scales(seed: int, n: int) -> tuple:
    return tuple(random.Random(seed + i).choice([2.0, 0.5, 1.1, 2.1, 1 / 3, 0.71]) for i in range(n))


@pytest.mark.parametrize("recompute", [None, True])
@pytest.mark.parametrize("name", list(SPATIAL))
def test_scale_factors(name, recompute):
    """With a scale_factor that says otherwise than the sizes, positions follow the factor unless it is recomputed."""
    n = SPATIAL[name]
    for seed in range(4):
        x = tensor(2, 3, *(7 + seed, 9, 6)[:n], grad=name != "nearest")  # whose gradient is not that of its values in torch
        compare(F.interpolate, T.interpolate, (x, None, scales(seed, n), name, None, recompute))


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
def test_corners_and_antialias_in_float64(name, align_corners, antialias):
    with mode("float64"):
        for size in ((1, 13), (40, 3), (9, 11)):
            args = (tensor(2, 3, 9, 11, dtype="float64"), size, None, name, align_corners, None, antialias)
            compare(F.interpolate, T.interpolate, args)
            compare(F.interpolate, T.interpolate, args, second=True)


def nearest_index(name: str, shape: tuple, dtype: torch.dtype, **how) -> tuple[np.ndarray, np.ndarray]:
    x = torch.arange(shape[-1]).to(dtype).expand(shape).contiguous()
    with mode("float64") if dtype is torch.float64 else warnings.catch_warnings():
        return np.asarray(F.interpolate(to_jax(x), mode=name, **how)), T.interpolate(x, mode=name, **how).numpy()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.uint8], ids=str)
@pytest.mark.parametrize("name", ["nearest", "nearest-exact"])
def test_nearest_takes_torchs_pixels(name, dtype):
    """Positions on the edge between two pixels fall to one side by the last bit of the arithmetic."""
    for size, output in [(49, 7), (7, 49), (10, 3), (3, 1000), (100, 101), (241, 480), (6, 6), (5, 10)]:
        np.testing.assert_array_equal(*nearest_index(name, (1, 1, size), dtype, size=output))
        np.testing.assert_array_equal(*nearest_index(name, (1, 5, 2, size), dtype, size=(3, output)))
    for size, factor in [(4, 2.1), (9, 1.1), (9, 1 / 3), (30, 0.3), (13, 2.5)]:
        np.testing.assert_array_equal(*nearest_index(name, (1, 1, size), dtype, scale_factor=factor))
        for height in (2, 130):  # for large images torch has another rule
            np.testing.assert_array_equal(*nearest_index(name, (1, 5, height, size), dtype, scale_factor=(1.0, factor)))


@pytest.mark.parametrize(("name", "antialias"), [*itertools.product(("bilinear", "bicubic"), (False, True)), ("lanczos", True)])
def test_bytes_are_torchs_to_the_last_one(name, antialias):
    generator = torch.Generator().manual_seed(0)
    for channels, size, corners in itertools.product((1, 3, 5), ((3, 40), (31, 12), (9, 11)), (False, True)):
        if corners and name == "lanczos":
            continue
        x = torch.randint(0, 256, (2, channels, 9, 11), generator=generator, dtype=torch.uint8)
        expected = T.interpolate(x, size, mode=name, align_corners=corners, antialias=antialias)
        got = jax.jit(lambda x, s=size, c=corners: F.interpolate(x, s, mode=name, align_corners=c, antialias=antialias))(to_jax(x))
        np.testing.assert_array_equal(got, expected.numpy())


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 1, 5)])
def test_large_factors_and_single_pixels(shape):
    for name in ("nearest", "bilinear", "bicubic", "area"):
        compare(F.interpolate, T.interpolate, (tensor(*shape), (70, 41), None, name))
    compare(F.interpolate, T.interpolate, (tensor(2, 1, 70, 41), (1, 2), None, "area"))
    assert F.interpolate(jnp.ones((2, 3, 1)), scale_factor=0.5, mode="area").shape == (2, 3, 0)
    compare(F.interpolate, T.interpolate, (tensor(2, 1, 70, 41), (2, 2), None, "bilinear", None, None, True))


def test_an_infinite_pixel_stays_near():
    """A matrix block spreads it over the block's outputs, and no further; where nothing is averaged it stays where it is."""
    x = jnp.zeros((1, 1, 4, 1000)).at[..., 0, 2].set(jnp.inf)
    assert jnp.isfinite(F.interpolate(x, (4, 2000), mode="bilinear")[..., 300:]).all()
    assert np.flatnonzero(~np.isfinite(F.interpolate(x, (4, 700), mode="nearest")[0, 0, 0])).tolist() == [2]


def test_former_names_warn_as_torchs():
    x = tensor(1, 2, 3, 4, grad=False)
    for name, args in (("upsample", (None, 2, "bilinear", True)), ("upsample_nearest", ((5, 6),)), ("upsample_bilinear", (None, 2))):
        with pytest.warns(UserWarning, match=f"`nn.functional.{name}` is deprecated") as found:
            got = getattr(F, name)(to_jax(x), *args)
        assert found[0].filename == __file__
        with pytest.warns(UserWarning):
            np.testing.assert_allclose(got, getattr(T, name)(x, *args).numpy(), rtol=1e-5, atol=1e-6)


# -- grids


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize(("name", "n"), [("bilinear", 2), ("nearest", 2), ("bicubic", 2), ("bilinear", 3), ("nearest", 3)])
def test_grid_sample_in_float64(name, n, padding, align_corners):
    x, grid = tensor(2, 3, *(5, 4, 3)[:n], dtype="float64"), tensor(2, *(4, 3, 6)[:n], n, dtype="float64")
    with mode("float64"):
        compare(F.grid_sample, T.grid_sample, (x, grid.detach().mul(1.5).requires_grad_(), name, padding, align_corners))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["bilinear", "nearest", "bicubic"])
def test_grid_sample_rounds_half_precision_once(name, dtype):
    x, grid = tensor(2, 3, 5, 4, dtype=dtype, grad=False), tensor(2, 4, 3, 2, dtype=dtype, grad=False)
    got = F.grid_sample(to_jax(x), to_jax(grid), name, align_corners=False)
    expected = T.grid_sample(x.float(), grid.float(), name, align_corners=False)
    np.testing.assert_allclose(got.astype(jnp.float32), expected.to(x.dtype).float().numpy(), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("name", ["bilinear", "nearest", "bicubic"])
def test_grid_sample_far_outside(name, padding):
    far = torch.tensor([[[[float("nan"), 0], [float("inf"), 0], [1e30, 0], [-1e30, 0.3], [-float("inf"), 0]]]])
    x = torch.arange(9.0).reshape(1, 1, 3, 3) + 1
    got = F.grid_sample(to_jax(x), to_jax(far), name, padding, False)
    np.testing.assert_allclose(got, T.grid_sample(x, far, name, padding, False).numpy(), rtol=1e-5)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("theta", "size"), [((2, 2, 3), (2, 1, 4, 5)), ((1, 3, 4), (1, 2, 3, 4, 5)), ((1, 2, 3), (1, 1, 3, 2))])
def test_affine_grid(theta, size, align_corners):
    compare(F.affine_grid, T.affine_grid, (tensor(*theta), size, align_corners))


def test_grids_warn_where_the_default_of_align_corners_changed():
    with pytest.warns(UserWarning, match="Please specify align_corners=True if the old behavior is desired") as found:
        grid = F.affine_grid(jnp.eye(2, 3)[None], (1, 1, 2, 2))
    assert found[0].filename == __file__
    with pytest.warns(UserWarning, match="Please specify align_corners=True"):
        F.grid_sample(jnp.ones((1, 1, 2, 2)), grid)
    with pytest.warns(UserWarning, match="unit-size grids"):
        F.affine_grid(jnp.eye(2, 3)[None], (1, 1, 1, 2), True)


# -- fold


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fold_and_unfold(dtype):
    with mode(dtype):
        for kernel, dilation, padding, stride in [(2, 1, 0, 1), ((3, 2), (1, 2), (2, 1), (2, 3)), (3, 1, 2, 4), ((1, 4), 1, 0, (5, 2))]:
            x = tensor(2, 3, 8, 9, dtype=dtype)
            compare(F.unfold, T.unfold, (x, kernel, dilation, padding, stride))
            columns = T.unfold(x.detach(), kernel, dilation, padding, stride).requires_grad_()
            compare(F.fold, T.fold, (columns, (8, 9), kernel, dilation, padding, stride))


def test_fold_sums_half_precision_in_float32():
    columns = jnp.ones((64, 1), jnp.float16) * 1e-4
    columns = jnp.concatenate([columns.at[0].set(1000.0)] * 1, 1)
    assert F.fold(columns, (8, 8), 8)[0, 0, 0] == 1000.0
    one = jnp.full((16, 81), 0.1, jnp.bfloat16)
    assert F.fold(one, (12, 12), 4)[0, 5, 5] == jnp.asarray(16 * jnp.asarray(0.1, jnp.bfloat16).astype(jnp.float32), jnp.bfloat16)


X4, X3 = jnp.ones((1, 4, 3, 3)), jnp.ones((1, 2, 3))
ERRORS = [
    (lambda: F.interpolate(X4), ArgumentError, "either size or scale_factor should be defined"),
    (lambda: F.interpolate(X4, 2, 2), ArgumentError, "only one of size or scale_factor should be defined"),
    (lambda: F.interpolate(X4, (2,)), ShapeError, "Input and output must have the same number of spatial dimensions"),
    (lambda: F.interpolate(X4, scale_factor=(2,)), ShapeError, "Input and scale_factor must have the same number"),
    (lambda: F.interpolate(X4, 2.5), TypeError, "expected size to be an int or a tuple of ints"),
    (lambda: F.interpolate(X4, 2, mode="area", align_corners=True), ArgumentError, "align_corners option can only be set with"),
    (lambda: F.interpolate(X4, 2, recompute_scale_factor=True), ArgumentError, "not meaningful with an explicit size"),
    (lambda: F.interpolate(X3, 2, mode="linear", antialias=True), ArgumentError, "Anti-alias option is restricted"),
    (lambda: F.interpolate(X4, 2, mode="lanczos"), ArgumentError, "Lanczos mode requires antialias=True"),
    (lambda: F.interpolate(X4, 2, mode="linear"), NotImplementedError, "Got 4D input, but linear mode needs 3D input"),
    (lambda: F.interpolate(X4[0, 0], (), mode="nearest"), NotImplementedError, "Only 3D, 4D and 5D input Tensors supported"),
    (lambda: F.interpolate(X4, 2, mode="cubic"), NotImplementedError, r"\(got cubic\)"),
    (lambda: F.interpolate(X4, 0), ShapeError, "Input and output sizes should be greater than 0"),
    (lambda: F.interpolate(X4.astype(int), 2), DtypeError, "must be floating point or uint8"),
    (lambda: F.interpolate(X3.astype(jnp.uint8), 2, mode="linear"), DtypeError, "must be floating point. Convert"),
    (lambda: F.grid_sample(X4, jnp.ones((2, 2, 2, 2)), align_corners=True), ShapeError, "to have same batch size"),
    (lambda: F.grid_sample(X4, jnp.ones((1, 2, 2, 3)), align_corners=True), ShapeError, "to have size 2 in last dimension"),
    (lambda: F.grid_sample(X4, jnp.ones((1, 2, 2, 2)), "cubic"), ValueError, "expected mode to be 'bilinear', 'nearest' or 'bicubic'"),
    (lambda: F.grid_sample(X4, jnp.ones((1, 2, 2, 2)), padding_mode="wrap"), ValueError, "expected padding_mode to be"),
    (lambda: F.grid_sample(X4, jnp.ones((1, 2, 2, 2), jnp.float16), align_corners=True), DtypeError, "float32 != float16"),
    (lambda: F.affine_grid(jnp.ones((1, 2, 3)), (1, 2, 3), True), NotImplementedError, "only supports 4D and 5D sizes"),
    (lambda: F.affine_grid(jnp.ones((1, 2, 3)), (2, 2, 3, 3), True), ValueError, "batch of 2D affine matrices of shape Nx2x3"),
    (lambda: F.affine_grid(jnp.ones((1, 2, 3), int), (1, 2, 3, 3), True), ValueError, "theta to have floating point type"),
    (lambda: F.pixel_shuffle(X4, 3), ShapeError, r"input.size\(-3\)=4 is not divisible by 9"),
    (lambda: F.pixel_shuffle(X4, 0), ShapeError, "expects a positive upscale_factor, but got 0"),
    (lambda: F.pixel_unshuffle(X4, 2), ShapeError, r"expects height to be divisible by downscale_factor, but input.size\(-2\)=3"),
    (lambda: F.channel_shuffle(X4, 3), ShapeError, "Got 4 channels and 3 groups"),
    (lambda: F.channel_shuffle(X4[0, 0], 1), ShapeError, "expects input with > 2 dims"),
    (lambda: F.unfold(X4, 4), ShapeError, r"calculated shape of the array of sliding blocks as \(0, 0\)"),
    (lambda: F.unfold(X4, 2, stride=0), ShapeError, "stride should be greater than zero"),
    (lambda: F.fold(jnp.ones((7, 4)), 3, 2), ShapeError, r"input.size\(1\)=7 and kernel_size=\(2, 2\)"),
    (lambda: F.fold(jnp.ones((8, 5)), 3, 2), ShapeError, r"sliding blocks 2 \* 2 = 4, but got input.size\(2\)=5"),
    (lambda: F.fold(jnp.ones((8, 4), int), 3, 2), DtypeError, '"fold" not implemented for int'),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()
