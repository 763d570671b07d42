"""A mesh of two axes, for four processes."""

import warnings

import torch
import torch.distributed as dist
from telling import Lines
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

warnings.simplefilter("ignore")
rank, size = dist.get_rank(), dist.get_world_size()
lines = Lines()
say = lines.say


whole = torch.arange(15.0).reshape(5, 3)
grid = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
say(
    "grid",
    grid.shape,
    grid["tp"].size(),
    grid["dp"].get_local_rank(),
    grid["tp"].mesh.tolist(),
    grid.get_local_rank("dp"),
    grid["dp", "tp"].shape,
)
x = distribute_tensor(whole, grid, [Shard(0), Shard(1)])
say("on a grid", x, x.to_local(), x + x, x @ x.t(), x.sum(), x.redistribute(placements=[Replicate(), Shard(0)]).to_local())
x = distribute_tensor(whole, grid, [Shard(0), Shard(0)])
say("split twice", x, x.redistribute(placements=[Shard(1), Replicate()]).to_local())
lines.write()
