"""torch.save and torch.load: files go both ways between PyTorch and the shim, and nothing in a file is run."""

import copy
import io
import os
import pickle
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from twin import compare, same, same_error

import funnn.torch as shim

DTYPES = ["float16", "bfloat16", "float32", "float64", "complex64", "complex128", "bool"]
DTYPES += ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


def through(writer, reader, obj, **options):
    """``obj`` saved by one library and loaded by the other (or the same)."""
    file = io.BytesIO()
    writer.save(obj, file)
    file.seek(0)
    return reader.load(file, **options)


def both_ways(program):
    """What ``program(torch)`` makes arrives equal: PyTorch's file in the shim, the shim's file in PyTorch, the shim's own."""
    theirs, ours = program(torch), program(shim)
    compare(through(torch, shim, theirs), theirs)
    compare(ours, through(shim, torch, ours))
    compare(through(shim, shim, ours), theirs)


def layouts(t, *tensors):
    """How tensors lie in memory, and which share it."""
    first = {}
    return [(x.shape, x.stride(), x.storage_offset(), first.setdefault(x.untyped_storage().data_ptr(), i)) for i, x in enumerate(tensors)]


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(dtype):
    both_ways(lambda t: [t.tensor([[0, 1, 2], [3, 100, 5]]).to(getattr(t, dtype)), t.tensor(7).to(getattr(t, dtype))])


def parts(t):
    x = t.arange(12.0).reshape(3, 4)
    return {"whole": x, "transposed": x.t()[1:], "column": x[:, 2], "flat": x.view(-1), "expanded": x[0, :1].expand(3), "other": t.ones(3)}


def test_views_share():
    expected = layouts(torch, *parts(torch).values())
    assert layouts(shim, *parts(shim).values()) == expected
    for writer, reader in ((torch, shim), (shim, torch), (shim, shim)):
        loaded = through(writer, reader, parts(writer))
        assert layouts(reader, *loaded.values()) == expected
        loaded["column"].zero_()
        assert loaded["whole"].tolist() == [[0, 1, 0, 3], [4, 5, 0, 7], [8, 9, 0, 11]] and loaded["flat"][2] == 0
    same(lambda t: through(t, t, parts(t)))


def test_views_alone():
    """A view is saved with all of its memory, as in torch."""
    for make in (
        lambda t: t.arange(10)[3:8:2],
        lambda t: t.arange(6.0).reshape(2, 3).t(),
        lambda t: t.zeros(0, 3),
        lambda t: t.tensor(2.5),
    ):
        assert layouts(shim, through(torch, shim, make(torch))) == layouts(torch, make(torch))
        assert layouts(torch, through(shim, torch, make(shim))) == layouts(torch, make(torch))


@st.composite
def windows(draw):
    dtype, count = draw(st.sampled_from(DTYPES)), draw(st.integers(0, 12))
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    stride, offset, reach = [], draw(st.integers(0, 3)), 0
    for length in shape:
        stride.append(draw(st.integers(0, 4)))
        reach += max(length - 1, 0) * stride[-1]
    return dtype, max(count, offset + reach + 1), tuple(shape), tuple(stride), offset


@settings(max_examples=40, deadline=None)
@given(st.lists(windows(), min_size=1, max_size=3))
def test_any_strides(cases):
    """Only NumPy reads the shim's tensors here: a program compiled for every shape would take too long."""
    theirs = [torch.arange(n).to(getattr(torch, d)).as_strided(shape, stride, offset) for d, n, shape, stride, offset in cases]
    loaded = through(torch, shim, theirs)
    assert layouts(shim, *loaded) == layouts(torch, *theirs)
    compare(loaded, back := through(shim, torch, loaded))
    assert layouts(torch, *back) == layouts(torch, *theirs)


def leaves(t):
    x = t.ones(2, 3, requires_grad=True)
    p = t.nn.Parameter(t.arange(3.0))
    frozen = t.nn.Parameter(t.arange(3), requires_grad=False)
    return [x, p, frozen, x * 2, p]


