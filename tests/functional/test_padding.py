"""pad against torch: every mode, with amounts that add and amounts that cut off."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as T
from oracle import compare, tensor

import funnn.functional as F
import funnn.torch as ft
from funnn.errors import ArgumentError, ShapeError

MODES = ["constant", "reflect", "replicate", "circular"]


@pytest.mark.parametrize("mode", MODES)
def test_all_small_amounts(mode):
    """The same values or the same class of error as torch's, for all amounts around the size of an axis."""
    x = torch.arange(6.0).reshape(1, 2, 3)
    for pads in itertools.product(range(-4, 5), repeat=2):
        cut = 3 + min(pads[0], 0) + min(pads[1], 0)
        if mode == "circular" and cut < max(pads) <= 3:
            continue  # torch reads memory that it has not written
        try:
            expected = T.pad(x, pads, mode).numpy()
        except Exception as error:
            with pytest.raises(type(error)):
                F.pad(jnp.asarray(x.numpy()), pads, mode)
        else:
            np.testing.assert_array_equal(F.pad(jnp.asarray(x.numpy()), pads, mode), expected)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("shape", "pads"),
    [((2, 5), (1, 2)), ((2, 3, 4, 5), (2, -1, 0, 3)), ((3, 4, 5), (-2, 2, 1, -1)), ((1, 2, 4, 3, 5), (1, 2, 2, -1, -1, 3))],
)
def test_gradients(mode, shape, pads):
    compare(F.pad, T.pad, (tensor(*shape), pads, mode))


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool", "float16", "bfloat16", "complex64"])
@pytest.mark.parametrize("mode", MODES)
def test_dtypes(mode, dtype):
    x = torch.tensor([[0, 1, 2, 3]]).to(getattr(torch, dtype))
    got = F.pad(jnp.asarray([[0, 1, 2, 3]]).astype(dtype), (2, 1), mode)
    assert got.dtype == dtype
    expected = T.pad(x.int() if dtype == "bool" else x, (2, 1), mode)  # torch has no bool in some modes
    np.testing.assert_array_equal(np.asarray(got).astype(complex), expected.to(torch.complex64).numpy())


def test_value_is_converted_as_torch_fills():
    x = torch.zeros(1, 2)
    for kind, value in ((torch.uint8, 1.7), (torch.bool, 2), (torch.int32, -3), (torch.float16, 0.1), (torch.float32, float("inf"))):
        expected = T.pad(x.to(kind), (1, 0), value=value).float().tolist()
        assert F.pad(jnp.zeros((1, 2), str(kind)[6:]), (1, 0), value=value).astype(jnp.float32).tolist() == expected
    for kind, value in (("uint8", -1), ("uint8", 300), ("float16", 1e6)):
        with pytest.raises(ArgumentError, match=r"cannot be converted to type \w+ without overflow"):
            F.pad(jnp.zeros((1, 2), kind), (1, 0), value=value)


def test_scalars_and_empty_axes():
    assert F.pad(jnp.array(3.0), ()).tolist() == 3.0
    assert F.pad(jnp.zeros((1, 0)), (1, 1), value=2).tolist() == [[2, 2]]
    assert F.pad(jnp.zeros((0, 2, 3)), (1, 1), "reflect").shape == (0, 2, 5)


def test_in_the_shim_a_view_is_padded_and_the_name_is_torchs():
    for torch_ in (torch, ft):
        x = torch_.arange(12.0).reshape(1, 3, 4).requires_grad_()
        y = torch_.nn.functional.pad(x[:, :, ::2], (1, 1), "reflect")
        y.sum().backward()
        assert x.grad.tolist()[0][0] == [2.0, 0.0, 2.0, 0.0]
        assert y.grad_fn.name() == "ReflectionPad1DBackward0"


X = jnp.zeros((1, 2, 3))
ERRORS = [
    (lambda: F.pad(X, (1,)), ShapeError, "Padding length must be divisible by 2"),
    (lambda: F.pad(X, (1,) * 8), ShapeError, "less than or equal to two times the input dimension but got padding length 8"),
    (lambda: F.pad(X, 1), TypeError, "must be tuple of ints, but got 1"),
    (lambda: F.pad(X, (1.5, 1)), TypeError, "must be tuple of ints"),
    (lambda: F.pad(X, (-4, 0)), ShapeError, "The input size 3, plus negative padding -4 and 0 resulted in a negative output size"),
    (lambda: F.pad(X, (1, 1), "mirror"), NotImplementedError, "Unrecognised padding mode mirror"),
    (lambda: F.pad(X, (1, 1), "reflect", 1.0), ArgumentError, 'Padding mode "reflect" doesn\'t take in value argument'),
    (lambda: F.pad(X, (3, 0), "reflect"), ShapeError, r"padding \(3, 0\) at dimension 2 of input \[1, 2, 3\]"),
    (lambda: F.pad(X, (4, 0), "circular"), ShapeError, "wrapping around more than once"),
    (lambda: F.pad(X, (-2, -2), "circular"), ShapeError, "Negative padding value is resulting in an empty dimension"),
    (lambda: F.pad(X, (-2, -1), "replicate"), ShapeError, r"input \(W: 3\) is too small. Calculated output W: 0"),
    (lambda: F.pad(X, (1,) * 6, "reflect"), NotImplementedError, "Padding size 6 is not supported for 3D input tensor"),
    (lambda: F.pad(jnp.zeros((1, 0, 3)), (1, 1), "replicate"), ShapeError, r"other non-zero dimensions for input, but got: \[1, 0, 3\]"),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_one_program_whatever_the_values():
    traces = 0

    @jax.jit
    def run(x):
        nonlocal traces
        traces += 1
        return F.pad(x, (1, 1), "circular")

    run(X), run(X + 1)
    assert traces == 1
