"""load_safetensors and save_safetensors against the package safetensors, with PyTorch as oracle: files go both ways, and damaged ones are refused."""

import doctest
import importlib
import json
import os
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from funnn import layers
from funnn.checkpoint import (
    CheckpointError,
    LazyTensors,
    _replacing,
    _safetensors_write,
    from_state_dict,
    load_safetensors,
    safetensors_metadata,
    save_safetensors,
    to_state_dict,
)
from funnn.checkpoint._safetensors_file import TYPES

#: e8m0 has one sign and no zero, and PyTorch's part of the package does not load it.
KINDS = [kind for name, kind in TYPES.items() if name != "F8_E8M0"]


def values(shape, kind, seed=0):
    return np.random.default_rng(seed).integers(0, 2 if kind == np.bool_ else 5, shape).astype(kind)


def same(a, b):
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def torch_bytes(tensor):
    return tensor.reshape(-1).view(torch.uint8).numpy().tobytes()


# -- one file

names = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=8).filter(lambda name: name != "__metadata__")
arrays = st.builds(values, st.lists(st.integers(0, 3), max_size=3).map(tuple), st.sampled_from(KINDS), st.integers(0, 9))


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(names, arrays, max_size=4), st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=1))
def test_any_arrays(tmp_path_factory, tree, metadata):
    path = tmp_path_factory.mktemp("any") / "x.safetensors"
    metadata = {key: value for key, value in metadata.items() if value not in tree}
    save_safetensors(tree, path, metadata)
    theirs = safetensors.torch.load_file(path)
    assert set(theirs) == set(tree) and safetensors_metadata(path) == metadata
    for key, array in tree.items():
        assert tuple(theirs[key].shape) == array.shape and torch_bytes(theirs[key]) == array.tobytes()
    safetensors.torch.save_file(theirs, path.with_name("y.safetensors"), metadata or None)
    assert path.read_bytes() == path.with_name("y.safetensors").read_bytes()
    ours = load_safetensors(path)
    assert set(ours) == set(tree) and all(same(ours[key], array) and ours[key].flags.writeable for key, array in tree.items())


def test_types_that_torch_does_not_load(tmp_path):
    scales = np.array([1, 2, 0.5], ml_dtypes.float8_e8m0fnu)
    save_safetensors({"scales": scales}, tmp_path / "x.safetensors")
    assert same(load_safetensors(tmp_path / "x.safetensors")["scales"], scales)
    write(tmp_path / "f4", {"x": {"dtype": "F4", "shape": [2, 2], "data_offsets": [0, 2]}}, bytes([0x21, 0x43]))
    assert load_safetensors(tmp_path / "f4")["x"].astype(float).tolist() == [[0.5, 1], [1.5, 2]]
    write(tmp_path / "f6", {"x": {"dtype": "F6_E2M3", "shape": [4], "data_offsets": [0, 3]}}, bytes(3))
    with pytest.raises(CheckpointError, match=r"f6: 'x' is of type F6_E2M3, which NumPy does not have; convert it to one of BOOL"):
        load_safetensors(tmp_path / "f6")


def test_a_layers_params_and_jax_arrays(tmp_path):
    layer = layers.Sequential(layers.Linear(3, 2), layers.BatchNorm1d(2))
    params, state = layer.init(jax.random.key(0))
    save_safetensors(params, tmp_path / "params.safetensors")
    assert list(load_safetensors(tmp_path / "params.safetensors")) == ["0.bias", "0.weight", "1.bias", "1.weight"]
    save_safetensors(to_state_dict(params, state), tmp_path / "all.safetensors", {"format": "pt"})
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    assert safetensors.torch.load_model(module, tmp_path / "all.safetensors") == (set(), [])
    again, _ = from_state_dict(load_safetensors(tmp_path / "all.safetensors"), params, state)
    assert same(again["0"]["weight"], module[0].weight.detach().numpy())
    save_safetensors({"x": jnp.ones((2, 3), jnp.bfloat16).T, "y": np.float32(2), "none": None}, tmp_path / "x.safetensors")
    loaded = load_safetensors(tmp_path / "x.safetensors")
    assert loaded["x"].shape == (3, 2) and loaded["y"] == 2 and len(loaded) == 2


