"""State that Python holds between steps: globals, closures, attributes, lists, and things that are replaced."""

from __future__ import annotations

import copy
import itertools
import random

import numpy as np

from tests.programs._parts import batches, gradients, mlp, randn, train_step
from tests.programs._program import program

SCALE = 1.0


@program
def global_number(torch, nn, F, compiled):
    global SCALE
    SCALE, seen = 1.0, []
    f = compiled(lambda x: x * SCALE)
    for _ in range(4):
        seen.append(f(torch.ones(2)))
        SCALE += 1
    return seen


@program
def closure_number(torch, nn, F, compiled):
    a, seen = 1.0, []
    f = compiled(lambda x: x * a)
    for _ in range(4):
        seen.append(f(torch.ones(2)))
        a += 1
    return seen


@program
def nonlocal_counter(torch, nn, F, compiled):
    n = 0

    def f(x):
        nonlocal n
        n += 1
        return x * n

    f = compiled(f)
    return [f(torch.ones(2)) for _ in range(5)], n


@program
def default_argument_list(torch, nn, F, compiled):
    def f(x, seen=[]):  # noqa: B006
        seen.append(x.sum())
        return torch.stack(seen).mean()

    f = compiled(f)
    return [f(torch.ones(3) * i) for i in range(5)]


@program
def iterator_is_consumed(torch, nn, F, compiled):
    weights = itertools.cycle([1.0, 0.5, 0.25])
    f = compiled(lambda x: x * next(weights))
    return [f(torch.ones(2)) for _ in range(7)]


@program
def function_attribute(torch, nn, F, compiled):
    def f(x):
        f.calls += 1
        return x + f.calls

    f.calls = 0
    g = compiled(f)
    return [g(torch.zeros(2)) for _ in range(4)], f.calls


@program
def class_attribute(torch, nn, F, compiled):
    class Layer(nn.Module):
        scale = 1.0

        def forward(self, x):
            Layer.scale = Layer.scale * 2
            return x * self.scale

    f = compiled(Layer())
    return [f(torch.ones(2)) for _ in range(4)], Layer.scale


@program
def attribute_of_dropout(torch, nn, F, compiled):
    m = nn.Dropout(0.0)
    f = compiled(lambda x: m(x))
    first = f(torch.ones(4))
    m.p = 1.0
    return first, f(torch.ones(4))


@program
def list_append_inside(torch, nn, F, compiled):
    m, history = mlp(torch), []
    base = train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1))

    def step(x, y):
        loss = base(x, y)
        history.append(loss.detach())
        return loss

    step = compiled(step)
    for b in batches(torch):
        step(*b)
    return history, m


@program
def history_window(torch, nn, F, compiled):
    window = []

    def smooth(x):
        window.append(x)
        del window[:-3]
        return torch.stack(window).mean(0)

    smooth = compiled(smooth)
    return [smooth(torch.ones(2) * i) for i in range(8)], len(window)


@program
def history_dict(torch, nn, F, compiled):
    m, seen = mlp(torch), {}
    base = train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1))

    def step(i, x, y):
        seen.setdefault(i % 3, []).append(base(x, y).detach())

    step = compiled(step)
    for i, b in enumerate(batches(torch)):
        step(i, *b)
    return seen


@program
def running_loss_attribute(torch, nn, F, compiled):
    m = mlp(torch)
    base = train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1))

    class Meter:
        total = torch.zeros(())

    meter = Meter()

    def step(x, y):
        loss = base(x, y)
        meter.total = meter.total + loss.detach()
        return loss

    step = compiled(step)
    for b in batches(torch):
        step(*b)
    return m, meter.total


@program
def recurrent_state(torch, nn, F, compiled):
    class Cell(nn.Module):
        def __init__(self):
            super().__init__()
            self.w, self.h = nn.Linear(6, 6), torch.zeros(8, 6)

        def forward(self, x):
            self.h = self.h + x
            return self.w(self.h)

    cell = Cell()
    f = compiled(cell)
    with torch.no_grad():
        return [f(x) for x, _ in batches(torch)], cell.h


