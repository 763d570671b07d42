"""Views that become others in place, views out of a Function, and views whose base was written."""

from __future__ import annotations

from tests.programs._program import program
from tests.programs.failures import _name

TURNS = {"t_": (), "squeeze_": (0,), "unsqueeze_": (0,), "transpose_": (0, 1), "swapaxes_": (0, 1), "as_strided_": ((3,), (1,))}


@program
def turned_in_place(torch, nn, F, compiled):
    """The versions count, and what saved the tensor finds that."""

    def f(name, arguments):
        h = torch.ones(3, 3, requires_grad=True) * 2
        v, y = h[:], h**2
        getattr(h, name)(*arguments)
        return h, h._version, v._version, v.requires_grad, _name(lambda: y.sum().backward())

    f = compiled(f)
    return [f(name, arguments) for name, arguments in TURNS.items()]


@program
def turned_in_place_what_may_not_be(torch, nn, F, compiled):
    def leaf(w):
        return w

    def view_of_a_leaf(w):
        return w[:]

    def one_of_several(w):
        return (w * 2).unbind(0)[1]

    def f(make, name, arguments):
        return _name(lambda: getattr(make(torch.ones(3, 3, 3, requires_grad=True)), name)(*arguments))

    f = compiled(f)
    return [[f(make, name, arguments) for name, arguments in TURNS.items()] for make in (leaf, view_of_a_leaf, one_of_several)]


@program
def turned_in_place_without_gradients(torch, nn, F, compiled):
    """Under no_grad it keeps its history; through ``.data`` nobody sees it."""

    def f():
        h, k = (torch.ones(2, 3, requires_grad=True) * 2 for _ in range(2))
        with torch.no_grad():
            h.t_()
        k.data.t_()
        return h, h.requires_grad, h._version, k, k._version

    return compiled(f)()


@program
def view_out_of_a_function(torch, nn, F, compiled):
    """What a Function returns of its input may not be written, nor used once the input is."""

    class Same(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.view_as(x)

        @staticmethod
        def backward(ctx, g):
            return -g

    class Returned(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return -g

    class Two(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.view_as(x), x * 2

        @staticmethod
        def backward(ctx, g, h):
            return 2 * h - g

    def f(function):
        seen = []
        for write in (lambda h, y: y.add_(1), lambda h, y: y[0].mul_(2), lambda h, y: h.mul_(2), lambda h, y: h.data.mul_(2)):
            x = torch.ones(3, requires_grad=True)
            h = x * 2
            y = function.apply(h)
            y = y[0] if isinstance(y, tuple) else y
            seen.append(
                (_name(lambda write=write, h=h, y=y: write(h, y)), _name(lambda y=y: (y * 3).sum().backward()), x.grad, y.data.clone())
            )
        return seen

    return [compiled(f)(function) for function in (Same, Returned, Two)]


@program
def one_of_several_whose_base_was_written(torch, nn, F, compiled):
    """Its numbers may be read, its history not."""

    def f():
        h = torch.arange(6.0, requires_grad=True).view(2, 3) - 2
        row = h.unbind(0)[0]
        h.relu_()
        return row.requires_grad, row.detach().clone(), row.tolist(), _name(lambda: row * 2), _name(lambda: row.grad_fn)

    return compiled(f)()
