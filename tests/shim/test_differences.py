"""The list of differences from PyTorch: each entry is shown by a program whose result is another one here, so that none that was mended stays."""

from __future__ import annotations

import importlib
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from allowed import Reason, listed
from twin import compare, run

import funnn.torch as shim
from funnn.torch._differences import DIFFERENCES

ROOT = Path(__file__).resolve().parents[2]

SHOWN: dict[str, Callable[[Any], Any]] = {}


def shows(key: str) -> Callable:
    def add(program: Callable) -> Callable:
        SHOWN[key] = program
        return program

    return add


@shows("read-only arrays")
def _(t):
    array = np.ones(2)
    array.setflags(write=False)
    t.from_numpy(array).add_(1)
    print(array)


@shows("strides of kernels")
def _(t):
    return t.fft.fft(t.ones(3, 4), dim=0).stride()


@shows("data writes")
def _(t):
    x = t.rand(4, 3, requires_grad=True)
    y = t.nn.functional.layer_norm(x, (3,))
    x.data.mul_(2)
    y.sum().backward()
    return x.grad


@shows("backends")
def _(t):
    def backend(graph, inputs):
        print("called")
        return graph.forward

    return t.compile(lambda x: x + 1, backend=backend)(t.ones(2))


@shows("compiled errors")
def _(t):
    try:
        t.compile(lambda x: x @ x, backend="eager")(t.ones(2, 3))
    except Exception as error:
        return type(error).__name__


@shows("explain")
def _(t):
    return type(t._dynamo.explain(lambda x: x + 1)(t.ones(2)).graphs[0]).__name__


@shows("traced graphs")
def _(t):
    return importlib.import_module(f"{t.__name__}.fx").symbolic_trace(lambda x: t.add(t.ones(2), x)).code


@shows("functions and methods")
def _(t):
    return t.add is t.Tensor.add


@shows("texts of parsers")
def _(t):
    try:
        t.ones(2).topk("a")
    except TypeError as error:
        print(error)


@shows("arrays beside tensors")
def _(t):
    return t.add(t.ones(2), np.ones(2))


@shows("nodes")
def _(t):
    x = t.full((2,), 2.0, requires_grad=True)
    (x * 1).acosh_().sum().backward()
    return x.grad


@shows("captured lists")
def _(t):
    captured = [t.ones(2)]

    def function(x):
        t._foreach_add_(captured, [x])
        return (captured[0] * x).sum()

    return t.func.grad(function)(t.ones(2))


@shows("complex32")
def _(t):
    return t.func.vmap(lambda x: x * 2)(t.ones(2, dtype=t.complex32))


@shows("numbers of numpy")
def _(t):
    return t.tensor([np.float32(1)], dtype=t.int64)


@shows("classes of errors")
def _(t):
    return t.masked.mean(t.ones(2), dtype=1.5)


@shows("types of kernels")
def _(t):
    return t.special.bessel_j0(t.ones(2, dtype=t.float16)).dtype


@shows("errors without a gpu")
def _(t):
    return t.ones(2).cuda()


@shows("ends of vectors")
def _(t):
    x = t.full((64,), float("nan"), requires_grad=True)
    t.nn.functional.hardtanh(x).sum().backward()
    return x.grad


@shows("equal numbers")
def _(t):
    return (t.arange(1000) % 3).topk(5).indices


@shows("neighbours of infinities")
def _(t):
    return t.nn.functional.conv_transpose1d(t.ones(1, 1, 3), t.tensor([[[float("inf"), 1.0]]]), stride=2)


@shows("limits out of range")
def _(t):
    return t.nn.functional.hardtanh(t.ones(2).half(), -1e6, 1e6)


@shows("nan in loops")
def _(t):
    y = t.zeros(2, requires_grad=True)
    t.nn.functional.kl_div(t.ones(2), y, reduction="sum").backward()
    return y.grad


@shows("dynamic quantisation")
def _(t):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, that it is deprecated
        return list(t.ao.quantization.quantize_dynamic(t.nn.Sequential(t.nn.Linear(2, 2)), {t.nn.Linear}).state_dict())


@shows("sparse layouts")
def _(t):
    return t.ones(2, 2, 2).to_sparse_csr().to_dense()


@shows("sparse derivatives")
def _(t):
    x = t.eye(2).to_sparse().requires_grad_()
    x.index_select(0, t.tensor([0])).to_dense().sum().backward()
    return x.grad.to_dense()


@shows("sparse becomes dense")
def _(t):
    w = t.ones(3, 2, requires_grad=True)
    t.nn.functional.embedding(t.tensor([0]), w * 2, sparse=True).sum().backward()
    return str(w.grad.layout)


def outcome(program: Callable, library: Any) -> tuple:
    """What a program returns and prints, or the class of what it raises."""
    try:
        return run(program, library)
    except Exception as error:
        return type(error), ""


def differs(program: Callable) -> bool:
    """Whether a program does something else here than in PyTorch."""
    (theirs, text), (ours, own_text) = (outcome(program, library) for library in (torch, shim))
    if isinstance(ours, type) or isinstance(theirs, type):
        return ours is not theirs
    if text != own_text:
        return True
    try:
        compare(ours, theirs)
    except AssertionError:
        return True
    return False


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("key", SHOWN)
def test_it_is_a_difference(key):
    assert differs(SHOWN[key]), "it was mended: take it out of the table"


def test_what_is_the_same_does_not_differ():
    assert not differs(lambda t: t.ones(2) + 1)
    assert differs(lambda t: t.ones(2) + (t is torch))
    assert differs(lambda t: print(t is torch))


def test_every_difference_is_shown_or_says_why_not():
    keys = [each.key for each in DIFFERENCES]
    assert len(set(keys)) == len(keys)
    assert set(SHOWN) == {each.key for each in DIFFERENCES if each.unseen is None}


#: What the cross-cutting tests leave out: a table of names with a Reason each.
EXCEPTIONS = {
    "test_argument_checks": ("TAKEN",),
    "test_meta": ("READS",),
    "test_modules_of_database": ("SLOW",),
    "test_odd_calls": ("OTHERWISE",),
    "test_refused_types": ("OTHERWISE",),
    "test_nodes": ("OTHER_NODES", "ELSEWHERE"),
    "test_opinfo_torch": ("ABSENT", "WRONG_GRADIENT"),
    "test_overloads": ("LEFT_OUT",),
    "test_special_points": ("POINTS_LEFT_OUT", "CALLED_OTHERWISE", "MADE_OF_PARTS", "KINDS_LEFT_OUT"),
    "test_strides": ("CONTIGUOUS", "OTHERS"),
}


@pytest.mark.parametrize("file", EXCEPTIONS)
def test_exceptions_name_their_difference_or_say_that_there_is_none(file):
    module = importlib.import_module(file)
    for table in EXCEPTIONS[file]:
        for name, reason in getattr(module, table).items():
            assert isinstance(reason, Reason), f"{table}[{name!r}]: say which difference it is, with listed(…), or no_difference(…)"


def test_a_difference_that_is_not_in_the_list_cannot_be_named():
    with pytest.raises(KeyError, match="has no entry 'mended'"):
        listed("mended")


def test_the_page_is_current():
    result = subprocess.run([sys.executable, ".ci/differences.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
