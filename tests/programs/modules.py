"""Modules while they are trained: modes, freezing, tying, parametrizations, pruning, copies, files."""

from __future__ import annotations

import copy
import io
import pickle

from tests.programs._parts import batches, gradients, mlp, randn, tokens, train_step
from tests.programs._program import program


@program
def dropout_in_training(torch, nn, F, compiled):
    m = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1)))
    return [step(*b) for b in batches(torch)], m, torch.rand(2)


@program
def dropouts_of_every_kind(torch, nn, F, compiled):
    def f(x):
        return (
            *(F.dropout(x, 0.3), F.dropout1d(x, 0.5), F.alpha_dropout(x, 0.2, training=True)),
            *(F.feature_alpha_dropout(x, 0.5, training=True), nn.Dropout2d(0.5)(x[None]), F.dropout(x, 0.9, training=False)),
        )

    f = compiled(f)
    return [f(randn(torch, 2, 3, 4)) for _ in range(3)], torch.rand(1)


@program
def modes_in_turn(torch, nn, F, compiled):
    m = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
    f, seen = compiled(m), []
    for i, (x, _) in enumerate(batches(torch, 8)):
        m.train(i % 3 != 2)
        seen.append(f(x))
    return seen, m


@program
def one_layer_in_evaluation(torch, nn, F, compiled):
    m, data = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)), batches(torch)
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1)))
    seen = [step(*b) for b in data[:5]]
    m[1].eval()
    return seen, [step(*b) for b in data[5:]], m


@program
def batch_norm_without_momentum(torch, nn, F, compiled):
    m = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4, momentum=None), nn.Linear(4, 4), nn.BatchNorm1d(4, track_running_stats=False))
    f = compiled(m)
    seen = [f(x) for x, _ in batches(torch, 4)]
    m[1].reset_running_stats()
    m[1].momentum = 0.5
    return seen, [f(x) for x, _ in batches(torch, 2)], m


@program
def batch_norm_twice_in_one_step(torch, nn, F, compiled):
    m = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    o = torch.optim.SGD(m.parameters(), lr=0.1)

    def step(x, y):
        o.zero_grad()
        loss = F.cross_entropy(m(x), y) + F.mse_loss(m(x * 0.9), m(x).detach())
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m


@program(atol=1e-4, because="normalisations after each other leave gradients at rounding errors")
def batch_norm_of_images(torch, nn, F, compiled):
    m = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.InstanceNorm2d(3, affine=True), nn.GroupNorm(3, 3), nn.Flatten(), nn.Linear(48, 3)
    )
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.05)))
    return [step(randn(torch, 4, 1, 6, 6, seed=i), tokens(torch, 4, below=3, seed=i)) for i in range(5)], m


@program
def frozen_in_the_middle(torch, nn, F, compiled):
    m, data = mlp(torch), batches(torch)
    o = torch.optim.Adam(m.parameters(), lr=0.02)
    step = compiled(train_step(torch, m, o))
    seen = [step(*b) for b in data[:3]]
    m[0].requires_grad_(False)
    seen += [step(*b) for b in data[3:6]]
    m[0].weight.requires_grad_(True)
    return seen, [step(*b) for b in data[6:]], m, gradients(m)


@program
def gradual_unfreezing(torch, nn, F, compiled):
    m = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 3))
    o = torch.optim.SGD(m.parameters(), lr=0.1)
    for p in m[:4].parameters():
        p.requires_grad = False
    step, seen = compiled(train_step(torch, m, o)), []
    for i, b in enumerate(batches(torch, 9)):
        if i in (3, 6):
            for p in m[2 if i == 3 else 0].parameters():
                p.requires_grad = True
        seen.append(step(*b))
    return seen, m


@program
def weight_tying(torch, nn, F, compiled):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.e, self.l, self.h = nn.Embedding(11, 8), nn.Linear(8, 8), nn.Linear(8, 11, bias=False)
            self.h.weight = self.e.weight

        def forward(self, x):
            return self.h(torch.tanh(self.l(self.e(x))))

    m = Model()
    o = torch.optim.AdamW(m.parameters(), lr=1e-2)
    step = compiled(train_step(torch, m, o, lambda z, y: F.cross_entropy(z.view(-1, 11), y.view(-1))))
    seen = [step(tokens(torch, 4, 5, seed=i), tokens(torch, 4, 5, seed=i + 30)) for i in range(10)]
    return seen, m, m.h.weight is m.e.weight


