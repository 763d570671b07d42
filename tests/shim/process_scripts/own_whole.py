"""Where whole parameters of fully_shard are while a model trains: counted in bytes; run by ``python -m funnn launch`` with two processes."""

import copy
import gc
import sys
import warnings
import weakref
from pathlib import Path

import jax
import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.autograd.graph import save_on_cpu
from torch.distributed.fsdp import fully_shard
from torch.utils.checkpoint import checkpoint

from funnn.torch.distributed.fsdp._whole import Whole

warnings.simplefilter("ignore")  # of a hook where no input needs a gradient
dist.init_process_group("gloo")
rank, width, depth = dist.get_rank(), 128, 3
WHOLE = width * width * 4  # bytes of one block's weight


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.again = False

    def forward(self, x):
        y = checkpoint(self._inner, x, use_reentrant=False) if self.again else self._inner(x)
        seen.append(used())
        return y

    def _inner(self, x):
        return torch.tanh(self.linear(x))


gathered = []  # weak references to the arrays that were put together


def watching(method):
    """A method of Whole, after which its arrays are taken note of."""

    def watched(self, *args):
        method(self, *args)
        gathered.extend(weakref.ref(value.array) for value in self.values())

    return watched


Whole.watch, Whole.flush = watching(Whole.watch), watching(Whole.flush)


def used():
    """The bytes of gathered arrays that are there, and of JAX's arrays, in blocks' weights."""
    gc.collect()
    alive = {id(one): one for reference in gathered if isinstance(one := reference(), np.ndarray)}  # JAX's are among those below
    return (sum(one.nbytes for one in alive.values()) + sum(one.nbytes for one in jax.live_arrays())) / WHOLE


def grads_of(model):
    return [one.grad.full_tensor() if hasattr(one.grad, "full_tensor") else one.grad for one in model.parameters()]


torch.manual_seed(0)
plain = nn.Sequential(*[Block() for _ in range(depth)])
x = torch.randn(2, 3, width)
seen = []
plain(x).pow(2).sum().div(2).backward()  # half of the sum over processes is their mean
expected = grads_of(plain)


def train(model, inputs, context=None):
    """The bytes above those at the start: at most inside of forward, after it, at most where gradients come."""
    model.zero_grad()
    seen.clear()
    start = used()
    with context or torch.enable_grad():
        loss = model(inputs).pow(2).sum()
    inside, after = max(seen) - start, used() - start
    seen.clear()
    loss.backward()
    for got, wanted in zip(grads_of(model), expected, strict=True):
        assert torch.allclose(got, wanted, atol=1e-4), (got, wanted)
    return inside, after, max(seen) - start


for reshard in (None, False):
    model = copy.deepcopy(plain)
    for block in model:
        fully_shard(block, reshard_after_forward=reshard)
        block.linear.register_full_backward_pre_hook(lambda *_: seen.append(used()))
    fully_shard(model)
    for _ in range(3):  # NumPy computes, then programs of XLA
        inside, after, backward = train(model, x[rank])
        if reshard is None:
            assert inside < 2.5 and after < 0.5 and backward < 2.5, (inside, after, backward)
        else:
            assert inside > depth and after > depth, (inside, after)

# the same gradients where blocks compute forward again, where what is kept is somebody else's, where a graph is used twice, without averaging in between
model = copy.deepcopy(plain)
for block in model:
    block.again = True
    fully_shard(block)
fully_shard(model)
seen.clear()
model(x[rank]).pow(2).sum().backward()
assert all(torch.allclose(got, wanted, atol=1e-4) for got, wanted in zip(grads_of(model), expected, strict=True))
for block in model:
    block.again = False
model.zero_grad()
with save_on_cpu():
    loss = model(x[rank]).pow(2).sum()
loss.backward()
assert all(torch.allclose(got, wanted, atol=1e-4) for got, wanted in zip(grads_of(model), expected, strict=True))
model.zero_grad()
y = checkpoint(model[1], checkpoint(model[0], x[rank], use_reentrant=False), use_reentrant=False)
nn.Sequential(*list(model)[2:])(y).pow(2).sum().backward()
assert all(torch.allclose(got, wanted, atol=1e-4) for got, wanted in zip(grads_of(model), expected, strict=True))
model.zero_grad()
loss = model(x[rank]).pow(2).sum()
loss.backward(retain_graph=True)
loss.backward()
assert all(torch.allclose(got, 2 * wanted, atol=1e-4) for got, wanted in zip(grads_of(model), expected, strict=True))
model.zero_grad()
model.set_requires_gradient_sync(False)
model(x[rank]).pow(2).sum().backward()
assert all(one.grad is None for one in model.parameters())
model.set_requires_gradient_sync(True)
model(x[rank]).pow(2).sum().backward()
assert all(torch.allclose(got, 2 * wanted, atol=1e-4) for got, wanted in zip(grads_of(model), expected, strict=True))

# parameters that change between forward and backward: the gradients are those of forward
model.zero_grad()
loss = model(x[rank]).pow(2).sum()
with torch.no_grad():
    for parameter in model.parameters():
        parameter.mul_(0)
loss.backward()
assert all(torch.allclose(got, wanted, atol=1e-4) for got, wanted in zip(grads_of(model), expected, strict=True))
Path(f"{sys.argv[1]}.{rank}").write_text("done")
