"""A layer as a program in a file: any batch, several platforms, without the layer's code."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export as jax_export

import funnn
import funnn.torch as ft
from funnn import Layer
from funnn.checkpoint import CheckpointError
from funnn.errors import ExportError
from funnn.layers import (
    GELU,
    GRU,
    LSTM,
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Embedding,
    Flatten,
    GroupNorm,
    LayerNorm,
    Linear,
    MaxPool2d,
    MultiheadAttention,
    ReLU,
    Repeat,
    Residual,
    Sequential,
    Softmax,
    TransformerEncoderLayer,
    Upsample,
    lora,
)
from tests.quick import quick

KEY = jax.random.key(0)
SIZES = (1, 3, 17)


class Net(Layer):
    """A class that only this file has, with a buffer and two outputs."""

    width: int

    def __post_init__(self):
        self.body = Sequential(Linear(4, self.width), Residual(Repeat(Linear(self.width, self.width), 2)))
        self.norm = BatchNorm2d(1)

    def forward(self, x, scale):
        y = self.body(x) * scale
        return {"y": self.norm(y[:, None, None])[:, 0, 0], "mean": (y.mean(-1), y.sum(-1))}


def inputs(size):
    return jnp.linspace(-1, 1, size * 4).reshape(size, 4), jnp.linspace(1, 2, size)[:, None]


def net():
    layer = Net(3)
    params, state = layer.init(KEY)
    state["norm"]["running_mean"] += 0.5
    return layer, params, state


def assert_close(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6), a, b)


RUN = """
import sys
import numpy as np
import jax
import funnn

loaded = funnn.load_exported(sys.argv[1])
examples = np.load(sys.argv[2])
results = {}
for size in (1, 3, 17):
    output = loaded(examples[f"x{size}"], examples[f"scale{size}"])
    results |= {f"{size}.{number}": leaf for number, leaf in enumerate(jax.tree.leaves(output))}
