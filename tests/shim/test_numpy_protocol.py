"""Tensors and the arrays of NumPy, JAX and DLPack: what comes in, what goes out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from twin import compare, same, same_error, values

import funnn.torch as shim

NUMPY_DTYPES = ["float16", "float32", "float64", "complex64", "complex128", "int8", "int16", "int32", "int64"]
NUMPY_DTYPES += ["uint8", "uint16", "uint32", "uint64", "bool"]


@pytest.mark.parametrize("dtype", NUMPY_DTYPES)
def test_in_and_out(dtype):
    def program(t):
        array = np.array([[0, 1, 2], [3, 100, 5]]).astype(dtype)
        x = t.from_numpy(array[:, ::2])
        return (
            x,
            x.numpy(),
            np.asarray(x),
            x[0].numpy(),
            t.tensor(array),
            t.as_tensor(array.T),
            t.tensor(array[1]),
            x.__array__(np.complex64),
        )

    same(program)


FUNCTIONS = {
    "ufuncs": lambda t, x: (np.sin(x), np.exp(x), np.add(x, 1), np.add(np.ones(3), x), np.abs(x), np.maximum(x, 1)),
    "several results": lambda t, x: np.divmod(x, 2),
    "truth": lambda t, x: (np.isnan(x), np.greater(x, 1)),
    "reductions": lambda t, x: (np.argmax(x), np.cumsum(x, axis=0), np.add.reduce(x)),
    "shapes": lambda t, x: (np.reshape(x, (3, 1)), np.transpose(x), np.concatenate([x, x]), np.stack([x, x])),
    "others": lambda t, x: (np.where(x > 1, x, 0), np.dot(x, x), np.allclose(x, x), np.linalg.norm(x), np.clip(x, 0, 1), np.round(x)),
    "arrays": lambda t, x: (np.asarray(x, dtype=np.int32), np.array(x), np.array([x[0], x[1]]), np.ones(3)[t.tensor([0, 2])]),
    "scalars": lambda t, x: (np.float64(1.5) < x, x + np.float64(2), x * np.float32(2), np.float32(2) * x),
    "types": lambda t, x: print([type(r).__name__ for r in (np.sin(x), np.stack([x, x]), np.float64(2) * x)]),
}


@pytest.mark.filterwarnings("ignore:__array_wrap__ must accept", "ignore:__array__ implementation doesn't accept a copy")  # torch's
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    same(lambda t: FUNCTIONS[name](t, t.arange(3.0)))


def test_numpy_and_gradients():
    same(lambda t: (t.ones(2, requires_grad=True) * 2).numpy(force=True))
    for program in (lambda x: x.numpy(), np.asarray, np.sin, lambda x: x.__array__()):
        same_error(
            lambda t, f=program: f(t.ones(2, requires_grad=True)), RuntimeError, r"Can't call numpy\(\) on Tensor that requires grad"
        )


AXES = {
    "reductions": lambda t, x: (x.sum(axis=0), t.mean(x, axis=1, keepdims=True), x.argmax(axis=1), t.cumsum(x, axis=0), x.std(axis=0)),
    "pairs": lambda t, x: (tuple(x.max(axis=1)), tuple(t.sort(x, axis=0)), x.amax(axis=(0, 1))),
    "shapes": lambda t, x: (
        t.cat([x, x], axis=1),
        t.stack([x, x], axis=1),
        x.unsqueeze(axis=0),
        x[:, :1].squeeze(axis=1),
        t.unbind(x, axis=1),
    ),
    "others": lambda t, x: (t.softmax(x, axis=0), t.linalg.norm(x, dim=0), t.index_select(x, axis=0, index=t.tensor([1]))),
}


@pytest.mark.parametrize("name", AXES)
def test_numpys_names_of_arguments(name):
    same(lambda t: AXES[name](t, t.tensor([[1.0, 5.0, 2.0], [4.0, 0.0, 3.0]])))


SEQUENCES = {
    "tensors": lambda t: t.tensor([t.tensor(1.0), 2]),
    "nested": lambda t: t.tensor([[t.tensor(1), np.int32(3)]]),
    "arrays": lambda t: t.tensor([np.ones(2), np.zeros(2)]),
    "numpy scalars": lambda t: (t.tensor([np.float32(1), np.float64(2)]), t.tensor(np.float32(1)), t.as_tensor([np.int8(1)])),
    "empty": lambda t: (t.tensor([]), t.tensor([[], []]), t.tensor(())),
    "kinds": lambda t: (t.tensor((True, 2)), t.tensor([True, 2.5]), t.tensor([1, 2.5, 1j]), t.tensor(range(3)), t.tensor(bytearray(b"ab"))),
    "bytes": lambda t: (
        t.frombuffer(bytearray(b"abcdef"), dtype=t.int16),
        t.frombuffer(bytearray(b"abcdef"), dtype=t.uint8, count=2, offset=1),
    ),
    "asarray": lambda t: (t.asarray([1, 2], dtype=t.float32), t.asarray(np.ones(2)), t.asarray(3.5), t.asarray(t.ones(2), dtype=t.int64)),
    "asarray, gradients": lambda t: (t.asarray([1.0], requires_grad=True), t.asarray(t.ones(2, requires_grad=True), requires_grad=False)),
    "dlpack": lambda t: (t.from_dlpack(np.arange(6).reshape(2, 3)[:, ::2]), t.from_dlpack(t.ones(2)), t.from_dlpack(np.float32([1.5]))),
}


@pytest.mark.filterwarnings("ignore:Creating a tensor from a list of numpy.ndarrays is extremely slow")
@pytest.mark.parametrize("name", SEQUENCES)
def test_sequences(name):
    same(SEQUENCES[name])


def test_asarray_copies_when_told():
    def program(t):
        x = t.ones(2)
        copied = t.asarray(x, copy=True)
        x[0] = 5
        return copied, t.asarray(x) is x, t.asarray(x, dtype=t.float32) is x

    same(program)


ERRORS = {
    "strings": (lambda t: t.from_numpy(np.array(["a"])), TypeError, "can't convert np.ndarray of type"),
    "negative strides": (lambda t: t.from_numpy(np.ones(2)[::-1]), ValueError, "At least one stride in the given numpy array is negative"),
    "no array": (lambda t: t.from_numpy([1]), TypeError, "expected np.ndarray"),
    "other type": (lambda t: t.asarray(t.ones(2), dtype=t.int64, copy=False), ValueError, "can't alias tensor with dtype"),
    "sequence": (lambda t: t.asarray([1], copy=False), ValueError, "can't alias"),
    "tensors in a list": (lambda t: t.tensor([t.ones(2)]), ValueError, "only one element tensors can be converted to Python scalars"),
    "gradient": (lambda t: t.ones(2, requires_grad=True).__dlpack__(), BufferError, "Can't export tensors that require gradient"),
    "offset": (
        lambda t: t.frombuffer(bytearray(4), dtype=t.uint8, offset=9),
        ValueError,
        "must be non-negative and no greater than buffer length",
    ),
    "size": (lambda t: t.frombuffer(bytearray(5), dtype=t.int16), ValueError, "must be a multiple of element size"),
    "no dlpack": (lambda t: t.from_dlpack(3), RuntimeError, "from_dlpack received an invalid capsule"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    program, error, text = ERRORS[name]
    same_error(program, error, text)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64", "int64", "uint8", "complex64", "bool"])
def test_dlpack(dtype):
    """From PyTorch, JAX and NumPy, and to them."""
    theirs = torch.tensor([[0, 1, 2], [3, 4, 5]]).to(getattr(torch, dtype))
    ours = shim.from_dlpack(theirs.t())
    compare(ours, theirs.t())
    compare(ours, torch.from_dlpack(ours))
    compare(shim.utils.dlpack.from_dlpack(shim.utils.dlpack.to_dlpack(ours)), theirs.t())
    compare(shim.from_dlpack(torch.utils.dlpack.to_dlpack(theirs)), theirs)
    with jax.enable_x64(True):
        array = jnp.from_dlpack(ours)
        compare(shim.from_dlpack(array), theirs.t())
        assert array.shape == (3, 2) and str(array.dtype) == dtype
    if dtype != "bfloat16":
        np.testing.assert_array_equal(np.from_dlpack(ours), values(theirs.t()))
    same(lambda t: tuple(map(int, t.ones(2).__dlpack_device__())))
