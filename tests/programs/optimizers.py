"""Optimizers, their groups, numbers and state; schedulers, averaged weights, scaled losses."""

from __future__ import annotations

import copy
import io
import math

from tests.programs._parts import batches, gradients, mlp, randn, train_step
from tests.programs._program import program


def trained(torch, compiled, make, count=10, also=()):
    """The losses, the model and the optimizer's state after some steps with ``make(parameters)``."""
    m = mlp(torch)
    o = make(m.parameters())
    step = compiled(train_step(torch, m, o))
    return [step(*b) for b in batches(torch, count)], m, o.state_dict()["state"], [o.param_groups[0][name] for name in ("lr", *also)]


@program
def sgd_momentum(torch, nn, F, compiled):
    return trained(torch, compiled, lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-2, nesterov=True))


@program
def sgd_dampening_maximize(torch, nn, F, compiled):
    return trained(torch, compiled, lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.5, dampening=0.2, maximize=True))


@program
def adam(torch, nn, F, compiled):
    return trained(torch, compiled, lambda p: torch.optim.Adam(p, lr=0.01))


@program
def adam_amsgrad(torch, nn, F, compiled):
    return trained(torch, compiled, lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.8, 0.9), amsgrad=True, weight_decay=0.1))


@program
def adamw_one_by_one(torch, nn, F, compiled):
    return trained(torch, compiled, lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1, foreach=False))


@program
def adamax(torch, nn, F, compiled):
    return trained(torch, compiled, lambda p: torch.optim.Adamax(p, lr=0.01))


@program
def nadam(torch, nn, F, compiled):
    return trained(torch, compiled, lambda p: torch.optim.NAdam(p, lr=0.01, decoupled_weight_decay=True, weight_decay=0.1))


@program
def radam(torch, nn, F, compiled):
    return trained(torch, compiled, lambda p: torch.optim.RAdam(p, lr=0.01))


@program
def rmsprop(torch, nn, F, compiled):
    return trained(torch, compiled, lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True))


@program
def adagrad(torch, nn, F, compiled):
    return trained(torch, compiled, lambda p: torch.optim.Adagrad(p, lr=0.05, lr_decay=0.1))


@program
def adadelta(torch, nn, F, compiled):
    return trained(torch, compiled, lambda p: torch.optim.Adadelta(p, lr=0.5))


@program
def adafactor(torch, nn, F, compiled):
    return trained(torch, compiled, lambda p: torch.optim.Adafactor(p, lr=0.05))


@program
def asgd(torch, nn, F, compiled):
    return trained(torch, compiled, lambda p: torch.optim.ASGD(p, lr=0.05, t0=3))


@program
def rprop(torch, nn, F, compiled):
    m, b = mlp(torch), batches(torch)[0]
    o = torch.optim.Rprop(m.parameters(), lr=0.01)
    step = compiled(train_step(torch, m, o))
    return [step(*b) for _ in range(8)], m


@program
def sparse_adam(torch, nn, F, compiled):
    e = nn.Embedding(9, 4, sparse=True)
    o = torch.optim.SparseAdam(e.parameters(), lr=0.1)

    def step(i):
        o.zero_grad()
        loss = e(torch.tensor([i % 9, (2 * i) % 9])).square().sum()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(i) for i in range(8)], e


@program(rtol=3e-2, atol=3e-3, because="its products are in bfloat16")
def muon(torch, nn, F, compiled):
    m = nn.Sequential(nn.Linear(6, 16, bias=False), nn.ReLU(), nn.Linear(16, 3, bias=False))
    step = compiled(train_step(torch, m, torch.optim.Muon(m.parameters(), lr=0.02)))
    return [step(*b) for b in batches(torch)], m


@program
def lbfgs_with_closure(torch, nn, F, compiled):
    x, y = batches(torch, 1, 16)[0]
    m, calls = nn.Linear(6, 3), []
    o = torch.optim.LBFGS(m.parameters(), lr=0.5, max_iter=4, history_size=5)

    def closure():
        o.zero_grad()
        loss = F.cross_entropy(m(x), y) + 1e-2 * m.weight.square().sum()
        loss.backward()
        calls.append(1)
        return loss

    closure = compiled(closure)
    return [o.step(closure) for _ in range(6)], m, len(calls)


