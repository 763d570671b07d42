"""Data of every kind, to everything that makes a tensor of it: the same tensor, or an error of the same class, as PyTorch."""

from __future__ import annotations

import array
import collections
import warnings

import numpy as np
import pytest
import torch
from twin import compare, same

import funnn.torch as shim


class Sequence:
    """A length, and items by number: all that PyTorch asks of a sequence."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


class Column(Sequence):
    """As a column of a table of pandas."""

    def __array__(self, dtype=None, copy=None):
        return np.array(self.items, dtype)


class Exports:
    """An object that makes an array of itself, and is no sequence."""

    def __array__(self, dtype=None, copy=None):
        return np.array([1.0, 2.0], dtype)


class Real:
    def __float__(self):
        return 2.5


Pair = collections.namedtuple("Pair", "first second")

DATA = {
    "deque": lambda t: collections.deque([1, 2, 3]),
    "column": lambda t: Column([1.0, 2.0, 3.0]),
    "column of integers": lambda t: Column([1, 2]),
    "sequence": lambda t: Sequence([1, 2]),
    "sequence of sequences": lambda t: Sequence([Sequence([1, 2.0]), Sequence([3, 4])]),
    "sequence and list": lambda t: [Sequence([1, 2]), [3, 4]],
    "exports an array": lambda t: Exports(),
    "array.array f": lambda t: array.array("f", [1, 2]),
    "array.array i": lambda t: array.array("i", [1, 2]),
    "memoryview": lambda t: memoryview(array.array("f", [1, 2])),
    "bytes": lambda t: b"ab",
    "bytearray": lambda t: bytearray(b"abcd"),
    "range": lambda t: range(3),
    "empty range": lambda t: range(0),
    "UserList": lambda t: collections.UserList([1, 2]),
    "namedtuple": lambda t: Pair(1, 2.0),
    "list of deques": lambda t: [collections.deque([1, 2]), collections.deque([3, 4])],
    "list of arrays": lambda t: [np.array([1, 2]), np.array([3, 4])],
    "list of numbers of NumPy": lambda t: [np.float32(1), np.float32(2)],
    "list of tensors": lambda t: [t.tensor(1.0), t.tensor(2.0)],
    "number of NumPy": lambda t: np.float64(1.5),
    "integer of NumPy": lambda t: np.int64(3),
    "real": lambda t: Real(),
    "set": lambda t: {1, 2},
    "dictionary": lambda t: {0: 1, 1: 2},
    "generator": lambda t: (i for i in range(2)),
    "iterator": lambda t: iter([1, 2]),
    "values of a dictionary": lambda t: {0: 1}.values(),
    "text": lambda t: "ab",
    "list of texts": lambda t: ["a"],
    "None": lambda t: None,
    "list of None": lambda t: [None],
    "ragged": lambda t: [[1, 2], [3]],
    "mixed": lambda t: [1, [2]],
    "mixed in the other order": lambda t: [[1], 2],
    "other byte order": lambda t: np.array([1.0, 2.0], dtype=">f4"),
    "objects": lambda t: np.array([1, 2], dtype=object),
    "negative stride": lambda t: np.arange(3)[::-1],
    "true and 2": lambda t: [True, 2],
    "1 and 2j": lambda t: [1, 2j],
    "nothing twice": lambda t: [[], []],
    "a tensor": lambda t: t.ones(2),
    "a large integer": lambda t: 2**70,
}
MAKERS = {
    "tensor": lambda t, data: t.tensor(data),
    "tensor of float32": lambda t, data: t.tensor(data, dtype=t.float32),
    "as_tensor": lambda t, data: t.as_tensor(data),
    "asarray": lambda t, data: t.asarray(data),
    "Tensor": lambda t, data: t.Tensor(data),
    "FloatTensor": lambda t, data: t.FloatTensor(data),
    "LongTensor": lambda t, data: t.LongTensor(data),
    "new_tensor": lambda t, data: t.ones(1).new_tensor(data),
    "new": lambda t, data: t.ones(1).new(data),
    "Parameter": lambda t, data: t.nn.Parameter(data),
    "index": lambda t, data: t.arange(10)[data],
    "full": lambda t, data: t.full((2,), data),
    "scalar_tensor": lambda t, data: t.scalar_tensor(data),
}
_SIZES = "its numbers are what was in memory"
_TAKEN = "numbers of another type are converted, where PyTorch refuses them"
_CLASS = "PyTorch's own parser of indices fails, each time with another class"
#: (maker, data) that differ, with the reason.
DIFFERENT = {
    **{(maker, "integer of NumPy"): _SIZES for maker in ("Tensor", "FloatTensor", "LongTensor", "new")},
    **{("LongTensor", data): _TAKEN for data in ("list of numbers of NumPy", "list of tensors")},
    **{
        (maker, "a large integer"): "ValueError, and there TypeError or OverflowError"
        for maker in ("Tensor", "FloatTensor", "LongTensor", "new")
    },
    **{
        ("index", data): _CLASS
        for data in ("sequence of sequences", "bytes", "list of deques", "text", "list of numbers of NumPy", "objects")
    },
    **{
        ("index", data): _CLASS for data in ("other byte order", "negative stride", "a large integer", "1 and 2j", "list of texts", "mixed")
    },
}


@pytest.mark.parametrize("maker", MAKERS)
def test_data(maker):
    wrong = []
    for data, make in DATA.items():
        results = []
        for library in (torch, shim):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    results.append(MAKERS[maker](library, make(library)))
                except Exception as error:
                    results.append(error)
        expected, got = results
        try:
            if isinstance(expected, Exception) or isinstance(got, Exception):
                assert isinstance(got, type(expected)), f"{got!r}, torch has {expected!r}"
            else:
                compare(got, expected)
        except AssertionError as error:
            if (maker, data) not in DIFFERENT:
                wrong.append(f"{data}: {error}")
    assert not wrong, "\n".join(wrong)


def _two(t):
    w = t.nn.Parameter(t.tensor([1.0, 2.0]))
    b = t.nn.Parameter(t.tensor([3.0]))
    return w, b, (w.prod() * b).sum() + b.pow(2).sum()


#: What takes tensors in any iterable.
ITERABLES = {
    "list": list,
    "tuple": tuple,
    "generator": lambda tensors: (tensor for tensor in tensors),
    "iterator": lambda tensors: iter(list(tensors)),
    "deque": collections.deque,
    "values": lambda tensors: dict(enumerate(tensors)).values(),
    "set": set,
}


@pytest.mark.parametrize("kind", ITERABLES)
def test_iterables_of_tensors(kind):
    iterable = ITERABLES[kind]

    def program(t):
        w, b, loss = _two(t)
        results = []
        if kind != "set":
            results += t.autograd.grad(loss, iterable([w, b]), retain_graph=True)
            results += t.autograd.grad(iterable([loss]), [w, b], iterable([t.tensor(2.0)]), retain_graph=True)
        loss.backward(inputs=iterable([w]), retain_graph=True)
        t.autograd.backward(iterable([loss]), inputs=iterable([w]))
        b.grad = t.tensor([4.0])
        results += [t.nn.utils.clip_grad_norm_(iterable([w, b]), 1.0), w.grad, b.grad]
        t.nn.utils.clip_grad_value_(iterable([w, b]), 0.1)
        results += [t.nn.utils.get_total_norm(iterable([w.grad, b.grad])), t.nn.utils.parameters_to_vector(iterable([w]))]
        return [result.detach() for result in results]

    same(program)


def test_lists_of_parameters():
    def program(t):
        parameters = t.nn.ParameterList([t.nn.Parameter(t.tensor([1.0, 2.0])), t.nn.Parameter(t.tensor([3.0]))])
        loss = (parameters[0].prod() * parameters[1]).sum()
        results = list(t.autograd.grad(loss, parameters, retain_graph=True))
        loss.backward(inputs=parameters)
        return results + [parameter.grad for parameter in parameters] + [t.nn.utils.clip_grad_norm_(parameters, 0.5)]

    same(program)


OPTIMIZED = {
    "generator": lambda t, w, b: (item for item in (w, b)),
    "values": lambda t, w, b: {"w": w, "b": b}.values(),
    "ParameterList": lambda t, w, b: t.nn.ParameterList([w, b]),
    "deque": lambda t, w, b: collections.deque([w, b]),
    "groups in a generator": lambda t, w, b: (group for group in ({"params": [w]}, {"params": b, "lr": 0.5})),
    "group of a generator": lambda t, w, b: [{"params": (item for item in (w, b))}],
    "named": lambda t, w, b: [("w", w), ("b", b)],
    "named in a generator": lambda t, w, b: iter([("w", w), ("b", b)]),
    "items": lambda t, w, b: {"w": w, "b": b}.items(),
    "tensor": lambda t, w, b: w,
    "dictionary": lambda t, w, b: {"params": [w, b]},
    "set": lambda t, w, b: [{"params": {w}}],
    "nothing": lambda t, w, b: [],
    "numbers": lambda t, w, b: [1.0],
    "not a leaf": lambda t, w, b: [w * 2],
    "twice": lambda t, w, b: [{"params": [w]}, {"params": [w]}],
}


@pytest.mark.parametrize("kind", OPTIMIZED)
def test_what_optimizers_take(kind):
    """The parameters after a step and the groups, or an error of the same class."""

    def program(t):
        w, b, loss = _two(t)
        loss.backward()
        try:
            optimizer = t.optim.SGD(OPTIMIZED[kind](t, w, b), lr=0.1)
        except Exception as error:
            return type(error).__name__
        optimizer.step()
        return [w.detach(), b.detach()] + [sorted(str(key) for key in group) for group in optimizer.param_groups]

    same(program)
