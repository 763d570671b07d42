"""Translated primitives that read and write at indices and over windows have XLA's values, for shapes and settings that are drawn."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from tests import exhaustive
from tests.engine.interpreting import agree, same, translated

MODES = ["clip", "fill", "promise_in_bounds"]
drawn = settings(max_examples=8 if exhaustive.chosen() is None else 100, deadline=None, derandomize=True, database=None)


def sample(*shape, seed=0):
    """Small whole numbers, so that sums are exact in every order."""
    return np.random.default_rng(seed).integers(-8, 9, shape).astype("float32")


def check(function, *arrays):
    """Operation by operation in XLA, which keeps what it compiled for other examples."""
    wanted = jax.tree.leaves(function(*map(jnp.asarray, arrays)))
    for got, want in zip(translated(function, list(arrays)), wanted, strict=True):
        same(got, want, 1e-5, 1e-5)


# ---- indices ----
def test_reading_and_writing_at_indices():
    x, rows = sample(6, 4), np.array([0, 5, 2, 2, -1, 6, -9, 100], "int32")
    grid = np.array([[0, 1], [5, 3], [6, 0], [-1, 2]], "int32")
    cases = {}
    for mode in MODES:
        if mode == "promise_in_bounds":
            rows, grid = np.array([0, 5, 2, 2], "int32"), np.array([[0, 1], [5, 3]], "int32")
        u, v = sample(len(rows), 4, seed=1), sample(len(grid), seed=2)
        get = {"mode": mode}
        put = {"mode": "drop" if mode == "fill" else mode}
        cases |= {
            f"rows {mode}": (lambda x, i, get=get: x.at[i].get(**get), [x, rows]),
            f"columns {mode}": (lambda x, i, get=get: x.at[:, i].get(**get), [sample(4, 6), rows]),
            f"elements {mode}": (lambda x, i, get=get: x.at[i[:, 0], i[:, 1]].get(**get), [x, grid]),
            f"unsigned {mode}": (lambda x, i, get=get: x.at[i].get(**get), [x, abs(rows).astype("uint8")]),
            f"integers {mode}": (lambda x, i, get=get: x.at[i].get(**get), [x.astype("int32"), rows]),
            f"set {mode}": (lambda x, i, u, put=put: x.at[i[2:]].set(u[2:], **put), [x, np.unique(rows), u[: len(np.unique(rows))]]),
        }
        for name in ("add", "multiply", "min", "max", "subtract"):
            cases[f"{name} rows {mode}"] = (lambda x, i, u, name=name, put=put: getattr(x.at[i], name)(u, **put)), [x, rows, u]
            cases[f"{name} elements {mode}"] = (
                (lambda x, i, u, name=name, put=put: getattr(x.at[i[:, 0], i[:, 1]], name)(u, **put)),
                [x, grid, v],
            )
            cases[f"{name} scalars {mode}"] = (
                (lambda x, i, u, name=name, put=put: getattr(x.at[i], name)(u, **put)),
                [sample(6), rows, u[:, 0]],
            )
    i = np.array([1, 0, 3], "int32")
    cases |= {
        "batched rows": (jax.vmap(lambda x, i: x[i]), [sample(3, 5, 2), sample(3, 4).astype("int32") % 5]),
        "batched add": (jax.vmap(lambda x, i, u: x.at[i].add(u)), [sample(3, 5, 2), sample(3, 4).astype("int32") % 5, sample(3, 4, 2)]),
        "batched windows": (jax.vmap(lambda x, i: lax.dynamic_slice(x, (i, 0), (2, 3))), [sample(3, 5, 4), i]),
        "batched updates": (jax.vmap(lambda x, u, i: lax.dynamic_update_slice(x, u, (i, i))), [sample(3, 5, 4), sample(3, 2, 2), i]),
        "along an axis": (lambda x, i: jnp.take_along_axis(x, i, 1), [x, sample(6, 3).astype("int32") % 4]),
        "dynamic slice": (lambda x, i: (lax.dynamic_slice(x, (i, -1), (2, 2)), lax.dynamic_slice(x, (i + 9, 1), (4, 4))), [x, np.int32(1)]),
        "dynamic update": (lambda x, u, i: (lax.dynamic_update_slice(x, u, (i, i)), x + 1), [x, sample(2, 2), np.int32(5)]),
        "written into a temporary": (lambda x, u, i: lax.dynamic_update_slice(x + 1, u, (i, i)), [x, sample(2, 2), np.int32(2)]),
        "masks": (lambda x: jnp.where(x > 0, x, 0).at[2].set(0.0), [x]),
        "no indices": (lambda x, i: (x[i], x.at[i].add(1.0)), [x, np.zeros(0, "int32")]),
        "gradient of rows": (jax.grad(lambda x, i: jnp.sin(x[i]).sum()), [x, i]),
        "slices": (lambda x: (x[1:4, ::2], x[::-1], x[2], x[..., -1]), [x]),
    }
    agree(cases, rtol=1e-6)


@st.composite
def gathers(draw):
    """An operand, indices and the dimension numbers of a gather, as XLA has it."""
    rank = draw(st.integers(1, 3))
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=rank, max_size=rank)))
    axes = draw(st.permutations(range(rank)))[: draw(st.integers(1, rank))]
    sizes = [draw(st.integers(1, n)) for n in shape]
    collapsed = tuple(axis for axis in range(rank) if sizes[axis] == 1 and draw(st.booleans()))
    batch = tuple(draw(st.lists(st.integers(1, 3), min_size=0, max_size=2)))
    windows = rank - len(collapsed)
    offsets = sorted(draw(st.permutations(range(windows + len(batch))))[:windows])
    index = np.array(
        draw(st.lists(st.integers(-2, 5), min_size=int(np.prod(batch)) * len(axes), max_size=int(np.prod(batch)) * len(axes))), "int32"
    )
    return shape, tuple(axes), tuple(sizes), collapsed, tuple(offsets), index.reshape((*batch, len(axes)))


@drawn
@given(gathers(), st.sampled_from(["clip", "fill"]))
def test_gather_and_scatter(case, mode):
    shape, axes, sizes, collapsed, offsets, index = case
    x = sample(*shape)
    numbers = lax.GatherDimensionNumbers(offset_dims=offsets, collapsed_slice_dims=collapsed, start_index_map=axes)
    back = lax.ScatterDimensionNumbers(update_window_dims=offsets, inserted_window_dims=collapsed, scatter_dims_to_operand_dims=axes)

    def read(x, index):
        return lax.gather(x, index, numbers, sizes, mode=mode, fill_value=7.0)

    check(read, x, index)
    updates = sample(*jax.eval_shape(read, x, index).shape, seed=3)
    for function in (lax.scatter_add, lax.scatter_max):
        check(lambda x, index, updates, function=function: function(x, index, updates, back, mode=mode), x, index, updates)


# ---- moves ----
padding = st.tuples(st.integers(-2, 3), st.integers(-2, 3), st.integers(0, 2))


@drawn
@given(st.lists(st.tuples(st.integers(0, 4), padding), min_size=1, max_size=3))
def test_pad(axes):
    shape, config = [n for n, _ in axes], [part for _, part in axes]
    if any(low + high + (max(0, (n - 1) * (inner + 1) + 1) if n else 0) < 0 for n, (low, high, inner) in axes):
        return
    check(lambda x: lax.pad(x, np.float32(9), config), sample(*shape))


@drawn
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(1, 3)), min_size=1, max_size=3))
def test_slice(axes):
    starts, limits, strides = [a for a, _, _ in axes], [a + n for a, n, _ in axes], [s for _, _, s in axes]
    check(lambda x: lax.slice(x, starts, limits, strides) * 2, sample(*[n + 1 for n in limits]))


@drawn
@given(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2), st.integers(0, 2), st.randoms(use_true_random=False))
def test_dot_general(batch, contracted, left, right, random):
    names = "abcdefgh"[: batch + contracted + left + right]
    sizes = {name: random.randint(1, 3) for name in names}
    of_batch, of_both = list(names[:batch]), list(names[batch : batch + contracted])
    x = of_batch + of_both + list(names[batch + contracted :][:left])
    y = of_batch + of_both + list(names[batch + contracted + left :])
    random.shuffle(x)
    random.shuffle(y)
    numbers = (
        tuple([tuple([side.index(n) for n in of_both]) for side in (x, y)]),
        tuple([tuple([side.index(n) for n in of_batch]) for side in (x, y)]),
    )
    check(lambda a, b: lax.dot_general(a, b, numbers), sample(*[sizes[n] for n in x]), sample(*[sizes[n] for n in y], seed=1))


# ---- windows ----
@st.composite
def convolutions(draw):
    rank = draw(st.integers(1, 2))
    groups, batch_groups = draw(st.sampled_from([(1, 1), (2, 1), (4, 1), (1, 2)]))
    each = draw(st.integers(1, 2))
    window = draw(st.lists(st.integers(1, 3), min_size=rank, max_size=rank))
    space = [n + draw(st.integers(0, 4)) for n in window]
    strides, dilation, spread = (draw(st.lists(st.integers(1, 2), min_size=rank, max_size=rank)) for _ in range(3))
    pads = draw(st.lists(st.tuples(st.integers(-1, 2), st.integers(0, 2)), min_size=rank, max_size=rank))
    x = sample(2 * batch_groups, groups * each, *space)
    kernel = sample(2 * groups * batch_groups, each, *window, seed=1)
    layout = draw(st.sampled_from([None, ("NHC", "HIO", "NHC") if rank == 1 else ("NHWC", "HWIO", "NWHC")]))
    if layout is not None:
        x, kernel = np.moveaxis(x, 1, -1), np.moveaxis(np.moveaxis(kernel, 1, -1), 0, -1)
    options = {"window_strides": strides, "padding": pads, "lhs_dilation": dilation, "rhs_dilation": spread, "dimension_numbers": layout}
    return np.array(x), np.array(kernel), options | {"feature_group_count": groups, "batch_group_count": batch_groups}


@drawn
@given(convolutions())
def test_convolution(case):
    x, kernel, options = case
    check(lambda x, kernel: lax.conv_general_dilated(x, kernel, **options), x, kernel)


@st.composite
def pools(draw):
    rank = draw(st.integers(1, 3))
    many = {"min_size": rank, "max_size": rank}
    window, strides, base, spread = (tuple(draw(st.lists(st.integers(1, 3), **many))) for _ in range(4))
    pads = tuple(draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), **many)))
    shape = [(n - 1) * d + draw(st.integers(1, 3)) for n, d in zip(window, spread, strict=True)]
    return (
        sample(*shape),
        {"window_dimensions": window, "window_strides": strides, "padding": pads},
        {"base_dilation": base, "window_dilation": spread},
    )


@settings(drawn, max_examples=4 if exhaustive.chosen() is None else 50)
@given(pools())
def test_windows(case):
    x, plain, spread = case
    for start, function in ((-np.inf, lax.max), (np.inf, lax.min), (0.0, lax.add), (1.0, lax.mul)):
        check(lambda x, start=start, function=function: lax.reduce_window(x, np.float32(start), function, **plain, **spread), x)

    def pooled(x):
        return lax.reduce_window(x, -np.inf, lax.max, **plain)

    count = jax.eval_shape(pooled, x).shape
    check(lambda x, u: jax.vjp(pooled, x)[1](u)[0], x, sample(*count, seed=1))
    check(lambda x, t: jax.jvp(pooled, (x,), (t,)), x, sample(*x.shape, seed=2))


def test_wide_windows_and_other_starts():
    agree(
        {
            "wide": (lambda x: lax.reduce_window(x, 0.0, lax.add, (50,), (3,), ((49, 0),), window_dilation=(1,)), [sample(60)]),
            "another start": (lambda x: lax.reduce_window(x, np.float32(2), lax.add, (3,), (1,), "SAME"), [sample(9)]),
            "bools": (lambda x: lax.reduce_window(x, np.bool_(False), lax.bitwise_or, (3,), (1,), "SAME"), [sample(9) > 2]),
            "integers": (lambda x: lax.reduce_window(x, np.int32(-(2**31)), lax.max, (3,), (2,), "SAME"), [sample(9).astype("int32")]),
            "NaN": (lambda x: lax.reduce_window(x, -np.inf, lax.max, (2,), (1,), "VALID"), [np.array([1, np.nan, 2, 3], "float32")]),
        },
        rtol=1e-6,
    )
