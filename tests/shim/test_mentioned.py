"""Names that libraries only mention: PyTorch has each of them, they are there, and what they stand for refuses."""

from __future__ import annotations

import enum
import importlib
import inspect
import subprocess
import sys

import pytest
import torch

import funnn.torch as shim
from funnn.torch import _absent_device, _mentioned

NAMES = [(module, name) for module, names in _mentioned._NAMES.items() for name in names]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("module", _mentioned._NAMES)
def test_torch_has_them(module):
    """In the same place, and of the same kind."""
    if sys.platform != "linux" and "distributed" in module:
        pytest.skip("PyTorch has no distributed part there")
    theirs = importlib.import_module(module)
    ours = importlib.import_module(f"funnn.{module}")
    for name in _mentioned._NAMES[module]:
        item = inspect.getattr_static(theirs, name, None) or getattr(theirs, name)
        made = getattr(ours, name)
        if isinstance(made, type) and issubclass(made, enum.Enum):
            assert set(made.__members__) <= {member for member in dir(item) if member[:1] != " "}, name
        else:
            assert isinstance(made, type) == isinstance(item, type), name
        assert made is getattr(ours, name)


@pytest.mark.parametrize(("module", "name"), NAMES, ids=lambda item: item)
def test_they_refuse(module, name):
    made = getattr(importlib.import_module(f"funnn.{module}"), name)
    if isinstance(made, type) and issubclass(made, enum.Enum):
        assert f"{module}.{name} is not supported" in made.__unsupported__
        return
    with pytest.raises(NotImplementedError, match=f"{name} is not supported"):
        made()
    if isinstance(made, type):
        assert not isinstance(shim.ones(1), made)
        with pytest.raises(NotImplementedError):
            type("Derived", (made,), {})()


def test_other_names_are_still_not_there():
    assert not hasattr(shim.jit, "no_such_name") and not hasattr(shim, "quantize_per_tensor") and not hasattr(shim._C, "no_such_name")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("funnn.torch.distributed.no_such_module")


