"""Memory that tensors share with NumPy: what is written to one is seen by the other, and by nothing that was computed before."""

import copy
import ctypes
import gc
import pickle
import tempfile
import threading
import tracemalloc
import warnings
import weakref

import numpy as np
import pytest
import torch
from test_reduce_overhead import Ran
from twin import same, same_error

import funnn.torch as shim
from funnn.engine.memory.shared import SharedStorage

DTYPES = ["float16", "float32", "float64", "complex64", "complex128", "int8", "int16", "int32", "int64"]
THREE = np.ones(3)
DTYPES += ["uint8", "uint16", "uint32", "uint64", "bool"]


# -- what is shared


def test_the_tutorial():
    def program(t):
        x = t.ones(5)
        n = x.numpy()
        x.add_(1)
        print(n)
        n = np.ones(5)
        x = t.from_numpy(n)
        np.add(n, 1, out=n)
        print(x, x.data_ptr() == n.ctypes.data)

    same(program)


WAYS_IN = {
    "from_numpy": lambda t, a: t.from_numpy(a),
    "as_tensor": lambda t, a: t.as_tensor(a),
    "asarray": lambda t, a: t.asarray(a),
    "asarray without a copy": lambda t, a: t.asarray(a, copy=False),
    "from_dlpack": lambda t, a: t.from_dlpack(a),
    "utils.dlpack": lambda t, a: t.utils.dlpack.from_dlpack(a),
    "a capsule": lambda t, a: t.utils.dlpack.from_dlpack(t.utils.dlpack.to_dlpack(t.from_numpy(a))),
    "frombuffer": lambda t, a: t.frombuffer(a, dtype=t.from_numpy(a).dtype).view(2, 3),
    "default_convert": lambda t, a: t.utils.data.default_convert({"a": [a]})["a"][0],
    "Parameter": lambda t, a: t.nn.Parameter(t.from_numpy(a)).detach() if a.dtype.kind == "f" else t.from_numpy(a),
    "set_": lambda t, a: t.empty(0, dtype=t.from_numpy(a).dtype).set_(t.from_numpy(a)),
    "tensor": lambda t, a: t.tensor(a),  # which copies, as all that follow
    "Tensor": lambda t, a: t.Tensor(a) if a.dtype == np.float32 else t.tensor(a),
    "asarray with a copy": lambda t, a: t.asarray(a, copy=True),
    "another dtype": lambda t, a: t.as_tensor(a, dtype=t.complex128 if a.dtype != np.complex128 else t.complex64),
    "default_collate": lambda t, a: t.utils.data.default_collate([a, a])[0],
}
WAYS_OUT = {
    "numpy": lambda x: x.numpy(),
    "asarray": np.asarray,
    "__array__": lambda x: x.__array__(),
    "force": lambda x: x.numpy(force=True),
    "from_dlpack": np.from_dlpack,
    "array": np.array,  # which copies, as the next
    "another dtype": lambda x: np.asarray(x, dtype=np.complex128),
}


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")  # torch's
@pytest.mark.parametrize("out", WAYS_OUT)
@pytest.mark.parametrize("way", WAYS_IN)
def test_ways_in_and_out(way, out):
    def program(t):
        a = np.arange(6, dtype=np.float32).reshape(2, 3)
        x = WAYS_IN[way](t, a)
        b = WAYS_OUT[out](x)
        a[0, 0], before = 7, x + 1
        x[0, 1] = 8
        b[1, 1] = 9
        x[1:].mul_(2)
        return a, x, b, before, b.strides

    same(program)


@pytest.mark.parametrize("dtype", DTYPES)
def test_types(dtype):
    def program(t):
        a = np.arange(12).reshape(3, 4).astype(dtype)
        x, y = t.from_numpy(a), t.from_numpy(a.T)
        x[0] = 1
        n = y[1:].numpy()
        n[0] = 0
        a[2, 3] = 1
        return a, x, y, n, x[:, ::2].numpy().strides, y.stride(), t.from_numpy(a[1:, ::2]).stride()

    same(program)