@program
def recurrent_state_trained(torch, nn, F, compiled):
    class Cell(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.out, self.h = nn.GRUCell(6, 5), nn.Linear(5, 3), None

        def forward(self, x):
            self.h = self.cell(x, None if self.h is None else self.h.detach())
            return self.out(self.h)

    m = Cell()
    step = compiled(train_step(torch, m, torch.optim.Adam(m.parameters(), lr=0.02)))
    losses = []
    for i, b in enumerate(batches(torch)):
        if i == 6:
            m.h = None
        losses.append(step(*b))
    return losses, m, m.h


@program
def truncated_backpropagation(torch, nn, F, compiled):
    cell, out = nn.RNNCell(6, 5), nn.Linear(5, 3)
    o, state = torch.optim.SGD([*cell.parameters(), *out.parameters()], lr=0.1), {"h": torch.zeros(8, 5), "loss": 0}

    def step(i, x, y):
        state["h"] = cell(x, state["h"])
        state["loss"] = state["loss"] + F.cross_entropy(out(state["h"]), y)
        if i % 3 == 2:
            o.zero_grad()
            state["loss"].backward()
            o.step()
            state["h"], state["loss"] = state["h"].detach(), 0
        return state["h"].detach().sum()

    step = compiled(step)
    return [step(i, *b) for i, b in enumerate(batches(torch, 9))], cell, out


@program
def buffer_reassigned(torch, nn, F, compiled):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = nn.Linear(6, 3)
            self.register_buffer("run", torch.zeros(3))

        def forward(self, x):
            y = self.l(x)
            self.run = self.run * 0.9 + y.detach().mean(0) * 0.1
            return y - self.run

    m = Model()
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1)))
    return [step(*b) for b in batches(torch)], m


@program
def buffer_written_in_place(torch, nn, F, compiled):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = nn.Linear(6, 3)
            self.register_buffer("run", torch.zeros(3))
            self.register_buffer("count", torch.zeros((), dtype=torch.int64))

        def forward(self, x):
            y = self.l(x)
            with torch.no_grad():
                self.count += 1
                self.run.lerp_(y.mean(0), 1 / self.count.float())
            return y - self.run

    m = Model()
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1)))
    return [step(*b) for b in batches(torch)], m


@program
def module_counts_calls(torch, nn, F, compiled):
    class Warm(nn.Module):
        def __init__(self):
            super().__init__()
            self.l, self.calls = nn.Linear(6, 3), 0

        def forward(self, x):
            self.calls += 1
            return self.l(x) * min(1.0, self.calls / 5)

    m = Warm()
    step = compiled(train_step(torch, compiled(m), torch.optim.SGD(m.parameters(), lr=0.1)))
    return [step(*b) for b in batches(torch)], m, m.calls


@program
def replaced_parameter(torch, nn, F, compiled):
    m, data = mlp(torch), batches(torch)
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1)))
    seen = [step(*b) for b in data[:3]]
    m[0].weight = nn.Parameter(torch.ones(16, 6) * 0.1)
    seen += [step(*b) for b in data[3:6]]
    m[0].weight.data = torch.ones(16, 6) * 0.2
    return seen, [step(*b) for b in data[6:]], m


@program
def replaced_data_every_step(torch, nn, F, compiled):
    m = mlp(torch)

    def step(x, y):
        loss = F.cross_entropy(m(x), y)
        m.zero_grad()
        loss.backward()
        for p in m.parameters():
            p.data = p.data - 0.1 * p.grad
        return loss

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m


@program
def replaced_layer(torch, nn, F, compiled):
    m, data = mlp(torch), batches(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.1)
    step = compiled(train_step(torch, m, o))
    seen = [step(*b) for b in data[:4]]
    m[1] = nn.Tanh()
    seen += [step(*b) for b in data[4:7]]
    m[2] = nn.Linear(16, 3)
    o.add_param_group({"params": m[2].parameters()})
    return seen, [step(*b) for b in data[7:]], m


@program
def replaced_layer_of_a_compiled_module(torch, nn, F, compiled):
    m, (x, _) = mlp(torch), batches(torch)[0]
    f = compiled(m)
    first = f(x)
    m[2] = nn.Linear(16, 3)
    return first, f(x)


@program
def layer_appended(torch, nn, F, compiled):
    layers, seen = nn.ModuleList([nn.Linear(6, 6)]), []

    def forward(x):
        for layer in layers:
            x = torch.tanh(layer(x))
        return x

    forward = compiled(forward)
    for x, _ in batches(torch, 5):
        seen.append(forward(x))
        layers.append(nn.Linear(6, 6))
    return seen