def test_gradients_and_parameters():
    both_ways(leaves)
    for reader in (torch, shim):
        x, p, frozen, product, again = through(shim, reader, leaves(shim))
        assert [type(item).__name__ for item in (x, p, frozen, product)] == ["Tensor", "Parameter", "Parameter", "Tensor"]
        assert x.is_leaf and product.is_leaf and product.requires_grad and again is p and x.grad is None
        (x * 2).sum().backward()
        assert x.grad.tolist() == [[2, 2, 2]] * 2


def test_attributes():
    for writer in (torch, shim):
        x, p, b = writer.ones(2), writer.nn.Parameter(writer.ones(2)), writer.nn.Buffer(writer.zeros(2), persistent=False)
        x.tag = p.tag = {"a": [1]}
        for reader in (torch, shim):
            x2, p2, b2 = through(writer, reader, [x, p, b])
            assert x2.tag == p2.tag == {"a": [1]} and isinstance(p2, reader.nn.Parameter)
            assert isinstance(b2, reader.nn.Buffer) and not b2.persistent and b2.tolist() == [0, 0] and type(b2) is reader.Tensor


def test_generators_go_on_where_they_were():
    for writer in (torch, shim):
        generator = writer.Generator().manual_seed(7)
        generator = pickle.loads(pickle.dumps(generator))
        for reader in (torch, shim):
            loaded = through(writer, reader, generator, weights_only=False)
            assert (
                loaded.initial_seed() == 7
                and reader.rand(3, generator=loaded).tolist() == torch.rand(3, generator=torch.Generator().manual_seed(7)).tolist()
            )


def test_whole_modules_of_the_other_library():
    torch.manual_seed(0)
    made = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    x = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    same(lambda t: (made if t is torch else through(torch, shim, made, weights_only=False))(t.tensor(x)))
    with pytest.raises(TypeError, match=r"weight of this Linear is a torch.nn.parameter.Parameter.*save module.state_dict\(\) for PyTorch"):
        through(shim, torch, shim.nn.Linear(3, 2), weights_only=False)


def data(t):
    values = [1, -1, 2**40, 10**30, -(10**30), 1.5, float("inf"), "text", "ü", b"bytes", None, True, 2j, (1, (2,)), [], {}, set(), {1, 2}]
    nested = {"list": [t.ones(2), [t.zeros(1)]], 3: (t.tensor(1),), (1, "a"): OrderedDict(b=t.ones(1)), "many": list(range(2000))}
    return [values, nested, t.Size([2, 3]), t.float32, t.bfloat16, t.device("cpu"), t.device("cuda", 1)]


def test_plain_data():
    both_ways(data)
    for reader in (torch, shim):
        loaded = through(shim, reader, data(shim))
        assert isinstance(loaded[2], reader.Size) and loaded[3] is reader.float32 and type(loaded[1][(1, "a")]) is OrderedDict
        assert through(shim, reader, shim.strided) is reader.strided
    recursive = [shim.ones(1)]
    recursive.append(recursive)
    assert (loaded := through(shim, shim, recursive))[1] is loaded


def inputs(t):
    return (t.arange(15, dtype=t.float64).reshape(5, 3) * 1.7).sin()


def trained(t):
    t.manual_seed(0)
    net = t.nn.Sequential(t.nn.Linear(3, 4, bias=False), t.nn.BatchNorm1d(4), t.nn.ReLU(), t.nn.Linear(4, 2)).double()
    optimizer = t.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        net(inputs(t)).square().sum().backward()
        optimizer.step()
    return net, optimizer


def test_training_goes_on():
    """A checkpoint of either library continues in the other, to the same weights."""
    results = []
    for writer in (torch, shim):
        net, optimizer = trained(writer)
        checkpoint = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 2}
        for reader in (torch, shim):
            loaded = through(writer, reader, checkpoint)
            net2, optimizer2 = trained(reader)
            for parameter in net2.parameters():
                parameter.data.zero_()
            net2.load_state_dict(loaded["net"])
            optimizer2.load_state_dict(loaded["optimizer"])
            assert loaded["epoch"] == 2 and loaded["net"]._metadata[""] == {"version": 1}
            net2(inputs(reader)).square().sum().backward()
            optimizer2.step()
            results.append([p.detach().numpy() for p in net2.parameters()])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)


