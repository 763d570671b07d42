"""Checkpoints of modules that are split over processes, written and read in several layouts."""

import sys
import warnings

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from telling import Lines
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_model_state_dict,
    set_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

warnings.simplefilter("ignore")  # that a checkpoint is written over another
rank, size = dist.get_rank(), dist.get_world_size()
lines = Lines(digits=4)
say = lines.say


folder = f"{sys.argv[1]}.checkpoint"
mesh = init_device_mesh("cpu", (size,))
whole = torch.arange(15.0).reshape(5, 3)
state = {
    "split": distribute_tensor(whole, mesh, [Shard(0)]),
    "nested": {"columns": distribute_tensor(whole + 1, mesh, [Shard(1)]), "same": distribute_tensor(whole + 2, mesh, [Replicate()])},
    "plain": torch.arange(4),
    "step": 7,
    "listed": [torch.ones(2), torch.zeros(1)],
    "name": "a run",
}
dcp.save(state, checkpoint_id=folder)
read = {
    "split": distribute_tensor(whole * 0, mesh, [Shard(1)]),
    "nested": {"columns": torch.zeros(5, 3), "same": distribute_tensor(whole * 0, mesh, [Shard(0)])},
    "plain": torch.zeros(4, dtype=torch.int64),
    "step": 0,
    "listed": [torch.zeros(2), torch.ones(1)],
}
dcp.load(read, storage_reader=dcp.FileSystemReader(folder))
say("read", read["split"], read["nested"]["columns"], read["nested"]["same"], read["plain"], read["step"], *read["listed"])
try:
    dcp.load({"other": torch.zeros(1)}, checkpoint_id=folder)
except BaseException as error:  # PyTorch's is no Exception
    say("missing", "Missing key in checkpoint state_dict: other" in str(error))


def make():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    for layer in model:
        fully_shard(layer)
    return fully_shard(model)


def train(model, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model(torch.arange(6.0).reshape(2, 3) / 6 + rank).pow(2).mean()
        loss.backward()
        optimizer.step()
    return loss


model = make()
optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
train(model, optimizer, 2)
kept, of_optimizer = get_state_dict(model, optimizer)
say("names", list(kept), list(of_optimizer), sorted(of_optimizer["state"]))
dcp.save({"model": kept, "optimizer": of_optimizer}, checkpoint_id=folder)
full = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True))
say("full", *full.values())
say("trained", train(model, optimizer, 2), *model.parameters())
again = make()
optimizer = torch.optim.AdamW(again.parameters(), lr=0.05)
train(again, optimizer, 1)
kept, of_optimizer = get_state_dict(again, optimizer)
state = {"model": kept, "optimizer": of_optimizer}
dcp.load(state, checkpoint_id=folder)
set_state_dict(again, optimizer, model_state_dict=state["model"], optim_state_dict=state["optimizer"])
say("trained again", train(again, optimizer, 2), *again.parameters())
other = make()
say(
    "set", set_model_state_dict(other, full if rank == 0 else {}, options=StateDictOptions(full_state_dict=True, broadcast_from_rank0=True))
)
say("other", *other.parameters())
lines.write()
