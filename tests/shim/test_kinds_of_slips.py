"""Small programs on what scripts do by mistake or by habit: PyTorch's texts, warnings and numbers."""

import itertools
import warnings

import pytest
import torch
from twin import same, same_error

import funnn.torch as shim

RAGGED = [
    ([[1, 2], [3]], ValueError, r"expected sequence of length 2 at dim 1 \(got 1\)"),
    ([[1], [2, 3]], ValueError, r"expected sequence of length 1 at dim 1 \(got 2\)"),
    ([[[1, 2]], [[3]]], ValueError, r"expected sequence of length 2 at dim 2 \(got 1\)"),
    ([range(2), range(3)], ValueError, r"expected sequence of length 2 at dim 1 \(got 3\)"),
    ([[1, 2], 3], TypeError, "not a sequence"),
    ([1, [2]], TypeError, "'list' object cannot be interpreted as an integer"),
    ([[1, 2], [[3], [4]]], TypeError, "'list' object cannot be interpreted as an integer"),
]


@pytest.mark.parametrize("data, error, text", RAGGED, ids=[str(data) for data, _, _ in RAGGED])
def test_ragged_data(data, error, text):
    same_error(lambda t: t.tensor(data), error, text)


def test_tensors_inside_lists():
    same_error(lambda t: t.tensor([t.ones(2), t.ones(2)]), ValueError, "only one element tensors can be converted to Python scalars")


OVERFLOWS = {
    "int8": 1000,
    "uint8": -1000,
    "int16": 2**40,
    "int32": 2**40,
    "int64": 1e30,
    "float16": 1e30,
    "bfloat16": 1e300,
    "float32": 1e300,
}


@pytest.mark.parametrize("name", [*OVERFLOWS, "complex64"])
def test_numbers_that_do_not_fit(name):
    kinds = {"float16": "c10::Half", "bfloat16": "c10::BFloat16", "float32": "float", "int32": "int", "complex64": "c10::complex<float>"}
    text = f"value cannot be converted to type {kinds.get(name, f'{name}_t')} without overflow"
    same_error(lambda t: t.zeros(2, dtype=getattr(t, name)).fill_(OVERFLOWS.get(name, 1e300)), RuntimeError, text)


FILLS = {
    "full": lambda t, kind, value, size: t.full((size,), value, dtype=kind),
    "full_like": lambda t, kind, value, size: t.full_like(t.zeros(size).to(kind), value),
    "new_full": lambda t, kind, value, size: t.zeros(3).to(kind).new_full((size,), value),
    "fill_": lambda t, kind, value, size: t.zeros(size).to(kind).fill_(value),
    "fill": lambda t, kind, value, size: t.fill(t.zeros(size).to(kind), value),
    "scalar_tensor": lambda t, kind, value, size: t.scalar_tensor(value, dtype=kind),
    "tensor": lambda t, kind, value, size: t.tensor([value] * size, dtype=kind),
    "a number": lambda t, kind, value, size: _assigned(t, t.zeros(2).to(kind), 0, value),
    "a slice": lambda t, kind, value, size: _assigned(t, t.zeros(2).to(kind), slice(size), value),
    "a mask": lambda t, kind, value, size: _assigned(t, t.zeros(2).to(kind), t.tensor([True, size > 1]), value),
    "masked_fill": lambda t, kind, value, size: t.zeros(size).to(kind).masked_fill(t.ones(size).bool(), value),
    "constant_": lambda t, kind, value, size: t.nn.init.constant_(t.zeros(size).to(kind), value),
    "clamp": lambda t, kind, value, size: t.zeros(size).to(kind).clamp(max=value),
}
#: What cannot be asked of these types: indices, masks and bounds have no kernels for them in PyTorch.
NO_KERNEL = {"float8_e4m3fn": ("a slice", "a mask", "a number", "masked_fill", "clamp"), "bool": ("clamp",)}


def _assigned(t, x, key, value):
    x[key] = value
    return x


@pytest.mark.parametrize(
    "fill, name",
    [
        (fill, name)
        for fill in FILLS
        for name in ("float16", "bfloat16", "float32", "float8_e4m3fn", "int8", "uint8", "int64", "bool")
        if fill not in NO_KERNEL.get(name, ())
    ],
)
def test_filling_with_numbers_out_of_range(fill, name):
    """A number alone is rounded to ∞ in a narrow float; several are refused, and so are integers of more than 64 bits, by other classes of error."""
    for size, value in itertools.product((1, 2), (300, -1, 70000.0, 65519.0, 1e300, -1e300, 2**63, 2**64, -(2**63) - 1, float("inf"))):
        if name == "float8_e4m3fn" and value == 2**63:
            continue  # PyTorch reads it as an integer with a sign, and gives 0
        answers = []
        for t in (torch, shim):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    answers.append(FILLS[fill](t, getattr(t, name), value, size).to(t.float64).tolist())
            except (RuntimeError, OverflowError, ValueError) as error:
                answers.append(type(error))
        assert answers[0] == answers[1], (size, value)


