"""Writes in place, views, aliases, and memory shared with NumPy."""

from __future__ import annotations

import numpy as np

from tests.programs._parts import batches, mlp, randn, train_step
from tests.programs._program import program


@program
def input_written_in_place(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.1)

    def step(x, y):
        x.sub_(x.mean(0)).div_(x.std(0) + 1e-5)
        o.zero_grad()
        loss = F.cross_entropy(m(x), y)
        loss.backward()
        o.step()
        return loss

    step, data = compiled(step), batches(torch)
    return [step(*b) for b in data], [x for x, _ in data], m


@program
def batch_memory_used_again(torch, nn, F, compiled):
    """The loop fills the same two tensors with every batch."""
    m, x, y = mlp(torch), torch.empty(8, 6), torch.empty(8, dtype=torch.long)
    step, losses = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1))), []
    for a, b in batches(torch):
        x.copy_(a)
        y.copy_(b)
        losses.append(step(x, y))
        x.zero_()
    return losses, m


@program
def write_between_use_and_flush(torch, nn, F, compiled):
    x, kept = torch.arange(4.0), []
    f = compiled(lambda x: x * 2)
    for i in range(4):
        kept.append(f(x))
        x.add_(i)
        kept.append(x.sum())
        x[i] = -1
    return kept, x


@program
def views_of_views(torch, nn, F, compiled):
    def f(base):
        a = base.view(4, 6)
        b = a[1:3].t()
        c = b[::2, 0]
        c.add_(10)
        a[0].zero_()
        b.mul_(2)
        base[-1] = 99
        return a, b, c

    base = torch.arange(24.0)
    return compiled(f)(base), base


@program
def in_place_on_views_with_gradients(torch, nn, F, compiled):
    def f(x):
        y = x * 1
        y[0].mul_(3)
        y[:, 1] = y[:, 0] * 2
        y.t()[2].add_(1)
        y[y > 4] = 0.5
        return y

    f, seen = compiled(f), []
    for i in range(3):
        x = randn(torch, 3, 3, seed=i).requires_grad_()
        y = f(x)
        y.square().sum().backward()
        seen.append((y, x.grad))
    return seen


@program
def in_place_activations(torch, nn, F, compiled):
    m = nn.Sequential(nn.Linear(6, 8), nn.ReLU(inplace=True), nn.Linear(8, 8), nn.LeakyReLU(0.1, inplace=True), nn.Linear(8, 3))
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1)))
    return [step(*b) for b in batches(torch)], m


@program
def residual_added_in_place(torch, nn, F, compiled):
    a, b = nn.Linear(6, 6), nn.Linear(6, 3)

    def f(x):
        h = a(x)
        h += x
        h.clamp_(min=-1)
        return b(h)

    f, seen = compiled(f), []
    for x, _ in batches(torch, 3):
        a.zero_grad()
        f(x).square().sum().backward()
        seen.append(a.weight.grad)
    return seen


@program
def rows_filled_one_by_one(torch, nn, F, compiled):
    l = nn.Linear(3, 3)

    def f(x):
        out = torch.zeros(5, 3)
        h = x
        for i in range(5):
            h = torch.tanh(l(h))
            out[i] = h
        return out

    f, seen = compiled(f), []
    for i in range(3):
        l.zero_grad()
        y = f(randn(torch, 3, seed=i))
        (y * torch.arange(5.0)[:, None]).sum().backward()
        seen.append((y, l.weight.grad))
    return seen


@program
def out_arguments(torch, nn, F, compiled):
    out, small = torch.empty(3), torch.empty(0)
    f = compiled(lambda x: (torch.add(x, 1, out=out), torch.mul(x, 2, out=small) if small.numel() else x))
    first = f(torch.ones(3))[0] is out
    small.resize_(3)
    f(torch.ones(3) * 2)
    return out, small, first


@program
def swapped_contents(torch, nn, F, compiled):
    def swap(a, b):
        kept = a.clone()
        a.copy_(b)
        b.copy_(kept)

    a, b = torch.ones(2), torch.zeros(2)
    view, swap = a[:1], compiled(swap)
    for _ in range(3):
        swap(a, b)
    a.data, b.data = b.data, a.data
    return a, b, view


