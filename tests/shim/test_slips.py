"""Slips of programs, which PyTorch refuses: arguments of the wrong kind, and attributes that take no such value."""

import numpy as np
import pytest
import torch

import funnn.torch as shim
from funnn.engine.dispatch.overloads import _lines, overloads
from funnn.engine.dispatch.static_kinds import FLAGS, INTEGERS

#: Of a matrix x (2, 3).
CALLS = [
    "x.sum(0,1)",
    "x.sum(1.5)",
    "x.max(0, t.float32)",
    "t.linalg.cholesky(t.eye(2), upper=1)",
    "x.sum(True)",
    "x.max(0,1)",
    "x.sort(0,1)",
    "x.argsort(0,1)",
    "t.topk(x,1,0,1)",
    "x.softmax(True)",
    "x.mean(0,keepdim=1)",
    "x.std(0,keepdim=1)",
    "x.cumsum(0.)",
    "x.flatten(1.)",
    "x.flatten(True)",
    "x.unsqueeze(1.)",
    "t.nn.functional.avg_pool2d(x[None],1,ceil_mode=1)",
    'x.sum("a")',
    'x.sum(0,dtype="float32")',
    "x.all(0,1)",
    "x.argmax(0,1)",
    "x.norm(2,0,1)",
    "x.roll(1.)",
    "t.cat([x,x],1.)",
    "t.stack([x,x],True)",
    "x.repeat(1.5)",
    't.zeros(2,dtype="float32")',
    "t.arange(3,dtype=1)",
    'x.to("float32")',
    "x.type(3)",
    "x.view(2.,3)",
    "t.eye(2,requires_grad=1)",
    "x.clone(1)",
    "t.nn.functional.dropout(x,.5,1)",
    "x.squeeze(True)",
    "x.chunk(2.,0)",
    "x.split(1.)",
    "x.tril(True)",
    "x.var(0,unbiased=1)",
]
#: Of a vector x (2) that requires a gradient.
ASSIGNED = [
    "x.data = t.ones(2, device='meta')",
    "m.data = t.ones(2)",
    "x.data = t.ones(2).to_sparse()",
    "x.data = np.ones(2)",
    "x.data = None",
    "x.data = [1.0, 2.0]",
    "x.data = t.ones(2).long()",
    "t.ones(2).to_sparse().data = t.ones(2)",
    "t.nn.Parameter(t.ones(2)).data = m",
    "x.grad = m",
    "x.grad = x",
    "x.grad = t.ones(3)",
    "x.grad = t.ones(2).double()",
    "x.grad = 1.0",
    "x.requires_grad = 1",
    "x.requires_grad = 'a'",
    "(x * 2).requires_grad = False",
    "t.ones(2).long().requires_grad = True",
    "x.grad_fn = None",
    "x.shape = (2,)",
    "x.dtype = t.float64",
    "x.is_leaf = True",
    "x.device = 'cpu'",
    "x.T = 1",
    "x.ndim = 1",
    "x._version = 1",
    "del x.data",
    "t.nn.Linear(2, 2).weight = t.ones(2, 2)",
    "t.nn.BatchNorm1d(2).running_mean = 1.0",
    "t.nn.Linear(2, 2).register_parameter('w', t.ones(2))",
    "t.nn.Linear(2, 2).register_buffer('w', 1.0)",
    "t.nn.Linear(2, 2).add_module('w', 1.0)",
    "t.nn.Sequential(1)",
    "t.nn.Linear(2, 2).train('a')",
    "t.nn.Linear(2, 2).to(t.int64)",
    "t.nn.Linear(2, 2).load_state_dict([1])",
]


def test_what_is_no_slip():
    for t in (torch, shim):
        x = t.ones(2, 3)
        assert x.std(False).shape == x.var(True).shape == () and x.sum(np.int64(0)).shape == (3,)
        assert t.linalg.cholesky(t.eye(2), upper=bool(1)).shape == (2, 2) and x.any(1, keepdim=True).shape == (2, 1)


def refusal(t, statement, x):
    with pytest.raises(Exception) as caught:
        exec(statement, {"t": t, "np": np, "x": x, "m": t.ones(2, device="meta")})
    return caught.type


@pytest.mark.parametrize("call", CALLS)
def test_arguments_of_the_wrong_kind(call):
    wanted = refusal(torch, call, torch.ones(2, 3))
    for _ in range(2):  # what was refused once is no form that is found again
        assert issubclass(refusal(shim, call, shim.ones(2, 3)), wanted)


@pytest.mark.parametrize("statement", ASSIGNED)
def test_attributes(statement):
    wanted = refusal(torch, statement, torch.ones(2, requires_grad=True))
    assert issubclass(refusal(shim, statement, shim.ones(2, requires_grad=True)), wanted)


def test_attributes_after_a_class_overrides_functions():
    """What asks such classes stands in the properties' places, and refuses what they refuse."""

    class Sub(shim.Tensor):
        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            return super().__torch_function__(function, types, args, kwargs or {})

    x = shim.ones(2).as_subclass(Sub) + 1
    for tensor in (x, shim.ones(2)):
        for name in ("shape", "dtype", "grad_fn", "is_leaf", "T", "ndim", "device"):
            with pytest.raises(AttributeError):
                setattr(tensor, name, None)


def test_kinds_are_those_of_the_overloads():
    kinds = {}
    for name in _lines():
        for overload in overloads(name):
            for item in overload.parameters:
                kinds.setdefault(item.name, set()).add(item.kind)
    assert {name for name, found in kinds.items() if found - {"object"} == {"bool"}} == FLAGS
    assert {name for name, found in kinds.items() if found - {"object"} == {"int"}} == INTEGERS
