"""DTensors as JAX's arrays over all processes, and back; run by ``python -m funnn launch`` with two processes."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import torch
import torch.distributed as dist
from jax.sharding import NamedSharding, PartitionSpec
from telling import refused
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor

import funnn.distributed

funnn.distributed.initialize()
dist.init_process_group("gloo")
rank, size = dist.get_rank(), dist.get_world_size()
assert jax.process_count() == size == 2
mesh = init_device_mesh("cpu", (2,), mesh_dim_names=("data",))
whole = torch.arange(24.0).reshape(4, 6)


def check(x, spec):
    """The array has this spec, and its part here is the DTensor's."""
    array = jnp.asarray(x)
    assert isinstance(array.sharding, NamedSharding) and array.sharding == x.sharding, array.sharding
    assert array.sharding.is_equivalent_to(NamedSharding(array.sharding.mesh, PartitionSpec(*spec)), 2), array.sharding
    assert array.shape == tuple(x.shape) and dict(array.sharding.mesh.shape) == {"data": 2}
    (shard,) = array.addressable_shards
    assert shard.data.tolist() == x.to_local().tolist()
    return array


for placement, spec in ((Shard(0), ("data",)), (Shard(1), (None, "data")), (Replicate(), ())):
    x = distribute_tensor(whole, mesh, [placement])
    array = check(x, spec)
    assert float(jax.jit(jnp.sum)(array)) == 276  # which JAX's partitioner adds up over processes
    back = DTensor.from_jax(jax.jit(lambda a: 2 * a)(array), mesh)
    assert back.placements == (placement,) and back.shape == x.shape
    assert back.full_tensor().tolist() == (2 * whole).tolist()
product = jax.jit(jnp.matmul)(*[jnp.asarray(distribute_tensor(one, mesh, [Shard(1)])) for one in (whole, whole.T.contiguous())])
assert DTensor.from_jax(product, mesh).full_tensor().tolist() == (whole @ whole.T).tolist()

summands = DTensor.from_local(torch.full((2, 2), rank + 1.0), mesh, [Partial()])
refused(lambda: summands.sharding, "redistribute it to Replicate or Shard", ValueError)
assert jnp.asarray(summands).addressable_shards[0].data.tolist() == [[3.0, 3.0], [3.0, 3.0]]
refused(lambda: jnp.asarray(distribute_tensor(whole[:3], mesh, [Shard(0)])), "is not divisible by 2", ValueError)
refused(lambda: DTensor.from_jax(jnp.ones(2), mesh), "expected a jax.Array with a NamedSharding", TypeError)
Path(f"{sys.argv[1]}.{rank}").write_text("done")
