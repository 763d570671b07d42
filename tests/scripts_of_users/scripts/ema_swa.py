"""Averages of weights: AveragedModel, SWALR, update_bn, EMA by functions and by hand, ChainedScheduler, SequentialLR."""

import copy
import itertools

import torch
from torch import nn
from torch.optim import lr_scheduler
from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_avg_fn, get_ema_multi_avg_fn, update_bn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(4)


class EMA:
    """Shadow weights, as people write them."""

    def __init__(self, model, decay):
        self.model, self.decay = model, decay
        self.shadow, self.backup = {}, {}
        for name, param in model.named_parameters():
            if param.requires_grad:
                self.shadow[name] = param.data.clone()

    def update(self):
        for name, param in self.model.named_parameters():
            if param.requires_grad:
                new_average = (1.0 - self.decay) * param.data + self.decay * self.shadow[name]
                self.shadow[name] = new_average.clone()

    def apply_shadow(self):
        for name, param in self.model.named_parameters():
            if param.requires_grad:
                self.backup[name] = param.data
                param.data = self.shadow[name]

    def restore(self):
        for name, param in self.model.named_parameters():
            if param.requires_grad:
                param.data = self.backup[name]
        self.backup = {}


x = torch.randn(96, 7)
y = torch.sin(x).sum(1, keepdim=True) + 0.1 * torch.randn(96, 1)
loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)
model = nn.Sequential(nn.Linear(7, 16), nn.BatchNorm1d(16), nn.Mish(), nn.Linear(16, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
swa_model = AveragedModel(model)
ema_model = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
old_ema = AveragedModel(model, avg_fn=lambda avg, p, n: 0.9 * avg + 0.1 * p)
assert callable(get_ema_avg_fn(0.99))
ema = EMA(model, 0.9)
warmup = lr_scheduler.LinearLR(optimizer, start_factor=0.2, total_iters=2)
cosine = lr_scheduler.CosineAnnealingLR(optimizer, T_max=4)
scheduler = lr_scheduler.SequentialLR(optimizer, schedulers=[warmup, cosine], milestones=[2])
swa_start = 4
swa_scheduler = SWALR(optimizer, swa_lr=0.02, anneal_epochs=2, anneal_strategy="linear")
loss_fn = nn.MSELoss()
for epoch in range(7):
    total = 0.0
    for input, target in loader:
        optimizer.zero_grad()
        loss = loss_fn(model(input), target)
        loss.backward()
        optimizer.step()
        ema.update()
        ema_model.update_parameters(model)
        old_ema.update_parameters(model)
        total += loss.detach() * len(input)
    if epoch >= swa_start:
        swa_model.update_parameters(model)
        swa_scheduler.step()
    else:
        scheduler.step()
    print(epoch, f"{total / len(x):.5f}", [f"{g['lr']:.5f}" for g in optimizer.param_groups], swa_model.n_averaged.item())
update_bn(loader, swa_model)
print(swa_model.module[1].running_mean[:3], swa_model.module[1].num_batches_tracked)
with torch.no_grad():
    for m in (model, swa_model, ema_model, old_ema):
        m.eval()
        print(type(m).__name__, f"{loss_fn(m(x), y):.5f}")
    ema.apply_shadow()
    print(f"{loss_fn(model(x), y):.5f}", torch.allclose(model[0].weight, ema_model.module[0].weight, atol=1e-6))
    ema.restore()
    print(f"{loss_fn(model(x), y):.5f}")
again = AveragedModel(copy.deepcopy(model))
print(again.load_state_dict(swa_model.state_dict()), list(swa_model.state_dict())[:3])

target = copy.deepcopy(model)
for p, t in zip(model.parameters(), target.parameters()):
    t.data.lerp_(p.data + 1, 0.01)
with torch.no_grad():
    for b, t in itertools.zip_longest(model.buffers(), target.buffers()):
        t.copy_(b)
torch._foreach_mul_(list(target.parameters()), 0.5) if False else None
print(sum(t.sum() for t in target.parameters()).item())

opt = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=1.0)
schedules = {
    "chained": lr_scheduler.ChainedScheduler([lr_scheduler.ConstantLR(opt, 0.1, 3), lr_scheduler.ExponentialLR(opt, 0.9)], optimizer=opt),
}
for name, s in schedules.items():
    lrs = []
    for _ in range(5):
        lrs.append(round(opt.param_groups[0]["lr"], 5))
        opt.step()
        s.step()
    print(name, lrs, s.get_last_lr())
for make in (
    lambda o: lr_scheduler.PolynomialLR(o, total_iters=4, power=2.0),
    lambda o: lr_scheduler.MultiplicativeLR(o, lambda e: 0.5),
    lambda o: lr_scheduler.CyclicLR(o, 0.1, 1.0, step_size_up=2, mode="triangular2", cycle_momentum=False),
    lambda o: lr_scheduler.LambdaLR(o, [lambda e: 1 / (e + 1)]),
):
    o = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=1.0)
    s = make(o)
    lrs = []
    for _ in range(6):
        lrs.append(round(o.param_groups[0]["lr"], 5))
        o.step()
        s.step()
    state = s.state_dict()
    print(type(s).__name__, lrs, sorted(k for k in state if not k.startswith("_"))[:4])
