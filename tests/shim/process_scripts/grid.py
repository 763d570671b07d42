"""A mesh of two axes, for four processes: layouts, and modules that tensor parallelism splits over one and fully_shard over the other."""

import copy
import warnings

import torch
import torch.distributed as dist
from residual import Block
from telling import Lines
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

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


def made(seed):
    torch.manual_seed(seed)
    net = nn.Sequential(Block(), Block(), nn.Linear(4, 2))
    for block in net[:2]:
        parallelize_module(block, grid["tp"], {"up": ColwiseParallel(), "down": RowwiseParallel()})
        fully_shard(block, mesh=grid["dp"])
    fully_shard(net, mesh=grid["dp"])
    return net, torch.optim.AdamW(net.parameters(), lr=0.01)


def train(net, optimizer, first, last):
    for step in range(first, last):
        for part in range(2):  # of which the first is averaged with the second
            net.set_requires_gradient_sync(part == 1)
            torch.manual_seed(10 * step + 2 * part + grid.get_local_rank("dp"))
            loss = net(torch.randn(3, 4)).pow(2).mean()
            loss.backward()
        say(f"step {step}", loss, *[one.grad.full_tensor().norm() for one in net.parameters()])
        optimizer.step()
        optimizer.zero_grad()
    say("trained", *[one.full_tensor() for one in net.parameters()])


net, optimizer = made(0)
say("parts", *[tuple(one.to_local().shape) for one in net.parameters()], all(isinstance(one, DTensor) for one in net.parameters()))
train(net, optimizer, 0, 3)
whole = StateDictOptions(full_state_dict=True)
model_state, optimizer_state = copy.deepcopy(get_state_dict(net, optimizer, options=whole))  # the count of steps is one tensor in both else
say("state", {name: tuple(value.shape) for name, value in model_state.items()})
again, other = made(1)
set_state_dict(
    again,
    other,
    model_state_dict=model_state,
    optim_state_dict=optimizer_state,
    options=StateDictOptions(full_state_dict=True, broadcast_from_rank0=True),
)
train(net, optimizer, 3, 5)
train(again, other, 3, 5)
# last, for in PyTorch a tensor that is split twice has other numbers afterwards
flat, turned = grid["dp", "tp"]._flatten("both"), grid["dp"]._flatten("rows")
count = torch.full((2,), float(rank))
dist.all_reduce(count, group=grid.get_group("both"))
dist.all_reduce(count, group=turned.get_group())
say("flattened", flat.mesh.tolist(), flat.mesh_dim_names, grid["both"] == flat, grid["dp", "tp"]._flatten("both") is flat, count)
say(
    "flattened",
    turned.mesh.tolist(),
    turned.get_local_rank(),
    grid.get_local_rank("both"),
    grid._flatten("both").size(),
    grid.mesh_dim_names,
)
cube = init_device_mesh("cpu", (2, 1, 2), mesh_dim_names=("a", "b", "c"))
part = cube["a", "b"]._flatten()
dist.all_reduce(count, group=part.get_group())
say("part of a cube", part.mesh.tolist(), part.mesh_dim_names, cube["a_b"].get_local_rank(), count)
lines.write()
