"""Dtypes beside float32, integers, sorting, selecting by values, complex numbers, linear algebra."""

from __future__ import annotations

from tests.programs._parts import batches, mlp, randn, tokens, train_step
from tests.programs._program import program


@program
def mask_inside(torch, nn, F, compiled):
    f = compiled(lambda x: x[x > 0].sum())
    return f(torch.tensor([-1.0, 2, 3])), f(torch.tensor([1.0, 2, 3]))


@program
def mask_selects_samples(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.1)

    def step(x, y):
        keep = x[:, 0] > 0
        if not keep.any():
            return None
        o.zero_grad()
        loss = F.cross_entropy(m(x[keep]), y[keep])
        loss.backward()
        o.step()
        return loss, int(keep.sum())

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m


@program
def hard_examples_only(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.1)

    def step(x, y, k):
        losses = F.cross_entropy(m(x), y, reduction="none")
        loss = losses.topk(k).values.mean()
        o.zero_grad()
        loss.backward()
        o.step()
        return loss, losses.argsort()

    step = compiled(step)
    return [step(*b, 1 + i % 5) for i, b in enumerate(batches(torch))], m


@program
def nonzero_and_unique(torch, nn, F, compiled):
    def f(x):
        values, inverse, counts = x.unique(return_inverse=True, return_counts=True)
        return x.nonzero(), torch.where(x == 1), values, inverse, counts, torch.unique_consecutive(x), x.bincount()

    f = compiled(f)
    return [f(tokens(torch, 6, below=3, seed=i)) for i in range(4)]


@program
def sorting_and_searching(torch, nn, F, compiled):
    def f(x):
        s, i = x.sort(stable=True, dim=1, descending=True)
        edges = torch.linspace(-1, 1, 4)
        return (
            s,
            i,
            x.argsort(0),
            x.topk(2, 0, largest=False),
            torch.bucketize(x, edges),
            torch.searchsorted(s.flip(1), s[:, :1]),
            x.median(1),
        )

    f = compiled(f)
    return [f(randn(torch, 3, 5, seed=i)) for i in range(3)]


@program
def differentiable_sorting(torch, nn, F, compiled):
    w = nn.Linear(6, 1)
    o = torch.optim.SGD(w.parameters(), lr=0.1)

    def step(x):
        z = w(x).squeeze(1)
        loss = (z.sort().values * torch.linspace(-1, 1, len(z))).sum() + z.cummax(0).values.mean() + z.kthvalue(3).values
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(x) for x, _ in batches(torch)], w


@program
def gather_scatter_and_segments(torch, nn, F, compiled):
    w = randn(torch, 4, 3).requires_grad_()

    def f(index):
        a = w.gather(0, index)
        b = torch.zeros(4, 3).scatter_add(0, index, a)
        c = torch.zeros(4, 3).scatter_reduce(0, index, a, "amax", include_self=False)
        d = torch.zeros(4).index_add(0, index[:, 0], a.sum(1))
        return (a * 2 + b.mean()).sum() + c.square().sum() + d.max()

    f, seen = compiled(f), []
    for i in range(4):
        w.grad = None
        value = f(tokens(torch, 2 + i % 2, 3, below=4, seed=i))
        value.backward()
        seen.append((value, w.grad))
    return seen


@program
def indices_of_every_kind(torch, nn, F, compiled):
    def f(x, i):
        return (
            *(x[i], x[-1], x[..., i], x[None, 1:, ::2], x[[0, 2]], x[torch.tensor([i, 0]), torch.tensor([1, i])], x[:, [i]]),
            *(x[torch.tensor(i)], x[x.sum(1) > 0], x[i : i + 1, None], x.take(torch.tensor([i, 3])), x[True], x[1, torch.tensor([0, i])]),
        )

    f = compiled(f)
    return [f(randn(torch, 3, 4, seed=i), i) for i in range(3)]


@program
def float64_training(torch, nn, F, compiled):
    m = mlp(torch).double()
    step = compiled(train_step(torch, m, torch.optim.Adam(m.parameters(), lr=0.01)))
    return [step(x.double(), y) for x, y in batches(torch)], m


@program
def promoted_dtypes(torch, nn, F, compiled):
    def f(n):
        i, x, d = torch.arange(3), torch.ones(3), torch.ones(3, dtype=torch.float64)
        b, h = torch.tensor([True, False, True]), torch.ones(3, dtype=torch.bfloat16)
        return i + n, x * n, i / 2, i // 2, x + d[0], x + d, b + b, b * n, h * x, h * 2.5, i.float() ** n, b.sum(), i.to(torch.uint8) - 1

    f = compiled(f)
    return [f(n) for n in (1, 2.5, True, 3)]


