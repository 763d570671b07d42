"""`funnn.engine.types.printing` against the `repr` of PyTorch itself."""

import subprocess
import sys
from dataclasses import asdict, replace

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import funnn.torch as shim
from funnn.engine.types import printing as _printing
from funnn.engine.types.printing import PrintOptions, format_tensor, resolve_options

nan, inf = float("nan"), float("inf")
FLOATS = ["float16", "bfloat16", "float32", "float64"]
COMPLEX = ["complex64", "complex128"]
INTEGERS = ["int8", "int16", "int32", "int64", "uint8"]
DTYPES = [*FLOATS, *COMPLEX, *INTEGERS, "bool"]


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    if tensor.dtype == torch.float8_e4m3fn:
        return tensor.view(torch.uint8).numpy().view(ml_dtypes.float8_e4m3fn)
    return tensor.numpy()


@pytest.fixture(autouse=True)
def torch_state():
    """Torch's process-wide options and default dtype, put back after each test."""
    yield
    torch.set_printoptions(profile="default")
    torch.set_default_dtype(torch.float32)


def expect_same(tensor: torch.Tensor, suffixes=(), **options) -> None:
    """`format_tensor` gives the text of torch's `repr` under the same options."""
    options = PrintOptions(**options)
    with torch._tensor_str.printoptions(**asdict(options)):
        expected = repr(tensor)
    default = str(torch.get_default_dtype()).removeprefix("torch.")
    name = str(tensor.dtype).removeprefix("torch.")
    got = format_tensor(to_numpy(tensor), dtype_name=name, default_dtype_name=default, suffixes=suffixes, options=options)
    assert got == expected


def of_dtype(values, dtype: str) -> torch.Tensor:
    """Values of any magnitude in a dtype: rounded, wrapped or saturated, but never refused."""
    wide = torch.complex128 if dtype in COMPLEX else torch.float64 if dtype in FLOATS else torch.int64
    return torch.tensor(values, dtype=wide).to(getattr(torch, dtype))


FLOAT_VALUES = {
    "scalar": 1.5,
    "scalar whole": -3.0,
    "scalar zero": 0.0,
    "scalar negative zero": -0.0,
    "scalar nan": nan,
    "scalar inf": -inf,
    "scalar large": 1e9,
    "scalar small": 1e-5,
    "whole": [1.0, 2.0, 30.0],
    "whole with zeros": [-0.0, 0.0, 5.0],
    "whole negative": [[-1.0, 2.0], [3.0, -400.0]],
    "whole ratio 1000": [1.0, 1000.0],
    "whole ratio 1001": [1.0, 1001.0],
    "whole with nan": [1.0, nan, -inf],
    "only nonfinite": [nan, inf, -inf, 0.0],
    "zeros": [[0.0, 0.0], [-0.0, 0.0]],
    "fractions": [0.1, -0.25, 3.14159265],
    "fractions ratio 1000": [0.5, 500.0],
    "fractions ratio above": [0.5, 501.0],
    "fractions and nonfinite": [0.5, nan, inf, -inf, -0.0],
    "at 1e8": [1e8],
    "above 1e8": [1e8 + 10],
    "at 1e-4": [1e-4, 2e-4],
    "below 1e-4": [9.9e-5, 2e-4],
    "small and nonfinite": [1e-6, nan, -inf, 0.0],
    "extremes": [5e-324, 1.7e308],
    "round to wider": [9.99999, 99.99999],
    "halves": [[0.5, 1.5, 2.5], [1e-3, 0.12345, 0.98765]],
    "one": [[[[1.25]]]],
    "nested": [[[1.0, 2.5]], [[-3.0, 4.0]]],
}
COMPLEX_VALUES = {
    "scalar": 1 + 2j,
    "scalar negative": -1.5 - 2.5j,
    "whole": [1 + 2j, -3 - 40j],
    "mixed": [1.5 + 2j, -300.25 - 40j],
    "signed zeros": [complex(0.0, -0.0), complex(-0.0, 0.0)],
    "nonfinite": [complex(nan, 1), complex(1, nan), complex(-inf, -inf), complex(inf, nan)],
    "only nonfinite": [complex(nan, nan), complex(inf, -inf)],
    "one part small": [1 + 1e-6j, 2 + 2e-6j],
    "both far apart": [1e5 + 1j, 1 + 1e5j],
    "nested": [[[1 + 1j, 2 - 2j]], [[0j, 1.5 + 0j]]],
}
INTEGER_VALUES = {
    "scalar": 7,
    "scalar negative": -7,
    "widths": [1, -100, 0],
    "limits": [-128, 127, 255, 2**31 - 1, -(2**63), 2**63 - 1],
    "nested": [[[1, 20], [3, 4]], [[5, 6], [7, 100]]],
}
CASES = [
    pytest.param(values, dtype, id=f"{dtype}-{name}")
    for dtypes, table in [(FLOATS, FLOAT_VALUES), (COMPLEX, COMPLEX_VALUES), (INTEGERS, INTEGER_VALUES), (["bool"], INTEGER_VALUES)]
    for dtype in dtypes
    for name, values in table.items()
]


