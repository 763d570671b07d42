"""Attention's kernel against its definition, operation by operation, in float64: every derivative, blocks under a causal mask, and long sequences."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from funnn.functional import _attention_kernel as kernel
from funnn.functional import _attention_scan as scan
from funnn.functional import scaled_dot_product_attention
from funnn.functional._attention_block import Band
from tests.quick import quick


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of three queries, in float64."""
    monkeypatch.setattr(kernel, "ROWS", 3)
    with jax.enable_x64(True):
        yield


@pytest.fixture(params=["exponentials kept", "computed again"])
def form(request, monkeypatch):
    """Both forms of the kernel: as for short sequences, and as for long ones, two queries at a time."""
    if request.param == "computed again":
        monkeypatch.setattr(kernel, "LONG", 1)
        monkeypatch.setattr(scan, "ROWS", 2)


CAUSAL, ALL = Band(0), Band()

# queries, keys, which keys a query sees by its place, then the shapes of what else is given, and of how many heads of queries each of keys serves
CASES = {
    "plain": (4, 5, ALL, {}),
    "causal": (7, 7, CAUSAL, {}),
    "causal, fewer keys": (7, 4, CAUSAL, {}),
    "causal, more keys": (14, 16, CAUSAL, {}),
    "causal, all at once": (7, 7, CAUSAL, {"bias": (7, 7), "mask": (3, 1, 7), "drop": (2, 3, 7, 7)}),
    "causal, bias by query": (7, 7, CAUSAL, {"bias": (3, 7, 1)}),
    "bias by key": (4, 5, ALL, {"bias": (3, 1, 5)}),
    "bias by query, dropout": (4, 5, ALL, {"bias": (4, 1), "drop": (2, 3, 4, 5)}),
    "bias for all": (4, 5, ALL, {"bias": ()}),
    "mask": (4, 5, ALL, {"mask": (2, 1, 4, 5)}),
    "mask and bias": (4, 5, ALL, {"mask": (5,), "bias": (2, 3, 4, 5)}),
    "window": (11, 11, Band(0, 2), {}),
    "window, all at once": (11, 11, Band(0, 3), {"bias": (3, 11, 11), "mask": (2, 1, 11, 11), "drop": (2, 3, 11, 11)}),
    "window, bias by key": (9, 9, Band(0, 1), {"bias": (2, 3, 1, 9)}),
    "window on both sides": (10, 8, Band(-2, 3), {"mask": (10, 8)}),
    "window without the last": (9, 9, Band(-1, 4), {"bias": (9, 1)}),
    "last keys": (9, 9, Band(None, 2), {}),
    "wider than there are keys": (7, 7, Band(0, 20), {}),
    "groups": (5, 6, ALL, {"groups": 2, "mask": (5, 6), "bias": (3, 2, 5, 6)}),
    "groups, causal": (7, 7, CAUSAL, {"groups": 2, "bias": (2, 3, 1, 1, 7)}),
    "groups in a window": (11, 11, Band(0, 3), {"groups": 2, "drop": (2, 3, 2, 11, 11)}),
}


def seen(queries, keys, band):
    distance = np.arange(queries)[:, None] - np.arange(keys)
    least, most = (-np.inf if band.least is None else band.least), (np.inf if band.most is None else band.most)
    return (least <= distance) & (distance <= most)


