"""torch.utils.checkpoint against PyTorch's: both kinds, gradients, random numbers, what is computed how often."""

import importlib

import numpy as np
import pytest
from twin import same, same_error

import funnn.torch as shim

KINDS = [True, False]


def tools(t):
    return importlib.import_module(f"{t.__name__}.utils.checkpoint")


def network(t):
    t.manual_seed(5)
    return t.nn.Sequential(t.nn.Linear(3, 4), t.nn.Tanh(), t.nn.Dropout(0.5), t.nn.Linear(4, 2)), t.ones(2, 3).requires_grad_()


def gradients(t, out, net, x):
    out.pow(2).sum().backward()
    return out.detach(), out.requires_grad, x, [p.grad for p in net.parameters()], t.rand(2)


PROGRAMS = {
    "a network": lambda t, c, kind, net, x: gradients(t, c.checkpoint(net, x, use_reentrant=kind), net, x),
    "a part": lambda t, c, kind, net, x: gradients(t, net[3](c.checkpoint(net[:3], x * 2, use_reentrant=kind)), net, x),
    "random numbers not kept": lambda t, c, kind, net, x: gradients(
        t, c.checkpoint(net[:2], x, use_reentrant=kind, preserve_rng_state=False), net, x
    ),
    "sequential": lambda t, c, kind, net, x: gradients(t, c.checkpoint_sequential(net, 2, x, use_reentrant=kind), net, x),
    "nested": lambda t, c, kind, net, x: gradients(
        t, c.checkpoint(lambda v: net[1](c.checkpoint(net[0], v, use_reentrant=kind)), x, use_reentrant=kind), net, x
    ),
    "several in and out": lambda t, c, kind, net, x: [
        (out := c.checkpoint(lambda a, k, n: (net[0](a) * k, a.sum(), n), x, 3.0, None, use_reentrant=kind)),
        (out[0].sum() * out[1]).backward(),
        out[2],
        x,
    ][2:],
    "under no_grad": lambda t, c, kind, net, x: t.no_grad()(c.checkpoint)(net, x, use_reentrant=kind),
    "how often": lambda t, c, kind, net, x: [
        (calls := []),
        c.checkpoint(lambda v: (calls.append(1), net[0](v).tanh())[1], x, use_reentrant=kind).sum().backward(),
        len(calls),
    ][2],
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_checkpoint(name, kind):
    same(lambda t: PROGRAMS[name](t, tools(t), kind, *network(t)))


def context(seen):
    class Context:
        def __init__(self, name):
            self.name = name

        def __enter__(self):
            seen.append(self.name)

        def __exit__(self, *exc):
            seen.append(f"no {self.name}")

    return lambda: (Context("first"), Context("second"))


NOT_REENTRANT = {
    "grad": lambda t, c, net, x: t.autograd.grad(c.checkpoint(net, x, use_reentrant=False).sum(), [x, net[0].weight]),
    "grad_fn": lambda t, c, net, x: c.checkpoint(t.exp, x, use_reentrant=False).grad_fn.name(),
    "keywords": lambda t, c, net, x: gradients(t, c.checkpoint(lambda v, k=1: net(v) * k, x, k=3, use_reentrant=False), net, x),
    "a captured tensor alone": lambda t, c, net, x: gradients(t, c.checkpoint(net, x.detach(), use_reentrant=False), net, x),
    "twice": lambda t, c, net, x: [
        (y := c.checkpoint(net, x, use_reentrant=False).sum()),
        y.backward(retain_graph=True),
        y.backward(),
        x,
    ][3],
    "second derivative": lambda t, c, net, x: t.autograd.grad(
        t.autograd.grad(c.checkpoint(lambda v: v**3, x, use_reentrant=False).sum(), x, create_graph=True)[0].sum(), x
    ),
    "context_fn": lambda t, c, net, x: [
        (seen := []),
        c.checkpoint(t.exp, x, use_reentrant=False, context_fn=context(seen)).sum().backward(),
        seen,
    ][2],
    "a custom function": lambda t, c, net, x: [c.checkpoint(square(t), x, use_reentrant=False).sum().backward(), x],
}


def square(t):
    class Square(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            return g * 2 * ctx.saved_tensors[0]

    return Square.apply


@pytest.mark.parametrize("name", NOT_REENTRANT)
def test_not_reentrant(name):
    same(lambda t: NOT_REENTRANT[name](t, tools(t), *network(t)))


def changing(t):
    calls = []

    def run(v):
        calls.append(1)
        return v.exp() if len(calls) == 1 else v.exp().exp()

    return run


ERRORS = {
    "grad": (
        lambda t, c, net, x: t.autograd.grad(c.checkpoint(net, x, use_reentrant=True).sum(), x),
        RuntimeError,
        "When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad",
    ),
    "inputs": (
        lambda t, c, net, x: c.checkpoint(net, x, use_reentrant=True).sum().backward(inputs=[x]),
        RuntimeError,
        "When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad",
    ),
    "keywords": (lambda t, c, net, x: c.checkpoint(net, x, k=3, use_reentrant=True), ValueError, "Unexpected keyword arguments: k"),
    "context_fn": (
        lambda t, c, net, x: c.checkpoint(net, x, use_reentrant=True, context_fn=context([])),
        ValueError,
        "Passing `context_fn` .* is only supported when|Passing `context_fn` is only supported when",
    ),
    "keywords of sequential": (
        lambda t, c, net, x: c.checkpoint_sequential(net, 2, x, use_reentrant=True, k=3),
        ValueError,
        "Unexpected keyword",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.filterwarnings("ignore")
def test_errors(name):
    program, error, text = ERRORS[name]
    same_error(lambda t: program(t, tools(t), *network(t)), error, text)


def test_a_function_that_does_something_else_the_second_time():
    c, x = tools(shim), shim.ones(2, requires_grad=True)
    with pytest.raises(c.CheckpointError, match="A different number of tensors was saved during the original forward and recomputation"):
        c.checkpoint(changing(shim), x, use_reentrant=False).sum().backward()


def test_warnings():
    c = tools(shim)
    with pytest.warns(UserWarning, match="None of the inputs have requires_grad=True"):
        c.checkpoint(shim.exp, shim.ones(2), use_reentrant=True)
    with pytest.warns(UserWarning, match="the use_reentrant parameter should be passed explicitly"):
        c.checkpoint(shim.exp, shim.ones(2, requires_grad=True))


def test_nothing_is_kept():
    """Until backward, the nodes hold places instead of arrays."""
    x = shim.ones(2, requires_grad=True)
    y = tools(shim).checkpoint(lambda v: v.exp().exp(), x, use_reentrant=False)
    assert {type(item).__name__ for item in y.grad_fn.vjp.packed} == {"_Forgotten"}


def test_inside_a_compiled_step():
    """The second run draws the same mask as the first: where nothing was kept of a value, nothing reaches its gradient."""
    x = shim.ones(64)

    def step(x):
        v = x.clone().requires_grad_()
        y = tools(shim).checkpoint(lambda v: shim.nn.functional.dropout(v * v, 0.5), v, use_reentrant=False)
        y.sum().backward()
        return y.detach(), v.grad

    y, g = shim.compile(step)(x)
    np.testing.assert_allclose(g.numpy(), 2 * y.numpy())
    assert 0 < (y == 0).sum().item() < 64
