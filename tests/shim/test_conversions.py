"""Numbers become other types as in torch: floats that an integer type has no room for, and numbers of NumPy, which never decide a dtype."""

from __future__ import annotations

import operator
import warnings

import numpy as np
import pytest
import torch
from twin import run

import funnn.torch as shim
from funnn.engine.program import programs
from funnn.engine.program.graph import flush
from tests import exhaustive

INF, NAN = float("inf"), float("nan")
FLOATS = ("float32", "float64", "bfloat16", "float16", "complex64")
INTEGERS = ("uint8", "int8", "int16", "int32", "int64", "uint16", "uint64", "bool")
# fmt: off
VALUES = (
    NAN, INF, -INF, 0.0, -0.0, 0.5, -0.5, -1.0, -1.5, 1e-30, 128.0, -128.5, -129.0, 255.0, 255.9, 256.0, 300.7, -300.0, 32768.0, -40000.5, 65535.0, 70000.0,
    2.0**31 - 128, 2.0**31, -(2.0**31), -(2.0**31) - 256, 3e9, -3e9, 2.0**32, 5e9, 2.0**53, 2.0**62, 2.0**63, -(2.0**63), 1e19, -1e19, 1e20, 1e30, -1e30,
)
# fmt: on
BY = pytest.mark.parametrize("by_numpy", [True, pytest.param(False, marks=exhaustive.mark)], ids=["by NumPy", "compiled"])


