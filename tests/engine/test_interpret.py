"""Primitives that are translated into NumPy have XLA's values, special ones too."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from funnn.engine.program.interpret import Untranslatable, translate
from tests.engine.interpreting import agree

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
FLOATS = ["float32", "float64"]
COMPLEX = ["complex64", "complex128"]


@pytest.fixture(autouse=True)
def wide():
    with jax.enable_x64(True):
        yield


def floats(dtype):
    """Floats of all kinds, no subnormal ones, which XLA may flush to zero."""
    special = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 0.75, np.inf, -np.inf, np.nan, 3.0, 1e-3, -7.25, 20.0, -30.0, 100.0, -100.0]
    return np.array([*special, *np.random.default_rng(0).standard_normal(12)], dtype)


def integers(dtype):
    limits = np.iinfo(dtype)
    found = [0, 1, 2, 3, 5, 7, 8, 31, 33, 100, limits.max, limits.max - 1, limits.min, limits.min + 1]
    return np.array(found + ([-1, -2, -3, -7, -8] if limits.min < 0 else [4, 6, 9, 15, 16]), dtype)


def complexes(dtype):
    parts = [0.0, 1.0, -1.5, 0.25, 3.0]
    return np.array([complex(a, b) for a, b in itertools.product(parts, parts)], dtype)


def pairs(values):
    x, y = np.meshgrid(values, values)
    return [x.ravel(), y.ravel()]


def sample(*shape, dtype="float32", seed=0):
    generator = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "b":
        return generator.integers(0, 2, shape).astype(bool)
    if np.dtype(dtype).kind in "iu":
        return generator.integers(0, 7, shape).astype(dtype)
    if np.dtype(dtype).kind == "c":
        return (generator.standard_normal(shape) + 1j * generator.standard_normal(shape)).astype(dtype)
    return generator.standard_normal(shape).astype(dtype)


# ---- elementwise ----
EXACT_UNARY = ["neg", "abs", "sign", "floor", "ceil", "is_finite", "sqrt", "square"]
EXACT_BINARY = ["add", "sub", "mul", "eq", "ne", "lt", "le", "gt", "ge", "rem", "nextafter"]
UNARY = [
    "exp",
    "exp2",
    "log",
    "log1p",
    "expm1",
    "sin",
    "cos",
    "tan",
    "tanh",
    "logistic",
    "rsqrt",
    "cbrt",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
]
UNARY += ["asinh", "acosh", "atanh", "erf", "erfc", "erf_inv", "bessel_i0e", "bessel_i1e"]


def test_floats_where_no_bit_may_differ():
    cases = {}
    for dtype in FLOATS:
        x = floats(dtype)
        for name in EXACT_UNARY:
            cases[f"{name} {dtype}"] = getattr(lax, name), [x]
        for name in EXACT_BINARY:
            cases[f"{name} {dtype}"] = getattr(lax, name), pairs(x)
        for y in (0, 1, 2, 3, -1, -2, 7):
            cases[f"integer_pow {y} {dtype}"] = (lambda x, y=y: lax.integer_pow(x, y)), [np.array([1.0, -2.0, 0.5, 3.0, np.inf], dtype)]
        for method in (lax.RoundingMethod.AWAY_FROM_ZERO, lax.RoundingMethod.TO_NEAREST_EVEN):
            cases[f"round {method} {dtype}"] = (lambda x, method=method: lax.round(x, method)), [x]
        cases[f"clamp {dtype}"] = (lambda x: lax.clamp(x.dtype.type(-1), x, x.dtype.type(2))), [x]
        cases[f"div {dtype}"] = lax.div, pairs(x)
        for bits in ((5, 10), (8, 7), (8, 23), (4, 3)):
            cases[f"reduce_precision {bits} {dtype}"] = (
                (lambda x, bits=bits: lax.reduce_precision(x, *bits)),
                [np.append(x, x.dtype.type([1e5, 65519, 1e-9]))],
            )
    agree(cases, rtol=0)


@pytest.mark.parametrize("dtype", FLOATS)
def test_functions_of_floats(dtype):
    x = floats(dtype)
    cases = {name: (getattr(lax, name), [x]) for name in UNARY}
    cases["max"], cases["min"] = (lax.max, pairs(x)), (lax.min, pairs(x))  # of two zeros, NumPy takes either
    cases["atan2"] = lax.atan2, pairs(x)
    cases["pow"] = lax.pow, pairs(np.array([0.5, 1.0, 2.0, 3.5, 0.0], dtype))
    cases["pow of integers"] = lax.pow, [x[:8], np.arange(8, dtype="int32") - 3]
    cases["logistic, far out"] = lax.logistic, [np.array([-1e3, 1e3, -88.0, 88.0, 0.0], dtype)]
    agree(cases, rtol=3e-6 if dtype == "float32" else 1e-13, atol=1e-7 if dtype == "float32" else 1e-14)


@pytest.mark.parametrize("dtype", FLOATS)
def test_special_functions(dtype):
    x, a = np.array([0.3, 1.0, 2.5, 7.0], dtype), np.array([0.5, 2.0, 3.5, 6.0], dtype)
    cases = {
        "lgamma": (lax.lgamma, [np.array([0.5, 1, 2, 5.5, -0.5, -2.5, 0, np.inf, np.nan, -1], dtype)]),
        "digamma": (lax.digamma, [np.array([0.5, 1, 2, 5.5, -0.5, -2.5, np.nan, -1], dtype)]),
        "igamma": (lax.igamma, [a, x]),
        "igammac": (lax.igammac, [a, x]),
        "zeta": (lax.zeta, [a + 1, x]),
        "polygamma": (lax.polygamma, [np.array([0, 1, 2, 3], dtype), x]),
        "betainc": (lax.betainc, [a, x, np.array([0.1, 0.5, 0.7, 1.0], dtype)]),
    }
    agree(cases, rtol=2e-5 if dtype == "float32" else 1e-10, atol=1e-6 if dtype == "float32" else 1e-12)


def test_integers():
    cases = {}
    for dtype in INTEGERS:
        x = integers(dtype)
        for name in ("neg", "abs", "sign", "bitwise_not", "population_count", "clz"):
            if name not in ("neg", "abs") or np.dtype(dtype).kind == "i":
                cases[f"{name} {dtype}"] = getattr(lax, name), [x]
        names = "add sub mul max min eq ne lt le gt ge div rem bitwise_and bitwise_or bitwise_xor shift_left shift_right_logical shift_right_arithmetic"
        for name in names.split():
            cases[f"{name} {dtype}"] = getattr(lax, name), pairs(x)
        cases[f"integer_pow {dtype}"] = (lambda x: lax.integer_pow(x, 3)), [x]
        cases[f"clamp {dtype}"] = (lambda x: lax.clamp(x.dtype.type(1), x, x.dtype.type(9))), [x]
        cases[f"scalars {dtype}"] = (lambda x: (x[10] + x[10], x[10] * x[3], x[12] ^ x[4], lax.div(x[4], x[0]))), [x]
    agree(cases)


def test_bools():
    x, y = np.array([True, True, False, False]), np.array([True, False, True, False])
    names = ("bitwise_and", "bitwise_or", "bitwise_xor", "eq", "ne", "max", "min", "lt", "ge")
    agree({name: (getattr(lax, name), [x, y]) for name in names} | {"not": (lax.bitwise_not, [x])})


@pytest.mark.parametrize("dtype", COMPLEX)
def test_complex_numbers(dtype):
    z = complexes(dtype)
    names = [
        "neg",
        "abs",
        "sign",
        "exp",
        "log",
        "sin",
        "cos",
        "tanh",
        "sqrt",
        "rsqrt",
        "square",
        "conj",
        "real",
        "imag",
        "logistic",
        "log1p",
        "expm1",
        "tan",
        "sinh",
        "cosh",
        *("exp2", "asin", "acos", "atan", "asinh", "acosh", "atanh"),
    ]
    cases = {name: (getattr(lax, name), [z[z != 0]]) for name in names}
    cases |= {name: (getattr(lax, name), pairs(z[1:12])) for name in ("add", "sub", "mul", "div", "eq", "ne")}
    cases["complex"] = lax.complex, pairs(np.array([0.0, -0.0, np.inf, 1.0], z.real.dtype))
    cases["pow"] = lax.pow, pairs(z[1:8] + 1)
    cases |= {name: (getattr(lax, name), [z.reshape(5, 5)]) for name in ("cumsum", "cumprod", "sort")}
    cases |= {name: (getattr(lax, name), pairs(z[1:12])) for name in ("max", "min")}
    agree(cases, rtol=1e-5 if dtype == "complex64" else 1e-12, atol=1e-6 if dtype == "complex64" else 1e-14)


def test_selection():
    x, y, z = sample(3, 4), sample(3, 4, seed=1), sample(3, 4, seed=2)
    agree(
        {
            "bools": (lax.select, [x > 0, x, y]),
            "a scalar": (lambda p, x, y: lax.select(p, x, y), [np.array(True), x, y]),
            "integers": (lambda i, *cases: lax.select_n(i, *cases), [sample(3, 4, dtype="int32") % 3, x, y, z]),
            "one case": (lambda i, x: lax.select_n(i, x), [np.zeros((3, 4), "int32"), x]),
            "where": (lambda x: jnp.where(x > 0, x * 2, 0.0), [x]),
            "scalars": (lambda x: jnp.where(x[0, 0] > 0, x[0, 1], x[0, 2]), [x]),
        },
        rtol=0,
    )


# ---- dtypes ----
@pytest.mark.filterwarnings("ignore:Casting complex values")
def test_conversions():
    cases = {}
    for source in ("bool", *INTEGERS, *FLOATS, *COMPLEX):
        kind = np.dtype(source).kind
        x = (
            np.array([True, False])
            if kind == "b"
            else integers(source)
            if kind in "iu"
            else floats(source)
            if kind == "f"
            else complexes(source)
        )
        if kind == "f":
            x = np.append(x, x.dtype.type([1e10, -1e10, 2.0**31, 2.0**63, -(2.0**63), 127.5, 128, 255.9, -128.5, 3e38, 1e20, -1e20]))
        for target in ("bool", *INTEGERS, *FLOATS, *COMPLEX):
            cases[f"{source} to {target}"] = (lambda x, target=target: lax.convert_element_type(x, target)), [x]
    agree(cases, rtol=0)


def test_bits_by_another_name():
    cases = {}
    for source, target in itertools.product(("int8", "uint16", "int32", "float32", "float64", "uint64"), repeat=2):
        size, wanted = np.dtype(source).itemsize, np.dtype(target).itemsize
        x = sample(3, max(1, wanted // size), dtype=source) if wanted > size else sample(3, dtype=source)
        cases[f"{source} as {target}"] = (lambda x, target=target: lax.bitcast_convert_type(x, target)), [x]
    agree(cases, rtol=0)


# ---- layout ----
def test_layout():
    x, v = sample(2, 3, 4), sample(4)
    cases = {
        "broadcast": (lambda v: lax.broadcast_in_dim(v, (2, 4, 3), (1,)), [v]),
        "broadcast a size of 1": (lambda x: lax.broadcast_in_dim(x, (5, 2, 4), (1, 2)), [sample(2, 1)]),
        "broadcast a scalar": (lambda x: lax.broadcast(x, (2, 3)), [sample()]),
        "reshape": (lambda x: x.reshape(6, 4).reshape(-1), [x]),
        "reshape what was broadcast": (lambda v: lax.broadcast_in_dim(v, (3, 4), (1,)).reshape(12) * 2, [v]),
        "transpose": (lambda x: x.transpose(2, 0, 1), [x]),
        "transpose what was broadcast": (lambda v: lax.broadcast_in_dim(v, (3, 4), (1,)).T + 1, [v]),
        "squeeze": (lambda x: lax.squeeze(x, (0, 2)), [sample(1, 3, 1)]),
        "squeeze to a scalar": (lambda x: lax.squeeze(x, (0,)), [sample(1)]),
        "expand": (lambda x: lax.expand_dims(x, (0, 3)), [sample(2, 3)]),
        "rev": (lambda x: lax.rev(x, (0, 2)), [x]),
        "concatenate": (lambda x, y: lax.concatenate([x, y, x], 1), [x, sample(2, 1, 4)]),
        "stack": (lambda x: jnp.stack([x, x + 1], 1), [x]),
        "pad": (lambda x: lax.pad(x, np.float32(7), ((1, 2, 0), (0, 0, 1), (-1, 3, 2))), [x]),
        "pad away": (lambda x: lax.pad(x, np.float32(7), ((-1, -1, 0), (-2, 1, 1), (0, -2, 3))), [x]),
        "slice": (lambda x: lax.slice(x, (0, 1, 1), (2, 3, 4), (1, 1, 2)), [x]),
        "split": (lambda x: lax.split(x, (1, 3), 2), [x]),
        "split, then written": (lambda x: [a * 2 + 1 for a in lax.split(x + 1, (1, 3), 2)], [x]),
        "iota": (
            lambda: (
                lax.iota(jnp.int32, 5),
                lax.broadcasted_iota(jnp.float32, (2, 3, 1), 1),
                lax.iota(jnp.uint8, 300),
                lax.iota(jnp.complex64, 3),
            ),
            [],
        ),
        "tile": (lambda x: jnp.tile(x, (2, 1, 3)), [x]),
        "empty arrays": (lambda x: (lax.concatenate([x, x], 0), x.T + 1, x.sum(0), x.sum(1), x.max(1)), [sample(0, 3)]),
        "constants": (lambda: jnp.full((2, 3), 5.0) + 1, []),
        "the argument itself": (lambda x: (x, x), [x]),
    }
    agree(cases, rtol=0)


# ---- reductions ----
def test_reductions():
    cases = {}
    for dtype in ("bool", "int8", "int32", "uint8", "float32", "complex64"):
        x = sample(3, 4, 5, dtype=dtype)
        kind = np.dtype(dtype).kind
        names = (
            ["reduce_max", "reduce_min"] * (kind != "c")
            + ["reduce_sum", "reduce_prod"] * (kind != "b")
            + ["reduce_and", "reduce_or", "reduce_xor"] * (kind in "biu")
        )
        for name in names:
            function = getattr(lax, name)
            for axes in ((), (1,), (0, 2), (0, 1, 2)):
                cases[f"{name} {axes} {dtype}"] = (lambda x, function=function, axes=axes: function(x, axes)), [x]
            cases[f"{name} of nothing {dtype}"] = (lambda x, function=function: function(x, (0,))), [sample(0, 3, dtype=dtype)]
        if kind not in "bc":
            cases[f"argmax {dtype}"] = (lambda x: (lax.argmax(x, 1, jnp.int32), lax.argmin(x, 2, jnp.int64))), [x]
    special = np.array([[1.0, np.nan, 3.0, np.nan], [2.0, 2.0, 1.0, 1.0], [-0.0, 0.0, -np.inf, np.inf]], "float32")
    cases["argmax of NaN and of equals"] = (
        (lambda x: (lax.argmax(x, 1, jnp.int32), lax.argmin(x, 1, jnp.int32), x.max(1), x.min(1))),
        [special],
    )
    cases["reduce"] = (lambda x: lax.reduce(x, np.float32(2), lax.add, (1,))), [sample(3, 4)]
    cases["sum of bools"] = (lambda x: x.sum()), [sample(9, dtype="bool")]
    cases["sum of int8 wraps"] = (lambda x: lax.reduce_sum(x, (0,))), [np.full(100, 100, "int8")]
    agree(cases, atol=1e-6)


def test_cumulative():
    cases = {}
    for dtype in ("int8", "int32", "float32"):
        x = sample(3, 5, dtype=dtype)
        for name in ("cumsum", "cumprod", "cummax", "cummin"):
            for reverse in (False, True):
                cases[f"{name} {reverse} {dtype}"] = (lambda x, name=name, reverse=reverse: getattr(lax, name)(x, 1, reverse)), [x]
    cases["cumlogsumexp"] = (lambda x: (lax.cumlogsumexp(x, 0), lax.cumlogsumexp(x, 1, True))), [sample(3, 5)]
    agree(cases, rtol=2e-6, atol=1e-6)


def test_sorting():
    special = np.array([3.0, np.nan, -0.0, 0.0, -np.inf, np.inf, -1.0, np.nan, 0.0], "float32")
    k = sample(4, 6, dtype="int32")
    cases = {
        "floats": (lambda x: (lax.sort(x), jnp.argsort(x), -jnp.sort(-x)), [special]),
        "along the first axis": (lambda x: lax.sort(x, 0), [k]),
        "two arrays": (lambda x, y: lax.sort((x, y), dimension=1, num_keys=1), [k, sample(4, 6)]),
        "two keys": (lambda x, y, z: lax.sort((x, y, z), dimension=1, num_keys=2), [k, k[::-1].copy(), sample(4, 6)]),
        "descending": (lambda x: jnp.argsort(x, descending=True), [k]),
        "top_k": (lambda x, y: (lax.top_k(x, 3), lax.top_k(y, 4)), [k, sample(3, 7)]),
        "top_k of NaN": (lambda x: lax.top_k(x, 6), [np.array([1.0, np.nan, 2.0, np.inf, 2.0, -np.inf], "float32")]),
        "median": (lambda x: jnp.median(x, 1), [sample(4, 7)]),
    }
    agree(cases, rtol=0)


# ---- products ----
def test_products():
    x, y = sample(3, 4), sample(4, 5)
    cases = {
        "matrices": (lambda x, y: x @ y, [x, y]),
        "transposed": (lambda x, y: lax.dot_general(x, y, (((0,), (1,)), ((), ()))), [sample(4, 3), sample(5, 4)]),
        "vectors": (lambda x: (x @ x, jnp.outer(x, x)), [sample(6)]),
        "matrix and vector": (lambda x, v: (x @ v, v @ x.T), [x, sample(4)]),
        "stacks": (lambda x, y: jnp.einsum("bhtd,bhsd->bhts", x, y), [sample(2, 3, 4, 5), sample(2, 3, 6, 5)]),
        "stacks, moved": (lambda x, y: jnp.einsum("bthd,bshd->bhts", x, y), [sample(2, 4, 3, 5), sample(2, 6, 3, 5)]),
        "stacks of vectors": (lambda x, y: jnp.einsum("bd,bd->b", x, y), [sample(3, 5), sample(3, 5, seed=1)]),
        "three dimensions": (lambda x, y: jnp.einsum("btd,de->bte", x, y), [sample(2, 3, 4), y]),
        "two contracted": (lambda x, y: jnp.einsum("abc,bcd->ad", x, y), [sample(2, 3, 4), sample(3, 4, 5)]),
        "several free": (lambda x, y: jnp.einsum("abc,cde->abde", x, y), [sample(2, 3, 4), sample(4, 2, 2)]),
        "nothing contracted": (lambda x, y: jnp.einsum("ab,ac->abc", x, y), [sample(3, 4), sample(3, 2)]),
        "integers": (lambda x, y: x @ y, [sample(3, 4, dtype="int8"), sample(4, 2, dtype="int8")]),
        "wider integers": (
            lambda x, y: jnp.matmul(x, y, preferred_element_type=jnp.int32),
            [np.full((2, 99), 99, "int8"), np.full((99, 2), 99, "int8")],
        ),
        "bools": (lambda x, y: lax.dot(x, y), [sample(3, 4, dtype="bool"), sample(4, 2, dtype="bool")]),
        "complex numbers": (lambda x, y: x @ y, [sample(3, 4, dtype="complex64"), sample(4, 2, dtype="complex64")]),
        "no length": (lambda x, y: x @ y, [sample(3, 0), sample(0, 2)]),
        "no rows": (lambda x, y: jnp.einsum("btd,de->bte", x, y), [sample(0, 3, 4), y]),
        "strided": (lambda x, y: lax.dot(x[::2, ::2], y), [sample(6, 8), y]),
    }
    agree(cases, rtol=1e-5, atol=1e-6)


def test_fft():
    z, x = sample(3, 8, dtype="complex64"), sample(3, 8)
    functions = {
        "fft": (jnp.fft.fft, z),
        "ifft": (jnp.fft.ifft, z),
        "rfft": (jnp.fft.rfft, x),
        "fft2": (jnp.fft.fft2, z),
        "irfft": (lambda z: jnp.fft.irfft(z, 7), z[:, :4]),
    }
    functions |= {"rfft2": (jnp.fft.rfft2, x), "rfft of doubles": (jnp.fft.rfft, x.astype("float64"))}
    agree({name: (function, [array]) for name, (function, array) in functions.items()}, rtol=1e-5, atol=1e-5)


# ---- control ----
def test_loops_and_branches():
    x = sample(5, 3)

    def carried(x):
        """The loop's own array is written in place, its start and its elements are not."""
        total = x[0] * 1

        def body(c, a):
            return c + a, (c, c * a)

        return lax.scan(body, total, x), total

    cases = {
        "scan": (lambda x: lax.scan(lambda c, a: (c + a, c * a), x[0], x), [x]),
        "reverse": (lambda x: lax.scan(lambda c, a: (c * 0.5 + a, c), x[0], x, reverse=True), [x]),
        "what it carries": (carried, [x]),
        "swapped": (lambda x: lax.scan(lambda c, a: ((c[1] + a, c[0]), None), (x[0], x[1]), x)[0], [x]),
        "the same twice": (lambda x: lax.scan(lambda c, a: ((c[0] + a, c[0] + a), None), (x[0], x[0]), x)[0], [x]),
        "one new value for two": (lambda x: lax.scan(lambda c, a: (lambda s: ((s, s), s))(c[0] + a + c[1]), (x[0], x[0]), x), [x]),
        "nothing scanned": (lambda x: lax.scan(lambda c, _: (c * 2, None), x, None, length=3)[0], [x]),
        "no turns": (lambda x: lax.scan(lambda c, a: (c + a, a), x[0], x[:0]), [x]),
        "a constant": (lambda x: lax.scan(lambda c, a: (c + a @ (x.T @ x), jnp.zeros(2)), x[0], x), [x]),
        "nested": (lambda x: lax.scan(lambda c, a: (lax.fori_loop(0, 3, lambda i, s: s + a * i, c), c.sum()), x[0], x), [x]),
        "written in turn": (lambda x: lax.fori_loop(0, 5, lambda i, s: s.at[i].set(x[i] * 2), jnp.zeros((5, 3))), [x]),
        "while": (lambda x: lax.while_loop(lambda s: s[0].sum() < 50, lambda s: (s[0] * 1.5 + 1, s[1] + 1), (abs(x), 0)), [x]),
        "the test reads what is carried": (lambda x: lax.while_loop(lambda s: (s + 1).max() < 9, lambda s: s + 1, x), [x]),
        "cond": (lambda x: (lax.cond(x[0, 0] > 0, jnp.sin, jnp.cos, x), lax.cond(x[0, 0] <= 0, jnp.sin, jnp.cos, x)), [x]),
        "cond gives an operand": (lambda x: lax.cond(x[0, 0] > 0, lambda a: (a, a + 1), lambda a: (a - 1, a), x * 2), [x]),
        "switch": (lambda x: [lax.switch(i, [jnp.sin, jnp.cos, lambda a: a], x) for i in (-1, 1, 7)], [x]),
        "switch of a value": (lambda i, x: lax.switch(i, [jnp.sin, jnp.cos, lambda a: jnp.zeros_like(a)], x), [np.int32(2), x]),
        "platforms": (lambda x: lax.platform_dependent(x, cpu=jnp.sin, default=jnp.cos), [x]),
        "only the default": (lambda x: lax.platform_dependent(x, tpu=jnp.sin, default=jnp.cos), [x]),
        "calls": (lambda x: jax.checkpoint(jax.jit(jnp.tanh))(x) + jax.nn.relu(x) + jax.jit(lambda x: x + 1)(x), [x]),
        "a gradient through scan": (jax.grad(lambda x: lax.scan(lambda c, a: (jnp.tanh(c + a), c * a), x[0], x)[1].sum()), [x]),
        "map": (lambda x: lax.map(lambda a: a.sum() * a, x), [x]),
        "associative": (lambda x: lax.associative_scan(jnp.add, x), [x]),
    }
    agree(cases, rtol=3e-6, atol=1e-6)


def test_what_has_no_rule_is_named():
    with pytest.raises(Untranslatable, match="random"):
        translate(jax.make_jaxpr(lambda: jax.random.normal(jax.random.key(0), (3,)))())
    with pytest.raises(Untranslatable, match="qr"):
        translate(jax.make_jaxpr(jnp.linalg.qr)(np.eye(3, dtype="float32")))
    with pytest.raises(Untranslatable, match="exp of bfloat16"):
        translate(jax.make_jaxpr(jnp.exp)(jnp.ones(3, jnp.bfloat16)))
    with pytest.raises(Untranslatable, match="pure_callback"):
        translate(jax.make_jaxpr(lambda x: jax.pure_callback(lambda x: x, x, x))(jnp.ones(3)))
    with pytest.raises(Untranslatable, match="reduce_window"):
        translate(jax.make_jaxpr(lambda x: lax.reduce_window(x, 0.0, lambda a, b: a + 2 * b, (2,), (1,), "VALID"))(jnp.ones(3)))
