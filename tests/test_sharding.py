"""Shardings by path: the choice of specs and the errors on an abstract mesh, the placement on two fake devices in a process of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from jax.sharding import AbstractMesh, AxisType
from jax.sharding import PartitionSpec as P

from funnn import data, distributed, init, optim, sharding
from funnn.layers import (
    Conv1d,
    Embedding,
    GroupedQueryAttention,
    Layer,
    LayerNorm,
    Linear,
    MixtureOfExperts,
    Param,
    ReLU,
    Repeat,
    Sequential,
    TransformerEncoderLayer,
)
from funnn.sharding import named_shardings

MESH = AbstractMesh((2, 4), ("data", "model"), axis_types=(AxisType.Auto, AxisType.Auto))


def array(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


PARAMS = {"fc1": {"weight": array(8, 4), "bias": array(8)}, "fc2": {"weight": array(4, 8), "bias": array(3)}, "scale": array()}


def specs(tree, rules, mesh=MESH):
    return jax.tree.map(lambda s: s.spec, named_shardings(tree, mesh, rules))


def test_first_match_wins_and_the_rest_is_replicated():
    chosen = specs(PARAMS, [(r"^fc1\.weight$", P("model", "data")), (r"weight", P(None, ("data", "model"))), (r"fc1", P("model"))])
    assert chosen == {
        "fc1": {"weight": P("model", "data"), "bias": P("model")},
        "fc2": {"weight": P(None, ("data", "model")), "bias": P()},
        "scale": P(),
    }
    assert jax.tree.leaves(specs(PARAMS, [])) == [P()] * 5


def test_any_pytree_arrays_and_scalars():
    tree = [{"a": jnp.ones(4)}, (array(8), None), 1.0]
    assert specs(tree, [(r"^0\.a$", P("data")), (r"^1\.0$", P("model"))]) == [{"a": P("data")}, (P("model"), None), P()]
    assert specs({"a": array(3, 4)}, [("a", P(P.UNCONSTRAINED, "model"))]) == {"a": P(P.UNCONSTRAINED, "model")}


def test_optimizer_state_follows_the_parameters_rules():
    from funnn import optim

    state = jax.eval_shape(optim.adam().init, PARAMS)
    chosen = specs(state, [(r"fc1\.weight$", P("model"))])
    assert chosen.slots["exp_avg"]["fc1"]["weight"] == P("model")
    assert chosen.slots["step"]["fc1"]["weight"] == P()


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        (
            [("fc1.bias", P(None, "model"))],
            "cannot shard 'fc1.bias' of shape (8,) as P(None, 'model'): the spec has 2 entries and the array 1 dimensions; "
            "shorten the spec or narrow the rule's pattern",
        ),
        (
            [("fc2.bias", P("data"))],
            "cannot shard 'fc2.bias' of shape (3,) as P('data',): "
            "dimension 0 of size 3 is not divisible by the 2 devices of mesh axis 'data'; "
            "pad the dimension, split another one, or replicate the array with PartitionSpec()",
        ),
        (
            [("fc2.weight", P(("data", "model")))],
            "dimension 0 of size 4 is not divisible by the 8 devices of mesh axis 'data' x 'model'",
        ),
        ([("weight", P("tensor"))], "the mesh has no axis 'tensor'; use one of ('data', 'model')"),
        ([("weight", P("data", "data"))], "the mesh axis 'data' is used twice; give each axis to one dimension"),
    ],
)
def test_errors(rules, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        named_shardings(PARAMS, MESH, rules)


def test_a_pattern_that_finds_nothing_names_the_nearest_paths():
    text = r"wieght' is found in no path; nearest: \['fc1.weight', 'fc2.weight'\]. Mend the pattern"
    with pytest.raises(ValueError, match=text):
        named_shardings(PARAMS, MESH, [(r"fc1\.wieght", P("model"))])
    with pytest.raises(ValueError, match=r"the rule '\^encoder' is found in no path; it has \['fc1.bias'"):
        named_shardings(PARAMS, MESH, [("fc1", P("model")), ("^encoder", P("data"))])
    assert named_shardings(PARAMS, MESH, [("^encoder", P("data"))], strict=False)["fc1"]["bias"].spec == P()
    assert specs(PARAMS, [("fc1", P()), ("fc1.weight", P("model"))])["fc1"]["weight"] == P()  # found, though another rule decides
    assert specs(PARAMS, ("fc1", P("model")))["fc1"]["bias"] == P("model")  # one rule alone


def test_rules_that_are_functions():
    rule = lambda path, shape, mesh: P("model") if len(shape) == 2 and path.startswith("fc1") else None  # noqa: E731
    assert specs(PARAMS, [rule, ("weight", P("data"))])["fc1"]["weight"] == P("model")
    assert specs(PARAMS, [rule, ("weight", P("data"))])["fc2"]["weight"] == P("data")


def test_fully_sharded():
    chosen = specs({"a": array(8, 24), "b": array(24, 8), "odd": array(7, 9), "small": array(4)}, sharding.fsdp("data", min_size=8))
    assert chosen == {"a": P(None, "data"), "b": P("data"), "odd": P(), "small": P()}
    both = sharding.fsdp(("data", "model"), min_size=8)
    assert specs({"a": array(8, 24)}, both)["a"] == P(None, ("data", "model"))
    base = [("a", P(None, "model"))]
    assert specs({"a": array(8, 24), "b": array(24, 8)}, sharding.fsdp("data", min_size=8, base=base)) == {
        "a": P("data", "model"),
        "b": P("data"),
    }
    taken = sharding.fsdp("data", min_size=8, base=[("a", P("data"))])
    assert specs({"a": array(8, 24)}, taken)["a"] == P("data")
    with pytest.raises(ValueError, match="the mesh has no axis 'fsdp'; it has"):
        specs(PARAMS, sharding.fsdp("fsdp"))


def test_names_of_dimensions():
    class Net(Layer):
        def __post_init__(self):
            self.embed = Embedding(16, 8)
            self.h = Repeat(TransformerEncoderLayer(8, 2, 32), 4)
            self.conv = Conv1d(8, 16, 3)
            self.attn = GroupedQueryAttention(8, 4, 2)
            self.experts = MixtureOfExperts(8, 16, 4)
            self.head = Linear(8, 16)

        def spec(self):
            return {"scale": Param((8,), init.ones, ("features",))}

        def logical_axes(self):
            return {"head.weight": ("vocabulary", "features"), "head.nothing": ("x",)}

    net = Net()
    axes = sharding.logical_axes(net)
    assert axes["scale"] == ("features",) and axes["head.weight"] == ("vocabulary", "features") and "head.bias" not in axes
    assert axes["h.layer.linear1.weight"] == ("layers", "hidden", "features") and axes["h.layer.norm1.bias"] == ("layers",)
    params, _ = jax.eval_shape(net.init, jax.random.key(0))
    chosen = specs(params, sharding.tensor_parallel(net))
    assert chosen["embed"]["weight"] == chosen["head"]["weight"] == chosen["conv"]["weight"] == chosen["experts"]["up"] == P("model")
    assert chosen["h"]["layer"]["linear1"] == {"weight": P(None, "model"), "bias": P(None, "model")}
    assert chosen["h"]["layer"]["linear2"] == {"weight": P(None, None, "model"), "bias": P()}
    assert chosen["h"]["layer"]["self_attn"]["out_proj"]["weight"] == P(None, None, "model")
    assert chosen["attn"]["k"]["weight"] == P("model") and chosen["attn"]["out"] == {"weight": P(None, "model")}
    assert chosen["scale"] == P()
    optimizer = optim.adam()
    of_state = specs(jax.eval_shape(optimizer.init, params), sharding.tensor_parallel(net))
    assert of_state.slots["exp_avg"]["h"]["layer"]["linear2"]["weight"] == P(None, None, "model")
    # means over rows or columns, which have other shapes than their parameters, stay whole
    factored = jax.tree.leaves(specs(jax.eval_shape(optax.adafactor(1e-3).init, params), sharding.tensor_parallel(net)))
    assert set(factored) >= {P(), P("model")}
    mapped = specs(params, sharding.by_axes(net, {"layers": "data", "hidden": "model", "features": None}))
    assert mapped["h"]["layer"]["linear1"]["weight"] == P("data", "model") and mapped["h"]["layer"]["norm1"]["bias"] == P("data")
    with pytest.raises(ValueError, match=r"no parameter of Net has a dimension 'hiden'; nearest: \['hidden'\]"):
        sharding.by_axes(net, {"hiden": "model"})
    plain = Sequential(Linear(8, 16), ReLU(), Linear(16, 4))
    chosen = specs(jax.eval_shape(plain.init, jax.random.key(0))[0], sharding.tensor_parallel(plain))
    assert chosen["0"] == chosen["2"] == {"weight": P("model"), "bias": P()}
    with pytest.raises(ValueError, match="tensor_parallel: no parameter of LayerNorm has a dimension named"):
        sharding.tensor_parallel(LayerNorm(8))


def test_meshes():
    assert dict(sharding.make_mesh({"data": -1, "model": 1}).shape) == {"data": len(jax.devices()), "model": 1}
    one = jax.devices()[:1]
    assert sharding.make_mesh({"a": 1, "b": 1}, one, explicit=["b"]).axis_types == (AxisType.Auto, AxisType.Explicit)
    for axes, text in (
        ({"data": 3}, "data=3 does not make 1 device; give other sizes"),
        ({"data": -1, "model": 2}, "data=-1 x model=2 does not make 1 device"),
        ({"data": -1, "model": -1}, "of which one may be -1"),
        ({"data": 0}, "takes positive sizes"),
        ({}, "needs an axis"),
    ):
        with pytest.raises(ValueError, match=text):
            sharding.make_mesh(axes, one)
    with pytest.raises(ValueError, match=r"explicit names \['x'\], but the axes are \['data'\]"):
        sharding.make_mesh({"data": 1}, one, explicit=["x"])


def test_visualize():
    tree = {"w": array(8, 4), "key": jax.random.key(0), "n": jax.ShapeDtypeStruct((), jnp.int32)}
    placed = sharding.visualize(tree, named_shardings(tree, sharding.make_mesh({"data": 1}, jax.devices()[:1]), ()))
    assert placed.bytes_by_device == {jax.devices()[0]: 8 * 4 * 4 + 8 + 4}
    assert "w      (8, 4)  float32   whole  128    128 on 1" in repr(placed)


@pytest.mark.parametrize(("length", "processes"), [(10, 3), (9, 3), (2, 5), (0, 2), (1, 1)])
@pytest.mark.parametrize("drop_last", [False, True])
def test_indices_of_processes_are_shared_out_as_torchs_sampler_does(length, processes, drop_last):
    for process in range(processes):
        ours = data.process_indices(length, shuffle=False, drop_last=drop_last, process=process, processes=processes)
        if length == 0:
            assert ours.size == 0
            continue
        sampler = torch.utils.data.DistributedSampler(range(length), processes, process, shuffle=False, drop_last=drop_last)
        assert ours.tolist() == list(sampler)


def test_indices_are_drawn_from_seed_and_epoch():
    parts = [data.process_indices(10, seed=1, epoch=2, process=process, processes=2) for process in range(2)]
    assert sorted(np.concatenate(parts).tolist()) == list(range(10))
    assert (parts[0] == data.process_indices(10, seed=1, epoch=2, process=0, processes=2)).all()
    assert (parts[0] != data.process_indices(10, seed=1, epoch=3, process=0, processes=2)).any()
    with pytest.raises(ValueError, match="there is no process 2 of 2"):
        data.process_indices(10, process=2, processes=2)


def test_processes_are_found_in_the_environment(monkeypatch):
    found = []
    monkeypatch.setattr(
        jax.distributed,
        "initialize",
        lambda **kwargs: found.append((kwargs["coordinator_address"], kwargs["num_processes"], kwargs["process_id"])),
    )
    for name in ("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT", "JAX_COORDINATOR_ADDRESS", "SLURM_JOB_ID", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    distributed.initialize()
    assert found == []  # nothing says that there are others
    distributed.initialize("host:1", 3, 2)
    for name, value in {"WORLD_SIZE": "4", "RANK": "1", "MASTER_ADDR": "host", "MASTER_PORT": "100"}.items():
        monkeypatch.setenv(name, value)
    distributed.initialize()
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "other:7")
    distributed.initialize()
    assert found == [("host:1", 3, 2), ("host:101", 4, 1), ("other:7", 4, 1)]
    monkeypatch.setenv("WORLD_SIZE", "many")
    with pytest.raises(ValueError, match="WORLD_SIZE must be a number, but got 'many'"):
        distributed.initialize()
    with pytest.raises(ValueError, match="coordinator must be \"host:port\", but got 'host'"):
        distributed.initialize("host", 2, 0)
    with pytest.raises(ValueError, match="together, but got coordinator='host:1', processes=None"):
        distributed.initialize("host:1")


def test_two_devices():
    """shard places the parts, and a training step on them gives what one device gives."""
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(Path(sharding.__file__).parents[2]),
    }
    subprocess.run([sys.executable, "-W", "error", __file__], env=environment, check=True, timeout=120)


def two_devices():
    from jax.sharding import Mesh

    from funnn.sharding import shard

    assert len(jax.devices()) == 2
    mesh = Mesh(np.array(jax.devices()), ("model",))
    rules = [(r"fc1\.", P("model")), (r"fc2\.weight$", P(None, "model"))]
    generator = np.random.default_rng(0)
    normal = lambda *shape: jnp.asarray(generator.normal(size=shape), jnp.float32)  # noqa: E731
    params = {"fc1": {"weight": normal(8, 4), "bias": normal(8)}, "fc2": {"weight": normal(3, 8), "bias": normal(3)}}
    x = normal(5, 4)
    optimizer = optim.adam(0.1)

    def loss(p):
        hidden = jnp.tanh(x @ p["fc1"]["weight"].T + p["fc1"]["bias"])
        return jnp.mean((hidden @ p["fc2"]["weight"].T + p["fc2"]["bias"]) ** 2)

    @jax.jit
    def step(p, s):
        updates, s = optimizer.update(jax.grad(loss)(p), s, p)
        return optax.apply_updates(p, updates), s

    split = shard(params, mesh, rules)
    assert {part.data.shape for part in split["fc1"]["weight"].addressable_shards} == {(4, 4)}
    assert {part.data.shape for part in split["fc2"]["weight"].addressable_shards} == {(3, 4)}
    assert split["fc2"]["bias"].sharding.is_fully_replicated
    assert len(split["fc2"]["bias"].sharding.device_set) == 2
    state = shard(optimizer.init(params), mesh, rules)
    for name in ("exp_avg", "exp_avg_sq"):
        fresh = optimizer.init(split).slots[name]["fc1"]["weight"]  # zeros_like keeps the parameter's sharding
        assert fresh.sharding == state.slots[name]["fc1"]["weight"].sharding == split["fc1"]["weight"].sharding
    for a, b in zip(jax.tree.leaves(step(split, state)), jax.tree.leaves(step(params, optimizer.init(params))), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    for leaf, sharding_ in zip(jax.tree.leaves(split), jax.tree.leaves(named_shardings(params, mesh, rules)), strict=True):
        assert leaf.sharding == sharding_
    with pytest.raises(ValueError, match=r"prefetch: an array of shape \(5, 4\) can't be put .* drop_last=True, or pad it"):
        list(data.prefetch([np.ones((5, 4))], jax.sharding.NamedSharding(mesh, P("model"))))
    print("ok")


if __name__ == "__main__":
    two_devices()
