"""Operations on few numbers, which NumPy does: as torch does them, and only where nobody could tell."""

import copy
import io
import itertools
import math
import pickle

import jax
import numpy as np
import pytest
import torch

import funnn.torch as ft
from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.dispatch.small_arrays import LIMIT
from funnn.engine.ops.kit.table import FUNCTIONS
from funnn.engine.ops.nn.functional_rows import ROWS
from funnn.engine.program import programs

_VALUES = [0.0, -0.0, 1.5, -2.25, float("inf"), -float("inf"), float("nan"), 1e-20, 3e38, -7.0, 88.0, 0.1]
_OPERANDS = {  # of a tensor of 3×4
    "whole": lambda x: x,
    "transposed": lambda x: x.T.contiguous().T,
    "strided": lambda x: x[:, ::2],
    "row": lambda x: x[1],
    "expanded": lambda x: x[:1].expand(3, 4),
    "of no dimension": lambda x: x[1, 2],
    "empty": lambda x: x[:0],
    "several dimensions": lambda x: x[None, :, None],
}
_UNARY = ["neg", "abs", "square", "sqrt", "exp", "log", "sin", "cos", "tanh", "relu"]
#: Those whose last bit torch's own kernels have otherwise on another processor.
_ROUNDED = ("exp", "log", "sin", "cos", "tanh", "sqrt")
_BINARY = ["add", "sub", "mul", "div", "maximum", "minimum", "eq", "ne", "lt", "le", "gt", "ge"]
_BOUNDED = ["clamp", "clamp_min", "clamp_max"]
_REDUCTIONS = ["sum", "mean"]


def settled(tensor):
    """The tensor, known: what is pending is not for NumPy."""
    tensor.tolist()
    return tensor


def made(t, dtype, values=_VALUES):
    tensor = t.tensor([-5 if v != v else max(min(v, 1e9), -1e9) for v in values] if "int" in dtype else values).to(getattr(t, dtype))
    return settled(tensor).reshape(3, 4)


@pytest.fixture(autouse=True)
def recorded_runs_by_xla(monkeypatch):
    """What is recorded never runs by NumPy here, so that a NumPy array tells that nothing was recorded."""
    monkeypatch.setattr(programs, "is_on_cpu", lambda: False)


def by_numpy(tensor):
    return type(tensor._storage.array) is np.ndarray


def same(ours, theirs, ulps=0, signs=True):
    assert (str(ours.dtype), tuple(ours.shape)) == (str(theirs.dtype), tuple(theirs.shape))
    assert ours.stride() == theirs.stride()
    a, b = ours.numpy(), theirs.numpy()
    if ulps:
        np.testing.assert_array_max_ulp(np.where(np.isfinite(a), a, 0), np.where(np.isfinite(b), b, 0), maxulp=ulps)
        a, b = np.where(np.isfinite(a), 0, a), np.where(np.isfinite(b), 0, b)
    np.testing.assert_array_equal(a, b)
    if signs and a.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(a[~np.isnan(a)]), np.signbit(b[~np.isnan(b)]))


def test_every_attempt_is_tested():
    first: dict = {}  # of the names of a row, the others being aliases
    for name, function in FUNCTIONS.items():
        if getattr(function, "small", None) is not None:
            first.setdefault(function.small, name)
    rows = {FUNCTIONS[name].__name__ for name in first.values()}
    rows |= {function.__name__ for function, row in ROWS.items() if row.small is not None}
    assert rows == {*_UNARY, *_BINARY, *_BOUNDED, *_REDUCTIONS, "pow", "leaky_relu", "matmul"}


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "bool", "bfloat16"])
@pytest.mark.parametrize("name", _UNARY)
def test_unary(name, dtype):
    x, y = made(ft, dtype), made(torch, dtype)
    if dtype == "bool" and name in ("neg", "relu", "abs"):
        with pytest.raises((RuntimeError, NotImplementedError)):
            getattr(ft, name)(x)
        return
    covered = dtype in ("float32", "float64") or (dtype == "int64" and name in ("neg", "abs", "square", "relu"))
    for operand in _OPERANDS.values():
        ours, theirs = getattr(ft, name)(settled(operand(x))), getattr(torch, name)(operand(y))
        assert by_numpy(ours) == covered
        if dtype != "bfloat16":
            same(ours, theirs, 4 if not covered else 1 if name in _ROUNDED else 0)
        if name == "sqrt" and dtype in ("float32", "float64"):  # the nearest number, which torch's is not on every processor
            with np.errstate(invalid="ignore"):
                np.testing.assert_array_equal(ours.numpy(), np.sqrt(operand(x).numpy()))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("name", _BINARY)
