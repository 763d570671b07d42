"""A sharded train_state keeps its shardings and compiles its step once, on eight fake devices in a process of its own."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

import funnn
from funnn import functional as F
from funnn import optim
from funnn.layers import Linear

CODE = """if True:
    import json, sys, warnings
    import jax, jax.numpy as jnp, numpy as np, optax
    from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
    import funnn
    from funnn import functional as F, optim, sharding
    from funnn.layers import BatchNorm1d, Dropout, Linear, Repeat, ReLU, Sequential

    warnings.simplefilter("error")
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(lambda name, *_, **__: compiled.append(name) if "backend_compile" in name else None)
    net = Sequential(Linear(8, 16), BatchNorm1d(16), Repeat(Sequential(Linear(16, 16), ReLU(), Dropout(0.1)), 4), Linear(16, 8))
    mesh = Mesh(np.array(jax.devices()).reshape(4, 2), ("data", "model"))
    RULES = {
        "replicated": [],
        "tensor parallel": [("0.weight", P("model")), ("3.weight", P(None, "model")), ("2.layer.0.weight", P(None, "data", "model"))],
        "every weight split": [("weight", P("data"))],
        "optimizer split": [("exp_avg.*weight", P("data"))],
    }
    init, step, evaluate = funnn.train_step(
        net, F.cross_entropy, optax.MultiSteps(optim.adam(0.1), 2), ema=0.9, loss_scale=funnn.LossScale()
    )
    batch = jax.random.normal(jax.random.key(1), (16, 8)), jnp.arange(16) % 8
    alone, losses = init(jax.random.key(0)), []
    for _ in range(4):
        alone, metrics = step(alone, batch)
        losses.append(metrics["loss"].item())
    split = jax.device_put(batch, NamedSharding(mesh, P("data")))
    for name in ("put nowhere", *RULES):
        first = train_state = init(jax.random.key(0))
        start = jax.device_get(first.params)
        expected = jax.tree.map(lambda leaf: NamedSharding(mesh, P()), train_state)
        if name in RULES:
            train_state = sharding.shard(train_state, mesh, RULES[name])
            expected = jax.tree.map(lambda leaf: leaf.sharding, train_state)
        counts, held, close = [], True, True
        for loss in losses:
            before, old = len(compiled), train_state
            train_state, metrics = step(train_state, split)
            counts.append(len(compiled) - before)
            held &= jax.tree.map(lambda leaf: leaf.sharding, train_state) == expected
            close &= abs(metrics["loss"].item() - loss) < 1e-4
        if name == "put nowhere":  # what was not sharded was copied, and is whole
            held &= all(map(np.array_equal, jax.tree.leaves(start), jax.tree.leaves(jax.device_get(first.params))))
        print(json.dumps([name, counts, held, close, old.params["0"]["weight"].is_deleted()]))
    lowered = step.lower(jax.tree.map(lambda leaf, s: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=s), train_state, expected), split)
    print(json.dumps(["lowered", lowered.compile().output_shardings[0].params["0"]["weight"].spec == P()]))
    keep = jax.jit(lambda state, batches: jax.lax.scan(step, state, batches), out_shardings=(expected, None))
    scanned, _ = keep(train_state, jax.tree.map(lambda x: jnp.stack([x] * 2), split))
    print(json.dumps(["scanned", jax.tree.map(lambda leaf: leaf.sharding, scanned) == expected]))
    """


def test_on_eight_devices():
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0",
        "JAX_PLATFORMS": "cpu",
    }
    result = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, env=environment)
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    cases = {
        "put nowhere": 1,
        "replicated": 0,
        "tensor parallel": 1,
        "every weight split": 1,
        "optimizer split": 1,
    }  # the first two are one program
    assert rows == [*([name, [count, 0, 0, 0], True, True, True] for name, count in cases.items()), ["lowered", True], ["scanned", True]], (
        result.stderr
    )


@pytest.mark.parametrize("place", [lambda state: state, lambda state: jax.device_put(state, jax.devices()[0])], ids=["nowhere", "device"])
def test_on_one_device(place):
    init, step, _ = funnn.train_step(Linear(2, 2), F.cross_entropy, optim.adam(), ema=0.9)
    train_state, batch = place(init(jax.random.key(0))), (jnp.ones((4, 2)), jnp.zeros(4, int))
    committed, compiled = train_state.step.committed, []

    def listen(name, *_, **__):
        if "backend_compile" in name:
            compiled.append(name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        for _ in range(3):
            train_state, _ = step(train_state, batch)
            assert all(leaf.committed == committed for leaf in jax.tree.leaves(train_state))
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert len(compiled) == 1