@program
def replaced_forward(torch, nn, F, compiled):
    m, (x, _) = mlp(torch), batches(torch)[0]
    f = compiled(lambda x: m(x))
    first = f(x)
    m.forward = lambda x: m[2](torch.sigmoid(m[0](x)))
    second = f(x)
    del m.forward
    return first, second, f(x)


@program
def replaced_activation_function(torch, nn, F, compiled):
    box, l = {"act": torch.relu}, nn.Linear(6, 4)
    f = compiled(lambda x: box["act"](l(x)))
    x, _ = batches(torch)[0]
    seen = [f(x)]
    for box["act"] in (torch.tanh, torch.sigmoid, F.gelu, lambda x: x):
        seen.append(f(x))
    return seen


@program
def new_optimizer(torch, nn, F, compiled):
    m, data = mlp(torch), batches(torch)
    box = {"o": torch.optim.SGD(m.parameters(), lr=0.1)}

    def step(x, y):
        o = box["o"]
        o.zero_grad()
        loss = F.cross_entropy(m(x), y)
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    seen = [step(*b) for b in data[:5]]
    box["o"] = torch.optim.Adam(m.parameters(), lr=0.01)
    return seen, [step(*b) for b in data[5:]], m


@program
def new_model_under_the_same_name(torch, nn, F, compiled):
    box, seen = {}, []

    def step(x, y):
        box["o"].zero_grad()
        loss = F.cross_entropy(box["m"](x), y)
        loss.backward()
        box["o"].step()
        return loss

    step = compiled(step)
    for i, b in enumerate(batches(torch)):
        if i % 3 == 0:
            box["m"] = mlp(torch)
            box["o"] = torch.optim.SGD(box["m"].parameters(), lr=0.1)
        seen.append(step(*b))
    return seen, box["m"]


@program
def models_made_in_a_loop(torch, nn, F, compiled):
    """Objects whose ids are used again must not be taken for those that died."""
    seen = []
    for i in range(6):
        m = nn.Linear(6, 3)
        f = compiled(lambda x, m=m: m(x).sum(0))
        seen.append(f(batches(torch)[i][0]))
        del m, f
    return seen


@program
def results_by_id(torch, nn, F, compiled):
    cache = {}

    def f(x):
        if id(x) not in cache:
            cache[id(x)] = (x, x * 2)
        return cache[id(x)][1] + 1

    f, inputs = compiled(f), [torch.ones(2) * i for i in range(3)]
    return [f(x) for x in inputs + inputs], len(cache)


@program
def memoised_by_shape(torch, nn, F, compiled):
    masks = {}

    def masked(x):
        n = x.shape[0]
        if n not in masks:
            masks[n] = torch.tril(torch.ones(n, n)) * len(masks)
        return masks[n] @ x

    masked = compiled(masked)
    return [masked(randn(torch, n, 2)) for n in (3, 4, 3, 5, 4)], sorted(masks)


@program
def parameters_swapped_for_evaluation(torch, nn, F, compiled):
    m, data = mlp(torch), batches(torch)
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1)))
    average, seen = [p.detach().clone() for p in m.parameters()], []
    for b in data:
        step(*b)
        with torch.no_grad():
            for a, p in zip(average, m.parameters(), strict=True):
                a.mul_(0.8).add_(p, alpha=0.2)
            kept = [p.data for p in m.parameters()]
            for a, p in zip(average, m.parameters(), strict=True):
                p.data = a
            seen.append(m(b[0]))
            for k, p in zip(kept, m.parameters(), strict=True):
                p.data = k
    return seen, m, average


@program
def python_and_numpy_random_inside(torch, nn, F, compiled):
    def augment(x):
        if random.random() < 0.5:
            x = -x
        return x + np.random.randn() + float(np.random.randint(3))

    augment = compiled(augment)
    return [augment(torch.ones(1)) for _ in range(12)]


@program
def numpy_random_array_inside(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.1)

    def step(x, y):
        x = x + torch.from_numpy(np.random.standard_normal(x.shape).astype(np.float32)) * 0.1
        o.zero_grad()
        loss = F.cross_entropy(m(x), y)
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m


@program
def mixup(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.1)

    def step(x, y):
        lam = np.random.beta(0.4, 0.4)
        other = torch.randperm(x.size(0))
        z = m(lam * x + (1 - lam) * x[other])
        loss = lam * F.cross_entropy(z, y) + (1 - lam) * F.cross_entropy(z, y[other])
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m