SHAPES = {
    "number": lambda: np.array(3.0),
    "empty": lambda: np.empty((0, 3)),
    "empty in the middle": lambda: np.empty((2, 0, 3))[:, :, ::2],
    "one row of several": lambda: np.arange(12.0).reshape(4, 3)[1:2],
    "column": lambda: np.arange(12.0).reshape(4, 3)[:, 1:2],
    "order of Fortran": lambda: np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "transposed": lambda: np.arange(24.0).reshape(2, 3, 4).transpose(2, 0, 1),
    "diagonal": lambda: np.arange(9.0).reshape(3, 3).diagonal().copy()[::2],
    "of records": lambda: np.zeros(3, [("a", "f4"), ("b", "f4")])["b"],
    "of a buffer": lambda: np.frombuffer(bytearray(16), np.float32),
    "subclass": lambda: np.ma.array([1.0, 2.0]),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name):
    def program(t):
        a = SHAPES[name]()
        x = t.from_numpy(a)
        x.add_(1)
        a[...] = a * 2
        n = x.numpy()
        n[...] = n + 1
        storage = x.untyped_storage()
        same_place = not x.numel() or storage.data_ptr() == x.data_ptr()
        return (
            np.asarray(a),
            x,
            x.stride(),
            n.shape,
            x.storage_offset(),
            storage.nbytes(),
            same_place,
            x.is_contiguous(),
        )

    same(program)


