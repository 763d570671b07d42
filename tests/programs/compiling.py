"""What is compiled, and how: modules, methods, nested functions, with every option."""

from __future__ import annotations

import contextlib
import copy
import functools

from tests.programs._parts import batches, gradients, mlp, randn, train_step
from tests.programs._program import program


@program
def nested(torch, nn, F, compiled):
    m = mlp(torch)
    inner = compiled(lambda x: m(x))
    step = compiled(train_step(torch, inner, torch.optim.SGD(m.parameters(), lr=0.1)))
    return [step(*b) for b in batches(torch)], m


@program
def as_a_decorator(torch, nn, F, compiled):
    @compiled
    def double(x):
        return x * 2

    @compiled(dynamic=True)
    def triple(x, *, plus=0):
        """Three times."""
        return x * 3 + plus

    return double(torch.ones(2)), [triple(torch.ones(n), plus=n) for n in range(3)], triple.__doc__, triple.__name__


@program
def options_are_taken(torch, nn, F, compiled):
    seen = []
    for options in (
        *({}, {"fullgraph": True}, {"dynamic": True}, {"dynamic": False}, {"mode": "default"}, {"backend": "inductor"}),
        *({"mode": "max-autotune"}, {"options": {"trace.enabled": False}}, {"disable": True}, {"mode": "max-autotune-no-cudagraphs"}),
    ):
        m = mlp(torch)
        step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1)), **options)
        seen.append([step(*b) for b in batches(torch, 3)])
    return seen


@program
def replay_mode_of_a_pure_function(torch, nn, F, compiled):
    m = mlp(torch).eval()
    f = compiled(m, mode="reduce-overhead")
    with torch.no_grad():
        return [f(x).clone() for x, _ in batches(torch, 6)], [f(x[:3]).clone() for x, _ in batches(torch, 3)]


@program
def replay_mode_of_a_step(torch, nn, F, compiled):
    m = mlp(torch)
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9)), mode="reduce-overhead")
    return [step(*b).clone() for b in batches(torch, 12)], m


@program
def module_in_place(torch, nn, F, compiled):
    m, plain = mlp(torch), compiled.__name__ == "plain"
    if not plain:
        m.compile()
    step = train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1))
    return [step(*b) for b in batches(torch)], m


@program
def compiled_module_is_still_a_module(torch, nn, F, compiled):
    m = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.Linear(8, 3))
    c, x = compiled(m), batches(torch)[0][0]
    first = c(x)
    c.eval()
    second = c(x)
    c.train()
    for p in c.parameters():
        p.data.mul_(0.5)
    c.zero_grad()
    c(x).sum().backward()
    return first, second, gradients(m), c.training, m.training, len(list(c.modules())) >= 4, isinstance(c, nn.Module)


@program
def compiled_layers_of_a_module(torch, nn, F, compiled):
    m = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 3))
    for i in (0, 2):
        m[i] = compiled(m[i])
    step = train_step(torch, m, torch.optim.Adam(m.parameters(), lr=0.01))
    return [step(*b) for b in batches(torch)], list(m.state_dict().values())