@program
def lbfgs_strong_wolfe(torch, nn, F, compiled):
    p = torch.tensor([-1.2, 1.0], dtype=torch.float64, requires_grad=True)
    o = torch.optim.LBFGS([p], line_search_fn="strong_wolfe", max_iter=20)

    def closure():
        o.zero_grad()
        loss = (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2
        loss.backward()
        return loss

    closure = compiled(closure)
    return [o.step(closure) for _ in range(3)], p


@program
def closure_of_sgd(torch, nn, F, compiled):
    m, o_calls = mlp(torch), []
    o = torch.optim.SGD(m.parameters(), lr=0.1)

    def step(x, y):
        def closure():
            o.zero_grad()
            loss = F.cross_entropy(m(x), y)
            loss.backward()
            o_calls.append(loss.detach())
            return loss

        return o.step(closure)

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m, o_calls


@program
def scheduler_inside(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.1)
    schedule, base = torch.optim.lr_scheduler.StepLR(o, 2, 0.5), train_step(torch, m, o)

    def step(x, y):
        loss = base(x, y)
        schedule.step()
        return loss

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m, o.param_groups[0]["lr"]


@program
def many_schedulers(torch, nn, F, compiled):
    s, seen = torch.optim.lr_scheduler, []
    makers = [
        lambda o: s.CosineAnnealingLR(o, 8),
        lambda o: s.ExponentialLR(o, 0.9),
        lambda o: s.MultiStepLR(o, [2, 5], 0.3),
        lambda o: s.LambdaLR(o, lambda epoch: 1 / (1 + epoch)),
        lambda o: s.LinearLR(o, 0.1, total_iters=4),
        lambda o: s.PolynomialLR(o, 8, 2.0),
        lambda o: s.CosineAnnealingWarmRestarts(o, 3, 2),
    ]
    for make in makers:
        m = nn.Linear(6, 3)
        o = torch.optim.SGD(m.parameters(), lr=0.2, momentum=0.5)
        schedule, step = make(o), compiled(train_step(torch, m, o))
        rates = []
        for b in batches(torch, 6):
            step(*b)
            schedule.step()
            rates.append(schedule.get_last_lr()[0])
        seen.append((rates, m))
    return seen


@program
def one_cycle_with_momentum(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.OneCycleLR(o, max_lr=0.3, total_steps=10)
    step, seen = compiled(train_step(torch, m, o)), []
    for b in batches(torch, 9):
        seen.append((step(*b), o.param_groups[0]["lr"], o.param_groups[0]["momentum"]))
        schedule.step()
    return seen, m


@program
def one_cycle_with_adam(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.AdamW(m.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(o, max_lr=0.05, total_steps=10)
    step, seen = compiled(train_step(torch, m, o)), []
    for b in batches(torch, 9):
        seen.append((step(*b), o.param_groups[0]["lr"], o.param_groups[0]["betas"]))
        schedule.step()
    return seen, m


@program
def reduce_on_plateau(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.5)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(o, patience=1, factor=0.5)
    step, seen = compiled(train_step(torch, m, o)), []
    for b in batches(torch, 15):
        loss = step(*b)
        schedule.step(loss)
        seen.append((loss, o.param_groups[0]["lr"]))
    return seen, m


@program
def warm_up_then_cosine(torch, nn, F, compiled):
    m, s = mlp(torch), torch.optim.lr_scheduler
    o = torch.optim.AdamW(m.parameters(), lr=0.02)
    schedule = s.SequentialLR(o, [s.LinearLR(o, 0.1, total_iters=3), s.CosineAnnealingLR(o, 7)], milestones=[3])
    base = train_step(torch, m, o)

    def step(x, y):
        loss = base(x, y)
        schedule.step()
        return loss

    step = compiled(step)
    return [(step(*b), schedule.get_last_lr()) for b in batches(torch)], m


@program
def scheduler_saved_and_loaded(torch, nn, F, compiled):
    m, data = mlp(torch), batches(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9)
    schedule, step = torch.optim.lr_scheduler.ExponentialLR(o, 0.8), compiled(train_step(torch, m, o))
    for b in data[:4]:
        step(*b)
        schedule.step()
    kept = copy.deepcopy([m.state_dict(), o.state_dict(), schedule.state_dict()])
    for b in data[4:7]:
        step(*b)
        schedule.step()
    for thing, state in zip((m, o, schedule), kept, strict=True):
        thing.load_state_dict(state)
    seen = []
    for b in data[4:]:
        seen.append((step(*b), o.param_groups[0]["lr"]))
        schedule.step()
    return seen, m


@program
def tensor_learning_rate(torch, nn, F, compiled):
    m, data = mlp(torch), batches(torch)
    o = torch.optim.Adam(m.parameters(), lr=torch.tensor(0.01))
    step = compiled(train_step(torch, m, o))
    seen = [step(*b) for b in data[:5]]
    o.param_groups[0]["lr"].fill_(0.1)
    return seen, [step(*b) for b in data[5:]], m


@program
def tensor_learning_rate_with_schedule(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=torch.tensor(0.2))
    schedule, step, seen = torch.optim.lr_scheduler.ExponentialLR(o, 0.7), compiled(train_step(torch, m, o)), []
    for b in batches(torch):
        seen.append((step(*b), o.param_groups[0]["lr"].clone()))
        schedule.step()
    return seen, m


@program
def group_added_later(torch, nn, F, compiled):
    m, extra = mlp(torch), nn.Linear(3, 3)
    o, data = torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9), batches(torch)

    def step(x, y):
        o.zero_grad()
        loss = F.cross_entropy(extra(m(x)), y)
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    seen = [step(*b) for b in data[:4]]
    o.add_param_group({"params": extra.parameters(), "lr": 0.5})
    return seen, [step(*b) for b in data[4:]], m, extra


@program
def groups_with_and_without_decay(torch, nn, F, compiled):
    m = mlp(torch)
    decay, rest = [p for p in m.parameters() if p.dim() > 1], [p for p in m.parameters() if p.dim() == 1]
    o = torch.optim.AdamW([{"params": decay, "weight_decay": 0.3}, {"params": rest, "weight_decay": 0, "lr": 0.1}], lr=0.01)
    step = compiled(train_step(torch, m, o))
    return [step(*b) for b in batches(torch)], m


@program
def group_numbers_changed(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9)
    step, seen = compiled(train_step(torch, m, o)), []
    for i, b in enumerate(batches(torch)):
        o.param_groups[0].update(momentum=0.9 - 0.05 * i, weight_decay=0.01 * (i % 3), nesterov=i > 5)
        seen.append(step(*b))
    return seen, m


@program
def optimizer_state_edited(torch, nn, F, compiled):
    m, data = mlp(torch), batches(torch)
    o = torch.optim.Adam(m.parameters(), lr=0.01)
    step = compiled(train_step(torch, m, o))
    seen = [step(*b) for b in data[:4]]
    for state in o.state.values():
        state["exp_avg"].zero_()
        state["exp_avg_sq"] = state["exp_avg_sq"] * 4
    seen += [step(*b) for b in data[4:7]]
    o.state.clear()
    return seen, [step(*b) for b in data[7:]], m


@program
def state_dict_through_a_file(torch, nn, F, compiled):
    m, data, file = mlp(torch), batches(torch), io.BytesIO()
    o = torch.optim.Adam(m.parameters(), lr=0.01)
    step = compiled(train_step(torch, m, o))
    seen = [step(*b) for b in data[:4]]
    torch.save({"model": m.state_dict(), "optimizer": o.state_dict(), "epoch": 4}, file)
    seen += [step(*b) for b in data[4:6]]
    file.seek(0)
    saved = torch.load(file)
    m2 = mlp(torch)
    o2 = torch.optim.Adam(m2.parameters(), lr=0.5)
    m2.load_state_dict(saved["model"])
    o2.load_state_dict(saved["optimizer"])
    step2 = compiled(train_step(torch, m2, o2))
    return seen, [step2(*b) for b in data[4:]], m, m2, saved["epoch"]


@program
def two_optimizers(torch, nn, F, compiled):
    a, b = nn.Linear(6, 8), nn.Linear(8, 3)
    oa, ob = torch.optim.SGD(a.parameters(), lr=0.1, momentum=0.9), torch.optim.Adam(b.parameters(), lr=0.01)

    def step(i, x, y):
        loss = F.cross_entropy(b(torch.tanh(a(x))), y)
        oa.zero_grad()
        ob.zero_grad()
        loss.backward()
        oa.step()
        if i % 2:
            ob.step()
        return loss

    step = compiled(step)
    return [step(i, *d) for i, d in enumerate(batches(torch))], a, b


@program
def optimizer_hook_added_later(torch, nn, F, compiled):
    m, data, calls = mlp(torch), batches(torch), [0]
    o = torch.optim.SGD(m.parameters(), lr=0.1)
    step = compiled(train_step(torch, m, o))
    seen = [step(*b) for b in data[:3]]

    def shrink(optimizer, args, kwargs):
        calls[0] += 1
        for p in m.parameters():
            p.grad.mul_(0.1)

    handle = o.register_step_pre_hook(shrink)
    seen += [step(*b) for b in data[3:7]]
    handle.remove()
    o.register_step_post_hook(lambda *_: calls.append(len(calls)))
    return seen, [step(*b) for b in data[7:]], m, calls


@program
def optimizer_written_by_the_user(torch, nn, F, compiled):
    class Signed(torch.optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    state = self.state[p]
                    state["m"] = p.grad.clone() if "m" not in state else state["m"].mul_(0.9).add_(p.grad, alpha=0.1)
                    state["n"] = state.get("n", 0) + 1
                    p.addcdiv_(state["m"], state["m"].abs() + 0.1, value=-group["lr"] / math.sqrt(state["n"]))

    return trained(torch, compiled, lambda p: Signed(p, 0.05))


@program
def optimizer_in_backward(torch, nn, F, compiled):
    m = mlp(torch)
    optimizers = {p: torch.optim.SGD([p], lr=0.1, momentum=0.5) for p in m.parameters()}

    def update(p):
        optimizers[p].step()
        optimizers[p].zero_grad()

    for p in m.parameters():
        p.register_post_accumulate_grad_hook(update)

    def step(x, y):
        loss = F.cross_entropy(m(x), y)
        loss.backward()
        return loss

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m, gradients(m)


@program
def some_parameters_without_gradient(torch, nn, F, compiled):
    a, b = nn.Linear(6, 3), nn.Linear(6, 3)
    o = torch.optim.Adam([*a.parameters(), *b.parameters()], lr=0.05)

    def step(i, x, y):
        o.zero_grad()
        loss = F.cross_entropy((a if i % 3 else b)(x), y)
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(i, *d) for i, d in enumerate(batches(torch))], a, b, o.state_dict()["state"]


@program
def zeroed_gradients_are_not_none(torch, nn, F, compiled):
    a, b = nn.Linear(6, 3), nn.Linear(6, 3)
    o = torch.optim.SGD([*a.parameters(), *b.parameters()], lr=0.1, momentum=0.9, weight_decay=0.1)

    def step(i, x, y):
        o.zero_grad(set_to_none=False)
        loss = F.cross_entropy((a if i % 3 else b)(x), y)
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(i, *d) for i, d in enumerate(batches(torch))], a, b, gradients(b)


@program
def exponential_average_by_dict(torch, nn, F, compiled):
    m = mlp(torch)
    average = {k: v.clone() for k, v in m.state_dict().items()}
    base = train_step(torch, m, torch.optim.Adam(m.parameters(), lr=0.01))

    def step(x, y):
        loss = base(x, y)
        for k, v in m.state_dict().items():
            average[k] = average[k] * 0.9 + v * 0.1
        return loss

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m, average


@program
def exponential_average_of_a_copy(torch, nn, F, compiled):
    m = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    teacher = copy.deepcopy(m).requires_grad_(False)
    base, count = train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1)), [0]

    def step(x, y):
        loss = base(x, y)
        count[0] += 1
        decay = min(0.99, (1 + count[0]) / (10 + count[0]))
        with torch.no_grad():
            for t, s in zip(teacher.parameters(), m.parameters(), strict=True):
                t.lerp_(s, 1 - decay)
            for t, s in zip(teacher.buffers(), m.buffers(), strict=True):
                t.copy_(s)
        return loss, teacher(x)

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m, teacher


