"""What DTensors and fully_shard refuse, or do otherwise than PyTorch; run by ``python -m funnn launch`` with two processes."""

import copy
import io
import sys
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from telling import refused
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict, set_optimizer_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module

dist.init_process_group("gloo")
rank, mesh = dist.get_rank(), init_device_mesh("cpu", (2,))


def error(call, text, kind=NotImplementedError):
    refused(call, text, kind)


a = distribute_tensor(torch.arange(8.0).reshape(4, 2), mesh, [Shard(0)])


def set_item():
    a[0] = 1


# what would write into a copy, or change a part by itself
error(set_item, "__setitem__ of a DTensor")
error(lambda: a.view(-1).add_(1), "would write into a copy")
error(lambda: a.t().mul_(2), "would write into a copy")
error(lambda: torch.add(a, a, out=a), "add of a DTensor is not supported in place")
error(lambda: a.normal_(), "normal_ of a DTensor")
error(lambda: torch.save(a, io.BytesIO()), "can't be pickled")
for optimizer in (torch.optim.Muon, torch.optim.LBFGS, torch.optim.Adafactor):
    error(lambda optimizer=optimizer: optimizer([nn.Parameter(a)]), f"{optimizer.__name__} needs whole parameters")

# what lies otherwise is brought into the layout of what it is written into
other = a.clone().add_(distribute_tensor(torch.ones(4, 2), mesh, [Shard(1)]))
assert other.placements == (Shard(0),) and other.full_tensor().tolist() == (a.full_tensor() + 1).tolist()

# parameters: memory, copies, norms over processes
p = nn.Parameter(a.clone())
p.data.add_(1)
assert p.full_tensor().sum() == 36
with torch.no_grad():
    p.sub_(1)
assert p.full_tensor().sum() == 28
q = copy.deepcopy(p)
assert isinstance(q, nn.Parameter) and q.placements == p.placements and q.requires_grad and q is not p
p.data = a * 2
assert p.full_tensor().sum() == 56 and q.full_tensor().sum() == 28
x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
for norm_type in (2.0, 1.0, 3.0, float("inf"), -float("inf"), 0.0):
    split, whole = distribute_tensor(x, mesh, [Shard(0)]), distribute_tensor(x * 3, mesh, [Replicate()])
    wanted, got = (torch.nn.utils.get_total_norm(both, norm_type) for both in ([x, x * 3], [split, whole]))
    assert torch.allclose(got, wanted), (norm_type, got, wanted)
assert repr(a).endswith("device_mesh=DeviceMesh((2,), 'cpu', stride=(1,)), placements=(Shard(dim=0),))")

# an optimizer's state lies as its parameters, and is loaded from DTensors and from whole tensors
start = torch.arange(10.0).reshape(5, 2)
for placement in (Shard(0), Shard(1), Replicate()):
    runs = []
    for saved_as in ("none", "parts", "whole"):
        p = nn.Parameter(distribute_tensor(start, mesh, [placement]))
        optimizer = torch.optim.Adam([p], lr=0.1)
        for step in range(4):
            optimizer.zero_grad()
            (p * p).sum().backward()
            optimizer.step()
            if step == 1 and saved_as != "none":
                saved = optimizer.state_dict()
                kept = saved["state"][0]["exp_avg"]
                assert isinstance(kept, DTensor) and kept.placements == (placement,) and kept.shape == (5, 2)
                error(lambda saved=saved: torch.save(saved, io.BytesIO()), "can't be pickled")
                if saved_as == "whole":
                    state = saved["state"][0]
                    saved["state"][0] = {name: one.full_tensor() if isinstance(one, DTensor) else one for name, one in state.items()}
                optimizer = torch.optim.Adam([p], lr=0.1)
                optimizer.load_state_dict(saved)
        runs.append(p.full_tensor())
    assert torch.equal(runs[0], runs[1]) and torch.equal(runs[0], runs[2])

# checkpoints: what is not there, does not fit, or is another library's
folder = Path(f"{sys.argv[1]}.checkpoint")
dcp.save({"a": a, "n": 1}, checkpoint_id=folder)
error(
    lambda: dcp.load({"a": torch.zeros(3)}, checkpoint_id=folder),
    "Size mismatch between saved [4, 2] and current: [3] for a",
    dcp.CheckpointException,
)
error(lambda: dcp.load({"b": 1}, checkpoint_id=folder), "Missing key in checkpoint state_dict: b", dcp.CheckpointException)
error(lambda: dcp.load({"a": a}, checkpoint_id=folder / "no"), "has no whole checkpoint", dcp.CheckpointException)
error(lambda: dcp.save({}, checkpoint_id=None), "checkpoint_id is needed", ValueError)
error(lambda: dcp.save({}, checkpoint_id=folder, planner=3), "leave planner out")
theirs = Path(f"{sys.argv[1]}.theirs{rank}")
theirs.mkdir()
(theirs / ".metadata").touch()
error(lambda: dcp.load({"a": a}, checkpoint_id=theirs), "has a checkpoint that PyTorch wrote", dcp.CheckpointException)
alone = {"a": torch.zeros(4, 2)}
dcp.load(alone, checkpoint_id=folder, no_dist=True)
assert torch.equal(alone["a"], a.full_tensor())

