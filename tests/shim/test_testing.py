"""torch.testing: the same verdicts, and the same text where things differ."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from twin import same

import funnn.torch as shim

nan, inf = float("nan"), float("inf")


def verdict(t, program):
    """What assert_close says: "close", or its error's class and text."""
    try:
        program(t)
    except Exception as error:
        return type(error).__name__, str(error).replace("funnn.torch._tensor.", "torch.").replace("funnn.", "")
    return "close"


def agree(program):
    expected = verdict(torch, program)
    assert verdict(shim, program) == expected
    return expected


#: actual and expected, by arguments of assert_close
PAIRS = {
    "equal": (lambda t: (t.ones(3), t.ones(3)), {}),
    "one element": (lambda t: (t.tensor([1.0, 2.0, 3.0]), t.tensor([1.0, 2.0, 4.0])), {}),
    "matrix": (lambda t: (t.arange(12.0).reshape(3, 4) * 1.1, t.arange(12.0).reshape(3, 4)), {}),
    "tolerances": (lambda t: (t.tensor([1.0, 2.0]), t.tensor([1.1, 2.3])), {"rtol": 0.1, "atol": 0.05}),
    "no tolerance": (lambda t: (t.tensor([1.0, 2.0]), t.tensor([1.0, 2.0000002])), {"rtol": 0, "atol": 0}),
    "only rtol": (lambda t: (t.ones(1), t.ones(1)), {"rtol": 0.1}),
    "only atol": (lambda t: (1.0, 1.0), {"atol": 0.1}),
    "scalar": (lambda t: (t.tensor(1.5), t.tensor(1.25)), {}),
    "scalar zero": (lambda t: (t.tensor(1.5), t.tensor(0.0)), {}),
    "numbers": (lambda t: (1.5, 1.25), {}),
    "integers": (lambda t: (3, 4), {}),
    "complex numbers": (lambda t: (1 + 2j, 1 - 2j), {}),
    "int and float": (lambda t: (1, 1.0), {}),
    "int and float, any type": (lambda t: (1, 1.5), {"check_dtype": False}),
    "numpy numbers": (lambda t: (np.float64(1.5), 1.25), {}),
    "nan numbers": (lambda t: (nan, nan), {}),
    "equal nan numbers": (lambda t: (nan, nan), {"equal_nan": True}),
    "nan": (lambda t: (t.tensor([1.0, nan]), t.tensor([1.0, nan])), {}),
    "equal nan": (lambda t: (t.tensor([1.0, nan]), t.tensor([1.0, nan])), {"equal_nan": True}),
    "infinities": (lambda t: (t.tensor([inf, -inf, 1.0]), t.tensor([inf, inf, 1.0])), {}),
    "zeros": (lambda t: (t.tensor([0.0, 1.0]), t.tensor([1.0, 0.0])), {}),
    "bool": (lambda t: (True, False), {}),
    "bool and numpy's": (lambda t: (np.bool_(True), True), {}),
    "bool tensors": (lambda t: (t.tensor([True, False]), t.tensor([True, True])), {}),
    "integer tensors": (lambda t: (t.tensor([[1, 2], [3, 5]]), t.tensor([[1, 2], [3, 9]])), {}),
    "integer tolerance": (lambda t: (t.tensor([10, 20]), t.tensor([11, 30])), {"rtol": 0.0, "atol": 1.5}),
    "unsigned": (lambda t: (t.tensor([200], dtype=t.uint8), t.tensor([201], dtype=t.uint8)), {}),
    "uint16 and int": (lambda t: (t.tensor([2], dtype=t.uint16), t.tensor([3])), {"check_dtype": False}),
    "half": (lambda t: (t.tensor([1.0, 2.0]).half(), t.tensor([1.0, 2.005]).half()), {}),
    "bfloat16": (lambda t: (t.tensor([1.0, 2.1]).bfloat16(), t.tensor([1.0, 2.0]).bfloat16()), {}),
    "double": (lambda t: (t.tensor([1.0]).double(), t.tensor([1.0]).double() + 3e-7), {}),
    "complex": (lambda t: (t.tensor([1 + 1j, 2j]), t.tensor([1 + 1j, 5j])), {}),
    "dtype": (lambda t: (t.ones(2), t.ones(2).double()), {}),
    "any dtype": (lambda t: (t.ones(2), t.ones(2).double() * 2), {"check_dtype": False}),
    "shape": (lambda t: (t.ones(2), t.ones(3)), {}),
    "stride": (lambda t: (t.ones(2, 3), t.ones(3, 2).t()), {"check_stride": True}),
    "any stride": (lambda t: (t.ones(2, 3), t.ones(3, 2).t()), {}),
    "empty": (lambda t: (t.ones(0, 3), t.ones(0, 3)), {}),
    "parameter": (lambda t: (t.nn.Parameter(t.ones(2)), t.ones(2)), {}),
    "tensor and array": (lambda t: (t.ones(2), np.ones(2)), {}),
    "arrays": (lambda t: (np.ones(2), np.zeros(2)), {}),
    "None": (lambda t: (None, None), {}),
    "None and not": (lambda t: (None, 1), {}),
    "text": (lambda t: ("a", "a"), {}),
    "sequences": (lambda t: ([1.0, t.ones(2)], (1.0, t.zeros(2))), {}),
    "lengths": (lambda t: ([1, 2], [1]), {}),
    "types in a sequence": (lambda t: ([1, "a"], [2, "b"]), {}),
    "nested": (lambda t: ([{"a": [t.ones(1), t.ones(1)]}], [{"a": [t.ones(1), t.zeros(1)]}]), {}),
    "mappings": (lambda t: (OrderedDict(b=1, a=2), {"a": 2, "b": 3}), {}),
    "keys": (lambda t: ({"a": 1, "c": 2}, {"a": 1, "b": 2}), {}),
    "message": (lambda t: (t.ones(2), t.zeros(2)), {"msg": "no"}),
    "message function": (lambda t: ([t.ones(2)], [t.zeros(2)]), {"msg": lambda text: f"head\n{text}\ntail"}),
    "message, other type": (lambda t: ("a", 1), {"msg": "no"}),
    "message, other length": (lambda t: ([1], []), {"msg": "no"}),
    "requires grad": (lambda t: (t.ones(2, requires_grad=True) * 2, t.ones(2)), {}),
}


