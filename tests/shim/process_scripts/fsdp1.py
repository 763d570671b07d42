"""FullyShardedDataParallel: training with its strategies, policies and types, clipping, gradients that are added up."""

import copy
import functools
import warnings

import torch
import torch.distributed as dist
from residual import Block
from telling import Lines
from torch import nn
from torch.distributed.fsdp import CPUOffload, MixedPrecision, ShardingStrategy
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP
from torch.distributed.fsdp.wrap import (
    CustomPolicy,
    ModuleWrapPolicy,
    always_wrap_policy,
    enable_wrap,
    lambda_auto_wrap_policy,
    size_based_auto_wrap_policy,
    transformer_auto_wrap_policy,
    wrap,
)

warnings.simplefilter("ignore")
rank = dist.get_rank()
lines = Lines(digits=3)
say = lines.say


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(8, 4)
        self.layers = nn.ModuleList(Block() for _ in range(2))
        self.head = nn.Linear(4, 5, bias=False)
        self.register_buffer("scale", torch.tensor([2.0]))

    def forward(self, x):
        x = self.embed(x)
        for layer in self.layers:
            x = layer(x)
        return self.head(x) * self.scale


def data(seed):
    torch.manual_seed(seed + 100 * rank)  # each process has data of its own
    return torch.randint(8, (2, 3)), torch.randint(5, (2, 3))


def loss_of(model, seed):
    words, wanted = data(seed)
    return nn.functional.cross_entropy(model(words).float().flatten(0, 1), wanted.flatten())


policies = {
    "none": None,
    "blocks": functools.partial(transformer_auto_wrap_policy, transformer_layer_cls={Block}),
    "size": functools.partial(size_based_auto_wrap_policy, min_num_params=25),
    "lambda": functools.partial(lambda_auto_wrap_policy, lambda_fn=lambda module: isinstance(module, nn.LayerNorm)),
    "classes": ModuleWrapPolicy({Block, nn.Embedding}),
    "custom": CustomPolicy(lambda module: {"sharding_strategy": ShardingStrategy.SHARD_GRAD_OP} if isinstance(module, Block) else False),
    "all": always_wrap_policy,
}
torch.manual_seed(0)
plain = Model()
for name, policy in policies.items():
    model = FSDP(copy.deepcopy(plain), auto_wrap_policy=policy, device_id=torch.device("cpu"), use_orig_params=True)
    if name in ("none", "blocks", "size", "custom"):
        say(name, str(model).replace("\n", " "), len(FSDP.fsdp_modules(model)))
    loss = loss_of(model, 1)
    loss.backward()
    say("loss and norm", loss, model.clip_grad_norm_(0.1), model.clip_grad_norm_(float("inf"), norm_type=1.0))

runs = {
    "full": {"auto_wrap_policy": policies["blocks"]},
    "zero2": {
        "auto_wrap_policy": policies["blocks"],
        "sharding_strategy": ShardingStrategy.SHARD_GRAD_OP,
        "cpu_offload": CPUOffload(False),
    },
    "copies": {"auto_wrap_policy": policies["blocks"], "sharding_strategy": ShardingStrategy.NO_SHARD},
    "halves": {
        "auto_wrap_policy": policies["blocks"],
        "mixed_precision": MixedPrecision(param_dtype=torch.bfloat16, reduce_dtype=torch.float32, buffer_dtype=torch.bfloat16),
    },
    "one group": {"process_group": dist.new_group([0, 1])},
}
for name, options in runs.items():
    model = FSDP(copy.deepcopy(plain), device_id=torch.device("cpu"), use_orig_params=True, **options)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    for step in range(3):
        optimizer.zero_grad()
        loss = loss_of(model, step)
        loss.backward()
        model.clip_grad_norm_(1.0)
        optimizer.step()
        say(f"{name} {step}", loss if name != "halves" else round(loss.item(), 1))
    say("types", loss.dtype, model.module.scale.dtype, {p.grad.dtype for p in model.parameters() if p.numel()})
    say("frozen", loss_of(model.eval(), 9) if name != "halves" else "")

model = FSDP(copy.deepcopy(plain), auto_wrap_policy=policies["blocks"], device_id=torch.device("cpu"), use_orig_params=True)
optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
for step in range(4):
    if step % 2 == 0:
        with model.no_sync():
            loss = loss_of(model, step)
            loss.backward()
    else:
        loss = loss_of(model, step)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    say(f"added up {step}", loss)

with enable_wrap(wrapper_cls=FSDP, device_id=torch.device("cpu")):
    model = wrap(nn.Sequential(wrap(nn.Linear(3, 4)), nn.ReLU(), nn.Linear(4, 2)))
say("by hand", str(model).replace("\n", " "), type(wrap(nn.ReLU())).__name__)
say("by hand", model(torch.ones(1, 3)).shape)
lines.write()
