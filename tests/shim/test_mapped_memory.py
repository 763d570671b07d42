"""Tensors on the memory of storages and files, as PyTorch has them; and in which order their dimensions lie."""

import os

import pytest
import torch
from twin import same

import funnn.torch as ft

MEMORY = {
    "whole": lambda t, x: t.empty(0).set_(x.untyped_storage()),
    "part": lambda t, x: t.empty(0).set_(x.untyped_storage(), 2, (2, 2)),
    "turned": lambda t, x: t.empty(0).set_(x.untyped_storage(), 1, (2, 2), (1, 2)),
    "another type": lambda t, x: t.empty(0, dtype=t.int32).set_(x.untyped_storage(), 1, (2,)),
    "by name": lambda t, x: t.empty(0).set_(source=x.untyped_storage(), storage_offset=1, size=(2,)),
    "a wider type": lambda t, x: list(t.empty(0, dtype=t.float64).set_(x.untyped_storage()).shape),
    "a tensor": lambda t, x: t.empty(0).set_(x, 1, (2,)),
    "nothing": lambda t, x: t.ones(3).set_(),
}


@pytest.mark.parametrize("name", MEMORY)
def test_set(name):
    same(lambda t: MEMORY[name](t, t.arange(6.0)))


def test_what_is_written_there_is_seen():
    def program(t):
        x = t.arange(6.0)
        y = t.empty(0).set_(x.untyped_storage(), 1, (2,))
        y[0] = 100
        x[2] = 7
        return x, y

    same(program)


@pytest.mark.parametrize("t", [torch, ft], ids=["torch", "funnn"])
def test_set_refuses(t):
    with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
        t.empty(0, requires_grad=True).set_(t.ones(2))
    with pytest.raises(RuntimeError, match="Could not set tensor of type"):
        t.empty(0, dtype=t.float64).set_(t.ones(2))
    with pytest.raises(TypeError, match="set_"):
        t.empty(0).set_(3)


def test_from_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def program(t):
        name = f"numbers of {t.__name__}"
        with open(name, "wb") as file:
            file.write(t.arange(10.0).double().numpy().tobytes())
        whole = t.from_file(name, size=10, dtype=t.float64)
        shared = t.from_file(name, shared=True, size=4, dtype=t.float64)
        shared[0] = 7
        own = t.from_file(name, False, 4, dtype=t.float64)
        own[1] = 9
        again = t.from_file(name, size=3, dtype=t.float64, requires_grad=True)
        longer = t.from_file(name, shared=True, size=100)
        return own, again, longer[20:], os.path.getsize(name), t.from_file(name), list(whole.shape)

    same(program)
    for name, size, text in (
        ("nothing", 2, "unable to open file"),
        ("numbers of torch", 1000, "is smaller than the required"),
        ("numbers of torch", -1, "unable to mmap"),
    ):
        for t in (torch, ft):
            with pytest.raises(RuntimeError, match=text):
                t.from_file(name, size=size)


SHAPES = [(2, 1, 3), (2, 3), (2, 1), (2, 3, 4, 5), (1, 3, 4, 5), (2, 3, 0), (), (1,), (4, 3, 1, 1), (4, 1, 1, 5)]
ORDERS = {
    **{str(shape): lambda t, shape=shape: t.zeros(shape) for shape in SHAPES},
    "turned": lambda t: t.zeros(3, 3).T,
    "steps": lambda t: t.zeros(2, 6)[:, ::2],
    "expanded": lambda t: t.zeros(2, 3).expand(4, 2, 3),
    "channels last": lambda t: t.zeros(2, 3, 4, 5).to(memory_format=t.channels_last),
}


@pytest.mark.parametrize("name", ORDERS)
def test_dim_order(name):
    def program(t):
        x, found = ORDERS[name](t), []
        for check in (False, True, [t.contiguous_format], [t.contiguous_format, t.channels_last], [t.channels_last]):
            try:
                found.append(x.dim_order(ambiguity_check=check))
            except RuntimeError as error:
                found.append(str(error))
        return found

    same(program)


@pytest.mark.parametrize("t", [torch, ft], ids=["torch", "funnn"])
def test_dim_order_refuses(t):
    for wrong in ("ILLEGAL", [1], None):
        with pytest.raises(TypeError, match="ambiguity_check argument must be"):
            t.zeros(2).dim_order(ambiguity_check=wrong)