@program
def stochastic_depth(torch, nn, F, compiled):
    layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(4))
    head = nn.Linear(6, 3)
    o = torch.optim.SGD([*layers.parameters(), *head.parameters()], lr=0.1)

    def step(x, y):
        used = []
        for i, layer in enumerate(layers):
            if random.random() < 0.6:
                x = x + torch.tanh(layer(x))
                used.append(i)
        loss = F.cross_entropy(head(x), y)
        o.zero_grad()
        loss.backward()
        o.step()
        return loss, used

    step = compiled(step)
    return [step(*b) for b in batches(torch)], layers, head, [layer.weight.grad for layer in layers]


@program
def generator_argument_inside(torch, nn, F, compiled):
    g = torch.Generator().manual_seed(5)
    f = compiled(lambda x: x + torch.randn(x.shape, generator=g) + torch.rand(()))
    return [f(torch.zeros(3)) for _ in range(5)], torch.rand(2), torch.rand(2, generator=g)


@program
def seed_inside(torch, nn, F, compiled):
    def f(x, seed):
        torch.manual_seed(seed)
        return x + torch.rand(3), F.dropout(x, 0.5)

    f = compiled(f)
    return [f(torch.ones(3), i % 3) for i in range(6)], torch.rand(2)


@program
def random_state_saved_and_restored(torch, nn, F, compiled):
    f, seen = compiled(lambda: (torch.rand(2), torch.randn(3), torch.randint(0, 9, (2,)), torch.randperm(4))), []
    f()
    state = torch.get_rng_state()
    seen.append(f())
    torch.set_rng_state(state)
    seen.append(f())
    with torch.random.fork_rng():
        seen.append(f())
    return seen, f()


@program
def step_closes_over_the_batch(torch, nn, F, compiled):
    m = mlp(torch)
    o, batch = torch.optim.SGD(m.parameters(), lr=0.1), {}

    def step():
        o.zero_grad()
        loss = F.cross_entropy(m(batch["x"]), batch["y"])
        loss.backward()
        o.step()
        return loss

    step, losses = compiled(step), []
    for batch["x"], batch["y"] in batches(torch):
        losses.append(step())
    return losses, m


@program
def trainer_object(torch, nn, F, compiled):
    class Trainer:
        def __init__(self):
            self.model, self.count, self.best = mlp(torch), 0, None
            self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.02)
            self.callbacks = [self.keep_best]
            self.step = compiled(self.step)

        def keep_best(self, loss):
            if self.best is None or loss < self.best[0]:
                self.best = loss.item(), self.count

        def step(self, x, y):
            self.count += 1
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.model(x), y)
            loss.backward()
            self.optimizer.step()
            for call in self.callbacks:
                call(loss)
            return loss

    t = Trainer()
    return [t.step(*b) for b in batches(torch)], t.best, t.count, t.model


@program
def state_dict_kept_and_loaded(torch, nn, F, compiled):
    m, data = mlp(torch), batches(torch)
    o = torch.optim.Adam(m.parameters(), lr=0.01)
    step = compiled(train_step(torch, m, o))
    seen = [step(*b) for b in data[:3]]
    kept = copy.deepcopy((m.state_dict(), o.state_dict()))
    seen += [step(*b) for b in data[3:6]]
    m.load_state_dict(kept[0])
    o.load_state_dict(kept[1])
    return seen, [step(*b) for b in data[6:]], m, gradients(m)


@program
def setting_changed_by_a_context(torch, nn, F, compiled):
    m, (x, _) = mlp(torch), batches(torch)[0]
    f, seen = compiled(lambda x: m(x).sum()), []
    for mode in (True, False, True):
        with torch.set_grad_enabled(mode):
            seen.append(f(x))
    with torch.inference_mode():
        seen.append(f(x).item())
    torch.set_default_dtype(torch.float64)
    try:
        seen.append(compiled(lambda x: x + torch.ones(2))(torch.zeros(2)))
    finally:
        torch.set_default_dtype(torch.float32)
    return seen, compiled(lambda: torch.ones(2))()


@program
def grad_mode_set_inside(torch, nn, F, compiled):
    m = mlp(torch)

    def f(x):
        a = m(x).sum()
        with torch.no_grad():
            b = m(x).sum()
            with torch.enable_grad():
                c = m(x).sum()
        return a, b, c

    return [compiled(f)(x) for x, _ in batches(torch, 3)]
