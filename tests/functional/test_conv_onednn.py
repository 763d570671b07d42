"""Convolutions that are calls of oneDNN: their numbers against float64, and which programs have them."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import export, lax

from funnn.functional import _conv_kernel as kernel
from funnn.functional import _conv_onednn as onednn
from funnn.functional._conv_xla import Geometry

ROOT = Path(__file__).parents[2]
CALL = "__onednn$convolution"
SAME = Geometry((9, 8), (9, 8), (3, 3), (1, 1), (1, 1), (1, 1), 1)


def arrays(geometry: Geometry, images: int = 9, channels: int = 10, results: int = 12):
    numbers = np.random.default_rng(0).standard_normal
    shapes = (images, channels, *geometry.size), (results, channels // geometry.groups, *geometry.kernel), (images, results, *geometry.out)
    return [jnp.asarray(numbers(shape), jnp.float32) for shape in shapes]


def correlate(x, w):
    return kernel.correlate(x, w, SAME)


def sums(x, w, g, geometry=SAME):
    return kernel.correlate(x, w, geometry), kernel.spread(g, w, geometry), kernel.contract(x, g, geometry)


def textbook(x, w, g, geometry=SAME):
    def plain(x, w):
        return lax.conv_general_dilated(
            x, w, geometry.stride, geometry.pads, rhs_dilation=geometry.dilation, feature_group_count=geometry.groups
        )

    value, back = jax.vjp(plain, x, w)
    return value, *back(g)


def in_float64(function, *args):
    with jax.enable_x64(True):
        return jax.jit(function)(*(np.asarray(a, np.float64) for a in args))


def check_close(got, expected):
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=3e-6 * max(1.0, float(np.abs(b).max())))


def are_taken() -> bool:
    return onednn.is_there() and not onednn.is_kept()


def calls(function, *args):
    return jax.jit(function).lower(*args).as_text().count(CALL)


def by_numpy(x, w, g, geometry):
    """The three sums in float64, each element of the kernel by itself: XLA's own convolution ends the process for some of what is drawn here."""
    x, w, g = (np.asarray(a, np.float64) for a in (x, w, g))
    groups, (height, width) = geometry.groups, geometry.size
    x, g = (a.reshape(a.shape[0], groups, -1, *a.shape[2:]) for a in (x, g))
    w = w.reshape(groups, -1, *w.shape[1:])
    axes = zip(geometry.padding, geometry.stride, geometry.out, geometry.dilation, geometry.kernel, strict=True)
    padded = np.pad(x, [(0, 0)] * 3 + [(p, s * o + d * k) for p, s, o, d, k in axes])
    y, dx, dw = np.zeros(g.shape), np.zeros(padded.shape), np.zeros(w.shape)
    for i, j in np.ndindex(*geometry.kernel):
        rows, columns = (
            slice(d * at, d * at + s * (o - 1) + 1, s)
            for d, at, s, o in zip(geometry.dilation, (i, j), geometry.stride, geometry.out, strict=True)
        )
        seen = padded[..., rows, columns]
        y += np.einsum("goc,ngchw->ngohw", w[..., i, j], seen)
        dx[..., rows, columns] += np.einsum("goc,ngohw->ngchw", w[..., i, j], g)
        dw[..., i, j] = np.einsum("ngohw,ngchw->goc", g, seen)
    low = geometry.padding
    dx = dx[..., low[0] : low[0] + height, low[1] : low[1] + width]
    return tuple(
        a.reshape(*shape)
        for a, shape in ((y, (y.shape[0], -1, *geometry.out)), (dx, (dx.shape[0], -1, height, width)), (dw, (-1, *dw.shape[2:])))
    )


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_numbers_are_those_of_float64(data):
    """Sizes, kernels, steps and padding of any kind, also those whose last window ends before the image does."""
    draw = data.draw
    tops = {"kernel": 5, "stride": 3, "dilation": 2}
    kernel_size, stride, dilation = (draw(st.tuples(*[st.integers(1, top)] * 2), label) for label, top in tops.items())
    reach = [d * (k - 1) + 1 for k, d in zip(kernel_size, dilation, strict=True)]
    padding = tuple(draw(st.integers(0, r), "padding") for r in reach)
    size = tuple(max(1, r - 2 * p) + draw(st.integers(0, 9), "more") for r, p in zip(reach, padding, strict=True))
    out = tuple((n + 2 * p - r) // s + 1 for n, p, r, s in zip(size, padding, reach, stride, strict=True))
    groups = draw(st.integers(1, 6), "groups")
    images, channels, results = (
        draw(st.integers(1, 18 // each), name) for name, each in (("images", 1), ("channels", groups), ("results", groups))
    )
    geometry = Geometry(size, out, kernel_size, stride, dilation, padding, groups)
    given = arrays(geometry, images, channels * groups, results * groups)
    check_close(jax.jit(partial(sums, geometry=geometry))(*given), by_numpy(*given, geometry))


def test_a_program_for_one_device_has_them():
    x, w, g = arrays(SAME)
    gradients = jax.grad(lambda x, w: jnp.vdot(correlate(x, w), g), (0, 1))
    each = int(are_taken())
    assert (calls(sums, x, w, g), calls(gradients, x, w)) == (3 * each, 2 * each)
    assert calls(jax.vmap(correlate, (0, None)), x[None], w) == calls(correlate, x, w) == each


@pytest.mark.parametrize(("channels", "results", "groups"), [(12, 12, 12), (12, 8, 4), (12, 24, 12)])
def test_groups(channels, results, groups):
    """By themselves, in groups, and with several results each, of which only the input's gradient is one."""
    geometry = SAME._replace(groups=groups)
    given = arrays(geometry, 9, channels, results)
    assert calls(partial(sums, geometry=geometry), *given) == (0 if not are_taken() else 1 if results > channels else 3)
    check_close(jax.jit(partial(sums, geometry=geometry))(*given), in_float64(partial(textbook, geometry=geometry), *given))


def test_few_numbers_are_products_of_matrices():
    x, w, _ = arrays(SAME, channels=3)
    assert calls(correlate, x, w) == 0


def test_an_exported_program_has_none():
    given = arrays(SAME)
    assert CALL not in export.export(jax.jit(sums))(*given).mlir_module()


def test_mapped_images_and_mapped_kernels():
    x, w, g = arrays(SAME)
    several = jnp.stack([x, 2 * x]), jnp.stack([w, w + 1]), jnp.stack([g, 1 - g])
    for axes in ((0, None, 0), (None, 0, None), (0, 0, 0)):
        args = [s if axis == 0 else s[0] for s, axis in zip(several, axes, strict=True)]
        check_close(jax.jit(jax.vmap(sums, axes))(*args), in_float64(jax.vmap(textbook, axes), *args))


def test_it_can_be_differentiated_twice_and_scanned():
    x, w, g = arrays(SAME)
    w = w / 10  # the sines of large numbers would tell their roundings

    def total(correlate, x, w):
        return jnp.sum(jnp.sin(correlate(x, w)) * g)

    def second(correlate, x, w):
        gradient = jax.grad(partial(total, correlate), (0, 1))
        return jax.jvp(gradient, (x, w), (jnp.cos(x), jnp.sin(w)))

    def twice(correlate, x, w):
        return lax.scan(lambda x, w: (jnp.tanh(correlate(x, w)), None), x, jnp.stack([w, -w]))[0]

    def plain(x, w):
        return lax.conv_general_dilated(x, w, (1, 1), SAME.pads)

    square = w[:10]
    check_close(jax.jit(partial(second, correlate))(x, w), in_float64(partial(second, plain), x, w))
    check_close(jax.jit(partial(twice, correlate))(x, square), in_float64(partial(twice, plain), x, square))
    check_close(correlate(x, w), in_float64(plain, x, w))  # outside of a program


def run(code: str, **environment: str) -> None:
    """Run a program in a process of its own, where a warning is an error."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, "-W", "error", "-c", "from tests.functional.test_conv_onednn import *\n" + code]
    result = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]


def test_a_program_that_is_kept_on_disk_has_none(tmp_path):
    """XLA can't write down such a call; the second process reads what the first one wrote."""
    code = """
x, w, g = arrays(SAME)
expected = in_float64(textbook, x, w, g)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
assert calls(sums, x, w, g) == 0
check_close(jax.jit(sums)(x, w, g), expected)
"""
    kept = []
    for _ in range(2):
        run(code, JAX_COMPILATION_CACHE_DIR=str(tmp_path))
        kept.append({file.name for file in tmp_path.iterdir() if "sums" in file.name and file.name.endswith("cache")})
    assert kept[0] == kept[1] and len(kept[0]) == 1


def test_who_keeps_no_program_may_have_them():
    before = dict(jax.config.values)
    with onednn.unkept():
        assert calls(lambda x, w, g: sums(x, w, g), *arrays(SAME)) == (3 if onednn.is_there() else 0)
    assert dict(jax.config.values) == before


def test_a_program_of_a_forked_process_has_none(monkeypatch):
    """Another process compiles it and sends it."""
    monkeypatch.setattr(onednn, "_PROCESS", 0)
    assert calls(lambda x, w, g: sums(x, w, g), *arrays(SAME)) == 0  # a new function, of which JAX has no program


def test_a_program_for_several_devices_has_none():
    code = """
from jax.sharding import NamedSharding, PartitionSpec as P
x, w, g = arrays(SAME, images=16)
expected = in_float64(textbook, x, w, g)
mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
split, whole = NamedSharding(mesh, P("data")), NamedSharding(mesh, P())
step = jax.jit(sums, in_shardings=(split, whole, split))
assert CALL not in step.lower(x, w, g).as_text()
check_close(step(x, w, g), expected)
mapped = jax.shard_map(lambda x, w, g: (*sums(x, w, g)[:2], jax.lax.psum(sums(x, w, g)[2], "data")), mesh=mesh,
                       in_specs=(P("data"), P(), P("data")), out_specs=(P("data"), P("data"), P()))
check_close(jax.jit(mapped)(x, w, g), expected)
"""
    run(code, XLA_FLAGS="--xla_force_host_platform_device_count=2")


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float16, jnp.bfloat16])
def test_other_types_have_none(dtype):
    with jax.enable_x64(True):
        given = [jnp.asarray(a, dtype) for a in arrays(SAME)]
        assert calls(sums, *given) == 0