def test_what_cannot_be_saved(tmp_path):
    def refused(error, text, tree, *args, **options):
        with pytest.raises(error, match=text):
            save_safetensors(tree, tmp_path / "x.safetensors", *args, **options)
        assert os.listdir(tmp_path) == []

    x = np.ones(2)
    refused(TypeError, r"'x' is of type complex128, which safetensors does not have; convert it to one of bool", {"x": x.astype(complex)})
    refused(TypeError, r"'k' is of type key<fry>.*pass jax.random.key_data of it", {"k": jax.random.key(0)})
    refused(TypeError, r"'x' is a Tensor; pass NumPy or JAX arrays", {"x": torch.ones(2)})
    refused(TypeError, r"expected a dict of arrays, got ndarray; pass the params", x)
    refused(ValueError, r"a key must be a string other than '__metadata__', but got 3", {3: x})
    refused(ValueError, r"metadata holds texts by texts, but got 'step': 3", {"x": x}, {"step": 3})
    refused(
        ValueError,
        r"max_shard_size must be a positive number of bytes or a text such as '5GB'.*, but got '5 apples'",
        {"x": x},
        max_shard_size="5 apples",
    )
    with pytest.raises(ValueError, match=r"path must end with '.safetensors' where max_shard_size is given"):
        save_safetensors({"x": x}, tmp_path / "x.bin", max_shard_size=5)
    with pytest.raises(FileNotFoundError):
        save_safetensors({"x": x}, tmp_path / "none" / "x.safetensors")


# -- lazily, and to devices


def test_lazy(tmp_path):
    path = tmp_path / "big.safetensors"
    safetensors.numpy.save_file({"big": np.zeros((8, 2**18), np.float32), "small": np.arange(3)}, path, {"a": "b"})
    tracemalloc.start()
    tensors = load_safetensors(path, lazy=True)
    assert tensors["small"].tolist() == [0, 1, 2]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20 < path.stat().st_size
    assert isinstance(tensors, LazyTensors) and len(tensors) == 2 and "big" in tensors and tensors.metadata == {"a": "b"}
    assert repr(tensors) == "LazyTensors of 2 keys: small, big"
    tensors["small"][0] = 9
    assert tensors["small"][0] == 0  # each look-up reads anew


def test_devices_and_shardings(tmp_path):
    path = tmp_path / "x.safetensors"
    save_safetensors({"a": np.arange(8), "b": np.ones((2, 4), ml_dtypes.float8_e5m2)}, path)
    device = jax.devices()[0]
    loaded = load_safetensors(path, device=device)
    assert loaded["a"].dtype == np.int64 and loaded["a"].devices() == {device} and loaded["b"].dtype == jnp.float8_e5m2
    sharding = NamedSharding(Mesh(np.array(jax.devices()[:1]), ("data",)), PartitionSpec("data"))
    loaded = load_safetensors(path, lazy=True, device=lambda key: sharding if key == "a" else None)
    assert loaded["a"].sharding == sharding and loaded["a"].tolist() == list(range(8)) and isinstance(loaded["b"], np.ndarray)