@program
def tied_in_the_middle(torch, nn, F, compiled):
    a, b, data = nn.Linear(6, 6), nn.Linear(6, 6), batches(torch, 8)
    o = torch.optim.SGD([*a.parameters(), *b.parameters()], lr=0.1)

    def step(x):
        o.zero_grad()
        loss = F.mse_loss(b(torch.tanh(a(x))), x)
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    seen = [step(x) for x, _ in data[:4]]
    b.weight = a.weight
    return seen, [step(x) for x, _ in data[4:]], a, b


@program
def one_layer_applied_twice(torch, nn, F, compiled):
    a, b = nn.Linear(6, 6), nn.Linear(6, 3)
    m = nn.Sequential(a, nn.Tanh(), a, nn.Tanh(), b)
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1)))
    return [step(*d) for d in batches(torch)], m


@program
def weight_norm(torch, nn, F, compiled):
    m = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 8)), nn.ReLU(), nn.utils.weight_norm(nn.Linear(8, 3)))
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1)))
    return [step(*b) for b in batches(torch)], m


@program
def spectral_norm(torch, nn, F, compiled):
    m = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(6, 8)), nn.ReLU(), nn.Linear(8, 3))
    step, seen = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1))), []
    for i, b in enumerate(batches(torch)):
        seen.append(step(*b))
        if i % 4 == 3:
            m.eval()
            seen.append(m(b[0]))
            m.train()
    return seen, m


@program
def spectral_norm_by_hooks(torch, nn, F, compiled):
    m = nn.Sequential(nn.utils.spectral_norm(nn.Linear(6, 8)), nn.ReLU(), nn.Linear(8, 3))
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1)))
    return [step(*b) for b in batches(torch)], m


@program
def parametrized_by_the_user(torch, nn, F, compiled):
    class Symmetric(nn.Module):
        def forward(self, w):
            return w.triu() + w.triu(1).t()

        def right_inverse(self, w):
            return w.triu()

    l, head, data = nn.Linear(6, 6), nn.Linear(6, 3), batches(torch)
    m = nn.Sequential(l, nn.Tanh(), head)
    o = torch.optim.SGD(m.parameters(), lr=0.1)
    step = compiled(train_step(torch, m, o))
    seen = [step(*b) for b in data[:3]]
    torch.nn.utils.parametrize.register_parametrization(l, "weight", Symmetric())
    seen += [step(*b) for b in data[3:7]]
    torch.nn.utils.parametrize.remove_parametrizations(l, "weight")
    return seen, [step(*b) for b in data[7:]], m


@program
def orthogonal_weight(torch, nn, F, compiled):
    m = nn.Sequential(nn.utils.parametrizations.orthogonal(nn.Linear(6, 6)), nn.Linear(6, 3))
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1)))
    return [step(*b) for b in batches(torch, 6)], m[0].weight, m[1]


@program
def low_rank_adapters(torch, nn, F, compiled):
    class Adapted(nn.Module):
        def __init__(self, base):
            super().__init__()
            self.base, self.merged = base.requires_grad_(False), False
            self.a, self.b = nn.Parameter(torch.randn(2, base.in_features) * 0.1), nn.Parameter(torch.zeros(base.out_features, 2))

        def forward(self, x):
            y = self.base(x)
            return y if self.merged else y + x @ self.a.t() @ self.b.t() * 2

        def merge(self):
            self.base.weight.data += self.b @ self.a * 2
            self.merged = True

    m = mlp(torch)
    m[0], m[2] = Adapted(m[0]), Adapted(m[2])
    o = torch.optim.AdamW([p for p in m.parameters() if p.requires_grad], lr=0.05)
    step, data = compiled(train_step(torch, m, o)), batches(torch)
    seen = [step(*b) for b in data]
    f = compiled(m)
    before = f(data[0][0])
    m[0].merge()
    m[2].merge()
    return seen, before, f(data[0][0]), m


@program
def pruning(torch, nn, F, compiled):
    m, prune, data = mlp(torch), torch.nn.utils.prune, batches(torch)
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1)))
    seen = [step(*b) for b in data[:3]]
    prune.l1_unstructured(m[0], "weight", amount=0.3)
    seen += [step(*b) for b in data[3:6]]
    prune.ln_structured(m[0], "weight", amount=0.25, n=2, dim=0)
    seen += [step(*b) for b in data[6:8]]
    prune.remove(m[0], "weight")
    return seen, [step(*b) for b in data[8:]], m


