"""Tensors on the device 'meta': shapes and types through every operation, and nothing in memory."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from typing import Any

import pytest
import torch
from allowed import no_difference
from opinfo import dtype_of, forms, found, op_db, op_id, samples, tensors, to_shim
from twin import same, same_error

import funnn.torch as shim
from tests import exhaustive
from tests.module_samples import module_db, name_of
from tests.module_samples import samples as module_samples

pytestmark = pytest.mark.filterwarnings("ignore")

#: Operations that read numbers which torch's do without on 'meta', or check more: they raise.
READS = {
    "linalg.norm": no_difference("of a matrix without rows, which is an error on a CPU in both"),
    "nn.functional.embedding_bag": no_difference("a type of indices that is an error on a CPU in both"),
    "nn.functional.triplet_margin_with_distance_loss": no_difference("the sample's function is PyTorch's own"),
}
#: Without those of the vendors and of other layouts, which take other tensors.
OPS = [op for op in op_db if op.name not in READS and found(op.name) is not None and not op.name.startswith(("sparse.", "_"))]
OPS = [op for op in OPS if op.variant_test_name != "without_cudnn"]  # which has no samples on a CPU


def on_meta(x: Any, kind: type) -> Any:
    """The same, with its tensors on 'meta'."""
    if isinstance(x, kind):
        return x.to("meta")
    if isinstance(x, dict):
        return {key: on_meta(value, kind) for key, value in x.items()}
    return type(x)(on_meta(value, kind) for value in x) if type(x) in (tuple, list) else x


def outlines(result: Any, kind: type) -> list:
    return [(tuple(t.shape), str(t.dtype).removeprefix("torch."), str(t.device)) for t in tensors(result, kind)]


@pytest.mark.parametrize("op", [*exhaustive.one_each(OPS, lambda op: op.name.split(".")[0][:2], op_id)])
def test_operations(op):
    """Each form of an operation, where PyTorch has it on 'meta' and it is no error with numbers."""
    compared = 0
    for sample in samples(op, dtype_of(op), False, most=1):
        for theirs, ours in forms(op).values():
            args, kwargs = (sample.input, *sample.args), sample.kwargs
            own_args, own_kwargs = on_meta(to_shim(args), shim.Tensor), on_meta(to_shim(kwargs), shim.Tensor)
            try:
                expected = theirs(*on_meta(args, torch.Tensor), **on_meta(kwargs, torch.Tensor))
                theirs(*copy.deepcopy(args), **kwargs)
            except Exception:
                continue
            assert outlines(ours(*own_args, **own_kwargs), shim.Tensor) == outlines(expected, torch.Tensor)
            compared += 1
    if not compared:
        pytest.skip("PyTorch's does not run on 'meta', or not with these numbers")


#: The lazy ones have no shapes yet.
MODULES = [info for info in module_db if not name_of(info).startswith("Lazy")]


@pytest.mark.parametrize("info", MODULES, ids=name_of)
def test_modules(info):
    """Construction on 'meta', outputs and gradients; no generator moves."""
    if "device" not in getattr(info.module_cls.__init__, "__code__", type(None)).co_varnames:
        pytest.skip("its constructor takes no device")
    (sample,) = module_samples(info, True, 1)
    given = to_shim((sample.constructor_input.args, sample.constructor_input.kwargs))
    if any(isinstance(item, torch.nn.Module) or callable(item) for item in (*given[0], *given[1].values())):
        pytest.skip("made of PyTorch's own modules and functions")
    state = shim.get_rng_state()
    module = getattr(shim.nn, name_of(info))(*given[0], **{**given[1], "device": "meta"})
    reference = getattr(shim.nn, name_of(info))(*given[0], **given[1])
    assert [*outlines(list(module.state_dict().values()), shim.Tensor)] == [
        (*outline[:2], "meta") for outline in outlines(list(reference.state_dict().values()), shim.Tensor)
    ]
    shim.set_rng_state(state)
    args, kwargs = to_shim((sample.forward_input.args, sample.forward_input.kwargs))
    results = tensors(module(*on_meta(args, shim.Tensor), **on_meta(kwargs, shim.Tensor)), shim.Tensor)
    assert (shim.get_rng_state() == state).all()
    expected = tensors(reference(*args, **kwargs), shim.Tensor)
    assert outlines(results, shim.Tensor) == [(*outline[:2], "meta") for outline in outlines(expected, shim.Tensor)]
    if any(result.requires_grad for result in results):
        sum(result.abs().sum() for result in results if result.requires_grad).backward()
        assert all(p.grad is None or (p.grad.is_meta and p.grad.shape == p.shape) for p in module.parameters())


# -- programs


def made(t):
    x = t.empty(3, 4, device="meta")
    print(x, x.to(t.int64), t.nn.Parameter(x), x.requires_grad_() * 2, t.empty(2, dtype=t.float64, device="meta"))
    print(x.is_meta, x.device, x.data_ptr(), x.element_size(), x.untyped_storage().nbytes(), x.type(), x.get_device(), x.is_cuda)
    print(t.zeros(2, device="meta").new_ones(3), t.rand_like(x), t.arange(5, device="meta"), t.randn(2, 2, device=t.device("meta")))
    print(t.ones(2).to("meta"), t.ones(2).to("meta", t.float64), t.ones(2).to(x), t.empty_like(t.ones(2), device="meta"))
    y = t.empty(2, 3, 4, device="meta").transpose(0, 2)
    print(y.stride(), y.contiguous().stride(), y[1:, None, ..., 0].shape, t.ones(2, 3).t().to("meta").stride(), y.is_contiguous())
    with t.device("meta"):
        print(t.ones(2), t.nn.Linear(2, 3).weight, t.tensor([1, 2]), t.ones(2, device="cpu"))
    print(t.ones(1))
    return t.get_default_device()


def written(t):
    x, index = t.empty(4, 4, device="meta"), t.empty(2, dtype=t.long, device="meta")
    x[index] = 1.0
    x[0], x[[0, 1]] = 3, t.empty(2, 4, device="meta")
    x[:, 1] += 1
    x.copy_(t.ones(4, 4)).normal_().uniform_().zero_().fill_(2).add_(x)
    print(x, x[index], x[[0, 1]], x[t.tensor([1, 2])], t.nn.init.orthogonal_(x), t.nn.init.xavier_uniform_(x), t.nn.init.trunc_normal_(x))
    print(t.empty(100_000, 100_000, 100, device="meta") @ t.empty(100, 5, device="meta"))


@pytest.mark.parametrize("name", ["linspace", "logspace"])
def test_ends_without_numbers_decide_where_a_range_is(name):
    for kit in (shim, torch):
        function, end = getattr(kit, name), kit.tensor(5, device="meta")
        for ends in ((4.3, end), (end, 4.3), (kit.tensor(3), end)):
            for device in ({}, {"device": "cpu"}, {"device": "meta"}):
                assert function(*ends, 5, **device).is_meta
        assert not function(kit.tensor(3), 4.0, 5, device="cpu").is_meta


def chosen(t):
    """What a mask or repeats without numbers choose: writes, and reads of as many as is said."""
    x, mask, rows = t.empty(3, 4, device="meta"), t.empty(3, 4, dtype=t.bool, device="meta"), t.empty(3, dtype=t.bool, device="meta")
    x[mask], x[rows], x[:, :3][rows], x[rows, 0] = 1.0, t.empty(4, device="meta"), t.empty(2, 3, device="meta"), 2.0
    x[mask] = t.empty(5, device="meta")
    x.index_put_((mask,), t.empty(7, device="meta"), accumulate=True)
    z = t.empty(3, 4, device="meta", requires_grad=True)
    y = (z * 2).index_put((mask,), t.empty((), device="meta"))
    y.sum().backward()
    print(x, y, y.grad_fn.name(), z.grad)
    repeats = t.empty(3, dtype=t.long, device="meta")
    print(x.repeat_interleave(repeats, dim=0, output_size=5), t.repeat_interleave(repeats, output_size=6), x.repeat_interleave(2))
    print(t.repeat_interleave(repeats=t.tensor([1, 2])), t.linalg.pinv(x).stride())
    try:
        x.repeat_interleave(repeats, dim=0)
    except RuntimeError as error:
        print(str(error).partition(":")[0])


def test_values_written_through_a_mask_have_gradients():
    value = shim.empty(5, device="meta", requires_grad=True)
    written = shim.empty(3, 4, device="meta").index_put((shim.empty(3, 4, dtype=shim.bool, device="meta"),), value)
    written.sum().backward()
    assert value.grad.is_meta and value.grad.shape == (5,)
    with pytest.raises(IndexError, match=r"The shape of the mask \[2\] at index 0 does not match the shape of the indexed tensor \[3, 4\]"):
        shim.empty(3, 4, device="meta")[shim.empty(2, dtype=shim.bool, device="meta")] = 1.0


def moved(t):
    """Parameters on their way to 'meta' and back are others; steps are counted there."""
    net = t.nn.Sequential(t.nn.Linear(2, 2), t.nn.BatchNorm1d(2))
    weight = net[0].weight
    weight.grad, weight.tag = t.ones(2, 2), 3
    net.to("meta")
    other = net[0].weight
    print(other is weight, weight, weight.grad, other, other.grad, hasattr(other, "tag"), net[1].running_mean)
    net.to_empty(device="cpu")
    print(net[0].weight is other, net[0].weight.shape, net[0].weight.grad.shape, net[0].weight.is_meta, other.is_meta)
    net.double()
    print(net[0].weight is other, net[0].weight.dtype)
    for name in ("SGD", "Adam", "RMSprop", "Adagrad"):
        parameters = list(t.nn.Linear(2, 3, device="meta").parameters())
        optimizer = getattr(t.optim, name)(parameters, lr=0.1)
        for _ in range(2):
            sum(parameter.sum() for parameter in parameters).backward()
            optimizer.step()
        print(dict(sorted(optimizer.state[parameters[0]].items())), parameters)


def filled_later(t):
    t.manual_seed(0)
    net = t.nn.Sequential(t.nn.Linear(3, 4, device="meta"), t.nn.BatchNorm1d(4, device="meta"))
    state = {name: t.rand(tensor.shape).to(tensor.dtype) for name, tensor in net.state_dict().items()}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net.load_state_dict(state)
    print([str(warning.message) for warning in caught], net[0].weight)
    net.load_state_dict(state, assign=True)
    print(net(t.rand(5, 3)))
    empty = t.nn.Linear(3, 4, device="meta").to_empty(device="cpu")
    empty.load_state_dict({"weight": t.ones(4, 3), "bias": t.ones(4)})
    print(empty(t.ones(2, 3)))
    return t.nn.utils.skip_init(t.nn.Linear, 3, 4).weight.shape


def skeletons(t):
    t.manual_seed(0)
    models = [t.nn.Linear(3, 4) for _ in range(5)]
    params, buffers = t.func.stack_module_state(models)
    base = copy.deepcopy(models[0]).to("meta")

    def call(params, buffers, x):
        return t.func.functional_call(base, (params, buffers), (x,))

    return t.func.vmap(call, in_dims=(0, 0, None))(params, buffers, t.rand(2, 3))


def trained(t):
    net = t.nn.Sequential(t.nn.Linear(8, 8), t.nn.Dropout(), t.nn.BatchNorm1d(8), t.nn.Linear(8, 2)).to("meta")
    for kind in (t.optim.SGD, t.optim.Adam, t.optim.RMSprop):
        optimizer = kind(net.parameters(), lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            loss = t.nn.functional.cross_entropy(net(t.empty(4, 8, device="meta")), t.empty(4, dtype=t.long, device="meta"))
            loss.backward()
            optimizer.step()
        print(loss, net[0].weight, net[0].weight.grad)


def stored(t):
    tree = {"a": t.empty(2, 3, device="meta", dtype=t.float16).t(), "p": t.nn.Parameter(t.empty(2, device="meta")), "n": t.ones(2)}
    stream = io.BytesIO()
    t.save(tree, stream)
    print(t.load(io.BytesIO(stream.getvalue())), t.load(io.BytesIO(stream.getvalue()), map_location="meta"))
    print(pickle.loads(pickle.dumps(tree["a"])), copy.deepcopy(tree["p"]))
    return t.load(io.BytesIO(stream.getvalue()))["a"].stride()


def given(t):
    """Results in an ``out``, other sizes, mixed precision."""
    x, out = t.ones(2, 3, device="meta"), t.empty(0, device="meta")
    print(t.exp(x, out=out) is out, out, t.sort(x, out=(t.empty(0, device="meta"), t.empty(0, dtype=t.long, device="meta"))))
    print(t.zeros(3, out=t.empty(0, device="meta")), t.arange(3, out=t.empty(0, device="meta")), x.resize_(4, 5), x.stride(), x.resize_(2))
    with t.autocast("cpu", t.bfloat16):
        return t.nn.Linear(3, 2, device="meta")(t.ones(2, 3, device="meta")).dtype is t.float32


@pytest.mark.parametrize("program", [made, written, chosen, moved, filled_later, skeletons, trained, stored, given])
def test_programs(program):
    same(program)


NO_DATA = "Cannot copy out of meta tensor; no data!"
REFUSED = {
    "item": (RuntimeError, r"Tensor.item\(\) cannot be called on meta", lambda t: t.ones(1, device="meta").item()),
    "bool": (RuntimeError, r"Tensor.item\(\) cannot be called on meta", lambda t: bool(t.ones(1, device="meta"))),
    "tolist": (NotImplementedError, NO_DATA, lambda t: t.ones(2, device="meta").tolist()),
    "numpy": (TypeError, "can't convert meta device type tensor to numpy", lambda t: t.ones(2, device="meta").numpy()),
    "cpu": (NotImplementedError, NO_DATA, lambda t: t.ones(2, device="meta").cpu()),
    "to": (NotImplementedError, NO_DATA, lambda t: t.ones(2, device="meta").to("cpu")),
    "copy_": (NotImplementedError, NO_DATA, lambda t: t.ones(2).copy_(t.ones(2, device="meta"))),
    "together": (RuntimeError, "is not on the expected device meta", lambda t: t.ones(2, device="meta") + t.ones(2)),
    "module": (NotImplementedError, "Please use torch.nn.Module.to_empty", lambda t: t.nn.Linear(2, 2, device="meta").to("cpu")),
    "nonzero": (NotImplementedError, "", lambda t: t.ones(2, device="meta").nonzero()),
    "out": (RuntimeError, "from device meta to device cpu", lambda t: t.exp(t.ones(2, device="meta"), out=t.empty(2))),
    "out on meta": (RuntimeError, "from device cpu to device meta", lambda t: t.mv(t.eye(2), t.ones(2), out=t.empty(2, device="meta"))),
    "outs": (RuntimeError, "from device meta", lambda t: t.sort(t.ones(2, device="meta"), out=(t.empty(0), t.empty(0, dtype=t.long)))),
    "sparse": (NotImplementedError, "", lambda t: t.eye(2, device="meta").to_sparse()),
    "input": (RuntimeError, "is not on the expected device", lambda t: t.nn.Linear(2, 2, device="meta")(t.ones(1, 2))),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    error, text, program = REFUSED[name]
    same_error(program, error, text)


def test_nothing_is_written_without_numbers():
    x = shim.ones(2)  # PyTorch accepts this, and leaves x as it was
    with pytest.raises(RuntimeError, match="is not on the expected device cpu"):
        x.add_(shim.ones(2, device="meta"))
    assert x.tolist() == [1, 1]


SPARSE = {
    "to": lambda t: t.eye(2).to_sparse().to("meta"),
    "made": lambda t: t.sparse_coo_tensor([[0, 1]], [1.0, 2.0], (2,), device="meta"),
    "of zeros": lambda t: t.sparse_coo_tensor((2, 2), device="meta"),
    "compressed": lambda t: t.sparse_csr_tensor([0, 1], [0], [1.0], (1, 1), device="meta"),
    "gradient": lambda t: t.nn.Embedding(3, 2, sparse=True, device="meta")(t.tensor([0], device="meta")).sum().backward(),
}


@pytest.mark.parametrize("program", SPARSE.values(), ids=SPARSE)
def test_there_are_no_sparse_tensors(program):
    with pytest.raises(NotImplementedError, match="no sparse tensors on the device 'meta'"):
        program(shim)


def test_files_are_torchs():
    stream = io.BytesIO()
    torch.save({"a": torch.empty(2, 3, device="meta").t()}, stream)
    (found,) = shim.load(io.BytesIO(stream.getvalue())).values()
    assert (found.is_meta, tuple(found.shape), found.stride()) == (True, (3, 2), (1, 3))
    ours = io.BytesIO()
    shim.save(found, ours)
    back = torch.load(io.BytesIO(ours.getvalue()))
    assert (back.is_meta, tuple(back.shape), back.stride()) == (True, (3, 2), (1, 3))
