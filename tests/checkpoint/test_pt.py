"""load_pt and save_pt against PyTorch: files go both ways, arrays in and out."""

import doctest
import io
import subprocess
import sys
from collections import OrderedDict, defaultdict

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import funnn
from funnn import functional as F
from funnn import layers, optim
from funnn.checkpoint import CheckpointError, _torch_write, flatten, from_arrays, from_state_dict, load_pt, save_pt, to_state_dict
from funnn.checkpoint._tensors import TYPES

NAMES = list(TYPES)


def saved(save, obj, **options):
    file = io.BytesIO()
    save(obj, file, **options)
    file.seek(0)
    return file


def as_bytes(tensor: torch.Tensor) -> bytes:
    return tensor.clone(memory_format=torch.contiguous_format).reshape(-1).view(torch.uint8).numpy().tobytes()


@st.composite
def arrays(draw):
    """An array, or a view of one, of any type that torch has."""
    name, shape = draw(st.sampled_from(NAMES)), draw(st.lists(st.integers(0, 4), max_size=3).map(tuple))
    count = int(np.prod(shape))
    array = (np.arange(count) % 7).astype(TYPES[name][1]).reshape(shape)
    for view in draw(st.lists(st.sampled_from(["t", "skip", "part", "reverse", "new axis"]), max_size=3)):
        if array.ndim:
            array = {"t": array.T, "skip": array[::2], "part": array[1:], "reverse": array[::-1], "new axis": array[None]}[view]
    return name, array


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")  # PyTorch says so of every such tensor
@settings(max_examples=60, deadline=None)
@given(arrays())
def test_any_array(case):
    name, array = case
    theirs = torch.load(saved(save_pt, array), weights_only=True)
    assert str(theirs.dtype) == f"torch.{name}" and tuple(theirs.shape) == array.shape
    assert as_bytes(theirs) == np.ascontiguousarray(array).tobytes()
    for other in (load_pt(saved(torch.save, theirs)), load_pt(saved(save_pt, array))):
        assert other.dtype == array.dtype and other.shape == array.shape
        assert np.ascontiguousarray(other).tobytes() == np.ascontiguousarray(array).tobytes()


def test_views_share():
    base = np.arange(12.0, dtype=np.float32).reshape(3, 4)
    views = {"whole": base, "transposed": base.T[1:], "column": base[:, 2], "flat": base.reshape(-1)[3:]}
    theirs = torch.load(saved(save_pt, views))
    assert len({tensor.untyped_storage().data_ptr() for tensor in theirs.values()}) == 1
    assert {name: tensor.stride() for name, tensor in theirs.items()} == {
        "whole": (4, 1),
        "transposed": (1, 4),
        "column": (4,),
        "flat": (1,),
    }
    loaded = load_pt(saved(torch.save, theirs))
    loaded["whole"][1, 2] = 100
    assert (loaded["transposed"][1, 1], loaded["column"][1], loaded["flat"][3]) == (100, 100, 100)
    assert (
        saved(save_pt, views).getbuffer().nbytes < saved(save_pt, {name: array.copy() for name, array in views.items()}).getbuffer().nbytes
    )


def test_containers():
    tree = {"a": [1, 2.5, "x", None, True, (1,), 10**30, b"by"], 3: OrderedDict(w=np.ones(2)), "s": {1}, "z": 2j, "d": np.dtype("float32")}
    theirs = torch.load(saved(save_pt, tree))
    assert theirs["a"] == tree["a"] and theirs["d"] is torch.float32 and theirs[3]["w"].dtype == torch.float64
    theirs |= {"size": torch.Size([2, 3]), "device": torch.device("cuda", 1), "p": torch.nn.Parameter(torch.ones(1)), "l": torch.strided}
    loaded = load_pt(saved(torch.save, theirs))
    assert loaded["a"] == tree["a"] and loaded["d"] == np.float32 and (loaded["size"], loaded["device"]) == ((2, 3), "cuda:1")
    assert loaded["p"].tolist() == [1] and loaded["l"] == "torch.strided" and type(loaded[3]) is OrderedDict


@pytest.mark.parametrize("zipped", [True, False])
def test_defaultdicts(zipped):
    for factory in (list, int, float, set, dict, None):
        saved_dict = defaultdict(factory, {"a": 1, (1, "b"): [2]})
        loaded = load_pt(saved(torch.save, saved_dict, _use_new_zipfile_serialization=zipped))
        assert type(loaded) is defaultdict and loaded == saved_dict and loaded.default_factory is factory
    with pytest.raises(CheckpointError, match="Unsupported global: GLOBAL len was not"):
        load_pt(saved(torch.save, defaultdict(len), _use_new_zipfile_serialization=zipped))


def test_jax_arrays_and_numpy_scalars():
    theirs = torch.load(saved(save_pt, [jnp.ones((2, 2), jnp.bfloat16), np.float32(1.5), jnp.arange(3)]))
    assert [str(tensor.dtype) for tensor in theirs] == ["torch.bfloat16", "torch.float32", "torch.int32"] and theirs[1].shape == ()


