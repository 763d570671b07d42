"""DistributedDataParallel: what it shares, averages and refuses; its sampler; gradients through collective operations."""

import os
import tempfile
import warnings

import torch
import torch.distributed as dist
import torch.distributed.nn.functional as F
from telling import Lines
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
from torch.nn.parallel import DistributedDataParallel as DDP
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

warnings.simplefilter("ignore")
rank, size = dist.get_rank(), dist.get_world_size()
lines = Lines(digits=4)
say = lines.say
torch.set_printoptions(precision=4, sci_mode=False)


def total(model):
    return sum(p.detach().double().abs().sum() for p in model.parameters())


torch.manual_seed(rank)  # different weights, until DDP takes those of rank 0
model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 1))
ddp = DDP(model)
say("after construction", total(ddp), list(ddp.state_dict()), type(ddp.module).__name__)
torch.manual_seed(0)
data = TensorDataset(torch.randn(22, 5), torch.randn(22, 1))
sampler = DistributedSampler(data, shuffle=True, seed=3)
loader = DataLoader(data, batch_size=4, sampler=sampler)
optimizer = torch.optim.SGD(ddp.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
for epoch in range(3):
    sampler.set_epoch(epoch)
    for x, y in loader:
        optimizer.zero_grad()
        loss = ((ddp(x) - y) ** 2).mean()
        loss.backward()
        optimizer.step()
    say(f"epoch {epoch}", loss, total(ddp), model[1].running_mean)
say("grads", *[p.grad for p in ddp.parameters()])

optimizer.zero_grad()
for step, (x, y) in enumerate(loader):  # gradients are accumulated over two batches
    with ddp.no_sync() if step % 2 == 0 else torch.enable_grad():
        ((ddp(x) - y) ** 2).mean().backward()
    say(f"step {step}", ddp.module[0].weight.grad[0])
    if step % 2:
        optimizer.step()
        optimizer.zero_grad()
say("accumulated", total(ddp))
with torch.no_grad():
    say("evaluated", ddp.eval()(torch.ones(2, 5)))
ddp.train()


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right, self.never = nn.Linear(3, 1), nn.Linear(3, 1), nn.Linear(3, 1)

    def forward(self, x, which):
        return self.left(x) if which == 0 else self.right(x)


torch.manual_seed(1)
branches = DDP(Branches(), find_unused_parameters=True)
x = torch.arange(6.0).reshape(2, 3) + rank
for _turn in range(2):
    branches(x, rank % 2).sum().backward()
    say("branches", *[p.grad for p in branches.parameters()])
branches = DDP(Branches())
branches(x, 0).sum().backward()
try:
    branches(x, 0)
except RuntimeError as error:
    say("unused", str(error)[:60])

torch.manual_seed(2)
hooked = DDP(nn.Linear(3, 2))
hooked.register_comm_hook(None, default_hooks.fp16_compress_hook)
hooked(x).pow(2).sum().backward()
say("hooked", hooked.module.weight.grad)


def double(state, bucket):
    future = dist.all_reduce(bucket.buffer(), async_op=True).get_future()
    return future.then(lambda f: f.value()[0] * state)


hooked = DDP(nn.Linear(3, 2))
hooked.register_comm_hook(2.0, double)
hooked(x).sum().backward()
say("doubled", hooked.module.bias.grad)
try:
    DDP(nn.ReLU())
except RuntimeError as error:
    say("no parameters", str(error)[:60])
dist.barrier()
static = DDP(nn.Linear(3, 2), static_graph=True, broadcast_buffers=False)
for _turn in range(2):
    static(x).sum().backward()
say("static", static.module.weight.grad)

where = os.path.join(tempfile.gettempdir(), f"ddp-{os.environ['MASTER_PORT']}.pt")
if rank == 0:
    torch.save(ddp.state_dict(), where)
dist.barrier()
read = DDP(nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 1)))
say("read", read.load_state_dict(torch.load(where, map_location="cpu")), total(read))
dist.barrier()
if rank == 0:
    os.remove(where)

weight = torch.arange(3.0, requires_grad=True)
w = weight * (rank + 1)
for name, call in (
    ("all_reduce", lambda: F.all_reduce(w)),
    ("broadcast", lambda: F.broadcast(w, 1)),
    ("reduce", lambda: F.reduce(w, 1)),
    ("all_gather", lambda: torch.stack(F.all_gather(w)) * torch.arange(1.0, size + 1)[:, None]),
    ("gather", lambda: torch.stack(F.gather(w, 1)) * torch.arange(1.0, size + 1)[:, None]),
    ("scatter", lambda: F.scatter([w * (i + 1) for i in range(size)], 1)),
    ("reduce_scatter", lambda: F.reduce_scatter(torch.zeros(3), [w * (i + 1) for i in range(size)])),
    ("all_to_all", lambda: torch.stack(F.all_to_all([torch.zeros(3) for _ in range(size)], [w * (i + 1) for i in range(size)]))),
    ("all_to_all_single", lambda: F.all_to_all_single(torch.zeros(2 * size), torch.cat([w[:2]] * size) * 2)),
):
    weight.grad = None
    y = call()
    (y * (rank + 1)).sum().backward(retain_graph=True)
    say(f"gradient of {name}", y if name not in ("reduce", "gather") or rank == 1 else "", weight.grad)
dist.barrier()
lines.write()