@program
def pruning_by_a_mask_of_ones_own(torch, nn, F, compiled):
    m = mlp(torch)
    masks = {n: torch.ones_like(p) for n, p in m.named_parameters() if p.dim() == 2}
    base = train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9))

    def step(i, x, y):
        loss = base(x, y)
        if i % 3 == 2:
            for n, p in m.named_parameters():
                if n in masks:
                    masks[n] = (p.detach().abs() > p.detach().abs().flatten().kthvalue(p.numel() // 4).values).float()
        with torch.no_grad():
            for n, mask in masks.items():
                m.get_parameter(n).mul_(mask)
        return loss

    step = compiled(step)
    return [step(i, *b) for i, b in enumerate(batches(torch))], m, masks


@program
def deep_copies_in_the_middle(torch, nn, F, compiled):
    m, data = mlp(torch), batches(torch)
    o = torch.optim.Adam(m.parameters(), lr=0.02)
    step = compiled(train_step(torch, m, o))
    seen = [step(*b) for b in data[:4]]
    twin, twin_o = copy.deepcopy((m, o))
    twin_step = compiled(train_step(torch, twin, twin_o))
    seen += [step(*b) for b in data[4:]]
    same = [p is q for p, q in zip(twin.parameters(), twin_o.param_groups[0]["params"], strict=True)]
    return seen, [twin_step(*b) for b in data[4:]], m, twin, same, gradients(twin)


@program
def pickles_in_the_middle(torch, nn, F, compiled):
    m, data, seen = mlp(torch), batches(torch), []
    for i in range(0, 9, 3):
        step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1)))
        seen += [step(*b) for b in data[i : i + 3]]
        m = pickle.loads(pickle.dumps(m))
    return seen, m


@program
def whole_module_in_a_file(torch, nn, F, compiled):
    m, file = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)), io.BytesIO()
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1)))
    seen = [step(*b) for b in batches(torch, 4)]
    torch.save(m, file)
    file.seek(0)
    m2 = torch.load(file, weights_only=False)
    return seen, compiled(m2.eval())(batches(torch)[0][0]), m, m2


@program
def snapshots_are_not_aliases(torch, nn, F, compiled):
    m = nn.Linear(6, 3)
    step, by_reference, by_copy = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1))), [], []
    for b in batches(torch, 4):
        by_reference.append(m.state_dict())
        by_copy.append({k: v.clone() for k, v in m.state_dict().items()})
        step(*b)
    return by_reference, by_copy


@program
def state_loaded_with_assign(torch, nn, F, compiled):
    m, other, data = mlp(torch), mlp(torch), batches(torch)
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1)))
    seen = [step(*b) for b in data[:3]]
    m.load_state_dict(other.state_dict(), assign=True)
    return seen, [step(*b) for b in data[3:6]], m, other


@program
def partial_state_loaded(torch, nn, F, compiled):
    m = mlp(torch)
    f, (x, _) = compiled(m), batches(torch)[0]
    first = f(x)
    found = m.load_state_dict({"0.weight": torch.ones(16, 6) * 0.1, "more": torch.ones(1)}, strict=False)
    try:
        m.load_state_dict({"0.weight": torch.ones(2, 6)}, strict=False)
    except RuntimeError:
        return first, f(x), found.missing_keys, found.unexpected_keys, "refused"
    return "taken"


@program
def parameters_initialised_again(torch, nn, F, compiled):
    m, data = mlp(torch), batches(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9)
    step = compiled(train_step(torch, m, o))
    seen = [step(*b) for b in data[:4]]

    def start(layer):
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)

    m.apply(start)
    seen += [step(*b) for b in data[4:7]]
    m[2].reset_parameters()
    return seen, [step(*b) for b in data[7:]], m


@program
def lazy_layers(torch, nn, F, compiled):
    m = nn.Sequential(nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.ReLU(), nn.LazyLinear(3))
    f, data = compiled(m), batches(torch)
    first = f(data[0][0])
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1)))
    return first, [step(*b) for b in data[1:]], m


@program
def dtype_changed_in_the_middle(torch, nn, F, compiled):
    m, seen = mlp(torch), []
    f = compiled(lambda x: m(x).square().mean())
    for kind in (torch.float32, torch.float64, torch.float32):
        m.to(kind)
        m.zero_grad()
        loss = f(batches(torch)[0][0].to(kind))
        loss.backward()
        seen.append((loss, m[0].weight.grad.norm()))
    return seen


