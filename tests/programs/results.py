"""What a function takes and gives back: containers of every kind, generators, views, and which results are the same object."""

from __future__ import annotations

import enum
from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.programs._parts import batches, mlp, randn
from tests.programs._program import program


@dataclass
class Output:
    loss: Any
    logits: Any = None
    extra: list = field(default_factory=list)


class Pair(NamedTuple):
    a: Any
    b: Any = None


Triple = namedtuple("Triple", "x y z")


class ModelOutput(OrderedDict):
    """A dict whose items are attributes too, as in the libraries of language models."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def to_tuple(self):
        return tuple(self.values())


@program
def returned_dataclass(torch, nn, F, compiled):
    f = compiled(lambda x: Output(loss=(x * 2).sum(), logits=x + 1))
    return [f(torch.ones(2) * i) for i in range(3)]


@program
def dataclass_with_a_counter(torch, nn, F, compiled):
    @dataclass
    class State:
        n: int
        total: Any

    state = State(0, torch.zeros(2))

    def update(s, x):
        s.n += 1
        s.total = s.total + x
        return s

    update = compiled(update)
    outs = [update(state, torch.ones(2) * i).total for i in range(4)]
    return outs, state


@program
def dataclass_argument(torch, nn, F, compiled):
    f = compiled(lambda o: Output(o.loss * 2, o.logits + o.loss, [*o.extra, o.loss]))
    o = Output(torch.ones(2), torch.zeros(2))
    for _ in range(3):
        o = f(o)
    return o


@program
def returned_named_tuples(torch, nn, F, compiled):
    f = compiled(lambda x: (Pair(x + 1), Pair(b=x, a=Triple(x, 2, "three"))))
    outs = [f(torch.ones(2) * i) for i in range(3)]
    return outs, [type(o[0]).__name__ for o in outs], outs[1][1].a.z


@program
def returned_ordered_dict(torch, nn, F, compiled):
    f = compiled(lambda x: OrderedDict(a=x + 1, b={"c": x * 2}))
    outs = [f(torch.ones(2) * i) for i in range(3)]
    return outs, [type(o) is OrderedDict for o in outs]


@program
def returned_dict_subclass(torch, nn, F, compiled):
    f = compiled(lambda x: ModelOutput(loss=x.sum(), logits=x * 3))
    outs = [f(torch.ones(2) * i) for i in range(3)]
    return [o.loss for o in outs], [o.logits for o in outs], [type(o).__name__ for o in outs], outs[2].to_tuple()


@program
def returned_default_dict(torch, nn, F, compiled):
    def f(x):
        d = defaultdict(list)
        for i in range(3):
            d[i % 2].append(x * i)
        return d

    d = compiled(f)(torch.ones(2))
    return d, d[7], type(d).__name__


@program
def returned_constants(torch, nn, F, compiled):
    class Kind(enum.Enum):
        A = 1

    f = compiled(lambda x, n: (x.sum(), n, "text", None, n * 1.5, Kind.A, slice(1, n), x.shape, x.dtype, (), [], {}))
    outs = [f(torch.ones(2), n) for n in range(3)]
    return [o[:5] for o in outs], [o[5] is Kind.A for o in outs], [o[6].stop for o in outs], [o[7:] for o in outs]


@program
def returned_numbers_of_values(torch, nn, F, compiled):
    f = compiled(lambda x: {"mean": x.mean().item(), "list": x.tolist(), "array": x.numpy(), "len": len(x), "int": int(x[0])})
    return [f(torch.ones(3) * i) for i in range(4)]


@program
def returned_set_and_lambda(torch, nn, F, compiled):
    def f(x, n):
        y = x * n
        return lambda z: z + y, {n, n + 1}

    outs = [compiled(f)(torch.ones(2), n) for n in range(3)]
    return [g(torch.zeros(2)) for g, _ in outs], [sorted(s) for _, s in outs]


@program
def returned_module(torch, nn, F, compiled):
    def make(n):
        l = nn.Linear(2, 2)
        with torch.no_grad():
            l.weight.fill_(n)
        return l

    make = compiled(make)
    return [make(n)(torch.ones(2)) for n in range(3)]


@program
def returned_twice(torch, nn, F, compiled):
    def f(x):
        y = x * 2
        return y, y, y.view(-1)

    a, b, c = compiled(f)(torch.ones(2, 2))
    a.add_(1)
    return a, b, c, a is b


@program
def returned_argument(torch, nn, F, compiled):
    f, x = compiled(lambda x: (x, x + 1)), torch.ones(2)
    outs = [f(x) for _ in range(3)]
    outs[0][0].mul_(3)
    return x, outs, [o[0] is x for o in outs]


@program
def returned_view(torch, nn, F, compiled):
    b = torch.arange(6.0)
    v = compiled(lambda x: x.view(2, 3))(b)
    v.add_(1)
    return b, v


@program
def returned_view_of_a_parameter(torch, nn, F, compiled):
    m = nn.Linear(3, 2)
    f = compiled(lambda: (m.weight.detach()[0], m.weight.data.t(), m.weight[1]))
    a, b, c = f()
    a.zero_()
    b[0] = 7
    return m.weight, a, b, c


@program
def returned_slices_share_memory(torch, nn, F, compiled):
    x = torch.arange(12.0).view(3, 4)
    a, b = compiled(lambda x: (x[1:], x[:, ::2]))(x)
    a[0, 0] = 100
    b += 1
    x[2, 2] = -5
    return x, a, b, a.stride(), b.storage_offset(), a.data_ptr() == x.data_ptr()


@program
def returned_parameter(torch, nn, F, compiled):
    m = nn.Linear(3, 2)
    w = compiled(lambda: m.weight)()
    w.sum().backward()
    return w is m.weight, m.weight.grad, isinstance(w, nn.Parameter)


@program
def argument_written(torch, nn, F, compiled):
    def f(x, out):
        out.copy_(x * 2)
        x.add_(1)
        return out

    f, x, out = compiled(f), torch.ones(3), torch.zeros(3)
    outs = [f(x, out) for _ in range(3)]
    return x, out, outs, [o is out for o in outs]


@program
def arguments_share_memory(torch, nn, F, compiled):
    def f(a, b):
        a.add_(1)
        return a + b, b * 2

    f, base = compiled(f), torch.arange(6.0)
    return [f(base[:4], base[2:]), f(base[:4], torch.ones(4)), f(base[1:5], base[1:5]), f(base, base)], base


@program
def same_argument_twice(torch, nn, F, compiled):
    def f(a, b):
        a.mul_(2)
        return a - b, a is b

    f, x, y = compiled(f), torch.ones(2), torch.ones(2)
    return f(x, y), f(x, x), f(y, x), x, y


@program
def containers_written(torch, nn, F, compiled):
    def f(d, items):
        d["sum"] = d["sum"] + sum(items)
        items.append(d["sum"])
        items.pop(0)
        return len(items)

    f, d, items = compiled(f), {"sum": torch.zeros(2)}, [torch.ones(2), torch.ones(2) * 2]
    return [f(d, items) for _ in range(4)], d, items


@program
def keyword_and_star_arguments(torch, nn, F, compiled):
    def f(x, *more, scale=1.0, flag=False, **named):
        y = x * scale + sum(more, torch.zeros(2))
        return {k: v + y for k, v in named.items()}, -y if flag else y

    f, one = compiled(f), torch.ones(2)
    return f(one), f(one, one, one), f(one, scale=2.0), f(one, flag=True, a=one), f(x=one, b=one, scale=3), f(one, one, flag=True)


@program
def optional_and_mixed_arguments(torch, nn, F, compiled):
    def f(x, mask=None, n=1, name="relu", pair=(1, 2)):
        x = getattr(torch, name)(x) * n + pair[0] - pair[1]
        return x if mask is None else x.masked_fill(mask, 9.0)

    f, x = compiled(f), torch.tensor([-1.0, 2.0])
    mask = torch.tensor([True, False])
    return f(x), f(x, mask), f(x, n=2), f(x, None, 3, "tanh"), f(x, pair=(5, 1.5)), f(x, mask, True), f(x, name="relu")


@program
def numpy_argument(torch, nn, F, compiled):
    f = compiled(lambda a: torch.from_numpy(a) * 2 + float(a.sum()))
    array = randn(torch, 3).numpy()
    first = f(array)
    array += 1
    return first, f(array)


@program
def generator_function(torch, nn, F, compiled):
    def produce(x):
        for i in range(4):
            x = x * 2 + i
            yield x

    produce = compiled(produce)
    return [list(produce(torch.ones(2) * n)) for n in range(3)]


@program
def generator_inside(torch, nn, F, compiled):
    def powers(x):
        y = x
        while True:
            yield y
            y = y * x

    def series(x, n):
        return sum(p / (i + 1) for i, p in zip(range(n), powers(x), strict=False))

    series = compiled(series)
    return [series(torch.full((2,), 0.5), n) for n in (1, 3, 5)]


@program
def generator_object_as_argument(torch, nn, F, compiled):
    f = compiled(lambda items: sum(x * 2 for x in items))
    return [f(torch.ones(2) * i for i in range(n)) for n in (2, 3, 4)]


@program
def coroutine_style_batches(torch, nn, F, compiled):
    m = mlp(torch)

    def trainer():
        o, loss = torch.optim.SGD(m.parameters(), lr=0.1), None
        while True:
            x, y = yield loss
            o.zero_grad()
            loss = F.cross_entropy(m(x), y)
            loss.backward()
            o.step()

    t = compiled(trainer)()
    next(t)
    return [t.send(b) for b in batches(torch)], m


@program
def results_kept_and_used_later(torch, nn, F, compiled):
    m = mlp(torch)
    f = compiled(lambda x: (m(x), m[0](x)))
    kept = [f(x) for x, _ in batches(torch, 4)]
    total = sum(a.sum() + (i + 1) * h.square().mean() for i, (a, h) in enumerate(kept))
    total.backward()
    return total, [p.grad for p in m.parameters()]


@program
def backward_outside_the_compiled_part(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.1)
    f, losses = compiled(lambda x, y: F.cross_entropy(m(x), y)), []
    for x, y in batches(torch):
        x.requires_grad_()
        loss = f(x, y)
        o.zero_grad()
        loss.backward()
        o.step()
        losses += [loss, x.grad]
    return losses, m


@program
def result_written_in_place(torch, nn, F, compiled):
    l = nn.Linear(6, 4)
    f, seen = compiled(l), []
    for x, _ in batches(torch, 4):
        y = f(x)
        y.mul_(2)
        y[0] = 0
        l.zero_grad()
        y.square().sum().backward()
        seen += [y, l.weight.grad]
    return seen


@program
def detached_and_cloned_results(torch, nn, F, compiled):
    x = torch.ones(3, requires_grad=True)
    f = compiled(lambda x: ((y := x * 2), y.detach(), y.clone(), y.data, y.detach().clone()))
    a, b, c, d, e = f(x)
    b += 1
    d *= 2
    (c.sum() + a.sum()).backward()
    return a, b, c, d, e, x.grad


@program
def expanded_and_overlapping_results(torch, nn, F, compiled):
    f = compiled(lambda x: (x[:1].expand(3, 2), x.unfold(0, 2, 1) if len(x) > 1 else x, x.t()))
    x = torch.ones(1, 2)
    a, b, c = f(x)
    x.fill_(5)
    return a, b, c, f(torch.arange(4.0).view(2, 2))


@program
def hidden_results_in_self(torch, nn, F, compiled):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.last, self.seen = nn.Linear(6, 4), nn.Linear(4, 3), None, {}

        def forward(self, x):
            self.last = torch.relu(self.a(x))
            self.seen[x.shape[0]] = self.last.mean()
            return self.b(self.last)

    m, seen = Model(), []
    f = compiled(m)
    for n in (8, 4, 8):
        f(batches(torch, 1, n)[0][0]).sum().backward()
        seen.append(m.last)
    return seen, m.seen, m.a.weight.grad