def test_whole_modules():
    net, _ = trained(shim)
    x = shim.ones(2, 3).double()
    loaded = through(shim, shim, net, weights_only=False)
    assert str(loaded) == str(net) and loaded.eval()(x).tolist() == net.eval()(x).tolist()
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        through(shim, shim, net)


def test_whole_modules_of_pytorch():
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.LayerNorm(4))
    loaded = through(torch, shim, net, weights_only=False)
    assert str(loaded) == str(net)
    compare(loaded(shim.ones(2, 3)), net(torch.ones(2, 3)))


def test_lazy_flags():
    z = torch.tensor([1 + 2j, 3 - 1j])
    for lazy in (z.conj(), z.conj().imag):
        compare(through(torch, shim, lazy), lazy)


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
def test_storages():
    for writer in (torch, shim):
        x = writer.tensor([1, 2], dtype=writer.int16)
        for reader in (torch, shim):
            typed = through(writer, reader, x.storage())
            assert (type(typed).__name__, typed.tolist(), str(typed.dtype)) == ("TypedStorage", [1, 2], "torch.int16")
            raw = through(writer, reader, x.untyped_storage())
            assert (type(raw).__name__, raw.tolist()) == ("TypedStorage", [1, 0, 2, 0])  # so torch reads it
        with pytest.raises(RuntimeError, match="Cannot save multiple tensors or storages that view the same data as different types"):
            writer.save([x, x.view(writer.uint8)], io.BytesIO())
    compare(shim.ones(2).view(shim.int32), through(shim, torch, shim.ones(2).view(shim.int32)))


# -- files


def test_paths(tmp_path):
    for path in (tmp_path / "model.pt", str(tmp_path / "a.b.pth")):
        shim.save({"x": shim.ones(2)}, path)
        for reader in (torch, shim):
            for mmap in (None, False, True):
                assert reader.load(path, mmap=mmap)["x"].tolist() == [1, 1]
        torch.save({"x": torch.ones(2)}, path)
        assert shim.load(path, mmap=True, weights_only=True)["x"].tolist() == [1, 1]
    with open(tmp_path / "both", "wb") as file:
        file.write(b"head")
        shim.save(shim.ones(1), file)
    with open(tmp_path / "both", "rb") as file:
        file.seek(4)
        assert shim.load(file).tolist() == [1]


def test_members_are_aligned_for_mapping(tmp_path):
    shim.save([shim.ones(3), shim.ones(5).double()], tmp_path / "x.pt")
    reader = torch._C.PyTorchFileReader(str(tmp_path / "x.pt"))
    assert [reader.get_record_offset(f"data/{key}") % 64 for key in "01"] == [0, 0]


def test_older_files():
    """The format before PyTorch 1.6."""

    def program(t):
        return {
            **parts(t),
            "p": t.nn.Parameter(t.ones(2)),
            "h": t.ones(2).bfloat16(),
            "sd": t.nn.Linear(2, 1).state_dict(),
            "n": [1, "a", None],
        }

    torch.manual_seed(0)
    theirs = program(torch)
    file = io.BytesIO()
    torch.save(theirs, file, _use_new_zipfile_serialization=False)
    for weights_only in (True, False):
        file.seek(0)
        loaded = shim.load(file, weights_only=weights_only)
        compare(loaded, theirs)
        tensors = [x for x in theirs.values() if isinstance(x, torch.Tensor)]
        assert layouts(shim, *(x for x in loaded.values() if isinstance(x, shim.Tensor))) == layouts(torch, *tensors)
    torch.manual_seed(0)
    shim.manual_seed(0)
    ours, written = program(shim), io.BytesIO()
    shim.save(ours, written, _use_new_zipfile_serialization=False)
    for library, weights_only in ((torch, True), (torch, False), (shim, True)):
        written.seek(0)
        compare(ours, theirs) if library is torch else None
        loaded = library.load(written, weights_only=weights_only)
        compare(*((loaded, theirs) if library is shim else (ours, loaded)))
        assert layouts(library, *(x for x in loaded.values() if isinstance(x, library.Tensor))) == layouts(torch, *tensors)