@program
def integer_arithmetic(torch, nn, F, compiled):
    def f(x, n):
        return (
            x // n,
            x % n,
            -x // n,
            torch.fmod(-x, n),
            x << 1,
            x & n,
            x ^ n,
            ~x,
            x.pow(2),
            torch.gcd(x, torch.tensor(n)),
            x.cumsum(0),
            x.prod(),
        )

    f = compiled(f)
    return [f(torch.arange(1, 6) * 7, n) for n in (2, 3, 5)], f(torch.arange(3, dtype=torch.int32), 2), torch.tensor(2**62) + 2**61


@program
def number_theory_loop(torch, nn, F, compiled):
    def f(n):
        sieve = torch.ones(n, dtype=torch.bool)
        sieve[:2] = False
        i = 2
        while i * i < n:
            if sieve[i]:
                sieve[i * i :: i] = False
            i += 1
        return sieve.nonzero().squeeze(1)

    f = compiled(f)
    return [f(n) for n in (10, 20, 31)]


@program
def complex_training(torch, nn, F, compiled):
    w = torch.view_as_complex(randn(torch, 3, 3, 2)).mul(0.3).requires_grad_()
    o, x = torch.optim.Adam([w], lr=0.05), torch.view_as_complex(randn(torch, 4, 3, 2, seed=5))

    def step():
        loss = ((x @ w).abs() - 1).square().mean() + 0.1 * (w @ w.mH - torch.eye(3)).abs().square().sum()
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step() for _ in range(8)], w


@program
def fourier_layer(torch, nn, F, compiled):
    w = nn.Parameter(torch.view_as_complex(randn(torch, 2, 2, 3, 2)) * 0.3)
    head = nn.Linear(2, 1)
    o = torch.optim.SGD([w, *head.parameters()], lr=0.1)

    def step(x):
        f = torch.fft.rfft(x, dim=2)
        out = torch.zeros_like(f)
        out[:, :, :3] = torch.einsum("bix,iox->box", f[:, :, :3], w)
        y = torch.fft.irfft(out, n=x.shape[2], dim=2)
        loss = F.mse_loss(head(y.transpose(1, 2)).squeeze(2), x[:, 0])
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(randn(torch, 2, 2, 8 + 2 * (i % 2), seed=i)) for i in range(6)], w


@program
def complex_chain_of_views(torch, nn, F, compiled):
    def f(x):
        z = torch.polar(x.abs() + 1, x)
        return z.real, z.imag, z.conj() * z, torch.view_as_real(z), z.angle(), (z / (1 + 2j)).sum(), z.sgn()

    f = compiled(f)
    return [f(randn(torch, 3, seed=i)) for i in range(3)]


@program
def linear_algebra_training(torch, nn, F, compiled):
    a = (torch.eye(3) * 2 + 0.1 * randn(torch, 3, 3)).requires_grad_()
    o = torch.optim.SGD([a], lr=0.05)

    def step():
        s = a @ a.T + torch.eye(3)
        l = torch.linalg.cholesky(s)
        loss = torch.linalg.solve(s, torch.ones(3)).sum() + torch.logdet(s) + l.diagonal().log().sum() + torch.linalg.norm(a, ord=2)
        o.zero_grad()
        loss.backward()
        o.step()
        return loss, torch.linalg.eigvalsh(s)

    step = compiled(step)
    return [step() for _ in range(6)], a


@program
def gaussian_process(torch, nn, F, compiled):
    x = torch.linspace(0, 1, 6, dtype=torch.float64)
    y, log = (6 * x).sin(), torch.zeros(3, dtype=torch.float64, requires_grad=True)
    o = torch.optim.Adam([log], lr=0.1)

    def step():
        length, scale, noise = log.exp()
        k = scale * torch.exp(-((x[:, None] - x) ** 2) / (2 * length**2)) + (noise + 1e-3) * torch.eye(6, dtype=torch.float64)
        loss = -torch.distributions.MultivariateNormal(torch.zeros(6, dtype=torch.float64), k).log_prob(y)
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step() for _ in range(8)], log


@program
def power_iteration_until_it_settles(torch, nn, F, compiled):
    a = randn(torch, 4, 4)
    a = a @ a.T

    def f(tolerance):
        v, turns = torch.ones(4) / 2, 0
        while True:
            u = a @ v
            u = u / u.norm()
            turns += 1
            if (u - v).norm() < tolerance or turns == 40:
                return u @ a @ u
            v = u

    f = compiled(f)
    return [f(t) for t in (0.1, 0.01, 0.001)]


@program
def clustering(torch, nn, F, compiled):
    x = torch.cat([randn(torch, 8, 2) + 3, randn(torch, 8, 2, seed=5) - 3, randn(torch, 8, 2, seed=6)])

    def turn(centres):
        nearest = torch.cdist(x, centres).argmin(1)
        new = torch.stack([x[nearest == i].mean(0) if (nearest == i).any() else centres[i] for i in range(len(centres))])
        return new, nearest

    turn, centres, turns = compiled(turn), x[[0, 8, 16]].clone(), 0
    while True:
        new, nearest = turn(centres)
        turns += 1
        if torch.allclose(new, centres, atol=1e-6) or turns == 20:
            return new, nearest, turns
        centres = new


