"""Collective operations on tensors and objects, messages, groups."""

import sys
import warnings
from pathlib import Path

import torch
import torch.distributed as dist

warnings.simplefilter("ignore")  # of names that torch calls by others now
torch.manual_seed(0)
rank, size = dist.get_rank(), dist.get_world_size()
lines = [f"{rank} of {size} {dist.get_backend()} {dist.is_initialized()} {dist.get_process_group_ranks(None)}"]


def say(name, *values):
    lines.append(f"{name}: " + "; ".join(str(value) for value in values))


def error(name, call):
    try:
        call()
    except Exception as error:
        say(name, type(error).__name__, str(error)[:40])
    else:
        say(name, "no error")


def numbers(dtype=torch.float32, count=4):
    return (torch.arange(count) + rank + 1).to(dtype)


R = dist.ReduceOp
for dtype in (torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bfloat16, torch.float16):
    for op in (R.SUM, R.PRODUCT, R.MIN, R.MAX):
        x = numbers(dtype)
        say(f"all_reduce {dtype} {op}", dist.all_reduce(x, op=op), x)
for op in (R.BAND, R.BOR, R.BXOR):
    x = numbers(torch.int64)
    dist.all_reduce(x, op=op)
    say(f"all_reduce {op}", x)
for dtype in (torch.float32, torch.bfloat16):
    x = numbers(dtype)
    dist.all_reduce(x, op=R.AVG)
    say("all_reduce AVG", x)
for op in (R.SUM, R.MAX, R.BAND):
    x = torch.tensor([rank == 0, True, False])
    dist.all_reduce(x, op=op)
    say(f"all_reduce bool {op}", x)
x = numbers(torch.complex64) * 1j
dist.all_reduce(x)
say("all_reduce complex", x)

y = numbers() * 2  # pending when it is sent
work = dist.all_reduce(y, async_op=True)
say("async", work.wait(), y, work.is_completed(), work.get_future().wait())

for dtype in (torch.float32, torch.bool, torch.bfloat16, torch.int64):
    x = numbers(dtype)
    dist.broadcast(x, src=size - 1)
    say(f"broadcast {dtype}", x)
x = torch.tensor([float("nan"), -0.0]) if rank == 1 else torch.ones(2)
dist.broadcast(x, 1)
say("broadcast nan", x)
x = numbers()
dist.reduce(x, dst=1)
say("reduce", x if rank == 1 else "")
listed = [torch.zeros(4) for _ in range(size)]
dist.all_gather(listed, numbers())
say("all_gather", listed)
listed = [torch.zeros(2, 2, dtype=torch.bool) for _ in range(size)]
dist.all_gather(listed, torch.tensor([[True, False], [rank == 0, rank == 1]]))
say("all_gather bool", listed)
out = torch.zeros(size * 2, 2)
dist.all_gather_into_tensor(out, numbers().reshape(2, 2))
say("all_gather_into_tensor", out)
listed = [torch.zeros(4) for _ in range(size)] if rank == 0 else None
dist.gather(numbers(), listed, dst=0)
say("gather", listed)
x = torch.zeros(3)
dist.scatter(x, [torch.full((3,), float(i)) for i in range(size)] if rank == 0 else None, src=0)
say("scatter", x)
x = torch.zeros(2)
dist.reduce_scatter(x, [torch.full((2,), float(i * 10 + rank)) for i in range(size)])
say("reduce_scatter", x)
x = torch.zeros(2)
dist.reduce_scatter_tensor(x, torch.arange(2.0 * size) + rank)
say("reduce_scatter_tensor", x)
x = torch.zeros(size, dtype=torch.int64)
dist.all_to_all_single(x, torch.arange(size) + 10 * rank)
say("all_to_all_single", x)
sent = [i + 1 for i in range(size)]
x = torch.zeros((rank + 1) * size, 2)
dist.all_to_all_single(x, torch.arange(2.0 * sum(sent)).reshape(-1, 2) + 100 * rank, [rank + 1] * size, sent)
say("all_to_all_single split", x)

objects = [None] * size
dist.all_gather_object(objects, {"rank": rank, "text": "x" * rank})
say("all_gather_object", objects)
objects = [1, {"a": rank}, "c"] if rank == 0 else [None] * 3
dist.broadcast_object_list(objects, src=0)
say("broadcast_object_list", objects)
objects = [None] * size if rank == 0 else None
dist.gather_object((rank, [rank]), objects, dst=0)
say("gather_object", objects)
out = [None]
dist.scatter_object_list(out, [f"for {i}" for i in range(size)] if rank == 0 else [None], src=0)
say("scatter_object_list", out)

after, to = (rank - 1) % size, (rank + 1) % size
x = torch.zeros(4)
if rank == 0:
    dist.send(numbers(), to)
    say("recv", dist.recv(x, after), x)
else:
    say("recv", dist.recv(x, after), x)
    dist.send(x + rank, to)
x = torch.zeros(2, dtype=torch.int64)
works = dist.batch_isend_irecv([dist.P2POp(dist.isend, torch.tensor([rank, 7]), to), dist.P2POp(dist.irecv, x, after)])
for work in works:
    work.wait()
say("batch_isend_irecv", x)
if rank == 0:
    for work in [dist.isend(torch.full((1,), float(tag)), 1, tag=tag) for tag in (1, 2)]:
        work.wait()
if rank == 1:
    got = [torch.zeros(1), torch.zeros(1)]
    dist.recv(got[0], 0, tag=2)
    dist.recv(got[1], 0, tag=1)
    say("tags", got)
if rank == 1:
    dist.send(torch.ones(1), 0)
if rank == 0:
    x = torch.zeros(1)
    say("recv of any", dist.recv(x), x)

one = dist.new_group([1])
say("group of one", dist.get_rank(one), dist.get_world_size(one))
x = numbers()
if rank == 1:
    dist.all_reduce(x, group=one)
back = dist.new_group([1, 0])
say("x", x)
if rank < 2:
    say("group", dist.get_rank(back), dist.get_process_group_ranks(back), dist.get_global_rank(back, 1), dist.get_group_rank(back, 0))
    x = numbers()
    dist.broadcast(x, src=1, group=back)
    say("broadcast in a group", x)
halves = [dist.new_group([rank for rank in range(size) if rank % 2 == half]) for half in (0, 1)]
x = numbers()
dist.all_reduce(x, group=halves[rank % 2])
say("halves", x)
own, every = dist.new_subgroups(1)
say("new_subgroups", dist.get_world_size(own), len(every))
dist.barrier()
dist.monitored_barrier()

error("not a tensor", lambda: dist.all_reduce(3))
error("not a list", lambda: dist.all_gather(torch.ones(1), torch.ones(1)))
error("to oneself", lambda: dist.send(torch.ones(1), rank))
error("twice", lambda: dist.init_process_group("gloo"))
error("far group", lambda: dist.new_group([0, size]))
error("complex max", lambda: dist.all_reduce(torch.ones(2, dtype=torch.complex64), op=R.MAX))
error("dtypes", lambda: dist.all_gather([torch.zeros(2, dtype=torch.int64)] * size, torch.zeros(2)))
error("no list", lambda: dist.gather(torch.ones(1), None if rank == 0 else [torch.ones(1)], dst=0))
error("empty list", lambda: dist.scatter_object_list([], [1] * size))
dist.barrier()
Path(f"{sys.argv[1]}.{rank}").write_text("\n".join(lines))