@program
def averaged_model_exponential(torch, nn, F, compiled):
    swa, m = torch.optim.swa_utils, mlp(torch)
    averaged = swa.AveragedModel(m, multi_avg_fn=swa.get_ema_multi_avg_fn(0.9))
    base = train_step(torch, m, torch.optim.Adam(m.parameters(), lr=0.01))

    def step(x, y):
        loss = base(x, y)
        averaged.update_parameters(m)
        return loss

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m, averaged


@program
def stochastic_weight_averaging(torch, nn, F, compiled):
    swa, data = torch.optim.swa_utils, batches(torch, 5)
    m = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    o = torch.optim.SGD(m.parameters(), lr=0.1)
    averaged, schedule = swa.AveragedModel(m), swa.SWALR(o, swa_lr=0.05, anneal_epochs=2)
    step, seen = compiled(train_step(torch, m, o)), []
    for epoch in range(4):
        seen += [step(*b) for b in data]
        if epoch >= 1:
            averaged.update_parameters(m)
            schedule.step()
    swa.update_bn([x for x, _ in data], averaged)
    averaged.eval()
    return seen, m, averaged, averaged(data[0][0])


@program
def grad_scaler(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16, growth_interval=3)

    def step(x, y):
        o.zero_grad()
        loss = F.cross_entropy(m(x), y)
        scaler.scale(loss).backward()
        scaler.unscale_(o)
        nn.utils.clip_grad_norm_(m.parameters(), 1.0)
        scaler.step(o)
        scaler.update()
        return loss

    step, losses = compiled(step), []
    for i, (x, y) in enumerate(batches(torch)):
        if i == 4:
            x[0, 0] = float("inf")
        losses.append((step(x, y), scaler.get_scale()))
    return losses[:4], losses[5:], m