@pytest.mark.parametrize(("values", "dtype"), CASES)
def test_values(values, dtype):
    tensor = of_dtype(values, dtype)
    expect_same(tensor)
    expect_same(tensor, sci_mode=True)
    expect_same(tensor, sci_mode=False)
    expect_same(tensor, precision=1, linewidth=20)
    expect_same(tensor, threshold=0, edgeitems=1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 4), (0, 0)])
def test_empty(shape, dtype):
    expect_same(torch.empty(shape, dtype=getattr(torch, dtype)))


SHAPES = [
    *[(), (1,), (24,), (25,), (26,), (200,), (1000,), (1001,), (5000,)],
    *[(1, 1), (3, 50), (50, 3), (100, 100), (2, 501), (501, 2), (6, 200), (7, 200), (200, 6), (200, 7)],
    *[(2, 3, 4), (1, 1, 40), (7, 7, 30), (30, 2, 30), (2, 2, 2, 2), (8, 1, 8, 20), (1, 2, 1, 2, 1, 2)],
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes(shape, dtype):
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(shape, dtype=torch.float64, generator=generator) * 40
    expect_same(
        values.to(torch.complex128 if dtype in COMPLEX else torch.int64 if dtype == "uint8" else values.dtype).to(getattr(torch, dtype))
    )


@pytest.mark.parametrize("edgeitems", [0, 1, 2, 5])
@pytest.mark.parametrize("shape", [(), (4,), (12,), (40,), (4, 12), (12, 4), (3, 11, 5), (0, 4)], ids=str)
def test_edgeitems(shape, edgeitems):
    count = int(np.prod(shape))
    for tensor in [torch.arange(count).reshape(shape), torch.linspace(-3, 3, count, dtype=torch.float64).reshape(shape)]:
        expect_same(tensor, threshold=10, edgeitems=edgeitems)
        expect_same(tensor, threshold=0, edgeitems=edgeitems, linewidth=15)


def test_most_dimensions():
    expect_same(torch.arange(50).reshape((1,) * 62 + (50, 1)), threshold=10)


def test_views_and_strides():
    tensor = torch.arange(3000.0).reshape(50, 60).t()[::2, 1:]
    expect_same(tensor)
    expect_same(tensor[:3, :3])


@pytest.mark.parametrize("linewidth", [0, 1, 8, 9, 10, 13, 14, 40, 79, 80, 81, 200])
def test_linewidth(linewidth):
    expect_same(torch.arange(60), linewidth=linewidth)
    expect_same(torch.linspace(0, 1, 60).reshape(2, 1, 30), linewidth=linewidth)
    expect_same(torch.complex(torch.arange(30.0), -torch.arange(30.0)), linewidth=linewidth)


@pytest.mark.parametrize("default", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtype_is_shown_where_torch_shows_it(dtype, default):
    torch.set_default_dtype(getattr(torch, default))
    expect_same(torch.ones(2, dtype=getattr(torch, dtype)))
    expect_same(torch.ones(0, 2, dtype=getattr(torch, dtype)))
    expect_same(torch.ones((), dtype=getattr(torch, dtype)))


def test_other_ml_dtypes():
    expect_same(torch.tensor([0.5, 448.0, nan, -0.0]).to(torch.float8_e4m3fn))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", range(1, 30))
def test_suffixes_wrap_at_the_line_width(count, dtype):
    leaf = torch.ones(count, dtype=getattr(torch, dtype), requires_grad=True)
    expect_same(leaf, ["requires_grad=True"])
    expect_same(leaf + 1, ["grad_fn=<AddBackward0>"])
    for linewidth in range(20, 90, 3):
        expect_same(leaf, ["requires_grad=True"], linewidth=linewidth)
        expect_same(leaf.reshape(1, count) * 2, ["grad_fn=<MulBackward0>"], linewidth=linewidth, edgeitems=0)


def test_order_of_suffixes():
    suffixes = ["requires_grad=True", "device='meta'"]
    text = format_tensor(np.zeros((0, 3)), dtype_name="float64", suffixes=suffixes, options=PrintOptions(linewidth=200))
    assert text == "tensor([], device='meta', size=(0, 3), dtype=torch.float64, requires_grad=True)"
    with torch._tensor_str.printoptions(linewidth=200):
        theirs = repr(torch.empty((0, 3), dtype=torch.float64, device="meta", requires_grad=True))
    assert theirs.replace("...", "[]") == text


def test_prefix_is_the_indentation():
    class Weights(torch.Tensor):
        pass

    tensor = torch.arange(40.0).reshape(2, 20)
    assert format_tensor(tensor.numpy(), dtype_name="float32", prefix="Weights(") == repr(tensor.as_subclass(Weights))


def test_literal_text():
    """What a reader of a torch tutorial sees; also shows that the comparisons above compare texts, not two empty strings."""
    values = np.float32([[1, 2], [3, 4]])
    assert format_tensor(values, dtype_name="float32", suffixes=["requires_grad=True"]) == (
        "tensor([[1., 2.],\n        [3., 4.]], requires_grad=True)"
    )
    assert format_tensor(np.arange(2000), dtype_name="int64") == "tensor([   0,    1,    2,  ..., 1997, 1998, 1999])"


OPTION_CALLS = [
    {},
    {"precision": 2},
    {"threshold": 5, "edgeitems": 1},
    {"linewidth": 40, "sci_mode": False},
    {"precision": 0, "edgeitems": 0},
    {"profile": "short"},
    {"profile": "full", "edgeitems": 7},
    {"profile": "default", "sci_mode": True},
    {"profile": "short", "precision": 6},
    {"profile": "unknown", "linewidth": 30},
]


@pytest.mark.parametrize("first", OPTION_CALLS, ids=str)
@pytest.mark.parametrize("second", OPTION_CALLS, ids=str)
def test_resolve_options_is_set_printoptions(first, second):
    torch.set_printoptions(**first)
    torch.set_printoptions(**second)
    resolved = resolve_options(resolve_options(PrintOptions(), **first), **second)
    assert asdict(resolved) == torch._tensor_str.get_printoptions()
    assert list(asdict(resolved)) == list(torch._tensor_str.get_printoptions())


def test_sci_mode_returns_to_automatic_when_left_out():
    assert resolve_options(PrintOptions(sci_mode=True), precision=3) == replace(PrintOptions(), precision=3)


shapes = st.lists(st.integers(0, 5), max_size=4).map(tuple)
options = st.fixed_dictionaries(
    {
        "precision": st.integers(0, 7),
        "threshold": st.sampled_from([0, 3, 10, 1000]),
        "edgeitems": st.integers(0, 3),
        "linewidth": st.integers(1, 120),
        "sci_mode": st.sampled_from([None, None, True, False]),
    }
)
reals = st.one_of(
    st.floats(),
    st.floats(-10, 10),
    st.integers(-2000, 2000).map(float),
    st.sampled_from([nan, inf, -inf, 0.0, -0.0, 5e-324, 1e-45, 6e-8, 1e8, 1e-4, 65504.0, 3e38, 1e300]),
)


@st.composite
def tensors(draw):
    dtype, shape = draw(st.sampled_from(DTYPES)), draw(shapes)
    # One kind of value per tensor as often as not: a mixture nearly always ends in scientific notation.
    kind = draw(st.sampled_from([reals, st.floats(-10, 10), st.integers(-2000, 2000).map(float)]))
    if dtype in COMPLEX:
        values = st.builds(complex, kind, kind)
    elif dtype in FLOATS:
        values = kind
    else:
        values = st.one_of(st.integers(-9, 9), st.integers(-(2**63), 2**63 - 1))
    pool = draw(st.lists(values, min_size=1, max_size=12))
    count = int(np.prod(shape))
    return of_dtype((pool * (count // len(pool) + 1))[:count], dtype).reshape(shape)


@settings(max_examples=600, deadline=None)
@given(tensors(), options)
def test_any_tensor_under_any_options(tensor, options):
    expect_same(tensor, **options)


# -- the shim's own tensors

ALL_DTYPES = [*DTYPES, "uint16", "uint32", "uint64"]
CASTS = {"uint16": np.uint16, "uint32": np.uint32, "uint64": np.uint64, "bfloat16": ml_dtypes.bfloat16}


@st.composite
def pairs(draw, dtype):
    """One tensor in both libraries, made by NumPy so that nothing is compiled."""
    shape, count = draw(shapes), 0
    kind = draw(st.sampled_from([reals, st.floats(-10, 10), st.integers(-2000, 2000).map(float)]))
    if dtype in COMPLEX:
        kind = st.builds(complex, kind, kind)
    elif dtype not in FLOATS:
        kind = st.one_of(st.integers(-9, 9), st.integers(-(2**63), 2**63 - 1))
    pool = draw(st.lists(kind, min_size=1, max_size=8))
    count = int(np.prod(shape))
    wide = np.array((pool * (count // len(pool) + 1))[:count], complex if dtype in COMPLEX else float if dtype in FLOATS else np.int64)
    with np.errstate(all="ignore"):
        array = wide.astype(CASTS.get(dtype, dtype)).reshape(shape)
    theirs = torch.from_numpy(array.view(np.int16)).view(torch.bfloat16) if dtype == "bfloat16" else torch.from_numpy(array)
    return shim.from_numpy(array), theirs


@pytest.mark.parametrize("dtype", ALL_DTYPES)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_the_shims_tensors(dtype, data):
    ours, theirs = data.draw(pairs(dtype))
    chosen = data.draw(options)
    try:
        for library in (shim, torch):
            library.set_printoptions(**chosen)
        assert repr(ours) == repr(theirs) and str(ours) == str(theirs)
        if dtype in FLOATS + COMPLEX:
            assert repr(ours.requires_grad_()) == repr(theirs.requires_grad_())
            assert repr(shim.nn.Parameter(ours.detach())) == repr(torch.nn.Parameter(theirs.detach()))
    finally:
        shim.set_printoptions(profile="default")
        torch.set_printoptions(profile="default")


SPECS = ["", ".4f", "8.2f", "+.1e", "g", "5", "<9", "%", "d", "x", "s", "08.3f", ","]


@pytest.mark.parametrize("spec", SPECS)
def test_format(spec):
    """A 0-d tensor is formatted as its number, others as objects are."""

    def text(t, make):
        try:
            return format(make(t), spec)
        except Exception as error:
            return type(error).__name__, str(error)

    for make in (
        lambda t: t.tensor(3.14159),
        lambda t: t.tensor(-2.5, requires_grad=True),
        lambda t: t.tensor(12345),
        lambda t: t.tensor(True),
        lambda t: t.tensor(1 + 2j),
        lambda t: t.tensor([1.5]),
        lambda t: t.nn.Parameter(t.tensor(2.0)),
        lambda t: t.tensor(2.5).half(),
    ):
        assert text(shim, make) == text(torch, make)


@pytest.mark.parametrize("default", ["float16", "bfloat16", "float64"])
def test_default_dtype_of_the_shim(default):
    def texts(t):
        t.set_default_dtype(getattr(t, default))
        try:
            return [
                repr(x)
                for x in (
                    t.ones(2),
                    t.ones(2, dtype=t.float32),
                    t.ones(2, dtype=t.float64),
                    t.zeros(0),
                    t.ones(1, dtype=t.complex64),
                    t.arange(2),
                )
            ]
        finally:
            t.set_default_dtype(t.float32)

    assert texts(shim) == texts(torch)


def test_options_of_the_shim():
    def texts(t):
        x, found = t.arange(2000.0) / 7, []
        for call in OPTION_CALLS:
            t.set_printoptions(**call)
            found.append(str(x[:6]) + str(x[:3].double().sum()) + str(x.reshape(2, 1000)) * (call.get("profile") != "full"))
        t.set_printoptions(profile="default", sci_mode=None)
        return found

    assert texts(shim) == texts(torch)


def test_signalling_nan_does_not_warn():
    bits = np.array([0x7F800001, 0x3F800000], np.uint32)
    assert format_tensor(bits.view(np.float32), dtype_name="float32") == "tensor([nan, 1.])"


def test_summary_reads_only_the_edges():
    """10**13 elements of one byte, broadcast: any pass over them all would not end."""
    values = np.broadcast_to(np.int8(3), (10**6, 10**7))
    assert format_tensor(values, dtype_name="int8").startswith("tensor([[3, 3, 3,  ..., 3, 3, 3],\n")


def test_imports_neither_jax_nor_torch():
    code = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('printing', {_printing.__file__!r})\n"
        "module = importlib.util.module_from_spec(spec); sys.modules['printing'] = module; spec.loader.exec_module(module)\n"
        "assert not {'jax', 'torch'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