VIEWS = {
    "part": lambda t, x: x[1:],
    "transposed": lambda t, x: x.t(),
    "view": lambda t, x: x.view(-1),
    "data": lambda t, x: x.data,
    "detach": lambda t, x: x.detach(),
    "expand": lambda t, x: x[0].expand(2, 3),
    "as_strided": lambda t, x: x.as_strided((2, 2), (1, 2), 1),
    "bits": lambda t, x: x.view(t.int32),
    "real": lambda t, x: t.view_as_complex(x.view(3, 2)).real,
    "unfold": lambda t, x: x.view(-1).unfold(0, 2, 2),
    "storage": lambda t, x: t.asarray(x.untyped_storage(), dtype=t.float32),
    "slice of a storage": lambda t, x: t.asarray(x.untyped_storage()[4:12], dtype=t.float32),
    "set_": lambda t, x: t.empty(0).set_(x, 1, (2, 2)),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views(name):
    def program(t):
        x = t.arange(6.0).view(2, 3)
        view = VIEWS[name](t, x)
        n = view.numpy()
        seen = n.copy(), n.strides, n.shape
        x.add_(1)
        after = n.copy()
        n[...] = n + n.dtype.type(2)
        return seen, after, n, x, view, x * 2

    same(program)


def test_types_that_numpy_does_not_have():
    for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
        for out in (lambda x: x.numpy(), np.asarray, lambda x: x.numpy(force=True)):
            text = f"Got unsupported ScalarType {name.capitalize().replace('Bf', 'BF')}"
            same_error(lambda t, out=out, name=name: out(t.ones(2).to(getattr(t, name))), TypeError, text)

    def bits(t):
        x = t.ones(2, dtype=t.bfloat16)
        n = x.view(t.int16).numpy()
        n[0] = 0
        x[1] = 2
        return n, x

    same(bits)


def test_gradients_and_numpy():
    def program(t):
        p = t.nn.Parameter(t.ones(2))
        with t.no_grad():
            n = p.numpy()
        (p * 3).sum().backward()
        g = p.grad.numpy()
        t.optim.SGD([p], lr=0.5).step()
        p.grad.zero_()
        return n, p, g, (p * 2).detach().numpy(), p.numpy(force=True)

    same(program)


ERRORS = {
    "a stride that is negative": (
        lambda t: t.from_numpy(np.ones(3)[::-1]),
        ValueError,
        "At least one stride in the given numpy array is neg",
    ),
    "as_tensor of such": (lambda t: t.as_tensor(np.ones(3)[::-1]), ValueError, "At least one stride in the given numpy array is negative"),
    "a stride between numbers": (
        lambda t: t.from_numpy(np.zeros(3, [("a", "f4"), ("b", "i1")])["a"]),
        ValueError,
        "given numpy array strides not a multiple of the element byte size. Copy the numpy array to reallocate the memory",
    ),
    "another order of bytes": (lambda t: t.from_numpy(np.ones(3, ">f8")), ValueError, "byte order different from the native byte order"),
    "objects": (lambda t: t.from_numpy(np.array([None])), TypeError, "can't convert np.ndarray of type numpy.object_. The only supported"),
    "text": (
        lambda t: t.from_numpy(np.array(["a"])),
        TypeError,
        "can't convert np.ndarray of type numpy.str_. The only supported types are:",
    ),
    "no array": (lambda t: t.from_numpy([1]), TypeError, r"expected np.ndarray \(got list\)"),
    "a number": (lambda t: t.from_numpy(np.float64(3)), TypeError, r"expected np.ndarray \(got numpy.float64\)"),
    "requires grad": (lambda t: t.ones(2, requires_grad=True).numpy(), RuntimeError, r"Can't call numpy\(\) on Tensor that requires grad"),
    "DLPack of such": (lambda t: np.from_dlpack(t.ones(2, requires_grad=True)), BufferError, "Can't export tensors that require gradient"),
    "a list without a copy": (lambda t: t.asarray([1], copy=False), ValueError, "can't alias arbitrary sequence into a tensor"),
    "another dtype": (
        lambda t: t.asarray(np.ones(2), copy=False, dtype=t.float32),
        ValueError,
        "can't alias tensor with dtype 'Double' into dtype 'Float'",
    ),
    "more than there is": (
        lambda t: t.from_numpy(THREE).resize_(9),
        RuntimeError,
        "Trying to resize storage that is not resizable",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    same_error(*ERRORS[name])


@pytest.mark.parametrize("name", ["NumPy array", "buffer"])
def test_what_is_not_writable_warns_once_and_stays_as_it_is(name, monkeypatch):
    array = np.frombuffer(b"abcdefgh", np.float32)
    make = {"NumPy array": lambda t: t.from_numpy(array), "buffer": lambda t: t.frombuffer(b"abcdefgh", dtype=t.float32)}[name]
    monkeypatch.setattr("funnn.engine.types.warning._said", set())
    texts = []
    for t in (torch, shim):
        t.set_warn_always(True)
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                x = make(t)
            texts.append(str(caught[0].message).partition(" (Triggered")[0])
        finally:
            t.set_warn_always(False)
    assert texts[0] == texts[1] and caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(shim)
    x.mul_(0)
    assert x.tolist() != array.tolist() == np.frombuffer(b"abcdefgh", np.float32).tolist()


# -- what happens in between


def test_what_is_recorded_has_the_numbers_of_its_line():
    def program(t):
        a = np.arange(3.0)
        x, index = t.from_numpy(a), np.array([0, 2])
        results = [x * 2, x[index], x[1:] + 1, x.sum(), x.clone(), x[t.from_numpy(index)], t.stack([x, x]), x.double()]
        a[:], index[:] = 7, 1
        return results, x * 2, x[index], x[1:] + 1

    same(program)


CHANGES = {
    "zero_": lambda t, x: x.zero_(),
    "number": lambda t, x: x.__setitem__(0, 5),
    "mask": lambda t, x: x.__setitem__(x > 2, -1.0),
    "index": lambda t, x: x.__setitem__(t.tensor([2, 0]), t.tensor([8.0, 9.0])),
    "array of indices": lambda t, x: x.__setitem__(np.array([2, 0]), 4.0),
    "slice": lambda t, x: x[1:].copy_(t.ones(5)),
    "out": lambda t, x: t.add(x, 1, out=x),
    "out of a part": lambda t, x: t.mul(x[:3], 2, out=x[3:]),
    "+=": lambda t, x: x.__iadd__(1),
    "of other numbers": lambda t, x: x.copy_(t.arange(6)),
    "itself": lambda t, x: x.add_(x),
    "overlapping": lambda t, x: x[1:].copy_(x[:-1].clone()),
    "masked_fill_": lambda t, x: x.masked_fill_(x > 1, 0),
    "scatter_": lambda t, x: x.scatter_(0, t.tensor([1, 3]), t.tensor([7.0, 8.0])),
    "fill_ of all": lambda t, x: x[0].expand(3).fill_(4),
    "uniform_": lambda t, x: x.uniform_(),
    "sort": lambda t, x: t.sort(x, descending=True, out=(x, t.empty(6, dtype=t.int64))),
    "data": lambda t, x: x.data.mul_(3),
    "clamp_": lambda t, x: x.clamp_(max=2),
    "storage": lambda t, x: x.untyped_storage().fill_(0),
    "typed storage": lambda t, x: x.view(t.int32).fill_(0),
    "load_state_dict": lambda t, x: module_on(t, x).load_state_dict({"p": t.ones(6)}),
    "assign": lambda t, x: module_on(t, x).load_state_dict({"p": t.ones(6)}, assign=True),
    "to": lambda t, x: module_on(t, x).double(),
    "step": lambda t, x: step_of(t, x, t.optim.SGD, momentum=0.9),
    "step of Adam": lambda t, x: step_of(t, x, t.optim.AdamW),
    "clip": lambda t, x: clipped(t, x),
    "init": lambda t, x: t.nn.init.constant_(x, 3),
    "foreach": lambda t, x: t._foreach_add_([x, x], 1),
}


def module_on(t, x):
    module = t.nn.Module()
    module.p = t.nn.Parameter(x)
    return module


def step_of(t, x, make, **options):
    p = t.nn.Parameter(x)
    optimizer = make([p], lr=0.1, **options)
    for _ in range(3):
        (p * p).sum().backward()
        optimizer.step()


def clipped(t, x):
    p = t.nn.Parameter(t.ones(6))
    p.grad = x
    t.nn.utils.clip_grad_norm_([p], 1.0)


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("given", ["array", "address", "part", "copy"])
def test_changes_are_seen(name, given):
    def program(t):
        a = np.arange(6, dtype=np.float32)
        x = t.from_numpy(a) if given in ("array", "part") else t.arange(6.0)
        n = x.numpy() if given != "copy" else x.numpy().copy()
        if given == "address":
            n = np.ctypeslib.as_array((ctypes.c_float * 6).from_address(x.data_ptr()))
        view = x[2:]
        CHANGES[name](t, x[:] if given == "part" else x)
        return n, x, view, x + 1, x._version if given == "array" and "step" not in name else 0

    same(program, (1e-5, 1e-6))


def test_training_that_an_array_sees():
    """Parameters whose arrays are held train as others do, and the arrays show each step; nothing that NumPy sees is given to a program to overwrite."""

    def program(t):
        net, x = t.nn.Sequential(t.nn.Linear(128, 256), t.nn.Tanh(), t.nn.Linear(256, 3)), t.linspace(-1, 1, 512).view(4, 128)
        optimizer = t.optim.Adam(net.parameters(), lr=0.01)
        arrays = [p.detach().numpy() for p in net.parameters()]
        found = []
        for step in range(8):
            optimizer.zero_grad()
            loss = net(x).square().mean()
            loss.backward()
            optimizer.step()
            if step == 3:
                arrays[-1][:] = 1.0
            if step == 5:
                state = [value.numpy() for value in optimizer.state[net[0].weight].values()]
            found.append((loss.item(), [array.copy() for array in arrays[1:]]))
        return found, net.state_dict(), arrays[-1], state

    same(program, (2e-4, 1e-5))


@pytest.mark.parametrize("use", [lambda t, x, w: x * w, lambda t, x, w: (x * w).exp(), lambda t, x, w: t.nn.functional.linear(x, w[None])])
def test_backward_sees_what_numpy_wrote_since(use):
    def program(t):
        a = np.array([1.0, 2.0])
        w = t.tensor([3.0, 4.0], dtype=t.float64, requires_grad=True)
        y = use(t, t.from_numpy(a), w).sum()
        a[:] = 9
        y.backward()
        return y, w.grad

    same(program)


@pytest.mark.parametrize("function", ["tanh", "exp", "softmax", "layer_norm"])
def test_a_result_that_is_looked_at_before_backward(function):
    def program(t):
        x = t.tensor([[0.5, -1.0, 2.0]], requires_grad=True)
        y = (
            t.nn.functional.layer_norm(x, (3,))
            if function == "layer_norm"
            else getattr(t, function)(x, *([1] if function == "softmax" else []))
        )
        seen = y.detach().numpy(), x.detach().numpy()
        (y * y).sum().backward()
        return x.grad, *seen

    same(program)


def test_backward_where_numpy_wrote_nothing():
    """Of what is shared the numbers are compared, and a derivative that could not be computed anew need not be."""

    def program(t):
        x, w = t.from_numpy(np.arange(12.0, dtype=np.float32).reshape(4, 3)), t.ones(3, requires_grad=True)
        for _ in range(3):
            y = t.nn.functional.layer_norm(x, (3,), w) + t.nn.functional.batch_norm(x, None, None, w, training=True)
            y.square().sum().backward()
        return w.grad

    same(program)


# -- for how long


def test_a_storage_is_shared_while_somebody_holds_the_array():
    x = shim.ones(3) + 0
    n = x.numpy()
    part = n[1:].view(np.int32)
    assert type(x._storage) is SharedStorage
    del n
    gc.collect()
    x.add_(1)
    assert type(x._storage) is SharedStorage and part.view(np.float32).tolist() == [2.0, 2.0]
    del part
    x.add_(1)
    assert x.tolist() == [3.0, 3.0, 3.0] and not isinstance(x._storage, SharedStorage)


def test_an_array_that_nobody_else_holds_is_taken_over():
    array = np.ones((4, 6))
    x, y = shim.from_numpy(array), shim.from_numpy(np.arange(12.0).reshape(3, 4).T)
    assert (x + 1).sum() == 48 and type(x._storage) is SharedStorage
    start, alive = array.ctypes.data, weakref.ref(array)
    del array
    assert x.sum() == 24 and not isinstance(x._storage, SharedStorage) and x._storage.value.array.ctypes.data == start
    assert y.sum() == 66 and not isinstance(y._storage, SharedStorage) and y.stride() == (1, 4)
    del x
    assert alive() is None


def test_nothing_holds_an_array_longer_than_its_tensor():
    array = np.ones(5)
    alive, x = weakref.ref(array), shim.from_numpy(array)
    y = x.shape, x.dtype, x * 2, x.softmax(0)
    assert y[3].sum() == 1
    x.add_(1)
    n = x.numpy()
    del array, x, n
    assert alive() is None and y[2].tolist() == [2.0] * 5


def test_training_goes_on_as_before_when_the_arrays_are_gone():
    net = shim.nn.Linear(64, 64)
    optimizer = shim.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    arrays = [p.detach().numpy() for p in net.parameters()]
    for is_shared in (True, False):
        net(shim.ones(2, 64)).sum().backward()
        optimizer.step()
        assert {isinstance(p._storage, SharedStorage) for p in net.parameters()} == {is_shared} == {bool(arrays)}
        arrays = None


def test_a_dataset_is_never_copied_as_a_whole():
    """Batches of it are: by slices, by numbers, by indices, and what is written."""
    with tempfile.NamedTemporaryFile() as file:
        mapped = np.memmap(file.name, np.float32, "w+", shape=(400_000, 32))  # 51 MB
        mapped[5] = 5
        loader_of = shim.utils.data.DataLoader
        tracemalloc.start()
        try:
            data = shim.from_numpy(mapped)
            dataset = shim.utils.data.TensorDataset(data)
            found = [data[4:6].sum(), data[5].sum(), data[shim.tensor([5, 9])].sum(), data.index_select(0, shim.tensor([5])).sum()]
            found += [data[np.array([5, 7])].sum(), data[3:6].double().sum(), data.view(-1, 2)[80].sum(), data[:, 1][5]]
            found += [batch[0].sum() for batch in loader_of(dataset, batch_size=4, sampler=range(8))]
            data[7], data[shim.tensor([8, 9])], data[10:12] = shim.ones(32), 2.0, 3.0
            data[12:14] += 1
            data[0].numpy()[:] = 1
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert [x.item() for x in found] == [160, 160, 160, 160, 160, 160, 10, 5, 0, 160]
        assert mapped.sum() == 32 * (5 + 1 + 4 + 6 + 2 + 1) and peak < mapped.nbytes / 8
        del data, dataset, mapped


def test_mapped_files(tmp_path):
    path = tmp_path / "numbers"
    np.arange(4, dtype=np.float32).tofile(path)

    def program(t):
        storage = t.UntypedStorage.from_file(str(path), True, 16)
        x = t.asarray(storage, dtype=t.float32)
        x[0] = x[0] + 1
        storage[8:12].fill_(0)
        new = t.UntypedStorage.from_file(str(tmp_path / t.__name__), True, 8)
        return x, np.fromfile(path, np.float32)[1:], new.nbytes(), (tmp_path / t.__name__).stat().st_size

    np.arange(4, dtype=np.float32).tofile(path)
    same(program)
    same_error(
        lambda t: t.UntypedStorage.from_file(str(tmp_path / "no" / "file"), True, 8), RuntimeError, "in read-write mode: No such file"
    )


def test_a_mapped_checkpoint_is_not_copied(tmp_path):
    path = str(tmp_path / "x.pt")
    torch.save({"x": torch.arange(1e6)}, path)
    tracemalloc.start()
    try:
        x = shim.load(path, mmap=True)["x"]
        n = x.numpy()
        n[0] = 5
        x[1] = 7
        assert n[:3].tolist() == x[:3].tolist() == [5.0, 7.0, 2.0] and shim.load(path)["x"][0] == 0
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


# -- inside compiled functions, transformations, threads


def test_compiled_functions_read_and_write_what_is_shared():
    def program(t):
        a = np.zeros(3, np.float32)
        x, seen = t.from_numpy(a), []

        @t.compile(backend="eager")
        def step(y):
            x.add_(y)
            x[0] = 5
            return x * 2

        for number in range(4):
            seen += [step(t.ones(3)), a.copy()]
            a[1] += number
        return seen, x, a

    same(program)


def test_a_compiled_function_that_fails_or_stops():
    a = np.zeros(3, np.float32)
    x, seen = shim.from_numpy(a), []

    def stop(fails):
        x.add_(1)
        seen.append((x.sum().item(), a.tolist()))
        x.mul_(2)
        if fails:
            raise ValueError

    compiled = shim.compile(stop)
    with pytest.warns(UserWarning, match="a value is asked for"):
        compiled(False)
    with pytest.raises(ValueError):
        compiled(True)
    assert seen == [(3.0, [1.0] * 3), (9.0, [3.0] * 3)] and a.tolist() == x.tolist() == [6.0] * 3


def test_replays_read_what_is_there_now():
    a, b = np.zeros(3, np.float32), np.zeros((2, 3), np.float32)
    ran, x, rows = Ran(), shim.from_numpy(a), shim.from_numpy(b)

    @shim.compile(mode="reduce-overhead")
    def f(row):
        ran.append(None)
        return x * 2 + row

    for number in range(12):
        a[:], b[1] = number, 10 * number
        assert f(rows[1]).tolist() == [12.0 * number] * 3
    assert ran.count == 3
    net = shim.nn.Linear(3, 1)
    optimizer = shim.optim.SGD(net.parameters(), lr=0.1)

    @shim.compile(mode="reduce-overhead")
    def step(x):
        optimizer.zero_grad()
        net(x).sum().backward()
        optimizer.step()

    for _ in range(5):
        step(shim.ones(2, 3))
    held = net.weight.detach().numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that calls are no longer replayed
        for _ in range(8):
            before = held.copy()
            step(shim.ones(2, 3))
            np.testing.assert_allclose(held, before - np.float32(0.2), rtol=1e-5)


def test_memory_that_is_written_while_a_call_is_recorded_is_not_replayed():
    a = np.zeros(3, np.float32)
    x = shim.from_numpy(a)

    @shim.compile(mode="reduce-overhead")
    def f(y):
        x.add_(y)
        return x * 1

    with pytest.warns(UserWarning, match="memory is written that is shared with NumPy"):
        assert [f(shim.ones(3)).tolist() + a.tolist() for _ in range(8)] == [[number + 1.0] * 6 for number in range(8)]


def test_transformations():
    def program(t):
        a = np.ones(3, np.float32)
        x = t.from_numpy(a)

        def inner(y):
            return (y * x).sum()

        seen = [t.func.vmap(lambda y: y * x)(t.ones(2, 3)), t.func.grad(inner)(t.ones(3))]
        a[:] = 3
        seen += [t.func.grad(inner)(t.ones(3)), t.func.jvp(inner, (t.ones(3),), (t.ones(3),)), t.func.hessian(inner)(t.ones(3))]
        with pytest.raises(RuntimeError):
            t.func.vmap(x.add_)(t.ones(2, 3))
        x.add_(1)
        return seen, a, x

    same(program)


def test_threads():
    a = np.zeros(1000, np.float32)
    x = shim.from_numpy(a)
    parts = [x[at : at + 250] for at in range(0, 1000, 250)]

    def work(part, number):
        for _ in range(20):
            part.add_(number)

    threads = [threading.Thread(target=work, args=(part, number)) for number, part in enumerate(parts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert a.reshape(4, 250).tolist() == [[20.0 * number] * 250 for number in range(4)]


def test_copies_share_nothing():
    def program(t):
        a = np.zeros(3)
        x = t.from_numpy(a)
        copies = [copy.deepcopy(x), pickle.loads(pickle.dumps(x)), x.clone(), x.float(), x + 0, t.tensor(x.numpy()), x.tolist()]
        a[:] = 1
        for item in copies[:-1]:
            item.add_(5)
        return a, x, copies, copy.copy(x).data_ptr() == x.data_ptr()

    same(program)
