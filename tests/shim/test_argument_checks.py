"""What torch refuses, the shim refuses: numbers where Tensors are wanted, and the wrong inputs of PyTorch's database of operations."""

from __future__ import annotations

import inspect
import warnings

import pytest
import torch
from allowed import listed, no_difference
from opinfo import found, op_db, op_id, to_shim
from twin import same, same_error

import funnn.torch as shim
from funnn.engine.ops.kit.table import FUNCTIONS
from funnn.engine.ops.kit.tensor_arguments import tensors_of


def outcome(function, *args, **kwargs):
    """The exception that a call raises, or None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            function(*args, **kwargs)
    except Exception as error:
        return error
    return None


def of_torch(name):
    function = torch
    for part in name.split("."):
        function = getattr(function, part, None)
    return function


def test_a_number_is_no_first_operand():
    """Every function whose first operand must be a Tensor, called with numbers alone."""
    wrong, count = [], 0
    for name in FUNCTIONS:
        function = found(name)
        parameters = list(inspect.signature(function).parameters.values())
        if of_torch(name) is None or hasattr(function, "pure") or 0 not in tensors_of(function).values():
            continue
        numbers = [2 for item in parameters if item.default is item.empty and item.kind is item.POSITIONAL_OR_KEYWORD] or [2]
        theirs, ours = outcome(of_torch(name), *numbers), outcome(function, *numbers)
        count += 1
        if not (isinstance(ours, TypeError) and isinstance(theirs, (TypeError, AttributeError))):
            wrong.append((name, ours, theirs))
    assert not wrong
    assert count > 300


def test_a_number_is_no_second_operand():
    wrong = []
    names = sorted(name for name, function in FUNCTIONS.items() if {"input", "other"} <= tensors_of(function).keys())
    assert len(names) > 30
    for name in names:
        if name in ("ormqr", "linalg.tensorsolve") or of_torch(name) is None:  # which take more, or are not torch's
            continue
        for call in (lambda t, function: function(t.ones(2), 2), lambda t, function: function(t.ones(2), other=2)):
            errors = [outcome(call, t, function) for t, function in ((torch, of_torch(name)), (shim, FUNCTIONS.get(name))) if function]
            if not all(isinstance(error, TypeError) for error in errors):
                wrong.append((name, errors))
        if hasattr(torch.Tensor, name) and not isinstance(outcome(getattr(shim.ones(2), name), 2), TypeError):
            wrong.append(f"Tensor.{name}")
    assert not wrong


def test_where_a_number_may_stand_first():
    def program(t):
        x, n = t.tensor([1.0, 3.0]), t.tensor([1, 3])
        names = ("add", "sub", "mul", "div", "pow", "remainder", "float_power", "xlogy", "floor_divide")
        return [getattr(t, name)(2, x) for name in names], [
            getattr(t, f"bitwise_{name}")(2, n) for name in ("and", "or", "xor", "left_shift")
        ]

    same(program)
    names = [name for name, function in FUNCTIONS.items() if "one of" in tensors_of(function) and not name.endswith("_")]
    assert len(names) > 15
    for name in names:
        assert isinstance(outcome(FUNCTIONS[name], 2, 3), TypeError) and isinstance(outcome(of_torch(name), 2, 3), TypeError), name


REFUSED = {
    "matmul": lambda t: t.ones(2) @ 3,
    "invert": lambda t: ~t.ones(2),
    "compared": lambda t: t.eq(2, t.ones(2)),
    "one of a product": lambda t: t.dot(t.ones(2)),
    "bounds": lambda t: t.clamp(t.ones(2), 0, t.ones(2)),
    "like": lambda t: t.zeros_like([1]),
    "tensors": lambda t: t.broadcast_tensors(t.ones(2), 3),
    "size": lambda t: t.zeros(2.5),
    "size of full": lambda t: t.full(2, 1),
    "size of randint": lambda t: t.randint(5),
    "steps": lambda t: t.linspace(0, 1, 2.0),
    "arange": lambda t: t.arange(),
    "legacy": lambda t: t.Tensor(3.5),
    "list assigned": lambda t: t.ones(2).__setitem__(0, [1.0]),
    "string as index": lambda t: t.ones(2)["a"],
    "deletion": lambda t: t.ones(2).__delitem__(0),
    "complex as real": lambda t: t.tensor(1j, dtype=t.float32),
}


@pytest.mark.parametrize("name", REFUSED)
def test_type_errors(name):
    same_error(REFUSED[name], TypeError, None)


ERRORS = {
    "zero divides integers": (lambda t: t.tensor([7]) // t.tensor([0]), RuntimeError, "ZeroDivisionError"),
    "remainder by zero": (lambda t: t.tensor([7]) % 0, RuntimeError, "ZeroDivisionError"),
    "truncated quotient": (lambda t: t.tensor([7]).div_(0, rounding_mode="trunc"), RuntimeError, "ZeroDivisionError"),
    "negative power": (lambda t: t.tensor([2]) ** -1, RuntimeError, "Integers to negative integer powers are not allowed"),
    "shifted float": (lambda t: t.tensor([2.0]) << 1, NotImplementedError, "not implemented for 'Float'"),
    "order of complex numbers": (lambda t: t.tensor([1j]) > 0, NotImplementedError, "\"gt_cpu\" not implemented for 'ComplexFloat'"),
    "largest complex number": (lambda t: t.tensor([1j]).max(), NotImplementedError, "\"max_all\" not implemented for 'ComplexFloat'"),
    "position of truth": (lambda t: t.tensor([True]).argmax(), RuntimeError, "does not support bool input"),
    "mask of integers": (lambda t: t.ones(2).masked_fill(t.tensor([1, 0]), 1.0), RuntimeError, "only supports boolean masks"),
    "masked overflow": (lambda t: t.ones(2).half().masked_fill(t.tensor([True, False]), -1e9), RuntimeError, "without overflow"),
    "full overflow": (lambda t: t.full((2,), 300, dtype=t.int8), RuntimeError, "without overflow"),
    "data overflow": (lambda t: t.tensor([1, 300], dtype=t.int8), RuntimeError, "without overflow"),
    "assigned overflow": (lambda t: t.zeros(2, dtype=t.int8).__setitem__(0, 300), RuntimeError, "without overflow"),
    "64 bits": (lambda t: t.tensor(2**63), ValueError, "Overflow"),
    "range of truth": (lambda t: t.arange(3, dtype=t.bool), NotImplementedError, "Bool"),
    "index shapes": (
        lambda t: t.ones(3, 3)[[0, 1], [0, 1, 2]],
        IndexError,
        "shape mismatch: indexing tensors could not be broadcast together",
    ),
    "assigned type": (lambda t: t.zeros(2).__setitem__(t.tensor([0]), t.tensor([1])), RuntimeError, "source and destination dtypes match"),
    "nothing masked": (lambda t: t.zeros(2).__setitem__(t.zeros(2) == 1, t.ones(3)), RuntimeError, r"value tensor of shape \[3\]"),
    "in": (lambda t: "a" in t.ones(2), RuntimeError, "only supports Tensor or scalar"),
    "negative weights": (lambda t: t.cov(t.ones(2, 2), fweights=t.tensor([1, -1])), RuntimeError, "cannot be negative"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    same_error(*ERRORS[name])


#: (operation, number of the wrong input) that is none here, or has another class of error, by reason.
TAKEN = {
    ("ormqr", 1): listed("texts of parsers", "two are wrong: the type is refused first, which is a NotImplementedError"),
    ("arange", 6): no_difference("PyTorch takes the step for an integer because of out, and then for 0"),
}


def on_same_memory(x, memories):
    """As ``to_shim``, and tensors that share memory share it here too."""
    if isinstance(x, torch.Tensor) and x.layout is torch.strided and x.device.type == "cpu" and x.untyped_storage().nbytes():
        memory = x.detach().as_strided((x.untyped_storage().nbytes() // x.element_size(),), (1,), 0)
        base = memories.setdefault((memory.data_ptr(), memory.numel(), x.dtype), to_shim(memory))
        if x.storage_offset() + sum((n - 1) * step for n, step in zip(x.shape, x.stride(), strict=True)) < memory.numel():
            return base.as_strided(x.shape, x.stride(), x.storage_offset())
    if isinstance(x, torch.Tensor):
        return memories.setdefault(id(x), to_shim(x))
    if isinstance(x, dict):
        return {key: on_same_memory(value, memories) for key, value in x.items()}
    return type(x)(on_same_memory(value, memories) for value in x) if type(x) in (tuple, list) else to_shim(x)


#: Operations with wrong inputs in the database, that both libraries have.
REFUSING = [op for op in op_db if op.error_inputs_func is not None and of_torch(op.name) is not None and found(op.name) is not None]


def test_the_database_has_wrong_inputs():
    assert len(REFUSING) > 100


@pytest.mark.parametrize("op", REFUSING, ids=op_id)
def test_wrong_inputs_of_the_database(op):
    """The class of each error, by its name too."""
    theirs, ours, wrong = of_torch(op.name), found(op.name), {}
    for number, error_input in enumerate(op.error_inputs("cpu")):
        sample = error_input.sample_input
        args = sample.input, *sample.args
        own = on_same_memory((args, sample.kwargs), {})
        expected = outcome(theirs, *args, **sample.kwargs)
        if expected is None or (op_id(op), number) in TAKEN:
            continue
        got = outcome(ours, *own[0], **own[1])
        if not isinstance(got, type(expected)) or type(got).__name__ != type(expected).__name__:
            wrong[number] = f"{type(got).__name__}, not {type(expected).__name__}"
    assert wrong == {}


#: Operations with factors of a result of a vector v, a matrix m or a batch b.
FACTORS = {
    "add": lambda t, v, m, b, k: t.add(v, v, alpha=k),
    "add_": lambda t, v, m, b, k: v.add_(v.clone(), alpha=k),
    "sub": lambda t, v, m, b, k: t.sub(v, 1, alpha=k),
    "rsub": lambda t, v, m, b, k: t.rsub(v, v, alpha=k),
    "addmm": lambda t, v, m, b, k: t.addmm(m, m, m, alpha=k),
    "addmm into": lambda t, v, m, b, k: t.addmm(m, m, m, beta=k, out=m.clone()),
    "addmv": lambda t, v, m, b, k: t.addmv(v, m, v, beta=k),
    "addr": lambda t, v, m, b, k: t.addr(m, v, v, alpha=k),
    "baddbmm": lambda t, v, m, b, k: t.baddbmm(b, b, b, beta=k),
    "addbmm": lambda t, v, m, b, k: t.addbmm(m, b, b, alpha=k),
    "addcmul": lambda t, v, m, b, k: t.addcmul(v, v, v, value=k),
    "addcdiv": lambda t, v, m, b, k: t.addcdiv(v, v, v, value=k),
    "index_add": lambda t, v, m, b, k: t.index_add(v, 0, t.tensor([0]), v[:1], alpha=k),
}


@pytest.mark.parametrize("name", FACTORS)
def test_factors_out_of_range(name):
    """What a type cannot hold is refused, what it can is computed: 16 bits' factors are float32 in some operations."""
    wrong = []
    for kind in ("uint8", "int8", "int32", "int64", "float16", "bfloat16", "float32", "float64", "complex64"):
        for number in (2, -1, 300, -300, 2**40, 1e6, 1e60, float("inf")):
            errors = []
            for library in (torch, shim):
                ones = [library.ones(size, dtype=getattr(library, kind)) for size in ((2,), (2, 2), (1, 2, 2))]
                errors.append(outcome(FACTORS[name], library, *ones, number))
            if type(errors[0]) is not type(errors[1]):
                wrong.append((kind, number, errors))
    assert not wrong