BAD_FILES = {
    "empty": (b"", EOFError),
    "text": (b"not such a file", pickle.UnpicklingError),
    "half a zip": (b"PK\x03\x04 and nothing more", RuntimeError),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files(name):
    content, error = BAD_FILES[name]
    for reader in (torch, shim):
        with pytest.raises(error):
            reader.load(io.BytesIO(content))


def test_bad_arguments(tmp_path):
    path = tmp_path / "x.pt"
    torch.save(torch.ones(1), path)
    same_error(lambda t: t.load(tmp_path / "none.pt"), FileNotFoundError, "none.pt")
    same_error(lambda t: t.save(1, None), AttributeError, "expected 'f' to be string, path, or a file-like object with a 'write' attribute")
    same_error(lambda t: t.load(3), AttributeError, "'int' object has no attribute 'seek'")
    same_error(lambda t: t.load(path, pickle_module=pickle, weights_only=True), RuntimeError, "explicit pickle_module")
    with open(path, "rb") as file:
        same_error(lambda t: t.load(file, mmap=True), ValueError, "f must be a file path in order to use the mmap argument")
    same_error(lambda t: t.load(path, map_location="nowhere"), RuntimeError, "nowhere")


def test_map_location():
    file = io.BytesIO()
    torch.save({"x": torch.ones(2), "y": torch.zeros(1)}, file)
    seen = []
    for place in (
        "cpu",
        shim.device("cpu"),
        {"cuda:0": "cpu"},
        lambda storage, location: storage,
        lambda s, place: seen.append((s.nbytes(), place)),
    ):
        file.seek(0)
        loaded = shim.load(file, map_location=place)
        assert loaded["x"].tolist() == [1, 1] and loaded["y"].tolist() == [0]
    assert seen == [(8, "cpu"), (4, "cpu")]


def test_files_from_a_gpu():
    content = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x06\x00\x00\x00cuda:0K\x01tQ"
    content += b"K\x00K\x01\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR."
    file = archive(content, b"\x00\x00\x80\x3f")
    if not shim.cuda.is_available():
        with pytest.raises(RuntimeError, match="Attempting to deserialize object on a CUDA device"):
            shim.load(file)
    for place in ("cpu", {"cuda:0": "cpu"}):
        file.seek(0)
        assert shim.load(file, map_location=place).tolist() == [1]


def archive(content, *storages):
    """A .pt file around a hand-made pickle."""
    import zipfile

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        for name, member in {"data.pkl": content, "version": b"3\n", "byteorder": b"little"}.items():
            target.writestr(f"archive/{name}", member)
        for key, member in enumerate(storages):
            target.writestr(f"archive/data/{key}", member)
    file.seek(0)
    return file


# -- what is not run


class Attack:
    """Its pickle runs a command when Python's own unpickler reads it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_a_malicious_pickle(tmp_path):
    file = io.BytesIO()
    shim.save({"w": shim.ones(1), "x": Attack(tmp_path / "pwned")}, file)
    for reader in (torch, shim):
        file.seek(0)
        with pytest.raises(
            pickle.UnpicklingError, match=f"(?s)Weights only load failed.*[Uu]nsupported (global: )?GLOBAL {os.name}.system"
        ):
            reader.load(file)
    assert not (tmp_path / "pwned").exists()
    file.seek(0)
    assert shim.serialization.get_unsafe_globals_in_checkpoint(file) == [f"{os.name}.system"]
    file.seek(0)
    shim.load(file, weights_only=False)  # which shows that the attack works
    assert (tmp_path / "pwned").exists()


TENSOR = b"((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x02tQ"
PICKLES = {
    "eval": b"\x80\x02cbuiltins\neval\nX\x03\x00\x00\x001+1\x85R.",
    "getattr": b"\x80\x02c__builtin__\ngetattr\ncos\nsystem\n\x86R.",
    "protocol 4": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02ls\x85R.",
    "call of a result": b"\x80\x02X\x02\x00\x00\x00ls)R.",
    "call of a dtype": b"\x80\x02ctorch\nfloat32\n)R.",
    "new object of a function": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)\x81.",
    "new tensor": b"\x80\x02ctorch\nTensor\n)\x81}X\x08\x00\x00\x00_storageK\x01sb.",
    "attributes of a class": b"\x80\x02ctorch\nTensor\nN}X\x05\x00\x00\x00shapeK\x01s\x86b.",
    "attributes of a list": b"\x80\x02]}b.",
    "items of an object": b"\x80\x02ctorch\nSize\n]\x85RK\x00K\x01s.",
    "append to a tuple": b"\x80\x02)K\x01a.",
    "rebuild by another function": b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(c__builtin__\nset\nctorch\nTensor\n)}tR.",
    "outside the storage": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n" + TENSOR + b"K\x00K\x09\x85K\x01\x85\x89}tR.",
    "before the storage": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n" + TENSOR + b"J\xff\xff\xff\xffK\x01\x85K\x01\x85\x89}tR.",
    "negative stride": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n" + TENSOR + b"K\x01K\x02\x85J\xff\xff\xff\xff\x85\x89}tR.",
    "other persistent id": b"\x80\x02X\x01\x00\x00\x00aQ.",
    "no end": b"\x80\x02K\x01",
    "nothing on the stack": b"\x80\x02R.",
    "unknown memo": b"\x80\x02h\x05.",
    "instance by name": b"(S'ls'\nios\nsystem\n.",
}


@pytest.mark.parametrize("name", PICKLES)
def test_pickles_that_are_not_data(name):
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        shim.load(archive(PICKLES[name], bytes(8)))


class Point:
    def __init__(self, x):
        self.x = x


class Slots:
    __slots__ = ("a",)


def test_safe_globals():
    shim.serialization.clear_safe_globals()
    slots = Slots()
    slots.a = 5
    points = [Point(shim.ones(1)), slots]
    for _ in range(2):
        with pytest.raises(pickle.UnpicklingError, match=rf"add_safe_globals\(\[{Point.__module__}.Point\]\)"):
            through(shim, shim, points)
        with shim.serialization.safe_globals([Point, Slots]):
            assert shim.serialization.get_safe_globals() == [Point, Slots]
            loaded = through(shim, shim, points)
            assert loaded[0].x.tolist() == [1] and loaded[1].a == 5
        assert shim.serialization.get_safe_globals() == []
    shim.serialization.add_safe_globals([(Slots, f"{Point.__module__}.Point"), Slots])
    with pytest.raises(pickle.UnpicklingError, match="damaged"):
        through(shim, shim, points)  # a Slots has no x
    shim.serialization.clear_safe_globals()


def test_numpy_needs_leave():
    obj = [np.float64(1.5), np.arange(3)]
    for reader in (torch, shim):
        with pytest.raises(pickle.UnpicklingError, match=r"numpy._core.multiarray"):
            through(shim, reader, obj)
    assert through(shim, shim, obj, weights_only=False)[0] == 1.5


def test_names_that_the_shim_does_not_have():
    with pytest.raises(pickle.UnpicklingError, match=r"names torch.nothing.There, which funnn.torch does not have; save a state_dict"):
        shim.load(archive(b"\x80\x02ctorch.nothing\nThere\n."), weights_only=False)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor", "ignore:Sparse", "ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.quantize_per_tensor(torch.ones(1), 0.1, 0, torch.qint8),
        lambda: torch.eye(4).to_sparse_bsr((2, 2)),
        lambda: torch.empty(4, dtype=torch.bits8),
        lambda: torch.empty(4, dtype=torch.float4_e2m1fn_x2),
        lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged),
    ],
)
@pytest.mark.parametrize("weights_only", [True, False])
def test_tensors_that_the_shim_does_not_have(make, weights_only):
    with pytest.raises(NotImplementedError, match=r"save"):
        through(torch, shim, make(), weights_only=weights_only)


def test_reading_does_not_import_torch(tmp_path):
    torch.save({"x": torch.ones(2)}, tmp_path / "x.pt")
    code = (
        "import sys, funnn.torch as t\n"
        f"x = t.load({str(tmp_path / 'x.pt')!r})['x']\n"
        f"t.save(x, {str(tmp_path / 'y.pt')!r})\n"
        "assert 'torch' not in sys.modules and x.tolist() == [1, 1]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert torch.load(tmp_path / "y.pt").tolist() == [1, 1]


# -- copy, deepcopy and pickle


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda x: pickle.loads(pickle.dumps(x)),
}


@pytest.mark.parametrize("how", COPIES)
def test_copies(how):
    def program(t):
        x = t.arange(6.0).reshape(2, 3).requires_grad_()
        (x * 2).sum().backward()
        x.tag = [1]
        p = t.nn.Parameter(t.ones(2))
        p.sum().backward()
        view = t.arange(6.0).reshape(2, 3).t()[1:]
        made = [COPIES[how](item) for item in (x, p, view, t.tensor(True), t.zeros(0, 2))]
        print([type(item).__name__ for item in made], layouts(t, *made), made[0].tag, made[0].tag is x.tag, made[1].requires_grad)
        return made, made[0].data_ptr() == x.data_ptr(), made[2].data_ptr() == view.data_ptr()

    same(program)


def test_deepcopy_keeps_what_is_shared():
    def program(t):
        x = t.arange(6.0)
        a, b, c = copy.deepcopy([x, x[2:4], x])
        b.zero_()
        return a, b, c is a, x, layouts(t, a, b)

    same(program)


def test_non_leaves():
    def program(t):
        y = t.ones(2, requires_grad=True) * 2
        back = pickle.loads(pickle.dumps(y))
        return back, back.is_leaf, copy.copy(y).is_leaf

    same(program)
    same_error(lambda t: copy.deepcopy(t.ones(2, requires_grad=True) * 2), RuntimeError, "Only Tensors created explicitly by the user")


def test_modules_keep_what_is_tied():
    def program(t):
        t.manual_seed(0)
        a, b = t.nn.Linear(2, 2), t.nn.Linear(2, 2)
        b.weight = a.weight
        net = t.nn.Sequential(a, b)
        x = t.ones(1, 2)
        made = [copy.deepcopy(net), pickle.loads(pickle.dumps(net))]
        return [(m(x), m[0].weight is m[1].weight, m[0].weight is a.weight) for m in made]

    same(program)


# -- storages


def test_storage():
    def program(t):
        x = t.tensor([[1, 2], [300, 4]], dtype=t.int16)
        raw = x.untyped_storage()
        print(raw, raw.size(), len(raw), raw.nbytes(), raw[2], raw.tolist(), raw.device, raw.element_size(), list(raw[2:5]))
        print(x[1:].untyped_storage().nbytes(), x.t().untyped_storage().data_ptr() == raw.data_ptr(), raw.data_ptr() == x.data_ptr())
        raw[0] = 7
        other = raw.clone()
        raw.fill_(1)
        raw.copy_(other)
        return x, x.clone().untyped_storage().data_ptr() == raw.data_ptr(), t.UntypedStorage(3).nbytes()

    same(program)


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
def test_typed_storage():
    def program(t):
        x = t.tensor([[1.5, 2], [3, 4]])
        numbers = x.t().storage()
        print(numbers, numbers.size(), len(numbers), numbers.nbytes(), numbers[1], numbers.tolist(), numbers.dtype)
        print(numbers.untyped().data_ptr() == x.data_ptr() == numbers.data_ptr(), numbers.pickle_storage_type())
        numbers[0] = 9
        return x, list(numbers), t.view_as_real(t.tensor([1 + 2j])).storage().tolist()

    same(program)
    same_error(lambda t: t.ones(2).storage()[0:1], RuntimeError, "slices are only supported in UntypedStorage")
