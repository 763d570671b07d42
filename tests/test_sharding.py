"""Shardings by path: the choice of specs and the errors on an abstract mesh, the placement on two fake devices in a process of its own."""

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AbstractMesh, AxisType
from jax.sharding import PartitionSpec as P

from funnn import sharding
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


def test_examples():
    results = doctest.testmod(sharding)
    assert results.attempted > 0
    assert results.failed == 0


def test_two_devices():
    """shard places the parts, and a training step on them gives what one device gives."""
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(Path(sharding.__file__).parents[1]),
    }
    subprocess.run([sys.executable, "-W", "error", __file__], env=environment, check=True, timeout=120)


def two_devices():
    import numpy as np
    import optax
    from jax.sharding import Mesh

    from funnn import optim
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
    print("ok")


if __name__ == "__main__":
    two_devices()
