"""Random training programs: a model, an optimizer, a step with what people put in it, and what happens between steps."""

from __future__ import annotations

import random

from tests.programs.randomly._running import Statements

MODELS = (
    "nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))",
    "nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 3))",
    "nn.Sequential(nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(inplace=True), nn.Linear(8, 3))",
    "nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 3, bias=False))",
    "nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 8)), nn.ELU(), nn.Linear(8, 3))",
    "nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(6, 8)), nn.SiLU(), nn.Linear(8, 3))",
    "nn.Sequential(nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))",
    "nn.Sequential(nn.Linear(6, 6), nn.PReLU(), nn.Linear(6, 6), nn.Softplus(), nn.Linear(6, 3))",
    "Residual()",
    "Recurrent()",
    "Counting()",
    "Deep()",
    "Experts()",
    "Tied()",
    "Cached()",
)
CLASSES = {
    "Residual": """class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(6, 6) for _ in range(2))
        self.scale = nn.Parameter(torch.ones(6))
        self.head = nn.Linear(6, 3)
        self.register_buffer("mean", torch.zeros(6))

    def forward(self, x):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
        x = x - self.mean
        for block in self.blocks:
            x = x + block(x).tanh() * self.scale
        return self.head(x)""",
    "Recurrent": """class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(2, 5)
        self.head = nn.Linear(5, 3)
        self.h = None

    def forward(self, x):
        h = x.new_zeros(x.shape[0], 5) if self.h is None or len(self.h) != len(x) else self.h.detach()
        for part in x.split(2, -1):
            h = self.cell(part, h)
        self.h = h
        return self.head(h)""",
    "Counting": """class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 4), nn.Linear(4, 3)
        self.register_buffer("steps", torch.tensor(0))
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        self.steps += 1
        h = self.a(x).relu()
        if self.calls % 3 == 0:
            h = h * 0.5
        return self.b(h) + self.steps * 0.01 + self.calls * 0.001""",
    "Deep": """class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.Linear(6, 6), nn.Linear(6, 3)

    def go(self, x, n):
        return x if n == 0 else self.go(self.layer(x).tanh(), n - 1)

    def forward(self, x):
        return self.head(self.go(x, 1 + random.randrange(3)))""",
    "Experts": """class Experts(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(6, 2)
        self.experts = nn.ModuleDict({"a": nn.Linear(6, 3), "b": nn.Linear(6, 3)})

    def forward(self, x):
        p = self.gate(x).softmax(-1)
        best, out = p.argmax(-1), torch.zeros(len(x), 3)
        for i, name in enumerate(self.experts):
            rows = best == i
            if rows.any():
                out[rows] = self.experts[name](x[rows]) * p[rows, i, None]
        return out""",
    "Tied": """class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.b.weight = self.a.weight

    def forward(self, x):
        x.requires_grad_()
        return self.head(self.b(self.a(x).sigmoid()))""",
    "Cached": """class Cached(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.head, self.cache, self.last = nn.Linear(6, 6), nn.Linear(6, 3), {}, None

    def forward(self, x):
        if len(x) not in self.cache:
            self.cache[len(x)] = torch.linspace(0, 1, len(x))[:, None] * torch.rand(1)
        h = self.a(x) + self.cache[len(x)]
        self.last = h
        return self.head(h.relu())""",
}
OPTIMIZERS = (
    *(
        "SGD({p}, lr=0.1)",
        "SGD({p}, lr=0.05, momentum=0.9)",
        "SGD({p}, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01)",
        "SGD({p}, lr=0.1, foreach=False)",
        "SGD({p}, lr=torch.tensor(0.1))",
    ),
    *(
        "Adam({p}, lr=0.02)",
        "Adam({p}, lr=0.02, amsgrad=True)",
        "Adam({p}, lr=0.02, foreach=True)",
        "Adam({p}, lr=0.02, fused=True)",
        "Adam({p}, lr=torch.tensor(0.02))",
        "AdamW({p}, lr=0.02, weight_decay=0.1)",
    ),
    *(
        "RMSprop({p}, lr=0.01, momentum=0.5, centered=True)",
        "Adagrad({p}, lr=0.05, lr_decay=0.1)",
        "Adadelta({p}, lr=1.0)",
        "Adamax({p}, lr=0.02)",
        "NAdam({p}, lr=0.02)",
        "RAdam({p}, lr=0.02)",
        "ASGD({p}, lr=0.05)",
        "Rprop({p}, lr=0.01)",
    ),
    *(
        "SGD([{'params': list({p})[:1], 'lr': 0.01}, {'params': list({p})[1:]}], lr=0.1)",
        "AdamW([{'params': [q for q in {p} if q.dim() > 1], 'weight_decay': 0.1}, {'params': [q for q in {p} if q.dim() <= 1]}], lr=0.02)",
    ),
    *(
        "Adafactor({p}, lr=0.02)",
        "SGD({p}, lr=0.1, maximize=False, dampening=0.1, momentum=0.5)",
        "Adam({p}, lr=0.02, capturable=False, differentiable=False, weight_decay=0.01)",
        "LBFGS({p}, lr=0.1, max_iter=3)",
        "SGD({p}, lr=0.1, fused=True)",
    ),
)
SCHEDULERS = (
    *(
        "StepLR({o}, 2, 0.5)",
        "ExponentialLR({o}, 0.9)",
        "CosineAnnealingLR({o}, 5)",
        "LambdaLR({o}, lambda n: 1 / (n + 1))",
        "OneCycleLR({o}, 0.2, total_steps=40)",
        "CyclicLR({o}, 0.01, 0.1, step_size_up=2, cycle_momentum=False)",
    ),
    *(
        "MultiStepLR({o}, [2, 5], 0.3)",
        "LinearLR({o})",
        "PolynomialLR({o}, 8)",
        "CosineAnnealingWarmRestarts({o}, 3)",
        "SequentialLR({o}, [torch.optim.lr_scheduler.ConstantLR({o}, 0.5, 3), torch.optim.lr_scheduler.ExponentialLR({o}, 0.8)], [3])",
    ),
    *(
        "ReduceLROnPlateau({o}, patience=0)",
        "MultiplicativeLR({o}, lambda n: 0.9)",
        "ChainedScheduler([torch.optim.lr_scheduler.ExponentialLR({o}, 0.9), torch.optim.lr_scheduler.StepLR({o}, 2)])",
    ),
)
#: What stands before the forward pass, how the output is made, the loss, what is added to it, backward, what happens to gradients, what comes after.
BEFORE = (
    "x = x + 0.1 * torch.randn_like(x)",
    "x = x * 1.0",
    "x = x.clone().mul_(1.1)",
    "state['n'] += 1",
    "x = x * (1 + 0.1 * state['n'])",
    "if random.random() < 0.5:\n    x = -x",
    "x = x + float(np.random.rand())",
)
BEFORE += (
    "x = x[torch.randperm(len(x))]",
    "x, y = x[: len(x) - state['n'] % 2], y[: len(y) - state['n'] % 2]",
    "assert len(x)",
    "x[:, 0] = 0",
    "x = torch.from_numpy(x.detach().numpy() * 2)",
    "m.train(state['n'] % 3 != 1)",
    "x.requires_grad_()",
)
FORWARD = ("z = m(x)",) * 4 + (
    "z = torch.utils.checkpoint.checkpoint(m, x, use_reentrant=False)",
    "z = torch.func.functional_call(m, {k: v * 1 for k, v in m.named_parameters()}, (x,))",
    "with torch.autocast('cpu', dtype=torch.bfloat16, enabled=state['n'] % 2 == 5):\n    z = m(x)",
    "z = m(x)\nz.retain_grad()",
    "z = m(x)\nz.register_hook(lambda g: g * 0.5)",
    "z = Same.apply(m(x))",
    "z = Scaled.apply(m(x), 1 + 0.1 * state['n'])",
    "z = (m(x) + m(x)) / 2",
    "with torch.no_grad():\n    target = m(x).softmax(-1)\nz = m(x) + 0.1 * target",
    "z = inner(x)",
    "z = torch.cat([m(part) for part in x.split(4)])",
    "z = {'logits': m(x)}['logits']",
    "z = m(x)\nif z.abs().max() > 1:\n    z = z / z.abs().max().detach()",
    "z = m(x)\nz[0] *= 0.5",
    "z = m(x)\nstate['z'] = z.detach()",
    "z = m(x)\nz.mul_(0.9).clamp_(-5, 5)",
    "z = m(x.detach())\nz = torch.where(z > 0, z, 0.1 * z)",
    "with torch.autograd.graph.saved_tensors_hooks(lambda t: t.clone(), lambda t: t):\n    z = m(x)",
    "with torch.random.fork_rng():\n    z = m(x)",
    "with torch.nn.utils.parametrize.cached():\n    z = m(x)",
)
LOSS = ("loss = F.cross_entropy(z, y)",) * 4 + (
    "loss = F.cross_entropy(z, y, label_smoothing=0.1)",
    "loss = F.cross_entropy(z, y, weight=torch.tensor([1.0, 2.0, 0.5]))",
    "loss = F.nll_loss(z.log_softmax(-1), y, reduction='none').mean()",
    "loss = F.mse_loss(z, F.one_hot(y, 3).to(z.dtype))",
    "loss = (z.logsumexp(-1) - z.gather(1, y[:, None])[:, 0]).mean()",
    "loss = F.smooth_l1_loss(z, F.one_hot(y, 3).to(z.dtype)) + 0.1 * F.cross_entropy(z, y)",
    "losses = F.cross_entropy(z, y, reduction='none')\nloss = losses.topk(min(5, len(losses))).values.mean()",
    "loss = F.cross_entropy(z, y)\nloss = loss * (2 if loss.item() < 1 else 1)",
    "loss = torch.distributions.Categorical(logits=z).log_prob(y).mean().neg()",
    "loss = F.cross_entropy(z, y) + 0.5 * sum(p.square().sum() for p in m.parameters()) * 0.01",
    "loss = F.cross_entropy(z, y) + state.get('extra', 0)",
    "loss = F.binary_cross_entropy_with_logits(z, F.one_hot(y, 3).to(z.dtype))",
    "loss = F.cross_entropy(z, y) / (1 + state['n'])",
)
BACKWARD = ("o.zero_grad()\nloss.backward()",) * 4 + (
    "o.zero_grad(set_to_none=False)\nloss.backward()",
    "m.zero_grad()\nloss.backward(retain_graph=True)\n(0.1 * loss).backward()",
    (
        "o.zero_grad()\ngs = torch.autograd.grad(loss, [p for p in m.parameters() if p.requires_grad], allow_unused=True)\n"
        "for p, g in zip([p for p in m.parameters() if p.requires_grad], gs):\n    p.grad = g"
    ),
    "o.zero_grad()\ng, = torch.autograd.grad(loss, z, create_graph=True)\n(loss + g.square().sum()).backward()",
    "o.zero_grad()\nscaler.scale(loss).backward()\nscaler.unscale_(o)",
    "for p in m.parameters():\n    p.grad = None\nloss.backward()",
    "if state['n'] % 2 == 0:\n    o.zero_grad()\nloss.backward()",
    (
        "loss.backward(create_graph=True)\npenalty = sum(p.grad.square().sum() for p in m.parameters() if p.grad is not None)\n"
        "value = penalty.detach()\no.zero_grad()\nF.cross_entropy(m(x), y).backward()\nstate['extra'] = 0 * value"
    ),
    "o.zero_grad()\n(loss / 2).backward()\nF.cross_entropy(m(x * 0.5), y).div(2).backward()",
    "o.zero_grad()\ntorch.autograd.backward([loss, z.sum() * 0.01], retain_graph=False)",
    "o.zero_grad()\nloss.backward(inputs=[p for p in m.parameters() if p.requires_grad])",
)
GRADIENTS = (
    *(
        "",
        "",
        "",
        "nn.utils.clip_grad_norm_(m.parameters(), 0.5)",
        "nn.utils.clip_grad_value_(m.parameters(), 0.05)",
        "norms.append(nn.utils.clip_grad_norm_(m.parameters(), 1.0))",
    ),
    "for p in m.parameters():\n    if p.grad is not None:\n        p.grad.add_(0.01 * torch.randn_like(p.grad))",
    "for p in m.parameters():\n    if p.grad is not None:\n        p.grad = p.grad.sign() * 0.1",
    "for p in m.parameters():\n    if p.grad is not None:\n        p.grad.data.mul_(0.5)",
    "for p in list(m.parameters())[:1]:\n    p.grad = None",
    "norms.append(sum(p.grad.norm() for p in m.parameters() if p.grad is not None).item())",
    "if not all(torch.isfinite(p.grad).all() for p in m.parameters() if p.grad is not None):\n    return loss",
    "kept = [p.grad for p in m.parameters() if p.grad is not None]\nhistory.append(kept[0])",
    "with torch.no_grad():\n    for p in m.parameters():\n        p.mul_(0.999)",
)
UPDATE = ("o.step()",) * 5 + (
    "scaler.step(o)\nscaler.update()",
    "with torch.no_grad():\n    for p in m.parameters():\n        if p.grad is not None:\n            p -= 0.05 * p.grad",
    "with torch.no_grad():\n    for p in m.parameters():\n        if p.grad is not None:\n            p.copy_(p - 0.05 * p.grad)",
    "for p in m.parameters():\n    if p.grad is not None:\n        p.data = p.data - 0.05 * p.grad",
    "if state['n'] % 2:\n    o.step()",
    "for group in o.param_groups:\n    group['lr'] = 0.1 / (1 + state['n'])\no.step()",
    "o.step()\no.step()",
    "for p in m.parameters():\n    if p.grad is not None:\n        p.data.add_(p.grad, alpha=-0.05)",
)
AFTER = (
    *(
        "",
        "",
        "s.step()",
        "history.append(loss.detach())",
        "history.append(loss.item())",
        "history.append(z)",
        "state['n'] += 1",
        "state['n'] += 1",
        "total.add_(loss.detach())",
        "state['best'] = min(state.get('best', 9.0), loss.item())",
    ),
    "for k, v in m.state_dict().items():\n    ema[k] = 0.9 * ema[k] + 0.1 * v if k in ema else v.clone()",
    "with torch.no_grad():\n    for a, b in zip(average.parameters(), m.parameters()):\n        a.lerp_(b, 0.1)",
    "average_model.update_parameters(m)",
    "history.append([p.detach().clone() for p in m.parameters()][0])",
    "history.append(next(iter(m.parameters())).detach())",
    "o.param_groups[0]['lr'] *= 0.95",
    "with torch.no_grad():\n    history.append((m(x).argmax(-1) == y).float().mean())",
    "m.eval()\nwith torch.inference_mode():\n    history.append(F.cross_entropy(m(x), y))\nm.train()",
    "history.append(next(iter(m.parameters())).grad)",
    "del z",
)
RETURNS = ("loss",) * 3 + (
    "loss.detach()",
    "loss, z",
    "{'loss': loss, 'z': z.detach()}",
    "loss.item()",
    "Result(loss, z.detach())",
    "[loss, [z.argmax(-1)]]",
    "None",
    "loss.detach().clone(), z.softmax(-1).mean(0)",
)
#: What happens between steps.
EVENTS = (
    *(
        "for g in o.param_groups:\n    g['lr'] = 0.03",
        "for g in o.param_groups:\n    g['lr'] *= 0.5",
        "o.param_groups[0]['weight_decay'] = 0.1",
        "o.param_groups[0]['momentum'] = 0.5",
        "o.param_groups[0]['betas'] = (0.5, 0.9)",
    ),
    *(
        "kept = copy.deepcopy(m.state_dict())",
        "m.load_state_dict(kept)",
        "kept_o = copy.deepcopy(o.state_dict())",
        "o.load_state_dict(kept_o)",
        "kept_o = o.state_dict()",
        "kept = m.state_dict()",
        "m.load_state_dict({k: v * 0.9 if v.is_floating_point() else v for k, v in m.state_dict().items()})",
    ),
    *(
        "for p in list(m.parameters())[:2]:\n    p.requires_grad_(False)",
        "for p in m.parameters():\n    p.requires_grad_(True)",
        "m.eval()",
        "m.train()",
        "handle = m.register_forward_hook(lambda mod, i, out: out * 1.1)",
        "handle.remove()",
        "m.zero_grad()",
    ),
    *(
        "handle = next(m.parameters()).register_hook(lambda g: g * 0.5)",
        "handle = m.register_full_backward_hook(lambda mod, gi, go: norms.append(go[0].norm()))",
        "handle = m.register_forward_pre_hook(lambda mod, i: (i[0] * 0.9,))",
    ),
    *(
        "handle = next(m.parameters()).register_post_accumulate_grad_hook(lambda p: p.grad.clamp_(-0.01, 0.01))",
        "handle = o.register_step_pre_hook(lambda opt, a, k: [p.grad.mul_(0.5) for g in opt.param_groups for p in g['params'] if p.grad is not None] and None)",
    ),
    *(
        "handle = o.register_step_post_hook(lambda opt, a, k: norms.append(len(opt.state)))",
        "twin = copy.deepcopy(m)",
        "m = copy.deepcopy(m)",
        "m, o = copy.deepcopy((m, o))",
        "note(twin)",
        "with torch.no_grad():\n    next(m.parameters()).mul_(0.9)",
    ),
    *(
        "next(m.parameters()).data.add_(0.01)",
        "next(m.parameters()).data = torch.ones_like(next(m.parameters())) * 0.1",
        "with torch.no_grad():\n    for p in m.parameters():\n        p.add_(0.01 * torch.randn_like(p))",
        "next(m.parameters()).grad = torch.ones_like(next(m.parameters()))",
    ),
    *(
        "m.head = nn.Linear(m.head.in_features, 3)",
        "m[-1] = nn.Linear(m[-1].in_features, 3)",
        "m[0].weight = nn.Parameter(torch.ones_like(m[0].weight) * 0.1)",
        "m.append(nn.Linear(3, 3))\no.add_param_group({'params': m[-1].parameters()})",
        "del m[-1]",
    ),
    *(
        "o = torch.optim.Adam(m.parameters(), lr=0.01)",
        "o = torch.optim.SGD(m.parameters(), lr=0.05)",
        "o.state.clear()",
        "for v in o.state.values():\n    for k in v:\n        if isinstance(v[k], torch.Tensor) and v[k].dim():\n            v[k].zero_()",
        "note(o.state_dict())",
    ),
    *(
        "for v in o.state.values():\n    for k in v:\n        if isinstance(v[k], torch.Tensor) and v[k].dim():\n            v[k] = v[k] * 0.5",
        "o.add_param_group({'params': [nn.Parameter(torch.ones(2))], 'lr': 0.2})",
        "m = pickle.loads(pickle.dumps(m))\no = torch.optim.SGD(m.parameters(), lr=0.1)",
    ),
    *(
        "torch.manual_seed(5)",
        "rng = torch.get_rng_state()",
        "torch.set_rng_state(rng)",
        "note(torch.rand(2))",
        "np.random.seed(1)",
        "random.seed(1)",
        "state['n'] = 0",
        "state['n'] += 2",
        "history.clear()",
        "note(history[-2:])",
        "note(norms)",
        "gc.collect()",
    ),
    *(
        "for b in m.buffers():\n    b.zero_()",
        "for b in m.buffers():\n    b.mul_(2) if b.is_floating_point() else b.add_(1)",
        "m.h = None",
        "m.cache.clear()",
        "m.calls = 0",
        "note(m.last.sum())",
        "note([p.grad for p in m.parameters()])",
        "note(m)",
        "note(o.state_dict()['state'])",
    ),
    *(
        "nn.utils.parametrize.register_parametrization(m[-1], 'weight', Symmetric())",
        "nn.utils.parametrize.remove_parametrizations(m[-1], 'weight')",
        "nn.utils.prune.l1_unstructured(m[-1], 'weight', 0.3)",
        "nn.utils.parametrizations.weight_norm(m[-1])",
        "torch.nn.utils.vector_to_parameters(torch.nn.utils.parameters_to_vector(m.parameters()) * 0.95, m.parameters())",
    ),
    *(
        "data = [(x * 0.5, y) for x, y in data]",
        "data = data[::-1]",
        "for x, y in data:\n    x.add_(0.1)",
        "data = [(x[:5], y[:5]) for x, y in data]",
        "data = [(torch.cat([x, x]), torch.cat([y, y])) for x, y in data]",
        "buffer = io.BytesIO()\ntorch.save({'m': m.state_dict(), 'o': o.state_dict()}, buffer)",
    ),
    *(
        "buffer.seek(0)\nsaved = torch.load(buffer)\nm.load_state_dict(saved['m'])\no.load_state_dict(saved['o'])",
        "note([g['lr'] for g in o.param_groups])",
        "s = torch.optim.lr_scheduler.ExponentialLR(o, 0.7)",
        "s.step()",
        "note(s.get_last_lr())",
        "kept_s = s.state_dict()",
        "s.load_state_dict(kept_s)",
    ),
    *(
        "with torch.no_grad():\n    note(m(data[0][0]))",
        "loss = F.cross_entropy(m(data[0][0]), data[0][1])\nloss.backward()",
        "torch.set_grad_enabled(False)",
        "torch.set_grad_enabled(True)",
        "if not list(m.buffers()):\n    note(torch.func.vmap(lambda v: m(v[None])[0])(data[0][0]))",
        "o.zero_grad()",
        "o.step()",
        "m.requires_grad_(False)",
    ),
    *(
        (
            "if not list(m.buffers()):\n    note(torch.func.grad(lambda p: torch.func."
            "functional_call(m, p, (data[0][0],)).square().mean())({k: v.detach() for k, v in m.named_parameters()}))"
        ),
        "if not list(m.buffers()):\n    note(torch.func.jvp(m, (data[0][0].detach(),), (torch.ones_like(data[0][0]),)))",
        "m.double().float()",
        "m.apply(lambda mod: setattr(mod, 'p', 0.5) if isinstance(mod, nn.Dropout) else None)",
    ),
    *(
        "try:\n    step(data[0][0][:, :4], data[0][1])\nexcept Exception as error:\n    note(type(error).__name__)",
        "step = compiled(plain_step)",
        "step = plain_step",
        "inner = compiled(m)",
        "inner = m",
        "def plain_step(x, y):\n    o.zero_grad()\n    loss = F.cross_entropy(m(x), y)\n    loss.backward()\n    o.step()\n    return loss",
    ),
    *(
        "o.step(lambda: (o.zero_grad(), (loss := F.cross_entropy(m(data[0][0]), data[0][1])).backward(), loss)[-1])",
        "ref = weakref.ref(next(m.parameters()))\nnote(ref() is None)",
        "average = copy.deepcopy(m)",
        "torch.nn.init.zeros_(list(m.parameters())[-1])",
        "for layer in m.modules():\n    if hasattr(layer, 'reset_parameters'):\n        layer.reset_parameters()",
    ),
)
PARTS = """class Same(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return g * 0.5

class Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale):
        ctx.save_for_backward(x)
        ctx.scale = scale
        return x * scale

    @staticmethod
    def backward(ctx, g):
        return g * ctx.scale + 0 * ctx.saved_tensors[0], None

class Symmetric(nn.Module):
    def forward(self, w):
        return w - w.mean()

import collections
Result = collections.namedtuple("Result", "loss z")"""