@program
def set_data_and_old_views(torch, nn, F, compiled):
    w = nn.Parameter(torch.ones(3))
    view, f = w.data[1:], compiled(lambda: w * 2)
    seen = [f()]
    view.mul_(5)
    seen.append(f())
    w.data = torch.zeros(3)
    view.add_(1)
    seen.append(f())
    return seen, view


@program
def ring_buffer(torch, nn, F, compiled):
    ring, at = torch.zeros(4, 2), [0]

    def push(x):
        ring[at[0] % 4] = x
        at[0] += 1
        return ring.mean(0), ring.roll(-at[0], 0)

    push = compiled(push)
    return [push(torch.ones(2) * i) for i in range(7)]


@program
def indices_computed_in_the_step(torch, nn, F, compiled):
    memory, age = torch.zeros(5, 3), torch.arange(5)

    def write(x):
        oldest = age.argmax()
        memory[oldest] = x
        age.add_(1)
        age[oldest] = 0
        return oldest, memory.sum(0)

    write = compiled(write)
    return [write(torch.ones(3) * i) for i in range(8)], memory, age


@program
def slice_by_a_changing_number(torch, nn, F, compiled):
    x = torch.arange(12.0)

    def f(i):
        x[i : i + 3] += 1
        return x[: i + 1].sum(), x[i]

    f = compiled(f)
    return [f(i) for i in range(9)], x


@program
def numpy_shares_memory(torch, nn, F, compiled):
    array = np.arange(6, dtype=np.float32)
    t = torch.from_numpy(array)
    f, seen = compiled(lambda: t * 2), []
    for i in range(4):
        seen.append(f())
        array[i] += 10
        t[5] = i
        seen.append(array.copy())
    return seen, t


@program
def numpy_view_of_a_parameter(torch, nn, F, compiled):
    m = nn.Linear(3, 2)
    array, f = m.weight.detach().numpy(), compiled(lambda: m(torch.ones(3)))
    seen = [f()]
    array[:] = 0.5
    seen.append(f())
    with torch.no_grad():
        m.weight += 1
    return seen, f(), array.copy()


@program
def numpy_view_of_a_fresh_tensor_is_writable(torch, nn, F, compiled):
    seen = []
    for make in (torch.ones, torch.zeros, torch.rand, torch.randn):
        t = compiled(make)(3)
        array = t.numpy()
        array += 1
        seen.append((t, t * 2, array.flags.writeable))
    return seen


@program
def numpy_in_the_middle(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.1)

    def step(x, y):
        z = m(x)
        order = np.argsort(-z.detach().numpy().max(1))
        weight = torch.from_numpy(np.linspace(1, 0.1, len(order)).astype(np.float32))
        loss = (F.cross_entropy(z[torch.from_numpy(order)], y[order.tolist()], reduction="none") * weight).mean()
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m


@program
def numpy_functions_on_tensors(torch, nn, F, compiled):
    f = compiled(lambda x: (np.asarray(x), np.percentile(x.numpy(), 30), float(np.mean(x.tolist())), np.array(x).sum()))
    return [[float(np.sum(v)) for v in f(randn(torch, 5, seed=i))] for i in range(3)]


@program
def parameters_share_one_vector(torch, nn, F, compiled):
    """All parameters are views of one tensor, as fast optimizers arrange them."""
    m = mlp(torch)
    flat, at = torch.cat([p.detach().flatten() for p in m.parameters()]), 0
    for p in m.parameters():
        p.data = flat[at : at + p.numel()].view_as(p)
        at += p.numel()

    def step(x, y):
        m.zero_grad()
        loss = F.cross_entropy(m(x), y)
        loss.backward()
        flat.sub_(0.1 * torch.cat([p.grad.flatten() for p in m.parameters()]))
        return loss

    step = compiled(step)
    return [step(*b) for b in batches(torch)], flat, m