@program
def compiled_parts_of_a_step(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.Adam(m.parameters(), lr=0.01)
    forward, loss_of, update = compiled(m), compiled(F.cross_entropy), compiled(o.step)
    losses = []
    for x, y in batches(torch):
        loss = loss_of(forward(x), y)
        o.zero_grad()
        loss.backward()
        update()
        losses.append(loss)
    return losses, m


@program
def methods_and_static_methods(torch, nn, F, compiled):
    class Thing:
        def __init__(self, n):
            self.n = n

        @compiled
        def scaled(self, x):
            return x * self.n

        @staticmethod
        @compiled
        def shifted(x, n):
            return x + n

        @classmethod
        def make(cls, n):
            return cls(n)

        def __call__(self, x):
            return self.scaled(x) + 1

    a, b, x = Thing(2), Thing.make(3), torch.ones(2)
    called = compiled(a)
    return a.scaled(x), b.scaled(x), Thing.shifted(x, 4), called(x), compiled(b.scaled)(x)


@program
def partials_and_lambdas_in_a_loop(torch, nn, F, compiled):
    def scale(x, a, b=0):
        return x * a + b

    fs = [compiled(functools.partial(scale, a=i, b=-i)) for i in range(3)] + [compiled(lambda x, i=i: x - i) for i in range(3)]
    return [f(torch.ones(2)) for f in fs for _ in range(2)]


@program
def functions_of_the_library(torch, nn, F, compiled):
    fs = [compiled(f) for f in (torch.sin, torch.relu, F.gelu, torch.exp)]
    return [f(randn(torch, 3, seed=i)) for i, f in enumerate(fs)], compiled(torch.matmul)(torch.ones(2, 2), torch.ones(2, 2))


@program
def compiled_function_calls_itself(torch, nn, F, compiled):
    @compiled
    def power(x, n):
        return torch.ones_like(x) if n == 0 else x * power(x, n - 1)

    return [power(torch.full((2,), 2.0), n) for n in range(5)]


@program
def callbacks_and_contexts_inside(torch, nn, F, compiled):
    log = []

    @contextlib.contextmanager
    def noted(name):
        log.append(f"+{name}")
        try:
            yield name
        finally:
            log.append(f"-{name}")

    def f(x, call):
        with noted("a"), torch.no_grad():
            y = call(x)
        try:
            with noted("b"):
                if y.sum() > 3:
                    raise ValueError
                y = y + 1
        except ValueError:
            y = y - 1
        finally:
            log.append("end")
        return y

    f = compiled(f)
    return [f(torch.ones(2) * i, lambda x, i=i: x * i) for i in range(3)], log


@program
def exec_and_attributes_by_name(torch, nn, F, compiled):
    def f(x, name, **fields):
        scope = {"x": x, "torch": torch}
        exec(f"y = torch.{name}(x)", scope)
        for k, v in fields.items():
            setattr(f, k, v)
        return scope["y"] * len(vars(f))

    g = compiled(f)
    return g(torch.ones(2), "sin", a=1), g(torch.ones(2), "cos", a=1, b=2), g(torch.ones(2), "sin")


@program
def monkeypatched_function(torch, nn, F, compiled):
    holder = type("Holder", (), {"f": staticmethod(lambda x: x + 1)})
    g, seen = compiled(lambda x: holder.f(x) * 2), []
    seen.append(g(torch.ones(2)))
    holder.f = staticmethod(lambda x: x - 1)
    return seen, g(torch.ones(2))


@program
def trained_plain_and_compiled_in_turn(torch, nn, F, compiled):
    m = mlp(torch)
    step = train_step(torch, m, torch.optim.Adam(m.parameters(), lr=0.01))
    fast = compiled(step)
    return [(fast if i % 2 else step)(*b) for i, b in enumerate(batches(torch))], m


@program
def compiled_again_after_a_change(torch, nn, F, compiled):
    m, data, seen = mlp(torch), batches(torch), []
    for i in range(3):
        f = compiled(m)
        seen.append(f(data[i][0]))
        m.append(nn.Linear(3, 3))
    return seen


@program
def deep_copy_of_a_compiled_module(torch, nn, F, compiled):
    c, x = compiled(nn.Linear(6, 3)), batches(torch)[0][0]
    first = c(x)
    twin = copy.deepcopy(c)
    with torch.no_grad():
        for p in twin.parameters():
            p.add_(1)
    return first, c(x), twin(x)


@program
def compile_names(torch, nn, F, compiled):
    """The names beside torch.compile do nothing to the numbers."""
    torch.compiler.reset()
    m = mlp(torch)

    @torch.compiler.disable
    def outside(x):
        return x * 2

    def f(x):
        return outside(m(x)) + int(torch.compiler.is_compiling()) * 0

    x = batches(torch)[0][0]
    first = compiled(f)(x)
    torch.compiler.cudagraph_mark_step_begin()
    return first, compiled(f)(x)


@program
def graph_breaks(torch, nn, F, compiled):
    m, log = mlp(torch), []
    o = torch.optim.SGD(m.parameters(), lr=0.1)

    def step(x, y):
        o.zero_grad()
        h = torch.relu(m[0](x))
        log.append(h.mean().item())
        z = m[2](h)
        if z.abs().max() > 1:
            z = z / 2
        loss = F.cross_entropy(z, y)
        log.append(loss.tolist())
        loss.backward()
        log.append(m[0].weight.grad.numpy().sum().item())
        o.step()
        return loss

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m, log


@program
def subclass_that_watches_calls(torch, nn, F, compiled):
    calls = []

    class Watched(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            calls.append(func.__name__)
            return super().__torch_function__(func, types, args, kwargs or {})

    x = torch.ones(2).as_subclass(Watched)
    y = compiled(lambda x: (x * 2 + 1).sum())(x)
    return float(y), "mul" in "".join(calls), type(y).__name__


@program
def mode_that_watches_calls(torch, nn, F, compiled):
    names = []

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            names.append(getattr(func, "__name__", ""))
            return func(*args, **(kwargs or {}))

    f, out = compiled(lambda x: torch.sin(x) + torch.cos(x)), []
    for i in range(3):
        with Watch():
            out.append(f(torch.ones(2) * i))
    return out, names.count("sin") >= 1


@program
def warm_up_then_measure(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.1)
    step = compiled(train_step(torch, m, o))
    x, y = batches(torch)[0]
    for _ in range(3):
        step(x, y)
    return [step(x, y) for _ in range(10)][-1], m


@program
def many_compiled_functions(torch, nn, F, compiled):
    fs = [compiled(lambda x, i=i: (x * i).tanh() if i % 2 else (x + i).sigmoid()) for i in range(20)]
    x = torch.ones(3)
    for _ in range(2):
        for f in fs:
            x = f(x)
    return x


@program
def long_training(torch, nn, F, compiled):
    m, data = mlp(torch), batches(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.02)
    step, losses = compiled(train_step(torch, m, o)), []
    for i in range(150):
        loss = step(*data[i % 10])
        if i % 15 == 0:
            losses.append(loss)
    return losses, m
