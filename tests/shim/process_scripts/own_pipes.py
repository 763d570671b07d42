"""Pipelines whose stages several processes share, parts of several sizes, what is refused; run by ``python -m funnn launch`` with two processes."""

import copy
import sys
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.rpc as rpc
from telling import refused
from torch import nn
from torch.distributed.fsdp import fully_shard
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
from torch.nn.parallel import DistributedDataParallel as DDP

dist.init_process_group("gloo")
rank, cpu = dist.get_rank(), torch.device("cpu")
torch.manual_seed(0)
plain = [nn.Sequential(nn.Linear(3, 4), nn.Tanh()), nn.Linear(4, 1)]
data = torch.randn(2, 7, 3)


def loss(out, target):
    return (out - target).pow(2).sum()


def whole_grads(own):
    """The gradients of the whole batch of all processes."""
    x = data.flatten(0, 1)
    loss(own[1](own[0](x)), x.sum(1, keepdim=True)).div(2).backward()  # half of the sum over processes is their mean
    return [p.grad for module in own for p in module.parameters()]


# both stages in each process, which share them: they average once, after the last part
expected = whole_grads(copy.deepcopy(plain))
alone = dist.new_group([rank], use_local_synchronization=True)
for kind, share in ((ScheduleLoopedBFS, DDP), (ScheduleInterleaved1F1B, DDP), (ScheduleLoopedBFS, fully_shard)):
    own = [share(module) for module in copy.deepcopy(plain)]
    stages = [PipelineStage(module, number, 2, cpu, group=alone) for number, module in enumerate(own)]
    schedule = kind(stages, 3, loss_fn=loss, scale_grads=False)
    for _ in range(2):
        for module in own:
            module.zero_grad()
        losses = []
        schedule.step(data[rank], target=data[rank].sum(1, keepdim=True), losses=losses)
        found = [p.grad.full_tensor() if share is fully_shard else p.grad for module in own for p in module.parameters()]
        assert len(losses) == 3
        for a, b in zip(found, expected, strict=True):
            assert torch.allclose(a, b, atol=1e-5), (kind, share, a, b)

# parts of 3, 2 and 2, which PyTorch wants alike
own = copy.deepcopy(plain)[rank]
schedule = Schedule1F1B(PipelineStage(own, rank, 2, cpu), 3, loss_fn=loss, scale_grads=False)
out = schedule.step(*[data[0]][rank:], target=data[0].sum(1, keepdim=True))
both = copy.deepcopy(plain)
wanted = both[1](both[0](data[0]))
loss(wanted, data[0].sum(1, keepdim=True)).backward()
assert out is None if rank == 0 else torch.allclose(out, wanted, atol=1e-6)
for a, b in zip(own.parameters(), both[rank].parameters(), strict=True):
    assert torch.allclose(a.grad, b.grad, atol=1e-5)

stage = PipelineStage(own, rank, 2, cpu)
refused(lambda: PipelineStage(own, 1 - rank, 2, cpu), "belongs to the process of rank", ValueError)
refused(lambda: PipelineStage(own, 2, 2, cpu), "Stage index 2 is out of range of 2", ValueError)
refused(lambda: PipelineStage(own, 0, 1, cpu), "cannot be larger than number of stages")
refused(lambda: ScheduleGPipe(stage, 0), "n_microbatches: expected a whole number of at least 1, got 0", ValueError)
refused(lambda: ScheduleGPipe(PipelineStage(own, rank, 4, cpu), 2), "expected one stage in each of 2 processes, got 4 stages", ValueError)
refused(lambda: ScheduleLoopedBFS([PipelineStage(own, rank, 4, cpu)], 2), f"expected the stages {[rank, rank + 2]}", ValueError)
both_stages = [PipelineStage(own, rank + 2 * number, 4, cpu) for number in range(2)]
refused(lambda: ScheduleInterleaved1F1B(both_stages, 5), "multiple of the number of rounds (2), but got 5", ValueError)
with torch.no_grad():
    refused(schedule.step, "Please call eval() instead")
refused(lambda: pipeline(plain[0], (data[0],), split_spec={"7": SplitPoint.END}), "it calls ['0', '1']", ValueError)


def halves(traced):
    """A policy: a new stage begins at the middle of the modules that are called."""
    called = [node for node in traced.graph.nodes if node.op == "call_module"]
    with traced.graph.inserting_before(called[len(called) // 2]):
        traced.graph.call_function(pipe_split, (), {})
    traced.recompile()
    return traced


whole = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4), nn.Linear(4, 1))
pipe = pipeline(whole, (data[0],), split_policy=halves)
first, second = (pipe.get_stage_module(number) for number in range(2))
assert pipe.num_stages == 2 and [name for name, _ in second.named_parameters()] == ["2.weight", "2.bias", "3.weight", "3.bias"]
assert torch.equal(second(first(data[0])), whole(data[0])) and not any(node.target is pipe_split for node in first.graph.nodes)
refused(lambda: pipeline(plain[0], (data[0],)).get_stage_module(1), "Invalid stage index 1!", ValueError)
refused(lambda: rpc.init_rpc("worker"), "use torch.distributed.send", NotImplementedError)
if rank == 0:
    tuple_of_numbers = PipelineStage(nn.Identity(), 0, 2, cpu)
    tuple_of_numbers.submod.forward = lambda x: (x, 3)
    refused(lambda: ScheduleGPipe(tuple_of_numbers, 1).step(data[0]), "a tensor or a tuple of tensors for the next stage", TypeError)
Path(f"{sys.argv[1]}.{rank}").write_text("done")