# layouts and meshes
error(lambda: a.redistribute(placements=[Partial()]), "Can not redistribute to Partial", RuntimeError)
error(lambda: a.redistribute(), "placements is needed", RuntimeError)
error(lambda: distribute_tensor(x, mesh, [Shard(2)]), "Shard(dim=2) can't split a tensor of 2 dimensions", IndexError)
error(lambda: distribute_tensor(x, mesh, [Shard(0), Shard(1)]), "must have the same length as `device_mesh.ndim`", RuntimeError)
error(lambda: distribute_tensor(x, mesh, [Partial()]), "expected Shard and Replicate", RuntimeError)
error(lambda: init_device_mesh("cpu", (3,)), "as many places as there are processes, 2, got 3", RuntimeError)
error(lambda: init_device_mesh("cpu", (1, 2), mesh_dim_names=("a", "a")), "must be unique", RuntimeError)
error(lambda: mesh["tp"], "Invalid mesh_dim_name 'tp'", KeyError)
two = init_device_mesh("cpu", (1, 2), mesh_dim_names=("dp", "tp"))
error(lambda: parallelize_module(nn.Linear(2, 2), two, ColwiseParallel()), "only accepts a 1D DeviceMesh", ValueError)
error(lambda: a + distribute_tensor(torch.ones(4, 2), two, [Replicate(), Shard(0)]), "DTensors on several meshes", RuntimeError)

# fully_shard: its refusals, parameters put together by hand, copies of parts on a mesh of two axes
linear = fully_shard(nn.Linear(3, 2))
error(
    lambda: fully_shard(nn.Linear(3, 2), shard_placement_fn=lambda one: Shard(one.dim() - 1)),
    "uneven sharding on dim 1: torch.Size([2, 3])",
)
error(lambda: fully_shard(nn.Linear(2, 2), shard_placement_fn=lambda one: Shard(1)), "got Shard(dim=1)", ValueError)
error(lambda: fully_shard(nn.Linear(2, 2), shard_placement_fn=lambda one: Replicate()), "got Replicate()", ValueError)
other = init_device_mesh("cpu", (1, 2), mesh_dim_names=("dp", "tp"))
split = parallelize_module(nn.Linear(2, 2), init_device_mesh("cpu", (2,), mesh_dim_names=("tp",)), ColwiseParallel())
error(lambda: fully_shard(split, mesh=other["dp"]), "take both from one init_device_mesh with mesh_dim_names", ValueError)
error(lambda: nn.parallel.DistributedDataParallel(split), "the parameter 'weight' is a DTensor")
number = nn.Module()
number.weight = nn.Parameter(torch.tensor(1.0))
error(lambda: fully_shard(number), "doesn't support scalar parameters", ValueError)
linear.unshard()
assert linear.weight.shape == (2, 3) and not isinstance(linear.weight, DTensor)
linear.reshard()
assert isinstance(linear.weight, DTensor) and linear.weight.to_local().shape == (1, 3)
for grid in (init_device_mesh("cpu", (2, 1)), init_device_mesh("cpu", (1, 2))):
    torch.manual_seed(0)
    whole, data = nn.Linear(3, 2), torch.randn(4, 3)
    split = copy.deepcopy(whole)
    fully_shard(split, mesh=grid)
    whole(data).pow(2).mean().backward()
    split(data[2 * rank : 2 * rank + 2]).pow(2).mean().backward()
    assert torch.allclose(split.weight.grad.full_tensor(), whole.weight.grad, atol=1e-6)
    assert torch.allclose(split.bias.grad.full_tensor(), whole.bias.grad, atol=1e-6)
optimizer, fresh = (torch.optim.AdamW(split.parameters()) for _ in range(2))
optimizer.step()
whole_state = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
state = get_optimizer_state_dict(split, optimizer, options=whole_state)
set_optimizer_state_dict(split, fresh, state if rank == 0 else {}, options=whole_state)
assert state["state"]["weight"]["exp_avg"].shape == (2, 3)
again = get_optimizer_state_dict(split, fresh, options=whole_state)
assert all(torch.equal(again["state"][name]["exp_avg"], state["state"][name]["exp_avg"]) for name in ("weight", "bias"))
refused(
    distribute_tensor(torch.ones(4), init_device_mesh("cpu", (2,)), [Shard(0)]).__jax_array__, "call funnn.distributed.initialize() before"
)
Path(f"{sys.argv[1]}.{rank}").write_text("done")
