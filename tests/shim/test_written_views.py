"""Writing with gradients into a view, by an operation and by a custom Function: values, history and gradients of the base, hooks, or torch's error."""

from __future__ import annotations

import re
import warnings

import pytest
import torch

import funnn.torch as shim

# -- mark_dirty of a view


def tripled(t, also=lambda x: (), saved=False):
    """A Function that writes into its argument; ``also`` makes further outputs of it."""

    def forward(ctx, x):
        x.mul_(3)
        ctx.mark_dirty(x)
        if saved:
            ctx.save_for_backward(x)
        more = also(x)
        return (x, *more) if more else x

    def backward(ctx, g, *others):
        return g * 3 * ctx.saved_tensors[0].sign() if saved else g * 3

    return type("D", (t.autograd.Function,), {"forward": staticmethod(forward), "backward": staticmethod(backward)})


def times(t):
    """A Function that multiplies its first argument in place by the second."""

    def forward(ctx, v, y):
        ctx.mark_dirty(v)
        return v.mul_(y * 2)

    return type("M", (t.autograd.Function,), {"forward": staticmethod(forward), "backward": staticmethod(lambda ctx, g: (g * 2, g * 7))})


def unchanged(t, several=False):
    def forward(ctx, x):
        return (x.view(6), x * 2) if several else x.view(6)

    return type("V", (t.autograd.Function,), {"forward": staticmethod(forward), "backward": staticmethod(lambda ctx, g, *h: g.view(2, 3))})


def without(t, function):
    with t.no_grad():
        return function()


def inferring(t, function):
    with t.inference_mode():
        return function()


def leaf(t):
    return t.arange(6.0).reshape(2, 3).requires_grad_()


#: Of a leaf: (base, view); the view is written by the Function.
DIRTY = {
    "a row": lambda t, x: (x, (b := x * 1), b[0]),
    "a view of a view": lambda t, x: (x, (b := x * 1), b.t()[1:]),
    "base that is a window": lambda t, x: (x, (b := x.t().clone() * 1), b[1:]),
    "of a leaf": lambda t, x: (x, x, x[0]),
    "of no_grad, of a leaf that is a view": lambda t, x: (x, x, without(t, lambda: x[0])),
    "of no_grad": lambda t, x: (x, (b := x * 1), without(t, lambda: b[0])),
    "of no_grad, a leaf": lambda t, x: (x, (b := t.ones(2, 3)), without(t, lambda: b[0]).requires_grad_()),
    "of no gradients": lambda t, x: (x, (b := t.ones(2, 3)), b[0]),
    "of several": lambda t, x: (x, (b := x * 1), b.unbind(0)[0]),
    "of a detached one": lambda t, x: (x, (b := x * 1), b.detach()[0]),
    "expanded": lambda t, x: (x, (b := x * 1), b[0].expand(4, 3)),
}


def names(node, depth=3):
    return None if node is None else (node.name(), [names(n, depth - 1) for n, _ in node.next_functions] if depth else [])


def seen(x, base, view, out):
    """What there is to see of a written view and its base, and the gradients of both."""
    result = [out is view, out._version, out._is_view(), out.tolist(), base.tolist()]
    result += [names(tensor.grad_fn) for tensor in (out, view, base)]
    for tensor in (base, out):
        x.grad = None
        if tensor.requires_grad:
            (tensor * tensor * 5).sum().backward(retain_graph=True)
            result.append(None if x.grad is None else x.grad.tolist())
    return result


def outcome(program, t):
    """What a program gives, or the class and first 150 letters of its error."""
    try:
        return program(t)
    except RuntimeError as error:
        return type(error), re.sub(r"[.,]? (Do it|You can make) .*", "", str(error))[:150].rstrip(". ")


def alike(program):
    assert outcome(program, shim) == outcome(program, torch)


@pytest.mark.parametrize("name", DIRTY)
@pytest.mark.parametrize("way", ["one output", "saved", "two outputs", "without gradients"])
def test_a_function_writes_into_a_view(name, way):
    def program(t):
        x, base, view = DIRTY[name](t, leaf(t))
        function = tripled(t, (lambda x: (x * 2,)) if way == "two outputs" else lambda x: (), way == "saved")
        out = without(t, lambda: function.apply(view)) if way == "without gradients" else function.apply(view)
        return seen(x, base, view, out[0] if way == "two outputs" else out)

    alike(program)


