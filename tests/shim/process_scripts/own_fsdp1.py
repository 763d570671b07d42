"""FullyShardedDataParallel: its state dicts, whole parameters, and what PyTorch does with GPUs alone; run by ``python -m funnn launch`` with two processes."""

import copy
import io
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from telling import refused
from torch import nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import (
    FullOptimStateDictConfig,
    FullStateDictConfig,
    MixedPrecision,
    ShardedStateDictConfig,
    ShardingStrategy,
    StateDictType,
)
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP
from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler
from torch.distributed.fsdp.wrap import ModuleWrapPolicy
from torch.distributed.tensor import DTensor

refused(lambda: FSDP(nn.Linear(2, 2)), "has not been initialized", ValueError)
dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(0)
plain = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Sequential(nn.Linear(5, 4)), nn.Linear(4, 1))
data = torch.randn(2, 6, 3)
inner = ModuleWrapPolicy([nn.Linear])


def made(**options):
    model = FSDP(copy.deepcopy(plain), auto_wrap_policy=inner, **options)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1, eps=1e-3)  # so that gradients of rounding alone count for nothing
    return model, optimizer


def train(model, optimizer, steps=2):
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model(data[rank]).pow(2).mean()
        loss.backward()
        optimizer.step()
    return loss.item()


# whole state dicts: names and numbers of the module, which reads them, and a wrapped one too
model, optimizer = made()
train(model, optimizer)
whole = model.state_dict()
assert list(whole) == list(plain.state_dict()) and not any(isinstance(one, DTensor) for one in whole.values())
again = copy.deepcopy(plain)
again.load_state_dict(whole)
model.eval(), again.eval()
assert torch.allclose(again(data[0]), model(data[0]), atol=1e-6)
model.train()
rank0 = FullStateDictConfig(offload_to_cpu=True, rank0_only=True)
with FSDP.state_dict_type(model, StateDictType.FULL_STATE_DICT, rank0):
    saved = model.state_dict()
    assert FSDP.get_state_dict_type(model).state_dict_config is rank0
    assert list(saved) == (list(plain.state_dict()) if rank == 0 else [])
torch.save(saved, io.BytesIO())
with FSDP.state_dict_type(model, StateDictType.SHARDED_STATE_DICT, ShardedStateDictConfig()):
    parts = model.state_dict()
assert isinstance(parts["2.0.weight"], DTensor) and torch.equal(parts["2.0.weight"].full_tensor(), whole["2.0.weight"])
states = [FSDP.optim_state_dict(model, optimizer), FSDP.sharded_optim_state_dict(model, optimizer)]
assert list(states[0]["state"]) == [name for name, _ in plain.named_parameters()] and "exp_avg" in states[0]["state"]["0.weight"]
assert states[0]["state"]["0.weight"]["exp_avg"].shape == (5, 3) and not isinstance(states[0]["state"]["0.weight"]["exp_avg"], DTensor)
assert FSDP.full_optim_state_dict(model, optimizer).keys() == ({"state", "param_groups"} if rank == 0 else set())
states.append(get_state_dict(model, optimizer)[1])
with FSDP.state_dict_type(model, StateDictType.FULL_STATE_DICT, None, FullOptimStateDictConfig(rank0_only=True)):
    states.append(FSDP.optim_state_dict(model, optimizer))
states, whole, parts = (
    [copy.deepcopy(state) for state in states],
    copy.deepcopy(whole),
    copy.deepcopy(parts),
)  # they share memory with what is trained on
wanted = train(model, optimizer)
for number, (state, weights) in enumerate(zip(states, (whole, parts, get_state_dict(model, optimizer)[0], whole), strict=True)):
    other, its = made()
    if number == 2:
        set_state_dict(other, its, model_state_dict=parts, optim_state_dict=state)
        assert isinstance(weights["0.weight"], DTensor)
    elif number == 3:
        with FSDP.state_dict_type(other, StateDictType.FULL_STATE_DICT, None, FullOptimStateDictConfig(rank0_only=True)):
            other.load_state_dict(weights)
            its.load_state_dict(FSDP.optim_state_dict_to_load(other, its, state))
    else:
        other.load_state_dict(weights)
        FSDP.optim_state_dict_to_load(other, its, state, load_directly=True)
    assert abs(train(other, its) - wanted) < 1e-5, number
refused(lambda: model.load_state_dict({**whole, "no": torch.ones(1)}), "Unexpected key(s) in state_dict")
refused(lambda: model.load_state_dict({**whole, "0.bias": torch.ones(7)}), "size mismatch for")
refused(lambda: FSDP.set_state_dict_type(model, StateDictType.LOCAL_STATE_DICT), "SHARDED_STATE_DICT", NotImplementedError)
refused(lambda: FSDP.set_state_dict_type(model, StateDictType.FULL_STATE_DICT, ShardedStateDictConfig()), "state_dict_config of type")
refused(lambda: FSDP.optim_state_dict(model, torch.optim.SGD(plain.parameters())), "that the model has not", ValueError)
refused(lambda: FSDP.shard_full_optim_state_dict(states[0], model), "expected the optimizer", ValueError)