def test_a_layer_in_pytorch_and_back(tmp_path):
    layer = layers.Linear(3, 2)
    params, state = layer.init(jax.random.key(0))
    save_pt(to_state_dict(params, state), tmp_path / "linear.pt")
    module = torch.nn.Linear(3, 2)
    module.load_state_dict(torch.load(tmp_path / "linear.pt", mmap=True))
    x = np.arange(6.0, dtype=np.float32).reshape(2, 3)
    y, _ = layer.apply(params, state, x)
    np.testing.assert_allclose(module(torch.from_numpy(x)).detach().numpy(), y, rtol=1e-5, atol=1e-6)
    torch.save(module.state_dict(), tmp_path / "back.pt")
    again, _ = from_state_dict(load_pt(str(tmp_path / "back.pt")), params)
    assert (again["weight"] == params["weight"]).all() and (again["bias"] == params["bias"]).all()


@pytest.mark.parametrize("zipped", [True, False])
def test_pytorchs_formats(zipped):
    x = torch.arange(6, dtype=torch.int16).reshape(2, 3)
    tree = {
        "x": x,
        "t": x.t()[1:],
        "h": torch.ones(2).bfloat16(),
        "c": torch.tensor([1 + 2j]).conj(),
        "state": torch.nn.Linear(1, 1).state_dict(),
    }
    loaded = load_pt(saved(torch.save, tree, _use_new_zipfile_serialization=zipped))
    assert loaded["t"].tolist() == x.t()[1:].tolist() and np.shares_memory(loaded["t"], loaded["x"])
    assert loaded["h"].dtype == ml_dtypes.bfloat16 and loaded["c"].tolist() == [1 - 2j]
    assert loaded["state"]["weight"].tolist() == tree["state"]["weight"].tolist()


def test_what_is_not_loaded(tmp_path):
    def refused(kind, file, text):
        with pytest.raises(CheckpointError, match=text) as caught:
            load_pt(file)
        assert caught.value.kind == kind and isinstance(caught.value, ValueError)
        return str(caught.value)

    refused(
        "pickle", saved(torch.save, torch.nn.Linear(1, 1)), r"byte 2 \(GLOBAL\): Unsupported global: GLOBAL torch.nn.modules.linear.Linear"
    )
    refused("empty", io.BytesIO(), "the file is empty")
    refused("pickle", io.BytesIO(b"text"), "Invalid magic number")
    refused("container", io.BytesIO(saved(save_pt, np.ones(9)).getvalue()[:-30]), "File is not a zip file.*get it anew")
    refused("unsupported", saved(torch.save, torch.ones(2).to_sparse()), "sparse_tensor")
    path = tmp_path / "some.pt"
    path.write_bytes(saved(torch.save, torch.ones(2).to_sparse()).getvalue())
    assert refused("unsupported", path, "sparse_tensor").startswith(f"{path}: data.pkl: byte ")
    with pytest.raises(TypeError, match="arrays of type <U1 cannot be saved, because torch has no such type"):
        save_pt(np.array(["a"]), io.BytesIO())
    with pytest.raises(AttributeError, match=r"expected a path or a binary file, but int has no write\(\)"):
        save_pt(1, 3)
    with pytest.raises(TypeError, match=r"takes the tree first, as torch.save does; got the path 'x.pt' in its place"):
        save_pt("x.pt", {"a": np.ones(1)})


def test_a_training_state(tmp_path):
    net = layers.Sequential(layers.Linear(3, 4), layers.Dropout(0.5), layers.Linear(4, 2))
    init, step, _ = funnn.train_step(net, F.mse_loss, optim.adam(lr=0.1))
    train_state, _ = step(init(jax.random.key(3)), (jnp.ones((5, 3)), jnp.zeros((5, 2))))
    like = jax.eval_shape(init, jax.random.key(0))
    for tree in (train_state, train_state._asdict()):
        save_pt(tree, tmp_path / "run.pt")
        again = from_arrays(flatten(load_pt(tmp_path / "run.pt")), like)
        assert jax.tree.structure(again) == jax.tree.structure(train_state)
        assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a == b).all()), again, train_state)))
        assert "key" in torch.load(tmp_path / "run.pt", weights_only=True)


def test_without_torch(tmp_path):
    torch.save({"x": torch.ones(2)}, tmp_path / "x.pt")
    code = (
        "import sys\nfrom funnn.checkpoint import load_pt, save_pt\n"
        f"x = load_pt({str(tmp_path / 'x.pt')!r})\nsave_pt(x, {str(tmp_path / 'y.pt')!r})\n"
        "assert not {'torch', 'funnn.torch'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert torch.load(tmp_path / "y.pt")["x"].tolist() == [1, 1]


def test_examples():
    results = doctest.testmod(_torch_write)
    assert results.attempted > 0 and results.failed == 0