def test_binary(name, dtype):
    x, y = made(ft, dtype), made(torch, dtype)
    covered = dtype != "int64" or name != "div"
    sided = name not in ("maximum", "minimum")  # where the sign of 0 depends on the number of elements, in torch itself
    for operand in _OPERANDS.values():
        for part in (lambda x: x, lambda x: x[1:, :1], lambda x: x.T):
            try:
                theirs = getattr(torch, name)(part(y), operand(y))
            except RuntimeError:
                with pytest.raises(RuntimeError):
                    getattr(ft, name)(part(x), operand(x))
                continue
            ours = getattr(ft, name)(settled(part(x)), settled(operand(x)))
            same(ours, theirs, 0 if covered else 1, sided)
            assert by_numpy(ours) == covered


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("name", [name for name in _BINARY if name not in ("maximum", "minimum")])
def test_numbers(name, dtype):
    x, y = made(ft, dtype), made(torch, dtype)
    for number in (2, -3.5, True, 2**40 + 1):
        if name == "sub" and number is True:
            with pytest.raises(RuntimeError, match="Subtraction"):
                ft.sub(x, number)
            continue
        ours = getattr(ft, name)(x, number)
        covered = (number == 2 and (dtype != "int64" or name != "div")) or (number == -3.5 and dtype != "int64")
        same(ours, getattr(torch, name)(y, number), 0 if covered else 1)
        assert by_numpy(ours) == covered


@pytest.mark.parametrize("name", _BINARY)
def test_two_types(name):
    kinds, sided = ("bool", "int64", "float32", "float64"), name not in ("maximum", "minimum")
    for first, second in itertools.permutations(kinds, 2):
        for part in (lambda x: x, lambda x: x[1], lambda x: x[1, 2]):
            x, y = (settled(part(made(ft, first))), made(ft, second)), (part(made(torch, first)), made(torch, second))
            if name == "sub" and "bool" in (first, second):
                with pytest.raises(RuntimeError, match="Subtraction"):
                    ft.sub(*x)
                continue
            ours = getattr(ft, name)(*x)
            covered = "float64" not in (first, second) or "float32" not in (first, second)
            covered &= name != "div" or "float32" in (first, second) or "float64" in (first, second)
            same(ours, getattr(torch, name)(*y), 0 if covered else 1, sided)
            assert by_numpy(ours) == covered


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32"])
@pytest.mark.parametrize("name", _BOUNDED)
def test_bounds(name, dtype):
    x, y = made(ft, dtype), made(torch, dtype)
    for bounds in (
        (-2, 1),
        (1, -2),
        (0, 0),
        (-2.5, 1.5),
        (None, 3),
        (2, None),
        (-0.0, 2**20),
        (math.nan, 1.0),
        (-math.inf, 1),
        (1e38, 2e38),
    ):
        args = bounds[:1] if name != "clamp" else bounds
        if args == (None,):
            continue
        theirs = getattr(torch, name)(y, *args)
        for operand in _OPERANDS.values():
            ours = getattr(ft, name)(settled(operand(x)), *args)
            same(
                ours, getattr(torch, name)(operand(y), *args), signs=0 not in args
            )  # of 0 and −0, torch's sign depends on the number of elements
        whole = all(bound is None or type(bound) is int for bound in args)
        assert by_numpy(getattr(ft, name)(x, *args)) == (
            dtype != "int32" and (whole or dtype != "int64") and all(b is None or abs(b) <= 1e38 for b in args)
        )
        assert theirs.shape == (3, 4)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32"])