def test_imaginary_numbers_are_true():
    same(
        lambda t: (t.zeros(2, dtype=t.bool).fill_(1j), t.full((1,), 2 - 1j), t.zeros(1, dtype=t.complex64).fill_(complex(float("inf"), 1)))
    )


PLACES = {
    "select": (lambda t, x: x.select(0, 5), r"select\(\): index 5 out of range for tensor of size \[2, 3, 4\] at dimension 0"),
    "select from the end": (
        lambda t, x: x.select(1, -4),
        r"select\(\): index -4 out of range for tensor of size \[2, 3, 4\] at dimension 1",
    ),
    "a number": (lambda t, x: x[5], "index 5 is out of bounds for dimension 0 with size 2"),
    "the second number": (lambda t, x: x[0, 7], "index 7 is out of bounds for dimension 1 with size 3"),
    "behind a slice": (lambda t, x: x[:, -5], "index -5 is out of bounds for dimension 1 with size 3"),
}


@pytest.mark.parametrize("name", PLACES)
def test_places_that_are_not_there(name):
    call, text = PLACES[name]
    same_error(lambda t: call(t, t.ones(2, 3, 4)), IndexError, text)


@pytest.mark.parametrize("sizes", [(2, 2), (-1, 3)])
def test_unflatten(sizes):
    same_error(
        lambda t: t.ones(1, 5).unflatten(1, sizes), RuntimeError, "unflatten: Provided sizes .* don't multiply up to the size of dim 1"
    )


def warned(program, t):
    """What a program returns, and the classes and first lines of its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = program(t)
    return result, [(item.category.__name__, str(item.message).split(" (Triggered")[0]) for item in caught]


@pytest.mark.parametrize(
    "index", [[[0, 1]], [slice(0, 1)], [None, 0], [..., 0], [[0, 1], [1, 2]], [0, 1], ([0, 1],), [True, False]], ids=str
)
def test_lists_for_tuples_of_indices(index):
    def program(t):
        x = t.arange(24).view(2, 3, 4)
        return x[index]

    same(lambda t: warned(program, t))


def test_instances_of_functions():
    def program(t):
        class Double(t.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x * 2

        Double()

    text = "should not be instantiated. Methods on autograd functions are all static"
    for library in (torch, pytest.importorskip("funnn.torch")):
        _, [(category, message)] = warned(program, library)
        assert category == "DeprecationWarning" and text in message


def test_operators_beside_objects_that_override():
    """``tensor + object`` asks the object's ``__torch_function__``, whether or not its class is one of tensors."""

    def program(t):
        class Wrapped:
            def __init__(self, value):
                self.value = value

            @classmethod
            def __torch_function__(cls, func, types, args=(), kwargs=None):
                print(func.__name__, [kind.__name__ for kind in types])
                return func(*[arg.value if isinstance(arg, Wrapped) else arg for arg in args], **(kwargs or {}))

        x, w = t.arange(3.0), Wrapped(t.ones(3))
        return x + w, x - w, x * w, x < w, x == w, x.add_(w), t.add(x, w), x @ w

    same(program)


REQUESTS = {
    "no inputs of grad": (lambda t, x, n: t.autograd.grad(x.sum(), []), r"`inputs` argument to `grad\(\)` cannot be empty"),
    "no inputs of backward": (lambda t, x, n: n.sum().backward(inputs=[]), r"`inputs` argument to `backward\(\)` cannot be empty"),
    "a wrong shape first": (lambda t, x, n: t.autograd.grad(n.sum(), x, t.ones(2)), "Mismatch in shape: grad_output.0. has a shape of"),
    "no history": (lambda t, x, n: t.autograd.grad([x.sum(), n.sum()], x), "element 1 of tensors does not require grad"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_requests_of_gradients(name):
    call, text = REQUESTS[name]
    same_error(lambda t: call(t, t.ones(2, requires_grad=True), t.ones(2)), RuntimeError, text)


def test_norms_of_empty_matrices():
    def program(t):
        return [t.linalg.matrix_norm(t.ones(shape), ord) for shape in ((0, 5), (5, 0)) for ord in (1, 2, float("inf"), "nuc", "fro")]

    same(program)
    same_error(lambda t: t.linalg.matrix_norm(t.ones(0, 5), -2), IndexError, "Expected reduction dim")


def test_conversions_with_a_memory_format():
    def program(t):
        x = t.arange(24.0).reshape(2, 3, 4).transpose(1, 2)
        y = t.ones(2, 3, 4, 5).to(memory_format=t.channels_last)
        contiguous = t.contiguous_format
        results = x.double(memory_format=contiguous), x.float(memory_format=contiguous), y.to(memory_format=contiguous), x.to(t.float64)
        return [result.stride() for result in results], results[1] is x, results

    same(program)