@pytest.mark.parametrize("name", PAIRS)
def test_assert_close(name):
    make, options = PAIRS[name]
    agree(lambda t: t.testing.assert_close(*make(t), **options))


def test_subclasses_may_be_refused():
    for t in (torch, shim):
        with pytest.raises(TypeError, match="No comparison pair was able to handle inputs of type"):
            t.testing.assert_close(t.nn.Parameter(t.ones(2)), t.ones(2), allow_subclasses=False)


def test_text():
    """What a reader sees; also shows that the comparisons above compare texts."""
    with pytest.raises(AssertionError) as raised:
        shim.testing.assert_close(shim.tensor([1.0, 2.0, 3.0]), shim.tensor([1.0, 2.0, 4.0]))
    assert str(raised.value) == (
        "Tensor-likes are not close!\n\nMismatched elements: 1 / 3 (33.3%)\n"
        "Greatest absolute difference: 1.0 at index (2,) (up to 1e-05 allowed)\n"
        "Greatest relative difference: 0.25 at index (2,) (up to 1.3e-06 allowed)"
    )


numbers = st.sampled_from([0.0, -0.0, 1.0, 1.001, 1.01, -3.0, -3.0001, 65504.0, 1e-5, 2e-5, nan, inf, -inf])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(numbers, numbers), min_size=1, max_size=5),
    st.sampled_from(["float16", "bfloat16", "float32", "float64", "complex64"]),
    st.sampled_from([{}, {"rtol": 1e-2, "atol": 0.0}, {"rtol": 0.0, "atol": 1e-3}, {"rtol": 0.0, "atol": 0.0, "equal_nan": True}]),
)
def test_any_numbers(pairs, dtype, options):
    actual, expected = zip(*pairs, strict=True)
    agree(lambda t: t.testing.assert_close(*(t.tensor(v, dtype=getattr(t, dtype)) for v in (actual, expected)), **options))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64"])
def test_assert_allclose(dtype):
    for actual, expected in (([1, 2], [1, 2.00005]), ([1, 2], [1, 2.1]), ([1, nan], [1, nan])):
        if dtype == "int64" and (nan in actual or nan in expected):
            continue

        def program(t, actual=actual, expected=expected):
            with pytest.warns(FutureWarning, match="assert_allclose"):
                t.testing.assert_allclose(t.tensor(actual, dtype=getattr(t, dtype)), expected)

        agree(program)


# -- make_tensor

MADE = {
    "float32": ((3, 4), {}),
    "float64": ((5,), {"low": -1, "high": 1}),
    "float16": ((2, 3), {"low": 0}),
    "bfloat16": ((4,), {"exclude_zero": True}),
    "complex64": ((2, 2), {}),
    "complex128": ((3,), {"low": 0, "high": 2}),
    "int64": ((10,), {}),
    "int32": ((10,), {"low": 0, "high": 2, "exclude_zero": True}),
    "uint8": ((10,), {}),
    "int8": ((10,), {"low": -1000, "high": 1000}),
    "bool": ((10,), {}),
}


@pytest.mark.parametrize("dtype", MADE)
@pytest.mark.parametrize("noncontiguous", [False, True])
def test_make_tensor(dtype, noncontiguous):
    shape, options = MADE[dtype]

    def program(t):
        made = t.testing.make_tensor(shape, dtype=getattr(t, dtype), device="cpu", noncontiguous=noncontiguous, **options)
        return made, made.stride(), made.is_contiguous()

    same(program)


def test_make_tensor_options():
    def program(t):
        wide = t.testing.make_tensor(2, 3, dtype=t.float32, device="cpu", low=-inf, high=inf)
        image = t.testing.make_tensor([2, 3, 2, 2], dtype=t.float32, device="cpu", memory_format=t.channels_last)
        return wide, image, image.stride(), t.testing.make_tensor((), dtype=t.float64, device="cpu", requires_grad=True)

    same(program)


REFUSED = {
    "low above high": ({"low": 3, "high": 1}, "float32"),
    "nan": ({"low": nan}, "float32"),
    "outside": ({"low": 300, "high": 400}, "int8"),
    "integer gradients": ({"requires_grad": True}, "int64"),
    "two layouts": ({"noncontiguous": True, "memory_format": "channels_last"}, "float32"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_make_tensor_refuses(name):
    options, dtype = REFUSED[name]

    def program(t):
        given = {key: getattr(t, value) if isinstance(value, str) else value for key, value in options.items()}
        t.testing.make_tensor(2, dtype=getattr(t, dtype), device="cpu", **given)

    assert agree(program)[0] == "ValueError"


def test_make_tensor_of_one_value():
    for t in (torch, shim):
        with pytest.warns(FutureWarning, match="deprecated"):
            assert t.testing.make_tensor(2, dtype=t.float32, device="cpu", low=1, high=1).tolist() == [1, 1]