MORE = {
    "another argument": lambda t, x: (x, (b := x * 1), (v := b[0]), times(t).apply(v, t.ones(3, requires_grad=True))),
    "another argument alone": lambda t, x: (x, (b := t.ones(2, 3)), (v := b[0]), times(t).apply(v, x.sum(0))),
    "another argument, of several": lambda t, x: (x, (b := t.ones(2, 3)), (v := b.unbind(0)[0]), times(t).apply(v, x.sum(0))),
    "twice": lambda t, x: (x, (b := x * 1), tripled(t).apply(b[0]), (w := b[:, 1:]), tripled(t).apply(w))[:2] + (w, w),
    "another view": lambda t, x: (x, (b := x * 1), (w := b[:, 1]), tripled(t).apply(b[0]))[:3] + (w,),
    "written again": lambda t, x: (x, (b := x * 1), (v := b[0]), tripled(t).apply(v), v.mul_(2))[:4],
    "base written": lambda t, x: (x, (b := x * 1), (v := b[0]), tripled(t).apply(v), b.mul_(2))[:4],
}


@pytest.mark.parametrize("name", MORE)
def test_around_a_function_that_writes_into_a_view(name):
    alike(lambda t: seen(*MORE[name](t, leaf(t))))


def test_a_function_that_writes_into_a_view_can_be_differentiated_twice():
    def program(t):
        def forward(ctx, v):
            ctx.mark_dirty(v)
            return v.mul_(2)

        def backward(ctx, g):
            return g * g * 2

        x = leaf(t)
        b = x * x
        type("F", (t.autograd.Function,), {"forward": staticmethod(forward), "backward": staticmethod(backward)}).apply(b[0])
        (first,) = t.autograd.grad((b**2).sum(), x, create_graph=True)
        return first.tolist(), t.autograd.grad(first.sum(), x)[0].tolist()

    alike(program)


def test_mark_dirty_of_what_is_no_input_warns():
    for t in (torch, shim):
        function = type("F", (t.autograd.Function,), {"forward": staticmethod(lambda c, x: (y := x * 2, c.mark_dirty(y))[0])})
        with pytest.warns(UserWarning, match="received a tensor that was not an input"):
            function.apply(t.ones(2, requires_grad=True))


def test_an_output_without_gradient_that_was_written_is_another_tensor():
    def program(t):
        function = type("F", (t.autograd.Function,), {"forward": staticmethod(mark), "backward": staticmethod(lambda c, g: g)})
        for make in (lambda x: x * 1, lambda x: (x * 1)[0]):
            view = make(leaf(t))
            out = function.apply(view)
            yield out is view, out.requires_grad, view.requires_grad, out.tolist(), view.tolist()

    def mark(ctx, x):
        ctx.mark_dirty(x)
        ctx.mark_non_differentiable(x)
        return x.mul_(2)

    alike(lambda t: list(program(t)))


# -- views by how they were made, and what is written into them

BASES = {
    "plain": lambda t: t.zeros(2, 3),
    "leaf": lambda t: t.zeros(2, 3, requires_grad=True),
    "leaf that is a view": leaf,
    "computed": lambda t: t.zeros(2, 3, requires_grad=True) * 1,
}
VIEWS = {
    "row": lambda t, b: b[0],
    "no_grad": lambda t, b: without(t, lambda: b[0]),
    "inference": lambda t, b: inferring(t, lambda: b[0]),
    "several": lambda t, b: b.split(1)[1],
    "of several": lambda t, b: b.unbind(0)[1][1:],
    "of no_grad": lambda t, b: without(t, lambda: b[0])[1:],
    "several in no_grad": lambda t, b: without(t, lambda: b.unbind(0)[1]),
    "no_grad of several": lambda t, b: (v := b.unbind(0)[1], without(t, lambda: v[1:]))[1],
    "custom": lambda t, b: unchanged(t).apply(b),
    "custom, several": lambda t, b: unchanged(t, several=True).apply(b)[0],
    "a leaf": lambda t, b: b[0].detach().requires_grad_() if b.requires_grad else b[0].requires_grad_(),
    "detached": lambda t, b: b.detach()[0],
}