def outcome(program, t):
    """What the program returns, as plain data, or the class of the error that it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = program(t)
            flush()
        except Exception as error:
            return type(error)
    return plain(result)


def plain(result):
    if isinstance(result, (tuple, list)):
        return [plain(item) for item in result]
    if not hasattr(result, "requires_grad"):
        return str(result)
    numbers = result.detach().reshape(-1).tolist()
    return str(result.dtype), tuple(result.shape), [float(f"{number:.5g}") if isinstance(number, float) else number for number in numbers]


def same_outcome(program):
    expected, got = outcome(program, torch), outcome(program, shim)
    same_class = isinstance(expected, type) and isinstance(got, type) and issubclass(got, expected)
    assert same_class or repr(got) == repr(expected)  # by their text, as NaN equals nothing


# -- floats as integers


@BY
@pytest.mark.parametrize("kind", INTEGERS)
@pytest.mark.parametrize("source", FLOATS)
def test_floats_become_integers(source, kind, by_numpy, monkeypatch):
    monkeypatch.setattr(programs, "is_on_cpu", lambda: by_numpy)

    def program(t):
        values = t.tensor(VALUES, dtype=t.float64).to(getattr(t, source))
        return [values.to(getattr(t, kind)), values.repeat(50).to(getattr(t, kind)), values[3].to(getattr(t, kind))]

    same_outcome(program)


def written(tensor, place, value):
    tensor[place] = value
    return tensor


WAYS = {  # a function of the library, a dtype, and floats
    "type": lambda t, kind, x: x.type(kind),
    "type_as": lambda t, kind, x: x.type_as(t.zeros(1, dtype=kind)),
    "copy_": lambda t, kind, x: t.zeros(len(x), dtype=kind).copy_(x),
    "setitem": lambda t, kind, x: written(t.zeros(len(x), dtype=kind), slice(None), x),
    "index_put": lambda t, kind, x: written(t.zeros(len(x), dtype=kind), t.arange(len(x)), x),
    "tensor of a tensor": lambda t, kind, x: t.as_tensor(x, dtype=kind),
    "tensor of an array": lambda t, kind, x: [t.tensor(x.numpy(), dtype=kind), t.as_tensor(x.numpy(), dtype=kind)],
    "from_numpy": lambda t, kind, x: t.from_numpy(x.double().numpy().copy()).to(kind),
    "sums": lambda t, kind, x: [x[6:20].sum(dtype=kind), x[6:20].cumsum(0, dtype=kind), x[4:8].prod(dtype=kind)],
    "fill_ by a tensor": lambda t, kind, x: [t.zeros(2, dtype=kind).fill_(x[0]), t.zeros(2, dtype=kind).fill_(x[17])],
    "vmap": lambda t, kind, x: t.func.vmap(lambda x: x.to(kind))(x),
    "rounded": lambda t, kind, x: x.round().to(kind),
    "clamped": lambda t, kind, x: (x * 255).clamp(0, 255).to(kind),
    "none": lambda t, kind, x: x[:0].to(kind),
}


@pytest.mark.parametrize("kind", ["uint8", "int8", "int16", "int32", "int64", "bool"])
@pytest.mark.parametrize("way", WAYS)
def test_ways_of_a_conversion(way, kind):
    same_outcome(lambda t: WAYS[way](t, getattr(t, kind), t.tensor(VALUES)))


def test_the_byte_of_a_picture():
    same_outcome(lambda t: (t.tensor([1.2, -0.1]) * 255).byte())


PLACES = {  # where a single number meets a tensor of integers
    "tensor": lambda t, kind, x: t.tensor([x], dtype=kind),
    "full": lambda t, kind, x: t.full((2,), x, dtype=kind),
    "full_like": lambda t, kind, x: t.full_like(t.zeros(2, dtype=kind), x),
    "new_full": lambda t, kind, x: t.zeros(1, dtype=kind).new_full((2,), x),
    "fill_": lambda t, kind, x: t.zeros(2, dtype=kind).fill_(x),
    "setitem": lambda t, kind, x: written(t.zeros(2, dtype=kind), 0, x),
    "masked_fill": lambda t, kind, x: t.zeros(2, dtype=kind).masked_fill(t.tensor([True, False]), x),
    "index_fill": lambda t, kind, x: t.zeros(3, dtype=kind).index_fill(0, t.tensor([1]), x),
    "scatter": lambda t, kind, x: t.zeros(3, dtype=kind).scatter(0, t.tensor([1]), x),
    "where": lambda t, kind, x: t.where(t.tensor([True, False]), t.zeros(2, dtype=kind), x),
    "linspace": lambda t, kind, x: t.linspace(0, x, 4, dtype=kind),
    "add": lambda t, kind, x: t.zeros(2, dtype=kind) + x,
    "clamp": lambda t, kind, x: [t.zeros(2, dtype=kind).clamp(max=x), t.zeros(2, dtype=kind).clamp_min_(int(x))],
    "pad": lambda t, kind, x: t.nn.functional.pad(t.zeros(2, dtype=kind), (1, 1), value=x),
}


@pytest.mark.parametrize("kind", ["uint8", "int8", "int64"])
@pytest.mark.parametrize("place", PLACES)
def test_numbers_that_do_not_fit(place, kind):
    for number in (NAN, INF, -1, -1.5, 300, 300.7, -300, 100):
        same_outcome(lambda t: PLACES[place](t, getattr(t, kind), number))  # noqa: B023


# -- numbers of NumPy

SCALARS = {
    **{kind.__name__: kind(1.5) for kind in (np.float64, np.float32, np.float16)},
    **{kind.__name__: kind(2) for kind in (np.int64, np.int32, np.uint8)},
    "bool": np.True_,
}
BINARY = {name: getattr(operator, name) for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "eq", "lt")}
MEETINGS = {
    **{
        f"{name} {kind}": lambda t, s, f=function, kind=kind: [f(t.ones(2, dtype=getattr(t, kind)), s), f(s, t.ones(2, dtype=getattr(t, kind)))]
        for name, function in BINARY.items()
        for kind in ("float32", "int64", "float16")
    },
    "of dimension 0": lambda t, s: [t.tensor(1.5) * s, s + t.tensor(2)],
    "in place": lambda t, s: [t.ones(2).add_(s), t.ones(2).mul_(s), t.ones(2).pow_(s), t.ones(2).div_(s)],
    "full": lambda t, s: [t.full((2,), s), t.full_like(t.ones(2), s), t.ones(2).new_full((2,), s), t.ones(2).fill_(s)],
    "tensor": lambda t, s: [t.tensor(s), t.as_tensor(s), t.tensor([s]), t.tensor([[s, s]]), t.scalar_tensor(s)],
    "arange": lambda t, s: [t.arange(s), t.arange(0, s), t.linspace(0, s, 3), t.logspace(0, s, 3)],
    "clamp": lambda t, s: [t.ones(2).clamp(max=s), t.ones(2).clamp(-3 * s, s), t.ones(2).clamp_min(s)],
    "where": lambda t, s: [t.where(t.tensor([True, False]), t.ones(2), s), t.where(t.tensor([True, False]), s, s)],
    "masked_fill": lambda t, s: [t.ones(2).masked_fill(t.tensor([True, False]), s), written(t.ones(2), 0, s)],
    "alpha": lambda t, s: [t.add(t.ones(2), t.ones(2), alpha=s), t.lerp(t.ones(2), t.ones(2), s)],
    "value": lambda t, s: [t.addcmul(t.ones(2), t.ones(2), t.ones(2), value=s), t.addmm(t.ones(2, 2), t.eye(2), t.eye(2), beta=s, alpha=s)],
    "norms": lambda t, s: [t.ones(3).norm(s), t.linalg.vector_norm(t.ones(3), s), t.renorm(t.ones(3, 3), s, 0, s)],
    "activations": lambda t, s: [getattr(t.nn.functional, name)(-t.ones(2), s) for name in ("leaky_relu", "elu", "softplus", "hardshrink", "celu")],
    "losses": lambda t, s: [t.nn.functional.huber_loss(t.ones(2), t.zeros(2), delta=s), t.nn.functional.smooth_l1_loss(t.ones(2), t.zeros(2), beta=s)],
    "layer_norm": lambda t, s: t.nn.functional.layer_norm(t.arange(3.0), (3,), eps=s),
    "backward": lambda t, s: t.autograd.grad(*[((x := t.ones(2, requires_grad=True)) * s).sum(), x]),
    "shapes": lambda t, s: [t.ones(4).reshape(s, s), t.zeros(s, s), t.ones(2).repeat(s), t.arange(4)[s:], t.ones(1).expand(s)],
}  # fmt: skip
INIT = (
    "constant_",
    "orthogonal_",
    "xavier_uniform_",
    "xavier_normal_",
    "uniform_",
    "normal_",
    "trunc_normal_",
    "kaiming_uniform_",
    "sparse_",
)
OPTIMIZERS = {
    "SGD": lambda s: {"lr": s / 100, "momentum": s / 10, "weight_decay": s / 10},
    "Adam": lambda s: {"lr": s / 100, "weight_decay": s / 10},
    "AdamW": lambda s: {"lr": s / 100},
    "RMSprop": lambda s: {"lr": s / 100, "alpha": s / 10},
    "Adagrad": lambda s: {"lr": s / 100},
}


@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize("meeting", MEETINGS)
def test_numbers_of_numpy_beside_tensors(meeting, scalar):
    same_outcome(lambda t: MEETINGS[meeting](t, SCALARS[scalar]))


@pytest.mark.parametrize("name", INIT)
def test_numbers_of_numpy_in_initialisers(name):
    argument = np.float64(0.5) if name in ("sparse_", "uniform_") else np.sqrt(2)

    def program(t):
        weight = t.empty(3, 4)
        return getattr(t.nn.init, name)(weight, argument).dtype, weight.dtype, plain(weight)

    assert str(run(program, shim)) == str(run(program, torch)) or name in ("orthogonal_", "trunc_normal_")
    assert run(program, shim)[0][1] is shim.float32


@pytest.mark.parametrize("scalar", ["float64", "float32"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_numbers_of_numpy_in_optimizers(name, scalar):
    def program(t):
        p = t.ones(2, requires_grad=True)
        optimizer = getattr(t.optim, name)([p], **OPTIMIZERS[name](SCALARS[scalar]))
        for _ in range(2):
            optimizer.zero_grad()
            (p * p).sum().backward()
            optimizer.step()
        return p

    same_outcome(program)


@pytest.mark.parametrize("array", [np.array(1.5), np.array(2), np.array([1.5, 2]), np.array([1, 2]), np.array(1.5, np.float32)], ids=str)
@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv", "pow"])
def test_an_operator_beside_an_array_gives_numpys_type(name, array):
    same_outcome(lambda t: BINARY[name](t.ones(2), array))
    same_outcome(lambda t: getattr(operator, f"i{name}")(t.ones(2), array))


# -- which types an operation takes

TYPES = {  # a function of the library, and whole numbers
    "Tensor": lambda t, n: [t.Tensor(n), t.Tensor(n.double()), t.Tensor(n[0])],
    "Tensor shares memory": lambda t, n: (t.Tensor(n).mul_(3), n),
    "LongTensor": lambda t, n: t.LongTensor(n),
    "FloatTensor": lambda t, n: t.FloatTensor(n),
    **{
        name: lambda t, n, name=name: getattr(t.nn.functional, name)(t.tensor([[1.0, 2, 3], [3, 2, 1]]), n)
        for name in ("cross_entropy", "nll_loss", "multi_margin_loss")
    },
    "embedding": lambda t, n: t.nn.functional.embedding(n, t.eye(3)),
    "embedding_bag": lambda t, n: t.nn.functional.embedding_bag(n[None], t.eye(3)),
    "one_hot": lambda t, n: t.nn.functional.one_hot(n, 3),
    "index": lambda t, n: t.eye(3)[n],
    "searchsorted": lambda t, n: [t.searchsorted(t.tensor([0.5, 1, 1.5]), n), t.bucketize(t.tensor([0.5, 1.5]), n.sort().values)],
    "equal": lambda t, n: [t.equal(n, n.float()), t.equal(n, n.float() + 1)],
    "linspace": lambda t, n: t.linspace(0, 1, n[1].int()),
    "one less": lambda t, n: 1 - n,
    "less one": lambda t, n: n - True,
    "renorm": lambda t, n: t.renorm(n[None], 2, 0, 1.0),
}


@pytest.mark.parametrize("kind", ["int64", "int32", "int16", "uint8", "bool"])
@pytest.mark.parametrize("name", TYPES)
def test_types_that_operations_take(name, kind):
    if not (kind in ("uint8", "bool") and name == "index"):  # a mask, of another length
        same_outcome(lambda t: TYPES[name](t, t.tensor([0, 2], dtype=getattr(t, kind))))
