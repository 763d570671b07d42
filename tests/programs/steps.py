"""What stands in a training step beside forward, backward and update: counters, flags, values that are looked at, exceptions."""

from __future__ import annotations

import math

from tests.programs._parts import batches, gradients, mlp, randn, train_step
from tests.programs._program import program


@program
def plain_sgd(torch, nn, F, compiled):
    m = mlp(torch)
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1)))
    return [step(*b) for b in batches(torch)], m, gradients(m)


@program
def counter_in_step(torch, nn, F, compiled):
    m = mlp(torch)
    o, state = torch.optim.SGD(m.parameters(), lr=0.1), {"n": 0}

    def step(x, y):
        state["n"] += 1
        o.zero_grad()
        loss = F.cross_entropy(m(x), y) / state["n"]
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m, state


@program
def accumulation_by_counter(torch, nn, F, compiled):
    m = mlp(torch)
    o, count = torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9), [0]

    def step(x, y):
        loss = F.cross_entropy(m(x), y) / 4
        loss.backward()
        count[0] += 1
        if count[0] % 4 == 0:
            o.step()
            o.zero_grad()
        return loss

    step = compiled(step)
    return [step(*b) for b in batches(torch, 11)], m, gradients(m)


@program
def accumulation_by_index(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.Adam(m.parameters(), lr=0.01)

    def micro(i, x, y):
        loss = F.cross_entropy(m(x), y) / 4
        loss.backward()
        if i % 4 == 3:
            nn.utils.clip_grad_norm_(m.parameters(), 0.5)
            o.step()
            o.zero_grad()
        return loss

    micro = compiled(micro)
    return [micro(i, *b) for i, b in enumerate(batches(torch, 10))], m, gradients(m)


@program
def accumulation_by_flag(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.Adam(m.parameters(), lr=0.01)

    def micro(x, y, last):
        loss = F.cross_entropy(m(x), y) / 2
        loss.backward()
        if last:
            o.step()
            o.zero_grad(set_to_none=False)
        return loss

    micro = compiled(micro)
    return [micro(*b, i % 2 == 1) for i, b in enumerate(batches(torch))], m, gradients(m)


@program
def accumulated_loss_then_backward(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.1)
    forward, losses = compiled(lambda x, y: F.cross_entropy(m(x), y)), []
    data = batches(torch, 12)
    for i in range(0, 12, 3):
        total = 0
        for x, y in data[i : i + 3]:
            total = total + forward(x, y)
        o.zero_grad()
        (total / 3).backward()
        o.step()
        losses.append(total)
    return losses, m


@program
def annealed_number(torch, nn, F, compiled):
    m = mlp(torch)
    o, state = torch.optim.SGD(m.parameters(), lr=0.1), {"beta": 0.0}

    def step(x, y):
        state["beta"] = min(1.0, state["beta"] + 0.15)
        logits = m(x)
        loss = F.cross_entropy(logits, y) + state["beta"] * logits.square().mean()
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m


@program
def annealed_argument(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.1)

    def step(x, y, temperature, smoothing):
        o.zero_grad()
        loss = F.cross_entropy(m(x) / temperature, y, label_smoothing=smoothing)
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(*b, 1 + 0.1 * i, 0.02 * i) for i, b in enumerate(batches(torch))], m


@program
def epsilon_greedy_schedule(torch, nn, F, compiled):
    class Agent:
        def __init__(self):
            self.epsilon, self.net = 1.0, mlp(torch)

        def act(self, x):
            self.epsilon *= 0.8
            q = self.net(x)
            return torch.where(torch.rand(x.shape[0]) < self.epsilon, torch.randint(0, 3, (x.shape[0],)), q.argmax(1))

    agent = Agent()
    act = compiled(agent.act)
    with torch.no_grad():
        return [act(x) for x, _ in batches(torch)], agent.epsilon


@program
def learning_rate_set_by_hand(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9)
    base = train_step(torch, m, o)

    def step(i, x, y):
        o.param_groups[0]["lr"] = 0.1 * math.cos(0.1 * i)
        return base(x, y)

    step = compiled(step)
    return [step(i, *b) for i, b in enumerate(batches(torch))], m


@program
def learning_rate_finder(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=1e-3)
    step, best, seen = compiled(train_step(torch, m, o)), None, []
    for i, b in enumerate(batches(torch, 15)):
        for group in o.param_groups:
            group["lr"] = 1e-3 * 2**i
        loss = step(*b).item()
        seen.append(loss)
        best = loss if best is None else min(best, loss)
        if loss > 4 * best:
            break
    return seen, len(seen), best


@program
def early_stopping(torch, nn, F, compiled):
    m = mlp(torch)
    step = compiled(train_step(torch, m, torch.optim.Adam(m.parameters(), lr=0.05)))
    evaluate = compiled(lambda x, y: F.cross_entropy(m(x), y))
    data, (vx, vy) = batches(torch, 4), batches(torch, 1, 16, seed=99)[0]
    best, waited, kept, epochs = float("inf"), 0, None, 0
    for _ in range(12):
        epochs += 1
        for b in data:
            step(*b)
        with torch.no_grad():
            value = evaluate(vx, vy).item()
        if value < best - 1e-3:
            best, waited, kept = value, 0, {k: v.clone() for k, v in m.state_dict().items()}
        else:
            waited += 1
            if waited == 3:
                break
    m.load_state_dict(kept)
    return epochs, best, m


@program
def nan_check(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.1)

    def step(x, y):
        o.zero_grad()
        loss = F.cross_entropy(m(x), y)
        loss.backward()
        if torch.isfinite(loss):
            o.step()
        return loss

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m


@program
def nan_batch_is_skipped(torch, nn, F, compiled):
    m, skipped = mlp(torch), []
    o = torch.optim.Adam(m.parameters(), lr=0.01)

    def step(i, x, y):
        o.zero_grad()
        loss = F.cross_entropy(m(x), y)
        if torch.isnan(loss).any():
            skipped.append(i)
            return None
        loss.backward()
        o.step()
        return loss

    step, losses = compiled(step), []
    for i, (x, y) in enumerate(batches(torch)):
        losses.append(step(i, x / 0 * 0 if i in (3, 4) else x, y))
    return losses, skipped, m


@program
def item_inside(torch, nn, F, compiled):
    f = compiled(lambda x: x * x.sum().item())
    return f(torch.tensor([-1.0, 2, 3])), f(torch.tensor([1.0, 2, 3]))


@program
def branch_on_a_value(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.5)

    def step(x, y):
        o.zero_grad()
        loss = F.cross_entropy(m(x), y)
        if loss > 1.0:
            (loss * 2).backward()
        else:
            (loss * 0.5).backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m


@program
def while_on_a_value(torch, nn, F, compiled):
    def newton(x):
        y, turns = torch.ones_like(x), 0
        while (y * y - x).abs().max() > 1e-4:
            y = 0.5 * (y + x / y)
            turns += 1
        return y, turns

    newton = compiled(newton)
    return [newton(torch.tensor([2.0, 9.0, float(n)])) for n in (1, 40, 900)]


@program
def line_search(torch, nn, F, compiled):
    m = mlp(torch)
    parameters = list(m.parameters())

    def step(x, y):
        loss = F.cross_entropy(m(x), y)
        directions, size, tries = torch.autograd.grad(loss, parameters), 4.0, 0
        with torch.no_grad():
            while True:
                for p, d in zip(parameters, directions, strict=True):
                    p.sub_(size * d)
                if F.cross_entropy(m(x), y) < loss or tries == 8:
                    return loss, size
                for p, d in zip(parameters, directions, strict=True):
                    p.add_(size * d)
                size, tries = size / 2, tries + 1

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m


@program
def print_inside(torch, nn, F, compiled):
    lines = []

    def double(x):
        y = x * 2
        lines.append(f"y {y}")
        lines.append(f"{y.sum():.3f} {y.mean().item():.2f}")
        return y

    double = compiled(double)
    return double(torch.tensor([-1.0, 2, 1])), double(torch.tensor([1.0, 2, 3])), lines


@program
def logging_every_third_step(torch, nn, F, compiled):
    m, log = mlp(torch), []
    o = torch.optim.SGD(m.parameters(), lr=0.1)

    def step(i, x, y):
        logits = m(x)
        loss = F.cross_entropy(logits, y)
        o.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(m.parameters(), 1.0)
        o.step()
        if i % 3 == 0:
            log.append((i, loss.item(), norm.item(), (logits.argmax(1) == y).float().mean().item()))

    step = compiled(step)
    for i, b in enumerate(batches(torch)):
        step(i, *b)
    return log, m


@program
def never_reads_a_value(torch, nn, F, compiled):
    m = mlp(torch)
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.05)))
    for _ in range(8):
        for b in batches(torch):
            step(*b)
    return m