def test_a_sharding_reads_its_parts_only(tmp_path):
    code = (
        "import os\nos.environ['XLA_FLAGS'] = '--xla_force_host_platform_device_count=4'\n"
        "import jax, numpy as np\nfrom jax.sharding import Mesh, NamedSharding, PartitionSpec as P\n"
        "from funnn.checkpoint import load_safetensors, save_safetensors, _safetensors_read\n"
        f"path = {str(tmp_path / 'x.safetensors')!r}\n"
        "x = np.arange(32).reshape(8, 4)\nsave_safetensors({'x': x}, path)\n"
        "sharding = NamedSharding(Mesh(np.array(jax.devices()), ('data',)), P('data'))\n"
        "y = load_safetensors(path, device=sharding)['x']\n"
        "assert [part.data.shape for part in y.addressable_shards] == [(2, 4)] * 4 and (np.asarray(y) == x).all()\n"
        "save_safetensors({'x': y}, path)\nassert (load_safetensors(path)['x'] == x).all()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# -- several files


def test_shards(tmp_path):
    tree = {f"h.{i}.weight": values((10, 10), np.float32, i) for i in range(5)} | {"wte": values(300, np.float32)}
    save_safetensors(tree, tmp_path, {"format": "pt"}, max_shard_size="0.9KB")
    files = [f"model-0000{i}-of-00004.safetensors" for i in range(1, 5)]
    assert sorted(os.listdir(tmp_path)) == [*files, "model.safetensors.index.json"]
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"] == {"total_size": 3200} and index["weight_map"]["wte"] == files[2] and set(index["weight_map"]) == set(tree)
    assert sum(len(safetensors.numpy.load_file(tmp_path / name)) for name in files) == 6
    for path in (tmp_path, tmp_path / "model.safetensors.index.json", tmp_path / "model.safetensors"):
        loaded = load_safetensors(path)
        assert set(loaded) == set(tree) and all(same(loaded[key], tree[key]) for key in tree)
    lazy = load_safetensors(tmp_path, lazy=True)
    assert same(lazy["h.3.weight"], tree["h.3.weight"]) and lazy.metadata == {"format": "pt"} == safetensors_metadata(tmp_path)
    save_safetensors(tree, tmp_path, max_shard_size="1MiB")  # the older checkpoint's files go
    assert os.listdir(tmp_path) == ["model.safetensors"] and set(load_safetensors(tmp_path)) == set(tree)
    save_safetensors(tree, tmp_path / "model.safetensors", max_shard_size=2000)
    assert sorted(os.listdir(tmp_path)) == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
    ]


@pytest.mark.parametrize("name", ["../x.safetensors", "/etc/passwd", "a/../../x", "..\\x", "C:\\x", "\\\\host\\x", "", "a\0b"])
def test_an_index_stays_in_its_folder(tmp_path, name):
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": name}}))
    with pytest.raises(
        CheckpointError, match=r"index.json: weight_map says that 'x' is in .*, outside of the folder; name files of the folder only"
    ):
        load_safetensors(tmp_path)


