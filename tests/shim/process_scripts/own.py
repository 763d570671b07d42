"""What PyTorch's Gloo refuses, gets wrong or dies of, and is right here; run by ``python -m funnn launch`` with two processes."""

import datetime
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from telling import refused as error
from torch import nn

seconds = datetime.timedelta(seconds=20)
dist.init_process_group("nccl", timeout=seconds)
rank, size = dist.get_rank(), dist.get_world_size()
assert dist.get_backend() == "nccl" and torch.distributed.is_gloo_available()

# what is not contiguous, types that Gloo has no sums of, several shapes, an output that is stacked
x = torch.zeros(3, 4)
part = x[:, 1]
part += rank + 1
dist.all_reduce(part)
assert x.sum() == 9 and x[:, 1].tolist() == [3, 3, 3]
for dtype in (torch.int16, torch.int8, torch.float64, torch.complex128):
    x = torch.ones(3, dtype=dtype) * (rank + 1)
    dist.all_reduce(x)
    assert x.dtype is dtype and x.tolist() == [3, 3, 3]
x = torch.full((2,), 3.0 + rank)
dist.all_reduce(x, op=dist._make_nccl_premul_sum(0.5))
assert x.tolist() == [3.5, 3.5]
found = [torch.zeros(1), torch.zeros(2)]
dist.all_gather(found, torch.full((rank + 1,), float(rank)))
assert [one.tolist() for one in found] == [[0.0], [1.0, 1.0]]
stacked = torch.zeros(2, 3)
dist.all_gather_into_tensor(stacked, torch.full((3,), float(rank)))
assert stacked.tolist() == [[0.0] * 3, [1.0] * 3]
bits = torch.tensor([1.0, float("nan")]) * (1 if rank else 2)
dist.broadcast(bits, src=0)
assert bits[0] == 2 and bits[1].isnan()
dist.all_reduce(torch.zeros(0))
dist.all_reduce(torch.tensor(1.0))

