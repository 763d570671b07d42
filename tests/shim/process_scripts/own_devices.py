"""DTensors on eight devices of one process are JAX's arrays with the sharding of their placements; run by ``python -m funnn run``."""

import copy
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from jax.sharding import PartitionSpec
from telling import refused
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

refused(lambda: init_device_mesh("cpu", (2, 3)), "processes, 1, and as one process has devices, 8, got 6")
mesh = init_device_mesh("cpu", (2, 4), mesh_dim_names=("data", "model"))
assert dist.get_world_size() == 1 and dict(mesh.devices.shape) == {"data": 2, "model": 4} and "data=2, model=4" in repr(mesh)
whole = torch.randn(64, 128)
for placements, spec, part in (
    ([Shard(0), Shard(1)], ("data", "model"), (32, 32)),
    ([Shard(1), Shard(0)], ("model", "data"), (16, 64)),
    ([Shard(0), Shard(0)], (("data", "model"),), (8, 128)),
    ([Replicate(), Shard(1)], (None, "model"), (64, 32)),
    ([Replicate(), Replicate()], (), (64, 128)),
):
    x = distribute_tensor(whole, mesh, placements)
    array = jnp.asarray(x)
    assert array.sharding == x.sharding and array.sharding.spec == PartitionSpec(*spec, *[None] * (2 - len(spec))), array.sharding
    assert dict(array.sharding.mesh.shape) == {"data": 2, "model": 4}
    assert {shard.data.shape for shard in array.addressable_shards} == {part} and tuple(x.to_local().shape) == part
    # the memory of the tensor lies so, not a copy that is made when it is asked for
    memory = x._storage.value.array
    assert memory.sharding.is_equivalent_to(array.sharding, 2) and len({shard.device for shard in memory.addressable_shards}) == 8
    y = torch.tanh(x * 2)
    assert y.placements == x.placements and torch.equal(y.full_tensor(), torch.tanh(whole * 2))
    back = DTensor.from_jax(jax.jit(lambda a: a + 1)(array), mesh)
    assert back.placements == tuple(placements) and torch.equal(back.full_tensor(), whole + 1)

model = nn.Sequential(nn.Linear(128, 256), nn.GELU(), nn.Linear(256, 8))
plain = nn.Sequential(nn.Linear(128, 256), nn.GELU(), nn.Linear(256, 8))
plain.load_state_dict(model.state_dict())
parts = copy.deepcopy(plain)
parallelize_module(model, mesh["model"], {"0": ColwiseParallel(), "2": RowwiseParallel()})
fully_shard(parts, mesh=mesh["data"])
both = copy.deepcopy(plain)
parallelize_module(both, mesh["model"], {"0": ColwiseParallel(), "2": RowwiseParallel()})
fully_shard(both, mesh=mesh["data"])
for net in (model, parts, both, plain):
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        net(whole).square().mean().backward()
        optimizer.step()
for net in (model, parts, both):
    for a, b in zip(net.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(a.full_tensor(), b, atol=1e-4), (a.full_tensor() - b).abs().max()
assert parts[0].weight.placements == (Shard(0),) and jnp.asarray(parts[0].weight).sharding.spec == PartitionSpec("data", None)
assert jnp.asarray(both[0].weight).sharding.spec == PartitionSpec(("model", "data"), None)
assert jnp.asarray(both[2].weight).sharding.spec == PartitionSpec("data", "model")
saved = {name: value.full_tensor() for name, value in model.state_dict().items()}
dcp.save(model.state_dict(), checkpoint_id=f"{sys.argv[1]}.folder")
for kind in (torch.zeros_like, lambda value: distribute_tensor(torch.zeros(value.shape), mesh, [Shard(0), Replicate()])):
    found = {name: kind(value) for name, value in saved.items()}
    dcp.load(found, checkpoint_id=f"{sys.argv[1]}.folder")
    for name, value in found.items():
        assert torch.equal(value.full_tensor() if isinstance(value, DTensor) else value, saved[name]), name
first = model[0].weight
assert {shard.data.shape for shard in jnp.asarray(first).addressable_shards} == {(64, 128)}
state = next(iter(optimizer.state.values()))["exp_avg"]
assert state.shape == first.shape

uneven = distribute_tensor(torch.ones(5, 3), mesh, [Shard(0), Replicate()])
assert uneven.to_local().shape == (3, 3) and uneven.sum().item() == 15
refused(lambda: jnp.asarray(uneven), "dimension 0 of (5, 3) is not divisible by 2", ValueError)
refused(lambda: DTensor.from_local(whole, mesh, [Shard(0), Replicate()]), "use distribute_tensor", NotImplementedError)
refused(lambda: DTensor.from_local(whole, mesh, [Partial(), Replicate()]), "use distribute_tensor", NotImplementedError)
Path(f"{sys.argv[1]}.{dist.get_rank()}").write_text("done")