@program
def confusion_matrix_and_metrics(torch, nn, F, compiled):
    matrix = torch.zeros(3, 3, dtype=torch.int64)

    def update(z, y):
        p = z.argmax(1)
        for a, b in zip(y.view(-1), p.view(-1), strict=True):
            matrix[a.long(), b.long()] += 1
        top = (z.topk(2, 1).indices == y[:, None]).any(1).float().mean()
        return top.item(), matrix.diag().sum().item() / matrix.sum().item()

    update = compiled(update)
    seen = [update(randn(torch, 5, 3, seed=i), tokens(torch, 5, below=3, seed=i)) for i in range(4)]
    return seen, matrix, (matrix.diag() / matrix.sum(1).clamp(min=1))


@program
def special_values(torch, nn, F, compiled):
    def f(x):
        return (
            *(x.isnan(), x.isinf(), x.nan_to_num(1.0, 2.0, 3.0), x.clamp(-1, 1), x.nansum(), x.nanmean(), x.max(), x.sign()),
            *(torch.where(x > 0, x, 0), x.sigmoid(), F.softmax(x[:2], 0), x.logsumexp(0), torch.isclose(x, x, equal_nan=True)),
        )

    f, inf = compiled(f), float("inf")
    return [f(torch.tensor(v)) for v in ([1.0, -inf, 2.0], [float("nan"), 1.0, inf], [0.0, -0.0, 1e-30])]


@program
def item_and_python_conversions(torch, nn, F, compiled):
    def f(x):
        a, b = float(x[0]), int(x[1])
        text = f"{x[0]:.2f}|{x[1].item()}|{x.tolist()}"
        return a + b, text, bool(x.any()), len(x), [float(v) for v in x], max(x.tolist()), x[0] in (1.5, 2.5), range(b)[-1] if b else None

    f = compiled(f)
    return [f(torch.tensor([0.5 + i, float(i)])) for i in range(4)]


@program
def windows_and_einsum(torch, nn, F, compiled):
    w = randn(torch, 3, 4).requires_grad_()

    def f(x, equation):
        y = torch.einsum(equation, x, w)
        return y.unfold(0, 2, 1).prod(-1).sum() + F.unfold(x[None, None], 2).sum() + torch.tensordot(x, w, 1).logsumexp((0, 1))

    f, seen = compiled(f), []
    for i, equation in enumerate(["ij,jk->ik", "ij,jk->ki", "ij,jk->k"]):
        w.grad = None
        f(randn(torch, 3, 3, seed=i), equation).backward()
        seen.append(w.grad)
    return seen


@program(rtol=2e-2, atol=1e-2, because="float16 and bfloat16 have few bits")
def half_precision_arithmetic(torch, nn, F, compiled):
    def f(x, kind):
        h = x.to(kind)
        return h.exp().sum(), (h @ h.T).float(), F.softmax(h, 1), h.mean(), (h * 3).to(torch.float32), h.norm()

    f = compiled(f)
    return [f(randn(torch, 3, 4, seed=i), kind) for i, kind in enumerate((torch.float16, torch.bfloat16))]


@program
def quantised_weights_by_hand(torch, nn, F, compiled):
    l = nn.Linear(6, 3)
    o = torch.optim.SGD(l.parameters(), lr=0.1)

    def fake(w, bits):
        scale = w.detach().abs().max() / (2 ** (bits - 1) - 1)
        q = torch.clamp(torch.round(w / scale), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        return w + (q * scale - w).detach(), q.to(torch.int8)

    def step(x, y, bits):
        w, q = fake(l.weight, bits)
        loss = F.cross_entropy(F.linear(x, w, l.bias), y)
        o.zero_grad()
        loss.backward()
        o.step()
        return loss, q.unique().numel()

    step = compiled(step)
    return [step(*b, 8 - i % 5) for i, b in enumerate(batches(torch, 8))], l


@program
def sampling_without_replacement(torch, nn, F, compiled):
    p = torch.tensor([0.1, 0.2, 0.3, 0.4])

    def f(n):
        return torch.multinomial(p, n), torch.multinomial(p, 5, replacement=True), torch.randperm(n), torch.bernoulli(p), torch.normal(p, p)

    f = compiled(f)
    return [f(n) for n in (1, 3, 4, 3)], torch.poisson(p * 10)


@program
def random_factories_of_every_dtype(torch, nn, F, compiled):
    def f():
        return (
            *(torch.rand(3, dtype=torch.float64), torch.randn(2, dtype=torch.complex64), torch.randint(-3, 9, (4,), dtype=torch.int32)),
            *(
                torch.rand_like(torch.ones(2)),
                torch.randn(17),
                torch.empty(3).exponential_(),
                torch.empty(3).normal_(2, 0.5),
                torch.randn(()),
            ),
            *(torch.rand(2, 0), torch.empty(2).cauchy_(), torch.empty(3).log_normal_(), torch.empty(4).geometric_(0.3)),
        )

    f = compiled(f)
    return f(), f()