# whole parameters outside of passes
model, optimizer = made()
train(model, optimizer)
before = model.state_dict()
with FSDP.summon_full_params(model, with_grads=True):
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in plain.named_parameters()]
    assert model.module[0].weight.shape == (5, 3) and model[0].weight.grad.shape == (5, 3)
    model.module[0].weight.data.mul_(2)
    refused(model.summon_full_params(model).__enter__, "Cannot manually unshard", AssertionError)
assert torch.equal(model.state_dict()["0.weight"], 2 * before["0.weight"]) and isinstance(model[0].weight, DTensor)
with FSDP.summon_full_params(model, writeback=False):
    model[0].bias.data.zero_()
assert torch.equal(model.state_dict()["0.bias"], before["0.bias"])
with FSDP.summon_full_params(model, recurse=False):
    assert isinstance(model[0].weight, DTensor) and not isinstance(model[1].weight, DTensor)
refused(FSDP.summon_full_params(model, rank0_only=True).__enter__, "rank0_only=True", NotImplementedError)
model.apply(lambda one: nn.init.constant_(one.weight, 3) if isinstance(one, nn.Linear) else None)
assert (model.state_dict()["2.0.weight"] == 3).all()

# those of rank 0, those made from nothing, those left alone
torch.manual_seed(rank)
model = FSDP(nn.Linear(2, 3), sync_module_states=True)
held = [model.state_dict()["weight"]]
dist.broadcast_object_list(held, src=0)
assert torch.equal(held[0], model.state_dict()["weight"])
with torch.device("meta"):
    empty = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
filled = FSDP(copy.deepcopy(empty), param_init_fn=lambda one: one.to_empty(device="cpu", recurse=False) and nn.init.ones_(one.weight))
assert (filled.state_dict()["0.weight"] == 1).all()
torch.manual_seed(5)
assert FSDP(empty)(torch.ones(1, 2)).isfinite().all()
module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
model = FSDP(module, ignored_modules=[module[0]], auto_wrap_policy=inner)
assert not isinstance(module[0], FSDP) and not isinstance(module[0].weight, DTensor) and isinstance(module[1], FSDP)
module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
FSDP(module, ignored_states=[module[0].weight])
assert not isinstance(module[0].weight, DTensor) and isinstance(module[0].bias, DTensor)
halves = FSDP(nn.BatchNorm1d(2), mixed_precision=MixedPrecision(buffer_dtype=torch.float16))
assert halves.running_mean.dtype is torch.float16 and halves.state_dict()["running_mean"].dtype is torch.float32

# an infinite gradient in one process, in a part that the other has not
for kind in (ShardedGradScaler, torch.amp.GradScaler):
    model = FSDP(nn.Linear(1, 2, bias=False))
    optimizer, scaler = torch.optim.SGD(model.parameters(), lr=1.0), kind("cpu", init_scale=4.0)
    before = model.state_dict()["weight"]
    scaler.scale((model(torch.ones(1, 1)) * torch.tensor([float("inf"), 1.0])).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert torch.equal(model.state_dict()["weight"], before) and scaler.get_scale() == 2.0

# copies on several machines
expected, alone = None, dist.new_group([rank], use_local_synchronization=True)
for options in (
    {},
    {"sharding_strategy": ShardingStrategy.HYBRID_SHARD},
    {"sharding_strategy": ShardingStrategy.HYBRID_SHARD, "device_mesh": init_device_mesh("cpu", (2, 1))},
    {
        "sharding_strategy": ShardingStrategy._HYBRID_SHARD_ZERO2,
        "process_group": (dist.new_group([0, 1]), dist.new_group([rank], use_local_synchronization=True)),
    },
    {"sharding_strategy": ShardingStrategy.NO_SHARD, "device_mesh": init_device_mesh("cpu", (2,))},
):
    model, optimizer = made(**options)
    loss = train(model, optimizer, 3)
    expected = loss if expected is None else expected
    assert abs(loss - expected) < 1e-5, (loss, expected)
refused(lambda: made(sharding_strategy=ShardingStrategy.HYBRID_SHARD, process_group=dist.new_group()), "a tuple of the groups", ValueError)
refused(lambda: made(device_mesh=init_device_mesh("cpu", (2, 1))), "expected 1 axes for ShardingStrategy.FULL_SHARD", ValueError)
refused(lambda: model.register_comm_hook(None, None), "averages gradients itself", NotImplementedError)
Path(f"{sys.argv[1]}.{rank}").write_text("done")
