"""linear, bilinear, and the products in groups and with scales, against torch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as T
from oracle import assert_same, compare, mode, tensor

import funnn.functional as F
import funnn.torch as ft
from funnn.errors import ArgumentError, DtypeError, ShapeError


def test_precision_and_type_of_the_sums():
    x, w, b = (jnp.asarray(tensor(*shape).detach().numpy(), jnp.bfloat16) for shape in ((4, 64), (3, 64), (3,)))
    wide = F.linear(x, w, b, preferred_element_type=jnp.float32)
    assert wide.dtype == jnp.float32
    assert_same(wide, T.linear(*(torch.from_numpy(np.asarray(a, np.float32)) for a in (x, w, b))), "linear")
    assert "HIGHEST" in str(jax.make_jaxpr(lambda: F.linear(x, w, precision="highest"))())


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("shape", [(), (3,), (0,), (2, 3)])
def test_linear(shape, dtype):
    with mode(dtype):
        x, w = tensor(*shape, 4, dtype=dtype), tensor(5, 4, dtype=dtype)
        compare(F.linear, T.linear, (x, w, tensor(5, dtype=dtype)))
        compare(F.linear, T.linear, (x, tensor(4, dtype=dtype)))
        # torch sums the products of bilinear in bfloat16 itself, in an order that depends on its threads
        tolerance = (5e-2, 5e-2) if dtype == "bfloat16" else None
        args = (x, tensor(*shape, 3, dtype=dtype), tensor(6, 4, 3, dtype=dtype), tensor(6, dtype=dtype))
        compare(F.bilinear, T.bilinear, args, tolerance=tolerance)


def test_integers():
    x, w = torch.randint(-5, 5, (2, 3)), torch.randint(-5, 5, (4, 3))
    with jax.enable_x64(True):
        assert_same(F.linear(jnp.asarray(x.numpy()), jnp.asarray(w.numpy())), T.linear(x, w), "linear")


def test_second_derivatives():
    x, y, w, b = (tensor(*size, dtype="float64") for size in ((3, 4), (3, 2), (5, 4, 2), (5,)))
    compare(F.bilinear, T.bilinear, (x, y, w, b), second=True)


def test_errors():
    x = jnp.ones((2, 3))
    with pytest.raises(ShapeError, match=r"mat1 and mat2 shapes cannot be multiplied \(2x3 and 4x5\)"):
        F.linear(x, jnp.ones((5, 4)))
    with pytest.raises(DtypeError, match="expected input and weight to have the same dtype, but got: float32 != float16"):
        F.linear(x, jnp.ones((5, 3), jnp.float16))
    with pytest.raises(DtypeError, match="not implemented for bool: input must hold numbers"):
        F.linear(x > 0, x > 0)
    with pytest.raises(ShapeError, match=r"input batch dimensions do not match: got \[2, 3\] and \[3, 3\]"):
        F.bilinear(x, jnp.ones((3, 3)), jnp.ones((1, 3, 3)))
    with pytest.raises(ShapeError, match=r"weight must have shape \(out_features, in1_features, in2_features\), but got \[1, 2, 3\]"):
        F.bilinear(x, x, jnp.ones((1, 2, 3)))


# Sizes of which every row is a multiple of 16 bytes, which torch asks for; name -> shapes of the operands, where the groups end
GROUPED = {
    "rows": ((24, 16), (3, 16, 8), (7, 7, 24)),
    "rows, some behind the last group": ((24, 16), (3, 16, 8), (5, 9, 20)),
    "one group": ((8, 16), (1, 16, 8), (8,)),
    "many rows": ((400, 16), (2, 16, 8), (131, 400)),
    "columns": ((3, 8, 16), (16, 24), (0, 16, 24)),
    "both": ((16, 24), (24, 8), (8, 8, 24)),
    "stacked": ((3, 8, 16), (3, 16, 8), None),
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", GROUPED)
def test_grouped_mm(name, dtype):
    a, b, ends = GROUPED[name]
    grouped = "behind" not in name  # torch's own gradient of rows that are in no group is what the memory held
    offs = None if ends is None else torch.tensor(ends, dtype=torch.int32)
    a, b = tensor(*a, dtype=dtype, grad=grouped), tensor(*b, dtype=dtype, seed=1, grad=grouped)
    tolerance = {"bfloat16": (2e-2, 1e-1), "float16": (4e-3, 2e-2)}.get(dtype)  # sums of up to 400 rounded numbers
    ours, theirs = (lambda a, b, offs, f=f: f(a, b, offs=offs)[: ends[-1] if ends else None] for f in (F.grouped_mm, T.grouped_mm))
    compare(ours, theirs, (a, b, offs), tolerance=tolerance)


def test_rows_in_no_group():
    a, b, offs = jnp.ones((5, 2)), jnp.ones((2, 2, 3)), jnp.array([1, 3], jnp.int32)
    y, vjp = jax.vjp(lambda a, b: F.grouped_mm(a, b, offs=offs), a, b)
    assert y.tolist() == [[2.0] * 3] * 3 + [[0.0] * 3] * 2
    da, db = vjp(jnp.ones_like(y))
    assert da.tolist() == [[3.0] * 2] * 3 + [[0.0] * 2] * 2
    assert db[:, 0, 0].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("name", [name for name in GROUPED if name != "stacked"])
def test_grouped_mm_transforms(name):
    """The offsets may be traced and batched; second derivatives are those of a loop over the groups."""
    a, b, ends = GROUPED[name]
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        a, b = jnp.asarray(rng.standard_normal(a)), jnp.asarray(rng.standard_normal(b))
        offs = jnp.array([ends, [a.shape[0] // 8] * len(ends)], jnp.int32)

        def loop(a, b, ends):
            parts = []
            for g, (start, end) in enumerate(zip((0, *ends), ends, strict=False)):
                left = a[g] if a.ndim == 3 else a[start:end] if b.ndim == 3 else a[:, start:end]
                parts.append(left @ (b[g] if b.ndim == 3 else b[:, start:end] if a.ndim == 3 else b[start:end]))
            if a.ndim == b.ndim:
                return jnp.stack(parts)
            y = jnp.concatenate(parts, a.ndim - 2)
            rest = (a.shape[0] if a.ndim == 2 else b.shape[1]) - ends[-1]
            return jnp.pad(y, ((0, rest), (0, 0)) if a.ndim == 2 else ((0, 0), (0, rest)))

        def grouped(a, b, offs):
            return F.grouped_mm(a, b, offs=offs)

        got = jax.jit(jax.vmap(grouped, (None, None, 0)))(a, b, offs)
        for row, ends in zip(got, offs.tolist(), strict=True):
            np.testing.assert_allclose(row, loop(a, b, ends), atol=1e-12)

        def hvp(function, ends):
            def scalar(a, b):
                return jnp.sin(function(a, b, ends)).sum()

            return jax.jvp(jax.grad(scalar, (0, 1)), (a, b), (jnp.cos(a), jnp.cos(b)))

        for x, y in zip(jax.tree.leaves(hvp(grouped, offs[0])), jax.tree.leaves(hvp(loop, offs[0].tolist())), strict=True):
            np.testing.assert_allclose(x, y, atol=1e-11)


def test_grouped_mm_in_the_shim():
    a, b = (np.random.default_rng(0).standard_normal(shape).astype(np.float32) for shape in ((8, 4), (2, 4, 4)))
    results = []
    for t in (ft, torch):
        x, w = t.tensor(a), t.tensor(b)
        x.requires_grad_(), w.requires_grad_()
        y = t.nn.functional.grouped_mm(x, w, offs=t.tensor([3, 8], dtype=t.int32))
        (y * y).sum().backward()
        results.append((y.detach().numpy(), x.grad.numpy(), w.grad.numpy()))
        assert y.grad_fn.name() == "GroupedMmBackward0"
    for got, expected in zip(*results, strict=True):
        np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5)


def test_grouped_mm_errors():
    a, b, offs = jnp.ones((4, 2)), jnp.ones((2, 2, 3)), jnp.array([1, 4], jnp.int32)
    for call, kind, text in (
        (lambda: F.grouped_mm(a, b), ShapeError, "Have to provide offsets if there is a 2d matrix"),
        (lambda: F.grouped_mm(b.mT, b, offs=offs), ShapeError, "or no offset if both matrices are 3d"),
        (lambda: F.grouped_mm(a[:, :1], b, offs=offs), ShapeError, "contraction dimension of mat_a and mat_b must match"),
        (lambda: F.grouped_mm(a[0], b, offs=offs), ShapeError, "mat_a has to be 2 or 3d"),
        (lambda: F.grouped_mm(a, b, offs=offs[:1]), ShapeError, "matrix batch sizes have to match, but mat_b has 2 and offs has 1"),
        (lambda: F.grouped_mm(a, b, offs=offs[None]), ShapeError, "offs has to be 1D"),
        (lambda: F.grouped_mm(a, b, offs=offs.astype(jnp.int16)), DtypeError, "Offsets have to be int32, but got int16"),
        (lambda: F.grouped_mm(b.mT, b[:1]), ShapeError, "batched dimension has to match"),
        (lambda: F.grouped_mm(a, b.astype(jnp.float16), offs=offs), DtypeError, "same dtype, but got: float32 != float16"),
        (lambda: F.grouped_mm(a, b, offs=offs, out_dtype=jnp.float16), DtypeError, "output dtype must match `mat_a` dtype"),
        (lambda: F.grouped_mm(a, b, offs=offs, bias=a), NotImplementedError, "Bias not supported yet; call it without bias"),
    ):
        with pytest.raises(kind, match=text):
            call()


def float8(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float8_e4m3fn) -> tuple[jax.Array, torch.Tensor]:
    x = tensor(*shape, seed=seed, grad=False).to(dtype)
    return jnp.asarray(x.float().numpy()).astype(str(dtype).removeprefix("torch.")), x


@pytest.mark.parametrize("recipe", ["TensorWise", "RowWise"])
@pytest.mark.parametrize("output", ["bfloat16", "float16", "float32", "float8_e4m3fn", "float8_e5m2", None])
def test_scaled_mm(recipe, output):
    (a, ta), (b, tb) = float8(5, 32), float8(32, 7, seed=1, dtype=torch.float8_e5m2 if output == "float8_e5m2" else torch.float8_e4m3fn)
    tb = tb.t().contiguous().t()
    scales = [torch.rand(()) * 90, torch.rand(())] if recipe == "TensorWise" else [torch.rand(5, 1) * 90, torch.rand(1, 7)]
    bias = tensor(7, grad=False) * 10
    first, second = (jnp.asarray(s.numpy()) for s in scales)
    mine, kind = getattr(F.ScalingType, recipe), getattr(T.ScalingType, recipe)
    for added in (None, bias, bias.bfloat16()):
        expected = T.scaled_mm(
            ta, tb, scales[0], kind, scales[1], kind, bias=added, output_dtype=output and getattr(torch, output), contraction_dim=(1, 0)
        )
        given = None if added is None else jnp.asarray(added.float().numpy(), str(added.dtype).removeprefix("torch."))
        got = F.scaled_mm(a, b, first, mine, [second], [mine], bias=given, output_dtype=output, contraction_dim=(1, 0))
        assert got.dtype == (output or "float8_e4m3fn")
        near = {"float32": 1e-5, "float16": 1e-3, "bfloat16": 8e-3}.get(output, 0.126 if output != "float8_e5m2" else 0.251)  # one step
        np.testing.assert_allclose(got.astype(jnp.float32), expected.float().numpy(), rtol=near, atol=1e-4)


def test_scaled_mm_clips_what_eight_bits_do_not_hold():
    a, big = jnp.full((1, 4), 400.0, jnp.float8_e4m3fn), jnp.array(1e3)
    kind = F.ScalingType.TensorWise
    assert F.scaled_mm(a, -a.T, big, kind, big, kind, output_dtype=None).astype(jnp.float32).tolist() == [[-448.0]]


def test_scaled_mm_errors():
    a, one, row = jnp.ones((2, 4), jnp.float8_e4m3fn), jnp.array(1.0), jnp.ones((2, 1))
    whole, rows, block = F.ScalingType.TensorWise, F.ScalingType.RowWise, F.ScalingType.BlockWise1x32
    for call, kind, text in (
        (lambda: F.scaled_mm(a, a, one, whole, one, whole), ShapeError, r"shapes cannot be multiplied \(2x4 and 2x4\)"),
        (lambda: F.scaled_mm(a[None], a.T, one, whole, one, whole), ShapeError, "mat_a must be a matrix"),
        (lambda: F.scaled_mm(a, a.T, row, whole, one, whole), ShapeError, "scale_a must have 1 Float element, got 2"),
        (
            lambda: F.scaled_mm(a, a.T, row, rows, row, rows),
            ShapeError,
            r"scale_b must have 2 Float elements, got 2; its shape is \[2, 1\]",
        ),
        (lambda: F.scaled_mm(a, a.T, row, rows, one, whole), ArgumentError, "scale_recipe_a and scale_recipe_b must be the same"),
        (lambda: F.scaled_mm(a, a.T, [one, one], whole, one, whole), ArgumentError, "scale_a must be one value, but got 2"),
        (lambda: F.scaled_mm(a, a.T, one, "TensorWise", one, whole), TypeError, "must be a ScalingType, but got 'TensorWise'"),
        (lambda: F.scaled_mm(a, a.T, one, block, one, block), NotImplementedError, "scale_recipe_a=BlockWise1x32 is not implemented"),
        (lambda: F.scaled_mm(row, row.T, one, whole, one, whole), DtypeError, "a and b should be float8 .* mat_a is float32"),
        (lambda: F.scaled_mm(a, a.T, one, whole, one, whole, contraction_dim=(0, 0)), ArgumentError, r"contraction_dim must be \(1, 0\)"),
        (lambda: F.scaled_mm(a, a.T, one, whole, one, whole, bias=jnp.ones(3)), ShapeError, r"Bias must be size 2 but got \[3\]"),
    ):
        with pytest.raises(kind, match=text):
            call()