@program
def running_total_never_read(torch, nn, F, compiled):
    m, total, right = mlp(torch), torch.zeros(()), torch.zeros((), dtype=torch.int64)
    o = torch.optim.SGD(m.parameters(), lr=0.1)

    def step(x, y):
        o.zero_grad()
        logits = m(x)
        loss = F.cross_entropy(logits, y)
        loss.backward()
        o.step()
        return loss.detach(), (logits.argmax(1) == y).sum()

    step = compiled(step)
    for b in batches(torch, 20):
        loss, n = step(*b)
        total += loss
        right += n
    return total, right


@program
def exception_in_the_middle(torch, nn, F, compiled):
    m, caught = mlp(torch), []
    o = torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9)

    def step(i, x, y):
        o.zero_grad()
        loss = F.cross_entropy(m(x), y)
        loss.backward()
        if i in (3, 7):
            raise KeyError(f"step {i}")
        o.step()
        return loss

    step, losses = compiled(step), []
    for i, b in enumerate(batches(torch)):
        try:
            losses.append(step(i, *b))
        except KeyError as error:
            caught.append(str(error))
            losses.append([p.grad.sum() for p in m.parameters()])
    return losses, caught, m


@program
def wrong_shape_is_caught(torch, nn, F, compiled):
    m, caught = mlp(torch), []
    o = torch.optim.Adam(m.parameters(), lr=0.01)
    step, losses = compiled(train_step(torch, m, o)), []
    for i, (x, y) in enumerate(batches(torch)):
        try:
            losses.append(step(x[:, :4] if i == 4 else x, y[:5] if i == 6 else y))
        except (RuntimeError, ValueError):  # errors of shapes are both here
            caught.append(i)
    return losses, caught, m


