"""Training over eight devices, by data and by model: the numbers are those of one device. In a process of its own, whose CPU plays eight."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import jax

jax.config.update("jax_num_cpu_devices", 8)

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

import funnn
from funnn import checkpoint, data, functional as F, optim, sharding
from funnn.layers import BatchNorm1d, Dropout, LayerNorm, Linear, Repeat, Residual, Sequential, Tanh

block = Residual(Sequential(LayerNorm(16), Linear(16, 32), Tanh(), Dropout(0.1), Linear(32, 16)))
net = Sequential(Linear(4, 16, bias=False), BatchNorm1d(16), Repeat(block, 2), Linear(16, 8))
init, step, evaluate = funnn.train_step(net, F.cross_entropy, optim.adamw(lr=1e-2), ema=0.9)
rng = np.random.default_rng(0)
batches = [(rng.standard_normal((16, 4)).astype(np.float32), rng.integers(0, 8, 16).astype(np.int32)) for _ in range(4)]
rules = [(r"body\\.1\\.weight$", P(None, "model", None)), (r"body\\.4\\.weight$", P(None, None, "model")), (r"3\\.weight$", P("model"))]

alone, alone_losses = init(jax.random.key(0)), []
for batch in batches:
    alone, metrics = step(alone, batch)
    alone_losses.append(metrics["loss"])

mesh = Mesh(np.array(jax.devices()).reshape(4, 2), ("data", "model"))
together = sharding.shard(init(jax.random.key(0)), mesh, rules)
where = jax.tree.map(lambda array: array.sharding, together)
for batch, expected in zip(data.prefetch(batches, NamedSharding(mesh, P("data"))), alone_losses, strict=True):
    together, metrics = step(together, batch)
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-4)
assert jax.tree.map(lambda array: array.sharding, together) == where
first = together.params["2"]["layer"]["body"]["1"]["weight"]
assert first.sharding.spec == P(None, "model", None) and first.addressable_shards[0].data.shape == (2, 16, 16)
for name, array in checkpoint.flatten(jax.device_get(together.params)).items():
    np.testing.assert_allclose(array, checkpoint.flatten(alone.params)[name], rtol=2e-3, atol=2e-4, err_msg=name)

# Each device's own gradients, and their mean, by hand: shard_map over the data.
params, state = net.init(jax.random.key(0))


def gradients(params, x, y):
    loss = lambda params: F.cross_entropy(net.at("1").eval().apply(params, state, x)[0], y)
    return jax.lax.pmean(jax.grad(loss)(params), "data")


x, y = batches[0]
line = Mesh(np.array(jax.devices()), ("data",))
by_parts = jax.jit(jax.shard_map(gradients, mesh=line, in_specs=(P(), P("data"), P("data")), out_specs=P(), check_vma=False))(params, x, y)
whole = jax.grad(lambda params: F.cross_entropy(net.at("1").eval().apply(params, state, x)[0], y))(params)
jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), by_parts, whole)
print("equal on", len(jax.devices()), "devices")
"""


def test_eight_devices_are_one():
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout == "equal on 8 devices\n"