def test_what_an_older_index_names_beside_checkpoints_stays(tmp_path):
    (tmp_path / "config.json").touch()
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": "config.json"}}))
    save_safetensors({"x": np.ones(1)}, tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["config.json", "model.safetensors"]


def test_damaged_indices(tmp_path):
    index = tmp_path / "model.safetensors.index.json"
    for text in ("", "[]", "{}", '{"weight_map": []}', '{"weight_map": {"x": 1}}', "[" * 10**5, "\xff"):
        index.write_bytes(text.encode("latin1"))
        with pytest.raises(CheckpointError, match=r"is no index of safetensors: expected JSON"):
            load_safetensors(tmp_path)
    index.write_text(json.dumps({"weight_map": {"x": "a.safetensors"}}))
    with pytest.raises(CheckpointError, match=r"names the file a.safetensors, which is not there; copy or download it too"):
        load_safetensors(tmp_path)
    save_safetensors({"y": np.ones(1)}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=r"says that 'x' is in a.safetensors, which does not have it"):
        load_safetensors(tmp_path, lazy=True)
    index.unlink()
    with pytest.raises(
        FileNotFoundError, match=r"has no model.safetensors.index.json and no model.safetensors; give the path of one of a.safetensors"
    ):
        load_safetensors(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no such file: .*nothing.safetensors"):
        load_safetensors(tmp_path / "nothing.safetensors")


# -- tied arrays


def test_ties(tmp_path):
    path = tmp_path / "x.safetensors"
    x, y = np.arange(6.0).reshape(2, 3), jnp.ones(3)
    save_safetensors({"head": x, "embed": x[:], "y": y, "also": y, "turned": x.T, "part": x[0]}, path, {"format": "pt"})
    assert set(safetensors.numpy.load_file(path)) == {"embed", "also", "turned", "part"}
    assert safetensors_metadata(path) == {"format": "pt", "head": "embed", "y": "also"}
    loaded = load_safetensors(path)
    assert loaded["head"] is loaded["embed"] and same(loaded["y"], y) and same(loaded["part"], x[0])
    assert same(load_safetensors(path, lazy=True)["head"], x)
    save_safetensors(loaded, path, ties={})
    assert set(safetensors.numpy.load_file(path)) == set(loaded) and safetensors_metadata(path) == {}
    save_safetensors({"a": x, "b": x.copy()}, path, ties={"b": "a", "c": "a"})
    assert load_safetensors(path).keys() == {"a", "b", "c"} and safetensors_metadata(path) == {"b": "a", "c": "a"}
    safetensors.numpy.save_file({"a": x}, path)
    loaded = load_safetensors(path, ties={"b": "a"})
    assert loaded["b"] is loaded["a"]
    with pytest.raises(KeyError, match="ties: 'b' is tied to 'z', which the checkpoint does not have; its keys are a"):
        load_safetensors(path, ties={"b": "z"})
    with pytest.raises(ValueError, match="ties: 'b' is tied to 'a', but their arrays differ; leave one of them out"):
        save_safetensors({"a": x, "b": x + 1}, path, ties={"b": "a"})
    with pytest.raises(ValueError, match="ties: 'b' is tied to 'z', which is not there"):
        save_safetensors({"a": x}, path, ties={"b": "z"})
    with pytest.raises(ValueError, match="ties: 'b' is tied to 'a', which is tied itself"):
        save_safetensors({"a": x, "c": x}, path, ties={"b": "a", "a": "c"})
    with pytest.raises(
        ValueError, match="the metadata has 'b' as a text, and can't note that it is tied to 'a'; rename the text or the key"
    ):
        save_safetensors({"a": x}, path, {"b": "text"}, ties={"b": "a"})
    save_safetensors({"a": x, "b": x, "format": x}, path, {"b": "text"})  # no room for a note: written each for itself
    assert set(safetensors.numpy.load_file(path)) == {"a", "b", "format"} and safetensors_metadata(path) == {"b": "text"}


def test_ties_of_save_model(tmp_path):
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    module[1].weight = module[0].weight
    safetensors.torch.save_model(module, tmp_path / "x.safetensors")
    loaded = load_safetensors(tmp_path / "x.safetensors")
    assert set(loaded) == set(module.state_dict()) and loaded["1.weight"] is loaded["0.weight"]


# -- damaged files


def write(path: Path, header: object, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def entry(shape, begin, end, kind="U8"):
    return {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ({"a": entry([4], 0, 4), "b": entry([4], 2, 6)}, bytes(6)),  # overlapping
        ({"a": entry([4], 0, 4), "b": entry([4], 6, 10)}, bytes(10)),  # a gap
        ({"a": entry([5], 0, 4)}, bytes(4)),
        ({"a": entry([2], 0, 4, "F64")}, bytes(4)),
        ({"a": entry([-4], 0, 4)}, bytes(4)),
        ({"a": entry([2**40, 2**40], 0, 4)}, bytes(4)),
        ({"a": entry([2**62], 0, 2**62)}, bytes(4)),
        ({"a": entry([4], 4, 0)}, bytes(4)),
        ({"a": entry([4], 0, 4, "X8")}, bytes(4)),
        ({"__metadata__": {"a": 1}, "a": entry([4], 0, 4)}, bytes(4)),
        (b"{{{{", b""),
        (b"\xff\xff{}", b""),
        (b"[1]", b""),
        (b"[" * 5000, b""),
    ],
)
def test_damaged_headers(tmp_path, header, data):
    path = write(tmp_path / "bad.safetensors", header, data)
    for lazy in (True, False):
        with pytest.raises(
            CheckpointError, match=r"bad.safetensors, of \d+ bytes, is damaged or no file of safetensors: .*; copy or download"
        ):
            load_safetensors(path, lazy=lazy)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_damage_is_a_value_error_or_another_file(tmp_path_factory, data):
    """Cut, lengthened, or with bytes changed: what is not refused has the arrays of its header. Memory stays in the file's size."""
    path = tmp_path_factory.mktemp("damage") / "x.safetensors"
    path.write_bytes(safetensors.numpy.save({"a": values((3, 4), np.float32), "b": values(5, np.int8)}, {"k": "v"}))
    content = bytearray(path.read_bytes())
    change = data.draw(st.sampled_from(["cut", "longer", "header", "length"]))
    if change == "cut":
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    elif change == "longer":
        content += data.draw(st.binary(min_size=1, max_size=9))
    elif change == "length":
        content[:8] = struct.pack("<Q", data.draw(st.integers(0, 2**64 - 1)))
    else:
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(8, 150))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    tracemalloc.start()
    try:
        loaded = load_safetensors(path)
    except ValueError as error:
        assert str(path) in str(error)
    else:
        assert change == "header" and sum(array.nbytes for array in loaded.values()) == 53
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**18


# -- the old file


def test_an_interrupted_writer_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    save_safetensors({"x": np.zeros(2)}, path)
    os.chmod(path, 0o640)
    old = path.read_bytes()
    for module, name in ((_replacing, "_sync"), (_safetensors_write, "_write_file"), (_safetensors_write, "index_text")):

        def interrupt(*args):
            raise KeyboardInterrupt

        monkeypatch.setattr(module, name, interrupt)
        with pytest.raises(KeyboardInterrupt):
            save_safetensors({"x": np.ones(2), "y": np.ones(2)}, path, max_shard_size=20)
        monkeypatch.undo()
        assert os.listdir(tmp_path) == ["model.safetensors"] and path.read_bytes() == old
    save_safetensors({"x": np.ones(2)}, path)
    assert load_safetensors(path)["x"].tolist() == [1, 1] and path.stat().st_mode & 0o777 == 0o640


def test_a_killed_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.safetensors"
    save_safetensors({"x": np.zeros(2)}, path)
    code = (
        "import os, numpy as np\nfrom funnn.checkpoint import _replacing, save_safetensors\n"
        f"_replacing._sync = lambda path: os._exit(9)\nsave_safetensors({{'x': np.ones(10**6)}}, {str(path)!r})"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert load_safetensors(path)["x"].tolist() == [0, 0]


# -- the package


def test_without_the_package(tmp_path):
    code = (
        "import sys\nsys.modules['safetensors'] = None\n"
        "from funnn.checkpoint import load_safetensors, save_safetensors\n"
        "for function in (lambda: load_safetensors('x'), lambda: save_safetensors({}, 'x')):\n"
        "    try:\n        function()\n    except ImportError as error:\n        print(error)\n"
    )
    (tmp_path / "x").touch()
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.getcwd()}, capture_output=True, text=True
    )
    text = "files of safetensors need the package safetensors; install it with: pip install 'funnn[safetensors]'"
    assert done.stdout.splitlines() == [text, text], done.stderr


def test_the_package_is_loaded_on_use_only():
    code = "import sys, funnn.checkpoint\nassert not {'safetensors', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_examples():
    for name in ("_safetensors_read", "_safetensors_write", "_rename", "_stack"):
        module = importlib.import_module(f"funnn.checkpoint.{name}")
        results = doctest.testmod(module, extraglobs={"save_safetensors": save_safetensors})
        assert results.attempted > 0 and results.failed == 0