@program(rtol=2e-2, atol=5e-3, because="the layers work in bfloat16")
def autocast_training(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.1)

    def step(x, y):
        o.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = m(x)
            loss = F.cross_entropy(logits, y)
        loss.backward()
        o.step()
        return loss, str(logits.dtype)

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m


@program(rtol=2e-2, atol=5e-3, because="the layers work in bfloat16")
def autocast_around_and_disabled_inside(torch, nn, F, compiled):
    a, b = nn.Linear(6, 8), nn.Linear(8, 3)
    o = torch.optim.SGD([*a.parameters(), *b.parameters()], lr=0.1)

    def forward(x):
        h = a(x)
        with torch.autocast("cpu", enabled=False):
            return h.dtype, b(torch.relu(h.float()))

    forward, seen = compiled(forward), []
    for i, (x, y) in enumerate(batches(torch)):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=i % 2 == 0):
            kind, z = forward(x)
        loss = F.cross_entropy(z, y)
        o.zero_grad()
        loss.backward()
        o.step()
        seen.append((str(kind), loss))
    return seen, a, b


@program
def lookahead_by_hand(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.Adam(m.parameters(), lr=0.02)
    slow, count = [p.detach().clone() for p in m.parameters()], [0]
    base = train_step(torch, m, o)

    def step(x, y):
        loss = base(x, y)
        count[0] += 1
        if count[0] % 5 == 0:
            with torch.no_grad():
                for s, p in zip(slow, m.parameters(), strict=True):
                    s += 0.5 * (p - s)
                    p.copy_(s)
        return loss

    step = compiled(step)
    return [step(*b) for b in batches(torch, 12)], m


@program
def layerwise_rates(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.SGD([{"params": [p], "lr": 0.1 * 0.5**i, "name": n} for i, (n, p) in enumerate(m.named_parameters())])
    step, seen = compiled(train_step(torch, m, o)), []
    for i, b in enumerate(batches(torch)):
        for g in o.param_groups:
            if g["name"].endswith("bias"):
                g["lr"] = 0.0 if i < 5 else 0.2
        seen.append(step(*b))
    return seen, m


@program
def trained_leaf_of_another_dtype(torch, nn, F, compiled):
    w, target = torch.zeros(4, dtype=torch.float64, requires_grad=True), randn(torch, 4).double()
    o = torch.optim.Adam([w], lr=0.1)

    def step():
        o.zero_grad()
        loss = (w - target).pow(2).sum()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step() for _ in range(10)], w
