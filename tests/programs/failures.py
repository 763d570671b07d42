"""Exceptions in the middle of a step, and what is the case after them."""

from __future__ import annotations

import copy

from tests.programs._parts import batches, gradients, mlp, randn, train_step
from tests.programs._program import program


def _name(function):
    try:
        function()
    except Exception as error:
        return type(error).__name__
    return "nothing"


@program
def gradients_before_the_failure_stay(torch, nn, F, compiled):
    """What the backward pass came to before it failed has its gradient."""
    m, fail = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3)), [True]

    class Failing(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            if fail[0]:
                raise ValueError("on purpose")
            return g

    def step(x, y):
        m.zero_grad()
        loss = F.cross_entropy(m[2:](Failing.apply(m[:2](x))), y)
        loss.backward()
        return loss

    step, seen = compiled(step), []
    for i, b in enumerate(batches(torch, 4)):
        fail[0] = i % 2 == 0
        seen.append((_name(lambda b=b: step(*b)), gradients(m)))
    return [(name, [g is None for g in grads], [g for g in grads if g is not None]) for name, grads in seen]


@program
def graph_freed_halfway(torch, nn, F, compiled):
    m, x = mlp(torch), randn(torch, 4, 6)

    def f():
        m.zero_grad()
        h = torch.relu(m[0](x))
        first, second = m[2](h).sum(), (m[2](h) * 2).sum()
        first.backward()
        return _name(second.backward), m[2].weight.grad, m[0].weight.grad

    f = compiled(f)
    return [f() for _ in range(3)]


@program
def twice_through_what_saves_nothing(torch, nn, F, compiled):
    """Views, sums and their like keep no tensor, so that backward may come again."""
    views = (
        *(lambda w: w.t(), lambda w: w[0], lambda w: w.expand(2, 3, 3), lambda w: w.unbind(0)[1], lambda w: w.chunk(2)[0]),
        *(lambda w: w.diagonal(), lambda w: w.tril(), lambda w: w[..., ::2], lambda w: F.pad(w, (1, 1)), lambda w: w.flip(0)),
        *(
            lambda w: w.lerp(torch.ones(3, 3), 0.5),
            lambda w: w + 1,
            lambda w: w.unfold(0, 2, 1),
            lambda w: w.trace(),
            lambda w: w.repeat(2, 1),
        ),
        *(lambda w: w * 2, lambda w: w.exp(), lambda w: w * torch.ones(3, 3), lambda w: w[[0, 1]]),
    )

    def f(view):
        w = torch.ones(3, 3, requires_grad=True)
        v = view(w)
        v.sum().backward()
        return _name(lambda: v.mean().backward()), w.grad

    return [compiled(f)(view) for view in views]


@program
def all_are_checked_before_one_is_written(torch, nn, F, compiled):
    a, w = torch.zeros(3), torch.ones(3, requires_grad=True)
    first = _name(lambda: compiled(lambda: torch._foreach_add_([a, w], 1))())
    return first, a, w


@program
def wrong_batch_in_the_middle(torch, nn, F, compiled):
    m = mlp(torch)
    step, seen = compiled(train_step(torch, m, torch.optim.Adam(m.parameters(), lr=0.02))), []
    for i, (x, y) in enumerate(batches(torch)):
        seen.append(_name(lambda x=x, y=y: step(x[:, :4], y)) if i % 3 == 1 else step(x, y))
    return seen, m, gradients(m)


@program
def out_and_gradients(torch, nn, F, compiled):
    w = torch.ones(3, requires_grad=True)

    def f(grad):
        with torch.set_grad_enabled(grad):
            torch.sin(w, out=w)
        return w.detach().clone()

    f = compiled(f)
    return f(False), _name(lambda: f(True)), w


@program
def copy_of_a_parameter_whose_gradient_has_a_history(torch, nn, F, compiled):
    m, x = mlp(torch), randn(torch, 4, 6)
    compiled(lambda: m(x).square().sum().backward(create_graph=True))()
    twin = copy.deepcopy(m)
    return twin, [p.grad is None for p in twin.parameters()], [p.grad.requires_grad for p in m.parameters()]


@program
def one_group_for_lbfgs(torch, nn, F, compiled):
    o = torch.optim.LBFGS([torch.ones(2, requires_grad=True)])
    o.add_param_group({"params": [torch.ones(2, requires_grad=True)]})
    return _name(lambda: o.step(lambda: torch.ones(())))


@program
def dropout_under_vmap(torch, nn, F, compiled):
    layer, x = nn.Dropout(0.5), torch.ones(3, 4)
    return _name(lambda: torch.func.vmap(layer)(x)), torch.func.vmap(layer, randomness="different")(x).shape


@program
def requires_grad_inside_a_transformation(torch, nn, F, compiled):
    def f(x):
        return (x.requires_grad_() * 2).sum()

    return [_name(lambda to=to: to(f)(torch.ones(3))) for to in (torch.func.grad, torch.func.jacrev, torch.func.jacfwd)]


@program
def types_of_tangents(torch, nn, F, compiled):
    whole, x = torch.ones(3, dtype=torch.long), torch.ones(3)
    return [_name(lambda p=p, t=t: torch.func.jvp(torch.tanh, (p,), (t,))) for p, t in ((whole, x), (x, whole), (whole, whole))]


@program
def lerp_between_two_types(torch, nn, F, compiled):
    x = torch.ones(3)
    ends = x.double(), x.long(), torch.tensor(1), x
    return (
        [_name(lambda end=end: x.lerp(end, 0.3)) for end in ends],
        _name(lambda: x.lerp(x, x.double())),
        x.lerp(x, torch.tensor(0.5).double()),
    )
