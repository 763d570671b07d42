"""Pipelines: schedules of one and of several stages in a process, stages made by hand and cut out of a graph."""

import copy
import warnings

import torch
import torch.distributed as dist
from telling import Lines
from torch import nn
from torch.distributed.pipelining import (
    PipelineStage,
    Schedule1F1B,
    ScheduleGPipe,
    ScheduleInterleaved1F1B,
    ScheduleLoopedBFS,
    SplitPoint,
    pipe_split,
    pipeline,
)
from torch.distributed.pipelining.microbatch import TensorChunkSpec
from torch.distributed.pipelining.schedules import get_schedule_class

warnings.simplefilter("ignore")
rank, cpu = dist.get_rank(), torch.device("cpu")
lines = Lines(digits=2)
say = lines.say


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(6), nn.Linear(6, 6)

    def forward(self, x):
        return x + torch.relu(self.linear(self.norm(x)))


class Net(nn.Module):
    def __init__(self, is_cut=False):
        super().__init__()
        self.embed = nn.Linear(4, 6)
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.head = nn.Linear(6, 3)
        self.is_cut = is_cut

    def forward(self, x):
        first = x = self.embed(x)
        x = self.blocks[0](x)
        if self.is_cut:
            pipe_split()
        x = self.blocks[1](x)
        return self.head(x + first)  # a value that skips a block


def train(schedule, modules, name, x, y):
    optimizer = torch.optim.SGD([p for module in modules for p in module.parameters()], lr=0.1)
    for step in range(2):
        losses = []
        optimizer.zero_grad()
        inputs = (x,) if rank == 0 else ()
        out = schedule.step(*inputs, target=y, losses=losses) if rank == dist.get_world_size() - 1 else schedule.step(*inputs)
        say(f"{name} {step}", "nothing" if out is None else out, *losses)
        say("gradients", *[p.grad for module in modules for p in module.parameters()])
        optimizer.step()
    return schedule


torch.manual_seed(0)
parts = [nn.Sequential(nn.Linear(4, 6), nn.ReLU()), Block(), nn.Sequential(Block(), nn.Dropout(0.0)), nn.Linear(6, 3)]
net = Net()
x, y = torch.randn(8, 4), torch.randint(3, (8,))
loss = nn.functional.cross_entropy
for kind in (ScheduleGPipe, Schedule1F1B):
    own = nn.Sequential(*copy.deepcopy(parts[2 * rank : 2 * rank + 2]))
    schedule = train(kind(PipelineStage(own, rank, 2, cpu), 4, loss_fn=loss), [own], kind.__name__, x, y)
    with torch.no_grad():
        out = schedule.eval(*([x] if rank == 0 else []), target=y)
    say("evaluated", "nothing" if out is None else out)
for kind in (ScheduleInterleaved1F1B, ScheduleLoopedBFS):
    own = copy.deepcopy(parts[rank::2])
    stages = [PipelineStage(module, rank + 2 * number, 4, cpu) for number, module in enumerate(own)]
    train(kind(stages, 4, loss_fn=loss), own, kind.__name__, x, y)
own = nn.Sequential(*copy.deepcopy(parts[2 * rank : 2 * rank + 2]))
sums = get_schedule_class("1f1b")(PipelineStage(own, rank, 2, cpu), 2, loss_fn=nn.CrossEntropyLoss(reduction="sum"), scale_grads=False)
train(sums, [own], "sums", x, y)


class Second(nn.Module):
    def forward(self, a, b, scale=1.0):
        return a * b * scale


class First(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x):
        return self.a(x.t()), self.b(x.t())


own = (First(), Second())[rank]
schedule = ScheduleGPipe(
    PipelineStage(own, rank, 2, cpu), 2, loss_fn=lambda out, target: (out - target).pow(2).sum(), args_chunk_spec=(TensorChunkSpec(1),)
)
if rank == 0:
    schedule.step(torch.arange(16.0).reshape(4, 4) / 10)
else:
    losses = []
    say("two values", schedule.step(target=torch.ones(4, 3), losses=losses), *losses)
say("two values", *[p.grad for p in own.parameters()])

for name, spec in (("beginning", {"blocks.1": SplitPoint.BEGINNING}), ("end", {"blocks.0": SplitPoint.END}), ("by a call", None)):
    torch.manual_seed(1)
    pipe = pipeline(Net(is_cut=spec is None), mb_args=(x[:2],), split_spec=spec)
    stage = pipe.build_stage(rank, cpu)
    say(name, pipe.num_stages, [key for key, _ in sorted(stage.submod.named_parameters())])
    schedule = ScheduleGPipe(stage, 4, loss_fn=loss)
    losses = []
    out = schedule.step(x) if rank == 0 else schedule.step(target=y, losses=losses)
    say("out", "nothing" if out is None else out, *losses)
    say("gradients", *[p.grad for _, p in sorted(stage.submod.named_parameters())])
try:
    schedule.step(*([x[:3]] if rank == 0 else []), target=y[:3])
except AssertionError as error:
    say("too few", str(error)[:40])
lines.write()