@program
def half_written_before_the_exception(torch, nn, F, compiled):
    buffer, counts = torch.zeros(4), []

    def fill(x, fail):
        buffer[0] = x.sum()
        counts.append(len(counts))
        buffer.add_(1)
        if fail:
            raise ValueError("after two writes")
        buffer.mul_(2)

    fill = compiled(fill)
    for i in range(6):
        try:
            fill(torch.ones(3) * i, i % 2 == 1)
        except ValueError:
            counts.append(-1)
    return buffer, counts


@program
def class_out_of_range_is_caught(torch, nn, F, compiled):
    m, caught = mlp(torch), []
    o = torch.optim.SGD(m.parameters(), lr=0.1)
    step, losses = compiled(train_step(torch, m, o)), []
    for i, (x, y) in enumerate(batches(torch, 6)):
        y = y.clone()
        y[2] = 5 if i == 3 else y[2]
        try:
            losses.append(step(x, y).item())
        except IndexError:
            caught.append(i)
    return losses, caught, m


@program(raises="ZeroDivisionError")
def exception_of_python(torch, nn, F, compiled):
    step = compiled(lambda x, n: x / (1 // n))
    return [step(torch.ones(2), n) for n in (1, 0)]


@program(raises="RuntimeError")
def exception_of_shapes(torch, nn, F, compiled):
    return compiled(lambda a, b: (a * 2) @ b)(torch.ones(2, 3), torch.ones(4, 5))


@program(raises="IndexError")
def exception_of_an_index(torch, nn, F, compiled):
    table = nn.Embedding(5, 3)
    return [compiled(table)(torch.tensor([i, 1])).sum().item() for i in range(7)]


@program
def manual_update(torch, nn, F, compiled):
    w, b = randn(torch, 6, 3).mul_(0.3).requires_grad_(), torch.zeros(3, requires_grad=True)

    def step(x, y):
        loss = F.cross_entropy(x @ w + b, y)
        loss.backward()
        with torch.no_grad():
            for p in (w, b):
                p -= 0.1 * p.grad
                p.grad.zero_()
        return loss

    step = compiled(step)
    return [step(*b) for b in batches(torch)], w, b


@program
def manual_update_by_data(torch, nn, F, compiled):
    m = mlp(torch)

    def step(x, y):
        loss = F.cross_entropy(m(x), y)
        m.zero_grad()
        loss.backward()
        for p in m.parameters():
            p.data.add_(p.grad.data, alpha=-0.1)
        return loss

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m


@program
def manual_momentum(torch, nn, F, compiled):
    m = mlp(torch)
    velocity = {name: torch.zeros_like(p) for name, p in m.named_parameters()}

    def step(x, y):
        loss = F.cross_entropy(m(x), y)
        grads = torch.autograd.grad(loss, list(m.parameters()))
        with torch.no_grad():
            for (name, p), g in zip(m.named_parameters(), grads, strict=True):
                velocity[name] = 0.9 * velocity[name] + g
                p -= 0.1 * velocity[name]
        return loss.detach()

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m, velocity


@program
def multi_task(torch, nn, F, compiled):
    trunk, heads = nn.Linear(6, 8), nn.ModuleDict({"a": nn.Linear(8, 3), "b": nn.Linear(8, 1)})
    log_sigma = nn.Parameter(torch.zeros(2))
    o = torch.optim.Adam([*trunk.parameters(), *heads.parameters(), log_sigma], lr=0.02)

    def step(x, y):
        h = torch.tanh(trunk(x))
        losses = torch.stack([F.cross_entropy(heads["a"](h), y), F.mse_loss(heads["b"](h).squeeze(1), x.sum(1))])
        total = (losses * torch.exp(-log_sigma) + log_sigma).sum()
        o.zero_grad()
        total.backward()
        o.step()
        return total, losses.detach()

    step = compiled(step)
    return [step(*b) for b in batches(torch)], trunk, heads, log_sigma


@program
def tasks_in_turn(torch, nn, F, compiled):
    trunk, heads = nn.Linear(6, 8), nn.ModuleDict({"a": nn.Linear(8, 3), "b": nn.Linear(8, 3)})
    o = torch.optim.SGD([*trunk.parameters(), *heads.parameters()], lr=0.1, momentum=0.9)

    def step(task, x, y):
        o.zero_grad()
        loss = F.cross_entropy(heads[task](torch.relu(trunk(x))), y)
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step("ab"[i % 2], *b) for i, b in enumerate(batches(torch))], trunk, heads


@program
def many_losses_summed_in_a_dict(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.1)

    def step(i, x, y):
        z = m(x)
        losses = {"ce": F.cross_entropy(z, y), "l2": 1e-2 * sum(p.square().sum() for p in m.parameters())}
        if i % 3 == 2:
            losses["extra"] = z.abs().mean()
        o.zero_grad()
        sum(losses.values()).backward()
        o.step()
        return {k: v.detach() for k, v in losses.items()}

    step = compiled(step)
    return [step(i, *b) for i, b in enumerate(batches(torch))], m


@program
def gradient_penalty_by_hand(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.05)

    def step(x, y):
        x = x.clone().requires_grad_()
        loss = F.cross_entropy(m(x), y)
        (g,) = torch.autograd.grad(loss, x, create_graph=True)
        total = loss + g.square().sum()
        o.zero_grad()
        total.backward()
        o.step()
        return total, x.grad

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m


@program
def gradient_noise_and_clipping(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.1)

    def step(x, y):
        o.zero_grad()
        loss = F.cross_entropy(m(x), y)
        loss.backward()
        nn.utils.clip_grad_value_(m.parameters(), 0.1)
        for p in m.parameters():
            p.grad += 0.01 * torch.randn_like(p.grad)
        norm = nn.utils.clip_grad_norm_(m.parameters(), 0.3, norm_type=1)
        o.step()
        return loss, norm

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m


@program
def train_and_validate_in_turn(torch, nn, F, compiled):
    m = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1)))

    @torch.no_grad()
    def validate(x, y):
        m.eval()
        loss = F.cross_entropy(m(x), y)
        m.train()
        return loss

    validate, seen = compiled(validate), []
    for b in batches(torch, 6):
        seen += [step(*b), validate(*b)]
    return seen, m


@program
def data_loader_with_shuffling(torch, nn, F, compiled):
    x, y = batches(torch, 1, 22)[0]
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=8, shuffle=True)
    m = mlp(torch)
    step = compiled(train_step(torch, m, torch.optim.Adam(m.parameters(), lr=0.01)))
    return [step(*b) for _ in range(3) for b in loader], m


@program
def learned_loss_weights_by_gradient_norm(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.1)

    def step(x, y):
        z = m(x)
        a, b = F.cross_entropy(z, y), z.square().mean()
        ga = torch.autograd.grad(a, m[2].weight, retain_graph=True)[0].norm()
        gb = torch.autograd.grad(b, m[2].weight, retain_graph=True)[0].norm()
        total = a + (ga / (gb + 1e-6)).detach() * b
        o.zero_grad()
        total.backward()
        o.step()
        return total

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m
