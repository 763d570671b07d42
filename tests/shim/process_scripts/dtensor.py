"""DTensor: layouts, operations, gradients, optimizers."""

import warnings

import torch
import torch.distributed as dist
from telling import Lines
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_module, distribute_tensor, zeros

warnings.simplefilter("ignore")
rank, size = dist.get_rank(), dist.get_world_size()
lines = Lines()
say = lines.say


mesh = init_device_mesh("cpu", (size,), mesh_dim_names=("tp",))
say("mesh", mesh.shape, mesh.ndim, mesh.size(), mesh.get_local_rank(), mesh.get_coordinate()[0], mesh["tp"] == mesh, mesh.mesh.tolist())
say("group", dist.get_world_size(mesh.get_group()), dist.get_process_group_ranks(mesh.get_group("tp")))
torch.manual_seed(rank)
whole = torch.arange(15.0).reshape(5, 3) + rank  # the first process's counts
for placement in (Shard(0), Shard(1), Replicate()):
    x = distribute_tensor(whole, mesh, [placement])
    say(
        f"{placement}",
        x,
        x.to_local(),
        x.placements,
        x.requires_grad,
        x.is_leaf,
        type(x).__name__,
        x.dim(),
        x.numel(),
        x.size(0),
        len(x),
        x.dtype,
    )
    for other in (Shard(0), Shard(1), Replicate()):
        y = x.redistribute(mesh, [other])
        say(f"{placement} to {other}", y, y.to_local(), y.placements)
p = DTensor.from_local(torch.ones(2, 2) * (rank + 1), mesh, [Partial()])
say("partial", p, p.redistribute(placements=[Shard(0)]).to_local(), p.redistribute(placements=[Replicate()]).to_local())
s = DTensor.from_local(torch.ones(2, 2) * (rank + 1), mesh, [Shard(0)])
say("from_local", s, s.shape)

a = distribute_tensor(torch.arange(12.0).reshape(4, 3), mesh, [Shard(0)])
b = distribute_tensor(torch.arange(3.0), mesh, [Replicate()])
c = distribute_tensor(torch.arange(12.0).reshape(3, 4), mesh, [Shard(1)])
for name, y in (
    ("add", a + b),
    ("scalar", 2 * a - 1),
    ("exp", (a / 10).exp()),
    ("relu", torch.relu(a - 5)),
    ("compare", (a > 3).float()),
    ("matmul", a @ c),
    ("rows", a @ distribute_tensor(torch.ones(3, 2), mesh, [Replicate()])),
    ("columns", distribute_tensor(torch.ones(2, 3), mesh, [Replicate()]) @ c),
    ("inner", c.redistribute(placements=[Shard(1)]) @ distribute_tensor(torch.ones(4, 2), mesh, [Shard(0)])),
    ("sum", a.sum()),
    ("sum over rows", a.sum(0)),
    ("sum over columns", a.sum(1)),
    ("mean", a.mean()),
    ("mean over columns", a.mean(dim=1, keepdim=True)),
    ("max", a.max()),
    ("softmax", a.softmax(1)),
    ("transposed", a.t()),
    ("view", a.view(2, 6)),
    ("where", torch.where(a > 3, a, 0.0 * a)),
    ("norm", torch.linalg.vector_norm(a)),
    ("partial", (p + p) * 3),
):
    say(name, y)
say("placements", (a + 1).placements, a.sum(0).placements, a.sum(1).placements, (p + p).placements, torch.relu(a).placements)
x = distribute_tensor(torch.ones(4, 3), mesh, [Shard(0)])
x.add_(2).mul_(a)
say("in place", x)
say("zeros", zeros(4, 2, device_mesh=mesh, placements=[Shard(0)]))
try:
    a + torch.ones(4, 3)
except RuntimeError as error:
    say("mixed", "got mixed torch.Tensor and DTensor" in str(error))

torch.manual_seed(0)
w, v, bias, data = torch.randn(6, 3), torch.randn(2, 6), torch.randn(2), torch.randn(4, 3)
for first, second, batch in ((Shard(0), Shard(1), Replicate()), (Replicate(), Replicate(), Shard(0)), (Shard(1), Shard(0), Replicate())):
    dw = distribute_tensor(w, mesh, [first]).requires_grad_()
    dv = distribute_tensor(v, mesh, [second]).requires_grad_()
    db = distribute_tensor(bias, mesh, [Replicate()]).requires_grad_()
    x = distribute_tensor(data, mesh, [batch]).requires_grad_()
    y = nn.functional.linear(torch.relu(nn.functional.linear(x, dw)), dv, db)
    loss = (y * y).mean()
    loss.backward()
    say(f"gradients {first} {second} {batch}", loss, dw.grad, dv.grad, db.grad, x.grad)
local = torch.ones(2, requires_grad=True)
(DTensor.from_local(local, mesh, [Shard(0)]).full_tensor() * torch.arange(2.0 * size)).sum().backward()
say("gradient of a part", local.grad)

for make in (lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9), lambda ps: torch.optim.AdamW(ps, lr=0.1)):
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))

    def partition(name, module, mesh):
        if isinstance(module, nn.Linear):
            for key, parameter in list(module.named_parameters()):
                module.register_parameter(key, nn.Parameter(distribute_tensor(parameter, mesh, [Shard(0)])))

    distribute_module(model, mesh, partition)
    say("model", [type(one).__name__ for one in model.parameters()], [isinstance(one, nn.Parameter) for one in model.parameters()])
    optimizer = make(model.parameters())
    for _step in range(3):
        optimizer.zero_grad()
        loss = model(distribute_tensor(data, mesh, [Replicate()])).pow(2).mean()
        loss.backward()
        optimizer.step()
    say("trained", loss, *model.parameters())

lines.write()
