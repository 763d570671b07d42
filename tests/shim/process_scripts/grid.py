"""A mesh of two axes, for four processes."""

import sys
import warnings
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

warnings.simplefilter("ignore")
rank, size = dist.get_rank(), dist.get_world_size()
lines = []


def say(name, *values):
    shown = []
    for value in values:
        if isinstance(value, DTensor):
            full = value.full_tensor().detach()
            shown.append(f"{tuple(value.shape)} {[round(v, 3) + 0.0 for v in full.double().reshape(-1).tolist()]}")
        elif isinstance(value, torch.Tensor):
            shown.append(str([round(v, 3) + 0.0 for v in value.detach().double().reshape(-1).tolist()]))
        else:
            shown.append(str(value))
    lines.append(f"{name}: " + "; ".join(shown))


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
Path(f"{sys.argv[1]}.{rank}").write_text("\n".join(lines))