def test_powers(dtype):
    x, y = made(ft, dtype), made(torch, dtype)
    for exponent in (2, 3, 2.0, 3.0, 0.5, 1, 4, True):
        covered = exponent in (2, 3, 0.5) and (dtype in ("float32", "float64") or (dtype == "int64" and type(exponent) is int))
        for operand in _OPERANDS.values():
            ours = ft.pow(settled(operand(x)), exponent)
            same(ours, torch.pow(operand(y), exponent), 0 if covered and exponent != 0.5 else 2)
            assert by_numpy(ours) == covered


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_leaky_relu(dtype):
    x, y = made(ft, dtype), made(torch, dtype)
    for args in ((), (0.25,), (0,), (-2.0,), (math.inf,)):
        for operand in _OPERANDS.values():
            ours = ft.nn.functional.leaky_relu(settled(operand(x)), *args)
            same(ours, torch.nn.functional.leaky_relu(operand(y), *args))
            assert by_numpy(ours)
    assert ft.nn.functional.leaky_relu(x, 0.5, inplace=True) is x
    same(x, torch.nn.functional.leaky_relu(y, 0.5))


def test_other_types_are_left_alone():
    x, y = made(ft, "float32"), made(torch, "float32")
    for change in (lambda x: x + x.double(), lambda x: x * x.int(), lambda x: x.bfloat16() - 1, lambda x: (x == x) + (x > 1)):
        ours, theirs = change(x), change(y)
        assert not by_numpy(ours)
        same(ours.double(), theirs.double())


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32"])
@pytest.mark.parametrize("name", _REDUCTIONS)
def test_reductions(name, dtype):
    values = [1.0, 2, 3, 4, -5, 6, 7, 8, 9, -10, 11, 12]
    x, y = made(ft, dtype, values), made(torch, dtype, values)
    if name == "mean" and "int" in dtype:
        with pytest.raises(RuntimeError):
            ft.mean(x)
        return
    for operand in _OPERANDS.values():
        for args, kwargs in (
            ((), {}),
            ((0,), {}),
            ((-1,), {"keepdim": True}),
            ((), {"dim": 0, "keepdim": True}),
            (((0,),), {}),
            ((3,), {}),
        ):
            try:
                theirs = getattr(operand(y), name)(*args, **kwargs)
            except IndexError:
                with pytest.raises(IndexError):
                    getattr(operand(x), name)(*args, **kwargs)
                continue
            same(getattr(operand(x), name)(*args, **kwargs), theirs, 1 if name == "mean" else 0)
    assert by_numpy(getattr(x, name)(1)) == (dtype != "int32")


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_matmul(dtype):
    values = [1.0, 2, 3, 4, -5, 6, 7, 8, 9, -10, 11, 12]
    x, y = made(ft, dtype, values), made(torch, dtype, values)
    for change in (
        lambda x: x @ x.T,
        lambda x: x.T @ x,
        lambda x: x @ x[0],
        lambda x: x[None] @ x.T,
        lambda x: x[:0] @ x.T,
        lambda x: x[:, :0] @ x[:0],
    ):
        same(change(x), change(y))
    assert by_numpy(x @ x.T) == (dtype != "int64")
    with pytest.raises(RuntimeError):
        x @ x


def test_only_few_numbers():
    few, many = ft.ones(LIMIT), ft.ones(LIMIT + 1)
    assert by_numpy(few + few) and not by_numpy(many + many)
    assert by_numpy(many[:5] + 1) and not by_numpy(many.sum())


def test_not_where_a_gradient_is_recorded():
    x = ft.ones(3, requires_grad=True)
    y = ft.ones(3)
    assert (x * y).grad_fn is not None and not by_numpy(x * y)
    with ft.no_grad():
        assert by_numpy(x * y)
    (x * (y + y) * (y * 3)).sum().backward()  # results of NumPy as operands of what is recorded
    assert x.grad.tolist() == [6.0, 6.0, 6.0]