def test_check_calls_them_missing(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import torch\nfrom torch.distributed.rpc import RRef\nprint(torch.jit.ScriptModule)\n")
    done = subprocess.run([sys.executable, "-m", "funnn", "check", str(script)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "torch.distributed.rpc.RRef" in done.stdout and "torch.jit.ScriptModule" in done.stdout


# -- what is real among what libraries ask of torch's inside


SAME = {
    "checks": lambda t: [
        t._check(True),
        t._check_is_size(3, max=4),
        t._check_tensor_all(t.tensor([True])),
        t._assert(1, "m"),
        t._shape_as_tensor(t.ones(2, 3)).tolist(),
    ],
    "backends": lambda t: [
        repr(t.distributed.Backend("NCCL")),
        t.distributed.Backend.GLOO,
        t.distributed.Backend.backend_list,
        t.distributed.GroupMember.NON_GROUP_MEMBER,
    ],
    "TorchScript's types": lambda t: [
        t.jit.annotate(int, 3),
        *(t.jit.isinstance([1, 2], kind) for kind in (list[int], list[str], dict[int, int])),
        t.jit.isinstance({1: [t.ones(1)]}, dict[int, list[t.Tensor]]),
        t.jit.isinstance((1, "a"), tuple[int, str]),
    ],
    "schedules": lambda t: [
        [t.profiler.schedule(wait=1, warmup=1, active=2, **options)(step).name for step in range(14)]
        for options in (
            {},
            {"repeat": 2},
            {"skip_first": 3},
            {"repeat": 1, "skip_first": 2},
            {"skip_first_wait": 1},
            {"skip_first": 1, "skip_first_wait": 1},
        )
    ],
    "placements": lambda t: [
        repr([kind(0) if kind.__name__ == "Shard" else kind() for kind in (p.Shard, p.Replicate, p.Partial)])
        for p in [importlib.import_module(f"{t.__name__}.distributed.tensor")]
    ],
    "the parser of to": lambda t: [
        [None if item is None else str(item) for item in t._C._nn._parse_to(*args, **options)]
        for args, options in (
            ((t.float64,), {}),
            (("cpu",), {}),
            ((t.ones(1).double(),), {}),
            ((), {"device": "cpu", "dtype": t.half}),
            ((t.device("cpu"), t.int8, True), {}),
            ((), {"memory_format": t.channels_last}),
        )
    ],
    "weak dictionaries": lambda t: weak_dictionary(importlib.import_module(f"{t.__name__}.utils.weak")),
}


class Key:
    def __eq__(self, other):
        return True

    __hash__ = None


def weak_dictionary(weak):
    found, first, second = weak.WeakIdKeyDictionary(), Key(), Key()
    found[first], found[second] = 1, 2
    seen = [found[first], found[second], len(found), Key() in found]
    del first
    return [*seen, len(found), list(found.values())]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SAME)
def test_the_same(name):
    assert SAME[name](shim) == SAME[name](torch)


ERRORS = {
    "check": lambda t: t._check(False),
    "check with a message": lambda t: t._check_value(False, lambda: "no value"),
    "check of no bool": lambda t: t._check(1),
    "assert": lambda t: t._assert(False, "boo"),
    "assert of a tensor": lambda t: t._assert_async(t.tensor(0)),
    "schedule": lambda t: t.profiler.schedule(wait=-1, warmup=0, active=1),
    "backend": lambda t: t.distributed.Backend(3),
    "containers without types": lambda t: t.jit.isinstance([1], list),
}


@pytest.mark.parametrize("name", ERRORS)
def test_the_same_errors(name):
    with pytest.raises(Exception) as theirs:
        ERRORS[name](torch)
    with pytest.raises(type(theirs.value)) as ours:
        ERRORS[name](shim)
    if name != "containers without types":  # whose text says what to write
        assert str(ours.value) == str(theirs.value)


def test_a_profile_of_chosen_steps():
    """When a trace is ready, as PyTorch says it (whose own profiler does not live beside JAX in one process)."""
    net, found = shim.nn.Linear(3, 2), []
    options = {
        "schedule": shim.profiler.schedule(wait=1, warmup=1, active=2, repeat=2),
        "on_trace_ready": lambda p: found.append(p.step_num),
    }
    with shim.profiler.profile(activities=[shim.profiler.ProfilerActivity.CPU], **options) as p:
        for _ in range(10):
            net(shim.ones(2, 3)).sum().backward()
            p.step()
    assert (found, p.step_num) == ([4, 8], 10)
    with shim.profiler.profile() as p, shim.profiler.record_function("part"):
        shim.ones(2, 3).sum()
    assert {"part", "sum"} <= {event.key for event in p.key_averages()} and "part" in p.key_averages().table()


ABSENT = [
    (device, name)
    for device in ("mps", "mtia", "xpu")
    for name in (*_absent_device._ANSWERS[device], *_absent_device._REFUSED[device][1].split())
]


@pytest.mark.skipif(torch.xpu.is_available() or torch.mps.is_available(), reason="PyTorch has one of the devices here")
@pytest.mark.parametrize(("device", "name"), ABSENT)
def test_devices_that_are_not_here(device, name):
    """Each answers, or refuses, as PyTorch's does where there is no such device."""
    ours, theirs = (getattr(getattr(t, device), name) for t in (shim, torch))
    args = (1,) if name.startswith("manual_seed") else ()
    try:
        expected = theirs(*args)
    except Exception as error:
        with pytest.raises(type(error)):
            ours(*args)
    else:
        assert ours(*args) == expected


def test_indexing_inside_vmap():
    """What TransformGetItemToIndex is for in PyTorch works without it."""
    x = shim.arange(12.0).reshape(4, 3)
    assert shim.vmap(lambda i, j: x[i, j])(shim.tensor([2, 0]), shim.tensor([1, 2])).tolist() == [7, 2]
    assert shim.vmap(lambda i: x[i])(shim.tensor([2, 0])).tolist() == [[6, 7, 8], [0, 1, 2]]


def test_collective_functions_of_one_process(tmp_path):
    shim.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        x = shim.ones(2, requires_grad=True)
        nn = importlib.import_module("funnn.torch.distributed.nn")
        (nn.all_reduce(x) * 2 + nn.all_gather(x)[0]).sum().backward()
        assert x.grad.tolist() == [3, 3]
    finally:
        shim.distributed.destroy_process_group()


def test_operators_of_torchs_library():
    aten, x = shim.ops.aten, shim.arange(6.0).reshape(2, 3)
    theirs, y = torch.ops.aten, torch.arange(6.0).reshape(2, 3)
    calls = {
        "add": lambda ops, v: ops.add.Tensor(v, v, alpha=2),
        "mm": lambda ops, v: ops.mm(v, v.t()),
        "slice": lambda ops, v: ops.slice.Tensor(v, 1, 0, 2),
        "select": lambda ops, v: ops.select.int(v, 0, 1),
        "sum": lambda ops, v: ops.sum.dim_IntList(v, [1], True),
        "clone": lambda ops, v: ops.clone.default(v),
        "relu": lambda ops, v: ops.relu(v - 2),
    }
    for name, function in calls.items():
        assert function(aten, x).tolist() == function(theirs, y).tolist(), name
    assert repr(aten.add) == repr(theirs.add) and repr(aten.add.Tensor) == repr(theirs.add.Tensor)
    assert aten.add.Tensor is aten.add.Tensor and {aten.add.Tensor: 1}[aten.add.Tensor] == 1
    with pytest.raises(NotImplementedError, match=r"torch.ops.aten.convolution.default is not supported"):
        aten.convolution.default(x)
    with pytest.raises(AttributeError):
        _ = aten.no_such_operator
