"""DTensors as two processes of PyTorch have them, and one process of two devices: what the first process sees."""

import warnings

import torch
import torch.distributed as dist
from telling import Lines
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_module, distribute_tensor, ones
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

warnings.simplefilter("ignore")
lines = Lines()
say = lines.say
mesh = init_device_mesh("cpu", (2,), mesh_dim_names=("x",))
say("mesh", mesh.shape, mesh.size(), mesh.ndim, mesh.get_coordinate(), dist.get_rank())
whole = torch.arange(24.0).reshape(4, 6)
kinds = ([Shard(0)], [Shard(1)], [Replicate()])
for placements in kinds:
    x = distribute_tensor(whole, mesh, placements)
    say(f"{placements}", x.placements, x.shape, x.to_local().shape, x.to_local(), x, x.numel(), x.is_leaf)
    for target in kinds:
        y = x.redistribute(placements=target)
        say(f"to {target}", y.placements, y.to_local(), y)
    say("element by element", (x * 2 + 1).relu().placements, (x * 2 + 1).relu(), (x - x).placements)
    say("sums", x.sum(), x.sum(0), x.sum(1), x.mean(), x.mean(dim=0))
    say("product", x @ distribute_tensor(whole.t().contiguous(), mesh, [Replicate()]))
    say("of the whole", torch.cumsum(x, 1), x.sort(descending=True).values, x[1])
    leaf = distribute_tensor(whole, mesh, placements).requires_grad_()
    (leaf * leaf).sum().backward()
    say("gradient", leaf.grad, leaf.grad.placements)
    leaf = distribute_tensor(whole, mesh, placements).requires_grad_()
    (leaf.redistribute(placements=[Shard(0)]).to_local() if placements == [Shard(0)] else leaf.full_tensor()).sum().backward()
    say("gradient of a part", leaf.grad.to_local())
uneven = distribute_tensor(torch.arange(15.0).reshape(5, 3), mesh, [Shard(0)])
say("uneven", uneven.to_local(), uneven * 2, uneven.redistribute(placements=[Shard(1)]).to_local())
say("ones", ones(4, 3, device_mesh=mesh, placements=[Shard(0)]).to_local())
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
parallelize_module(model, mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})
say("placements", [(name, p.placements, tuple(p.to_local().shape)) for name, p in model.named_parameters()])
for kind in (torch.optim.SGD, torch.optim.AdamW):
    optimizer = kind(model.parameters(), lr=0.05)
    for step in range(3):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(whole / 24), torch.ones(4, 3))
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        say(f"{kind.__name__} step {step}", loss, norm, *[p.grad for p in model.parameters()])
        optimizer.step()
    say("trained", *model.parameters())
torch.manual_seed(0)
model = distribute_module(nn.Linear(3, 2), mesh)
say("replicated", model(distribute_tensor(torch.ones(4, 3), mesh, [Shard(0)])))
lines.write()