@program(rtol=3e-2, atol=3e-2, because="bfloat16 has 8 bits")
def bfloat16_model_with_float32_masters(torch, nn, F, compiled):
    m = mlp(torch).to(torch.bfloat16)
    masters = [p.detach().float() for p in m.parameters()]
    o = torch.optim.SGD(masters, lr=0.1)

    def step(x, y):
        loss = F.cross_entropy(m(x.bfloat16()).float(), y)
        m.zero_grad()
        loss.backward()
        for master, p in zip(masters, m.parameters(), strict=True):
            master.grad = p.grad.float()
        o.step()
        for master, p in zip(masters, m.parameters(), strict=True):
            p.data.copy_(master)
        return loss

    step = compiled(step)
    return [step(*b) for b in batches(torch, 6)], m


@program
def containers_of_parameters(torch, nn, F, compiled):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.ws = nn.ParameterList([nn.Parameter(torch.randn(6, 6) * 0.3) for _ in range(3)])
            self.named = nn.ParameterDict({"scale": nn.Parameter(torch.ones(6)), "head": nn.Parameter(torch.randn(6, 3))})

        def forward(self, x):
            for w in self.ws:
                x = torch.tanh(x @ w) * self.named["scale"]
            return x @ self.named["head"]

    m = Model()
    step = compiled(train_step(torch, m, torch.optim.Adam(m.parameters(), lr=0.02)))
    return [step(*b) for b in batches(torch)], m


@program
def layers_chosen_by_the_data(torch, nn, F, compiled):
    experts = nn.ModuleDict({"small": nn.Linear(6, 3), "large": mlp(torch)})
    o = torch.optim.Adam(experts.parameters(), lr=0.02)

    def step(x, y):
        name = "small" if x.sum().item() < 0 else "large"
        o.zero_grad()
        loss = F.cross_entropy(experts[name](x), y)
        loss.backward()
        o.step()
        return loss, name

    step = compiled(step)
    return [step(*b) for b in batches(torch)], experts


@program
def extra_state_and_buffers_that_are_not_saved(torch, nn, F, compiled):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.l, self.steps = nn.Linear(6, 3), 0
            self.register_buffer("table", torch.arange(3.0), persistent=False)

        def get_extra_state(self):
            return {"steps": self.steps}

        def set_extra_state(self, state):
            self.steps = state["steps"]

        def forward(self, x):
            self.steps += 1
            self.table += 1
            return self.l(x) * self.table / self.steps

    m, other = Model(), Model()
    f, g, x = compiled(m), compiled(other), batches(torch)[0][0]
    seen = [f(x) for _ in range(3)]
    other.load_state_dict(m.state_dict())
    return seen, g(x), other.steps


@program
def attributes_deleted_and_added(torch, nn, F, compiled):
    m, x, seen = nn.Linear(6, 3), batches(torch)[0][0], []
    f = compiled(lambda x: m(x) * getattr(m, "scale", 1.0) + (m.extra if hasattr(m, "extra") else 0))
    seen.append(f(x))
    m.scale = 2.0
    seen.append(f(x))
    m.register_buffer("extra", torch.ones(3))
    seen.append(f(x))
    del m.scale
    m.register_parameter("bias", None)
    seen.append(f(x))
    m.extra = None
    m.extra = 3.0 if "extra" not in m._buffers else torch.zeros(3)
    return seen, f(x)


@program
def gradient_clipping_by_parameter_hooks(torch, nn, F, compiled):
    m = mlp(torch)
    for p in m.parameters():
        p.register_hook(lambda g: torch.clamp(g, -0.02, 0.02))
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.5)))
    return [step(*b) for b in batches(torch)], m


@program
def module_subclass_of_sequential(torch, nn, F, compiled):
    class Dense(nn.Sequential):
        def forward(self, x):
            for layer in self:
                x = torch.cat([x, torch.relu(layer(x))], 1)
            return x

    m = nn.Sequential(Dense(nn.Linear(6, 2), nn.Linear(8, 2), nn.Linear(10, 2)), nn.Linear(12, 3))
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1)))
    return [step(*b) for b in batches(torch)], m


@program
def freshly_made_layers_inside_the_step(torch, nn, F, compiled):
    def f(x):
        l = nn.Linear(6, 2)
        return nn.LayerNorm(2)(l(x)), l.weight

    f = compiled(f)
    return [f(x) for x, _ in batches(torch, 4)], torch.rand(1)