# many numbers, which a program of their own sends: few come with what the processes say of the operation
n = 400_000
for dtype in (torch.float32, torch.bfloat16, torch.int64, torch.complex64):
    base = torch.arange(n).remainder(7).to(dtype)
    x = base * (rank + 1)
    dist.all_reduce(x)
    assert torch.equal(x, base * 3)
    x = base * (rank + 1)
    dist.broadcast(x, src=1)
    assert torch.equal(x, base * 2)
    found = [torch.zeros_like(base) for _ in range(2)]
    dist.all_gather(found, base + rank)
    assert torch.equal(found[0], base) and torch.equal(found[1], base + 1)
    part = torch.zeros(n // 2, dtype=dtype)
    dist.reduce_scatter_tensor(part, base + rank)
    assert torch.equal(part, base[rank * n // 2 :][: n // 2] * 2 + 1)
    out = torch.zeros(n, dtype=dtype)
    dist.all_to_all_single(out, base + rank)
    mine = base[rank * n // 2 :][: n // 2]
    assert torch.equal(out, torch.cat([mine, mine + 1]))
    dist.scatter(part, [base[: n // 2] + 2, base[n // 2 :] + 3] if rank == 0 else None, src=0)
    assert torch.equal(part, mine + 2 + rank)
for op, expected in ((dist.ReduceOp.MAX, 2.0), (dist.ReduceOp.MIN, 1.0), (dist.ReduceOp.PRODUCT, 2.0), (dist.ReduceOp.AVG, 1.5)):
    x = torch.full((n,), rank + 1.0)
    dist.all_reduce(x, op=op)
    assert (x == expected).all()

for few, many in ((9, 40_000), (40_000, 9)):  # there is room for those of one process alone
    sizes = [few, many]
    found = [torch.zeros(n) for n in sizes]
    dist.all_gather(found, torch.arange(sizes[rank]) + 0.5)
    assert all(torch.equal(one, torch.arange(n) + 0.5) for one, n in zip(found, sizes, strict=True))
    sent = torch.arange(sizes[rank] * 3) + rank * 0.25
    out = torch.zeros((few if rank == 0 else 2 * few) + (many if rank == 0 else 2 * many))
    dist.all_to_all_single(out, sent, [(rank + 1) * n for n in sizes], [sizes[rank], 2 * sizes[rank]])
    assert torch.equal(out, torch.cat([torch.arange(rank * n, rank * n + (rank + 1) * n) + i * 0.25 for i, n in enumerate(sizes)]))
for n in range(16_250, 16_400, 8):  # about as many as there is room for
    x = torch.arange(n, dtype=torch.float32) * (rank + 1)
    dist.all_reduce(x)
    assert torch.equal(x, torch.arange(n, dtype=torch.float32) * 3)

# groups of the same processes: each waits by itself, in whatever order, also where there are more than XLA has devices
groups = [dist.new_group() for _ in range(70)]
ones = [torch.full((2,), float(i)) for i in range(5)]
order = range(5) if rank else range(4, -1, -1)
begun = [dist.all_reduce(ones[i], group=groups[i], async_op=True) for i in order]
assert all(work.wait() for work in begun) and [one[0].item() for one in ones] == [0, 2, 4, 6, 8]
dist.all_reduce(ones[0], group=groups[69])
dist.all_reduce(ones[1], group=groups[5])
for one in groups:
    dist.destroy_process_group(one)

# what differs between processes is an error in each of them, and the group goes on
error(lambda: dist.all_reduce(torch.ones(2 + rank)), "Detected mismatch between collectives on ranks")
error(lambda: dist.all_reduce(torch.ones(2) if rank else torch.ones(2, dtype=torch.float64)), "float64")
error(lambda: dist.barrier() if rank else dist.all_reduce(torch.ones(2)), "all_reduce(SUM, float32, shape=[2])")
error(lambda: dist.broadcast(torch.ones(2), src=rank), "src=1")
error(lambda: nn.parallel.DistributedDataParallel(nn.Linear(3 + rank, 2)), "params[0] in this process")
error(lambda: dist.recv(torch.ones(1), 17), "Global rank 17 is not part of group", ValueError)
error(lambda: dist.all_reduce(torch.ones(2, dtype=torch.int64), op=dist.ReduceOp.AVG), "result type Float can't be cast")
error(lambda: dist.all_gather([torch.ones(2)], torch.ones(2)), "expected tensor_list to have 2 entries", ValueError)
pair = torch.ones(2, dtype=torch.complex64)
for op in (dist.ReduceOp.MIN, dist.ReduceOp.MAX, dist.ReduceOp.BAND):
    error(lambda op=op: dist.all_reduce(pair, op=op), f"all_reduce does not support {op} on complex tensors", ValueError)
    error(lambda op=op: dist.reduce(pair, 0, op=op), "reduce does not supporton complex tensors", RuntimeError)
    error(lambda op=op: dist.reduce_scatter(pair, [pair, pair], op=op), "all_reduce does not supporton complex tensors", RuntimeError)
    error(
        lambda op=op: dist.reduce_scatter_tensor(pair, pair.repeat(2), op=op), "all_reduce does not supporton complex tensors", RuntimeError
    )
if rank == 0:
    dist.send(torch.ones(3), 1)
else:
    error(lambda: dist.recv(torch.ones(2), 0), "float32 of shape [3] was sent")

for _ in range(2):  # groups that their members make alone
    local = dist.new_group([0, 1], use_local_synchronization=True)
    x = torch.ones(2)
    dist.all_reduce(x, group=local)
    assert x.tolist() == [2, 2]

# what does not come in time
late = dist.new_group(timeout=datetime.timedelta(seconds=2))
dist.all_reduce(torch.ones(1), group=late)
if rank == 0:
    error(lambda: dist.all_reduce(torch.ones(1), group=late), "all_reduce (operation 1 of group 71) on rank 0 timed out after 2 s")
    error(lambda: dist.barrier(group=late), "the group is broken: all_reduce (operation 1")
    error(lambda: dist.monitored_barrier(timeout=datetime.timedelta(seconds=1)), "Rank 1 failed to pass monitoredBarrier in 1000 ms")
dist.barrier()

# the thread's pending graph, gradients, the order of operations that are waited for late
w = torch.ones(3, requires_grad=True)
y = (w * 2).exp()
dist.all_reduce(y.detach().clone())
y.sum().backward()
assert torch.allclose(w.grad, 2 * torch.exp(torch.tensor(2.0)))
tensors = [torch.full((2,), float(i)) for i in range(4)]
works = [dist.all_reduce(one, async_op=True) for one in tensors]
dist.barrier()
assert [one[0].item() for one in tensors] == [0, 2, 4, 6] and all(work.is_completed() for work in works)
with torch.inference_mode():
    one = torch.ones(2)
    dist.all_reduce(one)
assert one.tolist() == [2, 2]

# SyncBatchNorm: as BatchNorm of the whole batch, its gradients too; PyTorch's wants a GPU
torch.manual_seed(0)
whole, weights = torch.randn(6, 3, 4), torch.randn(6, 3, 4)
parts = (slice(0, 2), slice(2, 6))
expected, batch = nn.BatchNorm1d(3), whole.clone().requires_grad_()
out = expected(batch)
(out * weights).sum().backward()
model = nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(nn.BatchNorm1d(3)))
own = whole[parts[rank]].clone().requires_grad_()
got = model(own)
(got * weights[parts[rank]]).sum().backward()
assert isinstance(model[0], nn.SyncBatchNorm)
assert torch.allclose(got, out[parts[rank]], atol=1e-5) and torch.allclose(own.grad, batch.grad[parts[rank]], atol=1e-5)
assert torch.allclose(model[0].running_mean, expected.running_mean, atol=1e-6)
assert torch.allclose(model[0].running_var, expected.running_var, atol=1e-5)
gradient = model[0].weight.grad.clone()
dist.all_reduce(gradient)
assert torch.allclose(gradient, expected.weight.grad, atol=1e-4) and model[0].num_batches_tracked == 1
assert torch.allclose(model.eval()(own), expected.eval()(whole)[parts[rank]], atol=1e-5)

# a group ends, and another begins
dist.destroy_process_group()
error(dist.get_rank, "has not been initialized", ValueError)
dist.init_process_group(timeout=seconds)
dist.all_reduce(one)
assert one.tolist() == [4, 4] and dist.get_backend() == "gloo"
Path(f"{sys.argv[1]}.{rank}").write_text("done")