def numbers(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


def textbook(q, k, v, bias, mask, drop, band):
    """The definition; no row may be masked as a whole."""
    if q.ndim > k.ndim:
        k, v = k[..., None, :, :], v[..., None, :, :]
    scores = q @ k.swapaxes(-1, -2)
    if bias is not None:
        scores = scores + bias
    for allowed in (mask, seen(*scores.shape[-2:], band)):
        scores = scores if allowed is None else jnp.where(allowed, scores, -jnp.inf)
    weights = jax.nn.softmax(scores, -1)
    return (weights if drop is None else weights * drop) @ v


def derivatives(function, arrays):
    """The value, both modes, and second derivatives forward over reverse and reverse over reverse; vmap; each operand alone in both modes."""

    def total(arrays):
        return jnp.sum(jnp.sin(function(*arrays)))

    def alone(i):
        def of_one(x):
            return function(*arrays[:i], x, *arrays[i + 1 :])

        return jax.jvp(of_one, arrays[i : i + 1], tangents[i : i + 1])[1], jax.vjp(of_one, arrays[i])[1](function(*arrays))

    gradient, tangents = jax.grad(total), tuple(jnp.cos(3 * x) for x in arrays)
    return (
        function(*arrays),
        gradient(arrays),
        jax.jvp(lambda arrays: function(*arrays), (arrays,), (tangents,))[1],
        jax.jvp(gradient, (arrays,), (tangents,))[1],
        jax.grad(lambda arrays: sum(jnp.vdot(jnp.sin(g), t) for g, t in zip(gradient(arrays), tangents, strict=True)))(arrays),
        jax.vmap(gradient)(tuple(jnp.stack([x, x + 1]) for x in arrays)),
        [alone(i) for i in range(len(arrays))],
    )


@pytest.mark.parametrize("name", CASES)
def test_every_derivative_equals_the_textbooks(name, form):
    queries, keys, band, shapes = CASES[name]
    groups = (shapes["groups"],) if "groups" in shapes else ()
    arrays = tuple(numbers(2, 3, *shape, seed=i) for i, shape in enumerate([(*groups, queries, 4), (keys, 4), (keys, 5)]))
    if "bias" in shapes:
        arrays += (numbers(*shapes["bias"], seed=3),)
    mask = None
    if "mask" in shapes:  # with a key for each query
        always = np.arange(keys) == (np.clip(np.arange(queries), 0, keys - 1)[:, None] if scan.moves(band) else 0)
        mask = (numbers(*shapes["mask"], seed=4) < 0.3) | always
    drop = 2.0 * (numbers(*shapes["drop"], seed=5) < 0) if "drop" in shapes else None

    def of(form):
        return lambda q, k, v, bias=None: form(q, k, v, bias, mask, drop, band)

    got, expected = (quick(partial(derivatives, of(form)))(arrays) for form in (kernel.attend, textbook))
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("band", [ALL, CAUSAL, Band(0, 2)], ids=["all", "causal", "window"])
@pytest.mark.parametrize("added", [False, True], ids=["mask", "bias"])
def test_masked_rows_are_zero_and_so_are_their_gradients(added, band, form):
    """Of first and second order; the other rows are as without them."""
    q, k, v = (numbers(2, 8, 4, seed=i) for i in range(3))
    rows = np.array([0, 2, 5])
    mask = jnp.ones((8, 8), bool).at[rows].set(False)
    given = (jnp.where(mask, 0.0, -jnp.inf), None) if added else (None, mask)

    def derivatives(*given, kept=1.0):
        def function(q, k, v):
            return kept * kernel.attend(q, k, v, *given, None, band)

        def gradient(*arrays):
            return jax.grad(lambda *arrays: jnp.sum(jnp.sin(function(*arrays))), (0, 1, 2))(*arrays)

        return function(q, k, v), gradient(q, k, v), jax.jvp(gradient, (q, k, v), (v, q, k))[1]

    got = quick(derivatives)(*given)
    expected = quick(partial(derivatives, kept=jnp.ones((8, 1)).at[rows].set(0)))(None, None)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    assert (got[0][:, rows] == 0).all()


@pytest.mark.parametrize("band", [ALL, CAUSAL, Band(0, 2)], ids=["all", "causal", "window"])
@pytest.mark.parametrize(
    "shapes", [((2, 0, 4), (2, 3, 4), (2, 3, 5)), ((2, 7, 4), (2, 0, 4), (2, 0, 5)), ((0, 7, 4), (0, 3, 4), (0, 3, 5))]
)
def test_empty_sizes_give_zeros(shapes, band, form):
    arrays = tuple(numbers(*shape) for shape in shapes)
    y, vjp = jax.vjp(lambda *arrays: kernel.attend(*arrays, None, None, None, band), *arrays)
    assert y.shape == (*shapes[0][:-1], shapes[2][-1]) and not y.any()
    for x, g in zip(arrays, vjp(jnp.ones_like(y)), strict=True):
        assert g.shape == x.shape and not g.any()


@pytest.mark.parametrize(
    ("queries", "band", "products"),
    [
        (5, CAUSAL, {(5, 5)}),
        (7, CAUSAL, {(3, 3), (4, 7)}),
        (26, CAUSAL, {(6, 6), (7, 13), (6, 19), (7, 26)}),
        (26, Band(0, 3), {(6, 6), (7, 10), (6, 9)}),
        (26, Band(-2, 2), {(6, 8), (7, 11), (6, 10), (7, 9)}),
    ],
    ids=["one", "two", "four", "window", "window on both sides"],
)
def test_blocks_take_only_the_keys_that_they_may_see(queries, band, products):
    """At most four blocks, of at least three queries each."""
    x = jax.ShapeDtypeStruct((queries, 2), jnp.float64)
    jaxpr = jax.make_jaxpr(jax.grad(lambda x: kernel.attend(x, x, x, None, None, None, band).sum()))(x)
    found = {equation.outvars[0].aval.shape for equation in jaxpr.eqns if equation.primitive.name == "dot_general"}
    assert {shape for shape in found if min(shape) > 2} == products


@pytest.mark.parametrize("derivative", [False, True], ids=["value", "gradient"])
def test_the_cost_of_a_window_does_not_grow_with_the_square(derivative, monkeypatch):
    """Twice the length takes twice the operations; those of all keys would take four times as many."""
    monkeypatch.undo()

    def operations(length, window):
        x = jax.ShapeDtypeStruct((1, 1, length, 8), jnp.float32)

        def attend(q, k, v):
            return scaled_dot_product_attention(q, k, v, is_causal=True, window=window)

        function = jax.grad(lambda *arrays: attend(*arrays).sum(), (0, 1, 2)) if derivative else attend
        return sum(_products(jax.make_jaxpr(function)(x, x, x).jaxpr))

    assert operations(8192, 256) == 2 * operations(4096, 256)
    assert operations(4096, 256) < 0.15 * operations(4096, None)


def _products(jaxpr, times=1):
    """The multiplications of each matrix product, as often as loops run it."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (of_a, _), _ = equation.params["dimension_numbers"]
            yield times * equation.outvars[0].aval.size * int(np.prod([equation.invars[0].aval.shape[axis] for axis in of_a]))
        often = times * equation.params.get("length", 1) if equation.primitive.name == "scan" else times
        for inner in _programs_of(equation):
            yield from _products(inner, often)


def _programs_of(equation):
    if equation.primitive.name == "funnn_linear_map":
        map, count = equation.params["map"], equation.params["count"]
        return [jax.make_jaxpr(lambda *arrays: map(arrays[:count], arrays[count:]))(*(x.aval for x in equation.invars)).jaxpr]
    found = [getattr(x, "jaxpr", x) for x in jax.tree.leaves(list(equation.params.values()))]
    return [x for x in found if hasattr(x, "eqns")]


#: what is attended to in sequences of 4096, and the shape of the mask
LONG = {
    "all": None,
    "causal": None,
    "window": None,
    "mask": (4096, 4096),
    "mask of each head": (2, 4, 4096, 4096),
    "some keys": (2, 1, 1, 4096),
    "bias": (4, 1, 4096),
    "fewer heads of keys": None,
}


@pytest.mark.parametrize("derivative", ["value", "gradient", "tangent", "second"])
@pytest.mark.parametrize("name", LONG)
def test_no_square_of_a_long_sequence_is_made(name, derivative, monkeypatch):
    """The memory of the compiled program is less than the scores of a single head would take."""
    monkeypatch.undo()
    length, shape = 4096, LONG[name]
    q = jax.ShapeDtypeStruct((2, 4, length, 16), jnp.float32)
    k = jax.ShapeDtypeStruct((2, 2 if name == "fewer heads of keys" else 4, length, 16), jnp.float32)
    mask = () if shape is None else (jax.ShapeDtypeStruct(shape, jnp.float32 if name == "bias" else bool),)

    def attend(q, k, v, *mask):
        window, grouped = (100 if name == "window" else None), name == "fewer heads of keys"
        return scaled_dot_product_attention(q, k, v, *mask, is_causal=name == "causal", window=window, enable_gqa=grouped)

    def gradient(*arrays):
        numbers = tuple(i for i, x in enumerate(arrays) if x.dtype == jnp.float32)
        return jax.grad(lambda *arrays: jnp.sum(jnp.sin(attend(*arrays))), numbers)(*arrays)

    def tangent(q, k, v, *mask):
        return jax.jvp(lambda *arrays: attend(*arrays, *mask), (q, k, v), (2 * q, v, k))[1]

    def second(q, *rest):
        return jax.grad(lambda q: sum(jnp.vdot(g, g) for g in gradient(q, *rest)))(q)

    function = {"value": attend, "gradient": gradient, "tangent": tangent, "second": second}[derivative]
    memory = jax.jit(function).lower(q, k, k, *mask).compile().memory_analysis()
    one_head = 4 * length**2
    assert memory.temp_size_in_bytes < one_head, f"{memory.temp_size_in_bytes / 2**20:.0f} MiB"
