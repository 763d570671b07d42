"""Shapes that change from call to call, and Python numbers that do."""

from __future__ import annotations

from tests.programs._parts import batches, mlp, randn, tokens, train_step
from tests.programs._program import program


@program
def last_batch_is_smaller(torch, nn, F, compiled):
    x, y = batches(torch, 1, 21)[0]
    m = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1)))
    return [step(x[i : i + 8], y[i : i + 8]) for _ in range(3) for i in range(0, 21, 8)], m


@program
def every_batch_size(torch, nn, F, compiled):
    m = mlp(torch)
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1)))
    return [step(*batches(torch, 1, n, seed=n)[0]) for n in range(1, 13)], m


@program
def widths_of_a_weight(torch, nn, F, compiled):
    w = randn(torch, 4, 12).requires_grad_()

    def f(x, i):
        return (x @ w[:, :i]).square().mean()

    f, seen = compiled(f), []
    for i in range(1, 13):
        loss = f(randn(torch, 3, 4), i)
        loss.backward()
        seen.append(loss)
    return seen, w.grad


@program
def growing_list_is_concatenated(torch, nn, F, compiled):
    l, rows = nn.Linear(3, 3), []

    def f(x):
        rows.append(torch.tanh(l(x)))
        return torch.cat(rows).mean(0)

    f, x = compiled(f), randn(torch, 1, 3)
    with torch.no_grad():
        return [f(x + i) for i in range(10)]


@program
def numbers_change_at_every_call(torch, nn, F, compiled):
    f = compiled(lambda x, a, n: (x * a).sum() ** 2 + n + x[n % 3] / (a + 1))
    return [f(torch.arange(3.0), 0.37 * i, i) for i in range(25)]


@program
def attribute_number_changes(torch, nn, F, compiled):
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.l, self.a = nn.Linear(6, 3), 0.0

        def forward(self, x):
            return self.l(x) * self.a

    m, seen = Scale(), []
    f = compiled(m)
    for i, (x, _) in enumerate(batches(torch)):
        m.a = i / 7
        seen.append(f(x))
    return seen


@program
def image_sizes(torch, nn, F, compiled):
    m = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Linear(12, 3))
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1)))
    return [step(randn(torch, 2, 1, n, n + 1), tokens(torch, 2, below=3)) for n in (5, 6, 7, 6, 5)], m


@program
def ranks_change(torch, nn, F, compiled):
    l = nn.Linear(4, 2)
    f = compiled(lambda x: l(x).sum(-1).mean())
    return [f(torch.ones(*shape, 4)) for shape in ((), (3,), (2, 3), (1, 2, 3))]


@program
def empty_tensors(torch, nn, F, compiled):
    l, seen = nn.Linear(4, 2), []
    f = compiled(lambda x: (l(x), x.sum(0), torch.cat([x, x]), x.t() @ x))
    for n in (2, 0, 1):
        y = f(torch.ones(n, 4))
        l.zero_grad()
        y[0].sum().backward()
        seen.append((y, l.weight.grad))
    return seen


@program
def progressive_resolution(torch, nn, F, compiled):
    m, seen = nn.Conv2d(1, 1, 3, padding=1), []
    o = torch.optim.SGD(m.parameters(), lr=0.1)

    def step(x):
        loss = F.mse_loss(m(x), F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1))
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    for size in (4, 6, 8):
        seen += [step(F.interpolate(randn(torch, 1, 1, 8, 8, seed=i), size=size, mode="bilinear")) for i in range(2)]
    return seen, m


@program
def buckets_of_lengths(torch, nn, F, compiled):
    e, h = nn.Embedding(11, 4, padding_idx=0), nn.Linear(4, 2)
    o = torch.optim.Adam([*e.parameters(), *h.parameters()], lr=0.05)

    def step(rows, y):
        x = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        mask = (x != 0).float()[..., None]
        loss = F.cross_entropy(h((e(x) * mask).sum(1) / mask.sum(1)), y)
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [
        step([tokens(torch, 1 + (i * j) % 4, below=10, seed=j) + 1 for j in range(3)], torch.tensor([0, 1, i % 2])) for i in range(8)
    ], e


@program
def detection_with_any_number_of_boxes(torch, nn, F, compiled):
    net = nn.Linear(4, 5)
    o = torch.optim.SGD(net.parameters(), lr=0.05)

    def overlap(a, b):
        low, high = torch.maximum(a[:, None, :2], b[None, :, :2]), torch.minimum(a[:, None, 2:], b[None, :, 2:])
        inner = (high - low).clamp(min=0).prod(2)
        return inner / ((a[:, 2:] - a[:, :2]).prod(1)[:, None] + (b[:, 2:] - b[:, :2]).prod(1)[None] - inner + 1e-6)

    def step(anchors, boxes):
        z = net(anchors)
        iou = overlap(anchors, boxes)
        best, which = iou.max(1)
        hit = best > 0.2
        loss = F.binary_cross_entropy_with_logits(z[:, 4], hit.float())
        if hit.any():
            loss = loss + F.smooth_l1_loss(z[hit, :4], boxes[which[hit]] - anchors[hit])
        o.zero_grad()
        loss.backward()
        o.step()
        return loss, int(hit.sum())

    def boxes(n, seed):
        low = torch.rand(n, 2, generator=torch.Generator().manual_seed(seed))
        return torch.cat([low, low + 0.6], 1)

    step = compiled(step)
    return [step(boxes(6, 1), boxes(1 + i % 4, i + 2)) for i in range(6)], net


@program
def suppression_of_boxes_in_a_loop(torch, nn, F, compiled):
    def keep(scores, positions):
        kept, order = [], scores.argsort(descending=True)
        while order.numel() > 0:
            first = order[0]
            kept.append(first.item())
            order = order[1:][(positions[order[1:]] - positions[first]).abs() > 0.5]
        return kept

    keep = compiled(keep)
    return [keep(randn(torch, 7, seed=i), randn(torch, 7, seed=i + 9)) for i in range(4)]


@program
def tree_recursion(torch, nn, F, compiled):
    join, head = nn.Linear(8, 4), nn.Linear(4, 2)
    o, e = torch.optim.SGD([*join.parameters(), *head.parameters()], lr=0.1), randn(torch, 5, 4)

    def encode(tree):
        if isinstance(tree, int):
            return e[tree]
        return torch.tanh(join(torch.cat([encode(tree[0]), encode(tree[1])])))

    def step(tree, y):
        loss = F.cross_entropy(head(encode(tree))[None], torch.tensor([y]))
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step, trees = compiled(step), [(0, 1), ((0, 1), 2), (3, (4, (1, 2))), 4, ((0, 1), (2, 3))]
    return [step(tree, i % 2) for i, tree in enumerate(trees)], join


@program
def adaptive_computation(torch, nn, F, compiled):
    cell, halt = nn.Linear(4, 4), nn.Linear(4, 1)

    def f(x):
        total, turns = torch.zeros(len(x)), 0
        while (total < 0.99).any() and turns < 10:
            x = torch.tanh(cell(x)) + 0.5 * x
            p = torch.sigmoid(halt(x)).squeeze(1)
            total = total + torch.where(total < 0.99, p, torch.zeros_like(p))
            turns += 1
        return x, turns

    f, seen = compiled(f), []
    for i in range(4):
        y, turns = f(randn(torch, 3, 4, seed=i) * i)
        cell.zero_grad()
        y.sum().backward()
        seen.append((turns, cell.weight.grad))
    return seen
