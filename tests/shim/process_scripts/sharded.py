"""Modules that are split over processes: tensor parallelism by styles, and fully_shard."""

import warnings

import torch
import torch.distributed as dist
from telling import Lines
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import Replicate, Shard
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    PrepareModuleInput,
    PrepareModuleOutput,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)

warnings.simplefilter("ignore")
rank, size = dist.get_rank(), dist.get_world_size()
lines = Lines()
say = lines.say


class FeedForward(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(4)
        self.up, self.down = nn.Linear(4, 6), nn.Linear(6, 4)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(self.norm(x))))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(8, 4)
        self.layers = nn.ModuleList(FeedForward() for _ in range(2))
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        x = self.embed(x)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


mesh = init_device_mesh("cpu", (size,))
torch.manual_seed(0)
words, wanted = torch.randint(8, (2, 3)), torch.randint(5, (2, 3))
plain = Model()
model = Model()
model.load_state_dict(plain.state_dict())
plan = {
    "embed": RowwiseParallel(input_layouts=Replicate()),
    "layers.*.up": ColwiseParallel(),
    "layers.*.down": RowwiseParallel(),
    "head": ColwiseParallel(output_layouts=Replicate()),
}
parallelize_module(model, mesh, plan)
say("placements", [(name, getattr(p, "placements", None)) for name, p in model.named_parameters()])
optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
for step in range(3):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(words).flatten(0, 1), wanted.flatten())
    loss.backward()
    if step == 0:
        say("gradients", *[p.grad for p in model.parameters()])
    optimizer.step()
    say(f"step {step}", loss)
say("out", model(words))

torch.manual_seed(1)
linear = parallelize_module(nn.Linear(3, 4), mesh, ColwiseParallel(use_local_output=False))
y = linear(torch.ones(2, 3))
say("as a DTensor", y.placements, y)
norm = parallelize_module(nn.LayerNorm(4), mesh, SequenceParallel())
y = norm(torch.arange(8.0).reshape(1, 2, 4) * (rank + 1))
say("sequence", y.placements, tuple(y.shape), y)
given = parallelize_module(nn.Identity(), mesh, PrepareModuleInput(input_layouts=Shard(0), desired_input_layouts=Replicate()))
y = given(torch.ones(1, 2) * rank)
say("input", y.placements, y)
given = parallelize_module(nn.Identity(), mesh, PrepareModuleOutput(output_layouts=Shard(0), desired_output_layouts=Replicate()))
say("output", given(torch.ones(1, 2) * rank))
try:
    parallelize_module(nn.ReLU(), mesh, ColwiseParallel())
except NotImplementedError as error:
    say("refused", str(error)[:60])

for policy in (MixedPrecisionPolicy(), MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)):
    model = Model()
    model.load_state_dict(plain.state_dict())
    for layer in model.layers:
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    say("classes", type(model).__name__, isinstance(model, FSDPModule), type(model.layers[0]).__name__)
    say("parts", [(name, tuple(p.shape), tuple(p.to_local().shape)) for name, p in model.named_parameters()])
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    torch.manual_seed(10 + rank)  # each process has data of its own
    for step in range(3):
        words, wanted = torch.randint(8, (2, 3)), torch.randint(5, (2, 3))
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(words).float().flatten(0, 1), wanted.flatten())
        loss.backward()
        if policy.param_dtype is None:
            norm = nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            say(f"step {step}", loss, norm, model.head.weight.grad, model.layers[1].down.bias.grad)
        optimizer.step()
    say(
        "trained",
        round(sum(p.full_tensor().double().abs().sum().item() for p in model.parameters()), 2 if policy.param_dtype is None else 0),
    )
    say("out", model(torch.zeros(1, 1, dtype=torch.int64)).shape)
    say("state_dict", [(name, type(value).__name__) for name, value in model.state_dict().items()])


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(3, 5), nn.Linear(5, 3)

    def encode(self, x, *, factor=1):
        return self.up(x) * factor

    def decode(self, x):
        return self.down(x)


torch.manual_seed(3)
model = fully_shard(Two(), mesh=mesh)
for name in ("encode", "decode"):
    register_fsdp_forward_method(model, name)
register_fsdp_forward_method(nn.Linear(2, 2), "nothing")
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(2):
    optimizer.zero_grad()
    loss = model.decode(model.encode(torch.ones(2, 3) * (rank + 1), factor=2).tanh()).square().sum()
    loss.backward()
    say(f"methods, step {step}", loss, *[p.grad for p in model.parameters()])
    optimizer.step()
say("methods", [(name, tuple(p.to_local().shape)) for name, p in model.named_parameters()])
try:
    register_fsdp_forward_method(model, "nothing")
except ValueError as error:
    say("no method", str(error)[-30:])
lines.write()