np.savez(sys.argv[3], **results)
print(loaded)
print([name for name in sys.modules if name.startswith("tests")], type(output).__name__, sorted(output))
"""


def test_saved_here_and_run_in_a_process_without_the_class(tmp_path):
    pytest.importorskip("flatbuffers", reason="JAX writes programs to files with it: the extra export")
    layer, params, state = net()
    exported = funnn.export(layer, params, state, *inputs(2), shapes="n, _")
    exported.save(tmp_path / "net.zip")
    np.savez(tmp_path / "in.npz", **{f"{name}{n}": a for n in SIZES for name, a in zip(("x", "scale"), inputs(n), strict=True)})
    done = subprocess.run(
        [sys.executable, "-c", RUN, tmp_path / "net.zip", tmp_path / "in.npz", tmp_path / "out.npz"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    expected = "Exported(Net: (float32[n,4], float32[n,1]) -> (float32[n], float32[n], float32[n,3]), platforms=('cpu',))"
    assert done.stdout.splitlines() == [expected, "[] dict ['mean', 'y']"]
    results = np.load(tmp_path / "out.npz")
    for size in SIZES:
        y, _ = layer.apply(params, state, *inputs(size))
        for number, leaf in enumerate(jax.tree.leaves(y)):
            np.testing.assert_allclose(results[f"{size}.{number}"], leaf, rtol=1e-5, atol=1e-6)


#: Layers with an example of one input; ``shapes`` opens its first axis, or the first two.
LAYERS = {
    "mlp": (Sequential(Linear(4, 8), GELU(), Linear(8, 2), Softmax(-1)), jnp.ones((3, 4)), 1),
    "cnn": (Sequential(Conv2d(1, 4, 3), BatchNorm2d(4), ReLU(), MaxPool2d(2), Flatten(), Linear(100, 3)), jnp.ones((3, 1, 12, 12)), 1),
    "wide cnn": (Sequential(Conv2d(16, 32, 3, stride=2), GroupNorm(2, 32), AdaptiveAvgPool2d(1)), jnp.ones((3, 16, 9, 9)), 1),
    "upsample": (Upsample(scale_factor=2), jnp.ones((3, 2, 4, 4)), 1),
    "lstm": (LSTM(4, 5, batch_first=True), jnp.ones((3, 6, 4)), 1),
    "gru": (GRU(4, 5, bidirectional=True, batch_first=True), jnp.ones((3, 6, 4)), 1),
    "transformer": (TransformerEncoderLayer(4, 2, 8, batch_first=True), jnp.ones((3, 6, 4)), 2),
    "embedding": (Sequential(Embedding(5, 4), LayerNorm(4), Linear(4, 5)), jnp.ones((3, 6), jnp.int32), 2),
    "repeat": (Repeat(Residual(Sequential(LayerNorm(4), Linear(4, 4))), 3), jnp.ones((3, 4)), 1),
}


@pytest.mark.parametrize("name", LAYERS)
def test_any_batch_on_several_platforms(name):
    layer, x, opened = LAYERS[name]
    params, state = layer.init(KEY)
    exported = funnn.export(layer, params, state, x, shapes=("b, t, ..." if opened == 2 else "b, ...",), platforms=("cpu", "cuda", "tpu"))
    assert exported.platforms == ("cpu", "cuda", "tpu")
    for size in SIZES:
        more = jnp.concatenate([x * factor for factor in range(size)] + [x])[:size]
        more = more[:, :2] if opened == 2 else more
        assert_close(exported(more), quick(lambda x: layer.apply(params, state, x)[0])(more))


def test_other_parameters_gradients_and_state(tmp_path):
    pytest.importorskip("flatbuffers", reason="JAX writes programs to files with it: the extra export")
    layer, params, state = net()
    exported = funnn.export(layer, params, state, *inputs(2), shapes="n, _", train=True)
    exported.save(tmp_path / "bare", params=False, derivatives=1)
    loaded = funnn.load_exported(tmp_path / "bare")
    assert loaded.params is None and repr(loaded).endswith("platforms=('cpu',), without parameters)")
    with pytest.raises(ValueError, match=r"the exported Net has no parameters inside; use apply\(params, state, \*inputs\)"):
        loaded(*inputs(2))
    other, _ = layer.init(jax.random.key(1))
    got, expected = loaded.apply(other, state, *inputs(5)), layer.apply(other, state, *inputs(5), train=True)
    assert_close(got, expected)
    assert int(got[1]["norm"]["num_batches_tracked"]) == 1

    def loss(apply, **kwargs):
        return jax.grad(lambda params: jnp.sum(apply(params, state, *inputs(5), **kwargs)[0]["y"] ** 3))(other)

    assert_close(loss(loaded.apply), loss(layer.apply, train=True))


def test_a_call_compiles_once_for_each_shape():
    layer, params, state = net()
    exported = funnn.export(layer, params, state, *inputs(2), shapes="n, _")
    for size in (1, 3, 1, 3):
        exported(*inputs(size))
    assert exported._call._cache_size() == 2
    assert_close(jax.jit(exported)(*inputs(3)), exported(*inputs(3)))


def test_randomness_methods_and_settings():
    layer = Sequential(Linear(4, 100), Dropout(0.5))
    params, state = layer.init(KEY)
    exported = funnn.export(layer, params, state, jnp.ones((2, 4)), shapes="b, ...", train=True, key=KEY)
    assert_close(
        exported(jnp.ones((3, 4)), key=jax.random.key(5)),
        layer.apply(params, state, jnp.ones((3, 4)), train=True, key=jax.random.key(5))[0],
    )
    with pytest.raises(ValueError, match="the exported Sequential draws random numbers: give key"):
        exported(jnp.ones((3, 4)))
    attention, x = MultiheadAttention(4, 2), jnp.ones((3, 2, 4))
    params, state = attention.init(KEY)
    exported = funnn.export(attention, params, state, x, x, x, need_weights=False, shapes=("_, b, _", "_, b, _", "3, b, ..."))
    y, weights = exported(*[jnp.ones((3, 7, 4))] * 3)
    assert weights is None and y.shape == (3, 7, 4)
    with pytest.raises(ValueError, match="the exported MultiheadAttention takes no key"):
        exported(x, x, x, key=KEY)


def test_half_precision_and_adapters_go_through_a_file():
    pytest.importorskip("flatbuffers", reason="JAX writes programs to files with it: the extra export")
    layer = Sequential(Linear(4, 4), Linear(4, 2))
    params, _ = layer.init(KEY, dtype=jnp.bfloat16)
    tuned, params = lora(layer, params, rank=2, key=KEY)
    file, x = io.BytesIO(), jnp.ones((2, 4), jnp.bfloat16)
    funnn.export(tuned, params, {}, x).save(file)
    file.seek(0)
    loaded = funnn.load_exported(file)
    assert loaded.params["0"]["base_layer"]["weight"].dtype == jnp.bfloat16
    np.testing.assert_array_equal(loaded(x), jax.jit(tuned.apply)(params, {}, x)[0])
    with zipfile.ZipFile(file) as archive:  # JAX alone reads the program
        assert jax_export.deserialize(bytearray(archive.read("program"))).platforms == ("cpu",)
        assert json.loads(archive.read("contents.json"))["name"] == "Sequential"


class Counts(Layer):
    """Asks for the size of its batch as a number."""

    def forward(self, x):
        return x * int(np.prod(x.shape)) if x.shape[0] > 2 else x


class Calls(Layer):
    """Calls Python."""

    def forward(self, x):
        return jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x)


class Pair(NamedTuple):
    """An output that JAX's files don't know."""

    a: jax.Array


class Pairs(Layer):
    """Returns a Pair."""

    def forward(self, x):
        return Pair(x)


def made(layer, *args, **kwargs):
    return funnn.export(layer, *layer.init(KEY), *args, **kwargs)


X = jnp.ones((2, 4))


@pytest.mark.parametrize(
    ("error", "text", "call"),
    [
        (TypeError, r"export takes a funnn Layer, got function", lambda: funnn.export(made, {}, {}, X)),
        (
            TypeError,
            r"export takes a funnn Layer, got Linear; take layer, params, state = torch.to_functional\(module\)",
            lambda: funnn.export(ft.nn.Linear(2, 3), {}, {}, X),
        ),
        (
            ValueError,
            r"export: platforms must be some of \('cpu', 'cuda', 'rocm', 'tpu'\), .* got \('gpu',\)",
            lambda: made(ReLU(), X, platforms=("gpu",)),
        ),
        (ValueError, r"platforms must be some of .* got 'cpu'", lambda: made(ReLU(), X, platforms="cpu")),
        (ValueError, r"export: shapes='b, 5' do not fit the inputs \['float32\[2,4\]'\]: ", lambda: made(ReLU(), X, shapes="b, 5")),
        (ValueError, r"mat1 and mat2 shapes cannot be multiplied \(2x4 and 3x2\)", lambda: made(Linear(3, 2), X, shapes="b, ...")),
        (
            ExportError,
            r"Counts can't be exported with shapes='b, ...': .*; leave fewer sizes open",
            lambda: made(Counts(), X, shapes="b, ..."),
        ),
        (
            ValueError,
            r"params do not fit the exported Linear: missing \['bias'\]",
            lambda: made(Linear(4, 2), X).apply({"weight": jnp.ones((2, 4))}, {}, X),
        ),
        (
            ValueError,
            r"params do not fit the exported Linear: unknown \['b'\], 'weight' is float32\[1,4\] instead of float32\[2,4\]",
            lambda: made(Linear(4, 2, bias=False), X).apply({"weight": jnp.ones((1, 4)), "b": X}, {}, X),
        ),
        (
            CheckpointError,
            r"the file is no file of funnn.export, or is damaged: BadZipFile",
            lambda: funnn.load_exported(io.BytesIO(b"nothing")),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_errors(error, text, call):
    with pytest.raises(error, match=text):
        call()


def test_what_no_file_can_hold():
    with pytest.raises(ExportError, match=r"Calls can't be exported: .*callback.*; no program can call back into Python"):
        made(Calls(), X)
    exported = made(Pairs(), X)
    assert isinstance(exported(X), Pair)
    pytest.importorskip("flatbuffers", reason="JAX writes programs to files with it: the extra export")
    with pytest.raises(ExportError, match=r"the exported Pairs can't be written to a file: .*Pair"):
        exported.save(io.BytesIO())


def test_files_of_others_and_damaged_ones(tmp_path):
    pytest.importorskip("flatbuffers", reason="JAX writes programs to files with it: the extra export")
    path = tmp_path / "net"
    made(ReLU(), X).save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    assert set(members) == {"program", "arrays.pt", "contents.json"}

    def rewrite(changes):
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in {**members, **changes}.items():
                if content is not None:
                    archive.writestr(name, content)

    for changes, text in (
        ({"program": None}, r"net' is no file of funnn.export, or is damaged: KeyError"),
        ({"contents.json": b"{}"}, r"no file of funnn.export, or is damaged"),
        ({"contents.json": b'{"format": "funnn.export", "version": 2}'}, r"is of 'funnn.export', version 2; this funnn reads"),
        ({"program": b"x" * 100}, r"JAX .* can't read the program in '.*net', which JAX .* wrote"),
    ):
        rewrite(changes)
        with pytest.raises(CheckpointError, match=text):
            funnn.load_exported(path)
    with pytest.raises(FileNotFoundError):
        funnn.load_exported(tmp_path / "none")


def test_without_flatbuffers(monkeypatch):
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    monkeypatch.delitem(sys.modules, "jax._src.export.serialization", raising=False)
    monkeypatch.delattr(jax._src.export, "serialization", raising=False)
    with pytest.raises(ImportError, match=r"needs the package flatbuffers: pip install funnn\[export\]"):
        made(ReLU(), X).save(io.BytesIO())