def indented(text: str, by: int = 1) -> str:
    return "\n".join("    " * by + line for line in text.splitlines())


def step(choose: random.Random, name: str = "plain_step", closure: bool = False) -> str:
    """The text of a step."""
    pick = choose.choice
    body = [pick(BEFORE) for _ in range(choose.choice([0, 0, 1, 1, 2]))]
    body += [pick(FORWARD), pick(LOSS), pick(BACKWARD), pick(GRADIENTS), pick(UPDATE)]
    body += [pick(AFTER) for _ in range(choose.choice([0, 1, 1, 2]))]
    scaled = any("scaler.scale" in part for part in body)
    body = [part for part in body if scaled or not part.startswith("scaler.step")] if any("scaler.step" in part for part in body) else body
    if closure:
        body = [
            pick(FORWARD[:4]),
            "def closure():\n    o.zero_grad()\n    loss = F.cross_entropy(m(x), y)\n    loss.backward()\n    return loss",
            "loss = o.step(closure)",
        ]
    result = pick(RETURNS)
    if "del z" in body and "z" in result.replace("loss", ""):
        result = "loss"
    return f"def {name}(x, y):\n" + indented("\n".join([*filter(None, body), f"return {result}"]))


def training(seed: int, steps: int = 12) -> Statements:
    """A random program."""
    choose = random.Random(seed)
    model, lines = choose.choice(MODELS), [PARTS]
    optimizer = choose.choice(OPTIMIZERS)
    if choose.random() < 0.3 or "LBFGS" in optimizer:  # which is chaotic
        lines.insert(0, "torch.set_default_dtype(torch.float64)")
    if (name := model.partition("(")[0]) in CLASSES:
        lines.append(CLASSES[name])
    lines += [
        "state, history, norms, ema, total = {'n': 0}, [], [], {}, torch.zeros(())",
        f"m = {model}",
        f"o = torch.optim.{optimizer}".replace("{p}", "m.parameters()"),
        f"s = torch.optim.lr_scheduler.{choose.choice(SCHEDULERS)}".replace("{o}", "o"),
        "scaler, average, inner = torch.amp.GradScaler('cpu', init_scale=4.0, growth_interval=3), copy.deepcopy(m), m",
        "average_model = torch.optim.swa_utils.AveragedModel(m)",
        "data = [(torch.randn(8, 6), torch.randint(0, 3, (8,))) for _ in range(4)]",
        step(choose, closure="LBFGS" in optimizer),
        "step = compiled(plain_step)",
    ]
    if choose.random() < 0.2:
        lines.append("inner = compiled(m)")
    if choose.random() < 0.15:
        lines = [line.replace("z = m(x)", "z = inner(x)") for line in lines if not line.startswith(("step = ", "inner = "))]
        lines.append("step, inner = plain_step, compiled(m)")
    done = 0
    while done < steps:
        for _ in range(choose.choice([1, 1, 2, 4, 5])):
            lines.append(
                f"note(step(*[t.clone() for t in data[{done % 4}]]))"
                if choose.random() < 0.7
                else f"history.append(step(*data[{done % 4}]))"
            )
            done += 1
        lines += [choose.choice(EVENTS) for _ in range(choose.choice([0, 1, 1, 2]))]
    lines += [
        "note(m)",
        "note([p.grad for p in m.parameters()])",
        "note(o.state_dict(), state, total, ema, average_model, average)",
        "note(history)",
        "note(norms, torch.rand(1), random.random(), np.random.rand())",
    ]
    return Statements(tuple(lines), rtol=1e-3, atol=1e-4)