def test_not_inside_transformations():
    def function(x):
        y = x + x
        assert not by_numpy(y)
        return (y * x).sum()

    x = ft.arange(3.0)
    assert ft.func.grad(function)(x).tolist() == [0.0, 4.0, 8.0]
    assert ft.func.vmap(function)(x[:, None]).tolist() == [0.0, 2.0, 8.0]


def test_memory_is_still_torchs():
    for t in (ft, torch):
        x = t.arange(6.0).reshape(2, 3) * 2
        view = x[1]
        y = x + 1
        x += 1
        assert view.tolist() == [7.0, 9.0, 11.0] and y.tolist() == x.tolist()
        view.mul_(0.5)
        assert x.tolist() == [[1.0, 3.0, 5.0], [3.5, 4.5, 5.5]]
        assert (x.T + 0).stride() == (1, 3)
        x[0] = x[1] - x[0]
        assert x[0].tolist() == [2.5, 1.5, 0.5]


def test_results_go_anywhere():
    x = ft.arange(4.0) + 1
    assert by_numpy(x)
    assert isinstance(x.__jax_array__(), jax.Array) and not by_numpy(x)
    y = ft.arange(4.0) + 1
    y.numpy()[0] = 7
    assert y.tolist() == [7.0, 2.0, 3.0, 4.0]
    assert ft.from_numpy(np.ones(4, np.float32)).add(1).tolist() == [2.0] * 4
    with jax.disable_jit():
        assert (ft.arange(4.0) + 1).softmax(0).sum().item() == pytest.approx(1)


def test_nothing_is_traced_twice():
    traced = []

    def double(input):
        traced.append(input)
        return input * 2

    op = Op(double)
    for x in (ft.ones(5), ft.ones(5) * 1.5, ft.ones(5) * 2.5):  # an array of JAX's, then of NumPy's
        call(op, (x,), {})
    assert len(traced) == 1


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_results_are_inputs_of_programs_and_transformations(name):
    kind = getattr(ft, name)
    x, counter = ft.arange(3, dtype=kind) + 1, ft.zeros((), dtype=kind) + 1
    assert by_numpy(x) and by_numpy(counter)

    @ft.compile
    def step():
        counter.add_(1)
        return (x * counter).sum()

    assert [step().item(), step().item()] == [12.0, 18.0] and counter.item() == 3 and counter.dtype is kind
    counter.data = counter * 2
    assert by_numpy(counter) and step().item() == 42
    y = ft.arange(3, dtype=kind) + 1
    assert ft.func.grad(lambda z: (z * y).sum())(ft.zeros(3, dtype=kind) + 1).tolist() == [1.0, 2.0, 3.0]
    y = ft.arange(3, dtype=kind) + 1
    assert ft.func.vmap(lambda z: (z * y).sum())(ft.ones(2, 3, dtype=kind) * 2).tolist() == [12.0, 12.0]
    y = ft.arange(3, dtype=kind) + 1
    assert [t.tolist() for t in ft.func.jvp(lambda z: z * y, (y,), (ft.ones(3, dtype=kind) * 2,))] == [[1, 4, 9], [2, 4, 6]]
    net = ft.nn.Linear(3, 1, dtype=kind)
    net.weight.data = ft.ones(1, 3, dtype=kind) * 2
    assert by_numpy(net.weight) and net.bias.data.zero_() is not None
    _, params, _ = ft.to_functional(net)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(params))
    stored = io.BytesIO()
    ft.save(net.state_dict(), stored)
    stored.seek(0)
    assert ft.load(stored)["weight"].tolist() == [[2.0, 2.0, 2.0]]
    assert copy.deepcopy(y + 1).tolist() == pickle.loads(pickle.dumps(y + 1)).tolist() == [2.0, 3.0, 4.0]