def one(t):
    return t.ones((), requires_grad=True)


WRITES = {
    "view": lambda t, b, v: v.mul_(2),
    "view, with a gradient": lambda t, b, v: v.mul_(one(t)),
    "base": lambda t, b, v: without(t, lambda: b.mul_(2)) if b.is_leaf and b.requires_grad else b.mul_(2),
    "base, with a gradient": lambda t, b, v: without(t, lambda: b.mul_(2)) if b.is_leaf and b.requires_grad else b.mul_(one(t)),
    "base in no_grad": lambda t, b, v: without(t, lambda: b.mul_(2)),
    "view in no_grad": lambda t, b, v: without(t, lambda: v.mul_(2)),
    "base becomes a leaf": lambda t, b, v: b if b.requires_grad else b.requires_grad_(),
    "base becomes a leaf, view": lambda t, b, v: (b if b.requires_grad else b.requires_grad_(), v.mul_(2)),
    "transposed in place": lambda t, b, v: v.unsqueeze_(0),
    "other data": lambda t, b, v: setattr(v, "data", t.ones_like(v)),
}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("view", VIEWS)
def test_views_and_writes(base, view):
    def program(t, write):
        b = BASES[base](t)
        v = VIEWS[view](t, b)
        WRITES[write](t, b, v)
        flags = b.requires_grad, v.requires_grad, v._is_view(), v.is_leaf, v.tolist(), v.grad_fn and v.grad_fn.name()
        if not v.requires_grad:
            return flags
        (v * 2).sum().backward()
        grads = [tensor.grad for tensor in (b, v) if tensor.is_leaf]
        return *flags, [None if grad is None else grad.tolist() for grad in grads]

    for write in WRITES:
        assert outcome(lambda t, write=write: program(t, write), shim) == outcome(lambda t, write=write: program(t, write), torch), write


# -- hooks of a view that is written

OPERATIONS = {
    "mul_": lambda t, v: v.mul_(2),
    "copy_": lambda t, v: v.copy_(t.ones(3)),
    "an index": lambda t, v: v.__setitem__(0, 5.0),
    "a tensor as index": lambda t, v: v.__setitem__(t.tensor([1]), 5.0),
    "relu": lambda t, v: t.nn.functional.relu(v, inplace=True),
    "float64": lambda t, v: v.add_(t.ones(3, dtype=t.float64)),
    "a Function": lambda t, v: tripled(t).apply(v),
    "no_grad": lambda t, v: without(t, lambda: v.mul_(2)),
}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("of", ["base", "view", "view before the view"])
def test_hooks_of_a_view_that_is_written(name, after, of):
    def program(t):
        x, calls = t.arange(1.0, 7.0).view(2, 3).requires_grad_(), []
        b = x * 1
        first = b[:, :]
        v = b if of == "base" else first[0] if of == "view before the view" else b[0]
        heard = first if of == "view before the view" else v
        heard.retain_grad()
        heard.register_hook(lambda g: calls.append(("old", g.tolist())) or g * 2)
        OPERATIONS[name](t, b[0] if of == "base" else v)
        total = (b * b).sum()
        if after:
            assert v.grad_fn is not None  # asked for first: PyTorch crashes where a hook is what asks
            v.register_hook(lambda g: calls.append(("new", g.tolist())) or g * 3)
            total = total + (v * 2).sum()
        total.backward()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            grad = heard.grad
        return calls, x.grad.tolist(), None if grad is None else grad.tolist()

    alike(program)


def test_a_view_sees_what_numpy_wrote_once_nobody_holds_the_array():
    def program(t):
        b = t.arange(9.0).view(3, 3).requires_grad_()
        v = b[0]
        v.detach().numpy()[...] *= 2
        return str(v.dtype), v.detach().double().tolist(), v.tolist(), b.tolist()

    alike(program)