@program
def expanded_tensor_must_be_copied(torch, nn, F, compiled):
    def f(x):
        e = x.expand(3, 2)
        c = e.clone()
        c[0] += 1
        x.mul_(2)
        try:
            e.add_(1)
        except RuntimeError:
            return e, c, "refused"
        return e, c, "written"

    return compiled(f)(torch.ones(1, 2))


@program
def in_place_results_of_functions(torch, nn, F, compiled):
    x = torch.ones(3)
    chain = compiled(lambda x: x.add_(1).mul_(2).clamp_(max=7).relu_())
    outs = [chain(x) for _ in range(4)]
    return x, [o is x for o in outs]


@program
def fill_and_random_in_place(torch, nn, F, compiled):
    x = torch.empty(4, 3)

    def f(i):
        x[i].normal_(mean=i)
        x[:, 0].uniform_()
        x[(i + 1) % 4].bernoulli_(0.5)
        x[i, 1:].random_(0, 9)
        return x.clone()

    x.zero_()
    f = compiled(f)
    return [f(i) for i in range(4)], x


@program
def masked_writes(torch, nn, F, compiled):
    def f(x, t):
        mask = x > t
        x[mask] *= -1
        x[~mask] = x[~mask].cumsum(0)
        x.masked_fill_(x < -1, 0)
        return mask.sum(), x.masked_select(mask)

    f, x = compiled(f), randn(torch, 3, 4)
    return [f(x, 0.3 * i) for i in range(4)], x


@program
def scattered_writes(torch, nn, F, compiled):
    table = torch.zeros(5, 2)

    def f(i):
        index = torch.tensor([i % 5, (i * 2) % 5, i % 5])
        table.index_add_(0, index, torch.ones(3, 2) * (i + 1))
        table.scatter_(0, index[:1].expand(2)[None], -1.0)
        table.index_put_((index, torch.tensor([0, 1, 0])), torch.ones(3), accumulate=True)
        table.index_fill_(1, torch.tensor([1]), float(i)) if i == 2 else table.index_copy_(0, torch.tensor([4]), torch.ones(1, 2) * i)
        return table.clone()

    f = compiled(f)
    return [f(i) for i in range(5)]


@program
def strides_and_formats(torch, nn, F, compiled):
    def f(x):
        a = x.permute(2, 0, 1)
        b = a.contiguous()
        c = torch.empty_like(a)
        d = a * 2
        return [(t.stride(), t.is_contiguous()) for t in (a, b, c, d)], a.reshape(-1)[:4], b.view(-1)[:4], x.as_strided((2, 2), (1, 3))

    return [compiled(f)(torch.arange(24.0).view(2, 3, 4) + i) for i in range(2)]


@program
def storage_is_shared(torch, nn, F, compiled):
    def f(x):
        y, z = x[2:], x.clone()
        return y.untyped_storage().data_ptr() == x.untyped_storage().data_ptr(), z.data_ptr() == x.data_ptr(), y.storage_offset()

    return compiled(f)(torch.arange(5.0))


@program
def version_counts(torch, nn, F, compiled):
    x = torch.ones(3)
    before = x._version
    f = compiled(lambda x: x.add_(1))
    for _ in range(3):
        f(x)
    v = x[1:]
    v.zero_()
    return x._version - before, v._version == x._version, x.detach()._version == x._version


@program
def split_and_chunks_written(torch, nn, F, compiled):
    def f(x):
        for i, part in enumerate(x.chunk(3, 1)):
            part.mul_(i)
        a, b = x.unbind(0)[:2]
        a += b
        for row in x:
            row[0] = row.sum()
        return x

    return [compiled(f)(torch.arange(12.0).view(2, 6) + i) for i in range(2)]


@program
def complex_views_written(torch, nn, F, compiled):
    def f(z):
        z.real.mul_(2)
        torch.view_as_real(z)[..., 1] += 1
        z.imag[0] = 7
        return z.conj().imag, z.abs()

    z = torch.tensor([1 + 2j, 3 - 1j])
    return compiled(f)(z), z
