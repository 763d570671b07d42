"""Inputs that are uneven over processes: DistributedDataParallel.join, Join with an object of one's own."""

import warnings

import torch
import torch.distributed as dist
from telling import Lines
from torch import nn
from torch.distributed.algorithms.join import Join, Joinable, JoinHook
from torch.nn.parallel import DistributedDataParallel as DDP

warnings.simplefilter("ignore")
rank = dist.get_rank()
lines = Lines(digits=3)
say = lines.say


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.norm = nn.Linear(3, 4), nn.Linear(3, 4), nn.BatchNorm1d(4)

    def forward(self, x, branch):
        return self.norm(self.a(x) if branch else self.b(x))


for more in (0, 1):  # which process has more inputs
    for options in ({}, {"divide_by_initial_world_size": False}):
        torch.manual_seed(0)
        ddp = DDP(Branches(), find_unused_parameters=True)
        optimizer = torch.optim.SGD(
            ddp.parameters(), lr=0.1
        )  # without momentum, for which PyTorch's gradients of what nobody used are zeros where one process has ended
        torch.manual_seed(rank)
        with ddp.join(**options):
            for step in range(4 if rank == more else 2):
                optimizer.zero_grad()
                x = torch.randn(4, 3)
                if step == 2:  # accumulated, without a reduction
                    with ddp.no_sync():
                        ddp(x, True).pow(3).mean().backward()
                loss = ddp(x, step % 2).pow(3).mean()
                loss.backward()
                optimizer.step()
                say(f"{more} step {step}", loss)
        say("joined", *ddp.state_dict().values())
        say("after", ddp(torch.ones(4, 3), True).sum())

torch.manual_seed(0)
ddp = DDP(nn.Linear(3, 1))
try:
    with ddp.join(throw_on_early_termination=True):
        for _ in range(2 + rank):
            ddp(torch.ones(2, 3)).sum().backward()
except RuntimeError as error:
    say("thrown", error)
dist.barrier()
with ddp.join(enable=False):
    ddp(torch.ones(2, 3)).sum().backward()
say("even", ddp.module.weight.grad)


class Counting(Joinable):
    """Counts the inputs of all processes."""

    def __init__(self):
        super().__init__()
        self.count = torch.zeros(1)

    def __call__(self):
        Join.notify_join_context(self)
        one = torch.ones(1)
        dist.all_reduce(one)
        self.count += one

    def join_hook(self, **kwargs):
        return CountingHook(self, kwargs["final"])

    @property
    def join_device(self):
        return torch.device("cpu")

    @property
    def join_process_group(self):
        return dist.group.WORLD


class CountingHook(JoinHook):
    def __init__(self, counting, final):
        self.counting, self.final = counting, final

    def main_hook(self):
        dist.all_reduce(torch.zeros(1))

    def post_hook(self, is_last_joiner):
        say("last", is_last_joiner, self.final)


counting = Counting()
with Join([counting], final="word"):
    for _ in range(3 - rank):
        counting()
say("counted", counting.count)
try:
    Join([])
except ValueError as error:
    say("none", error)
lines.write()
