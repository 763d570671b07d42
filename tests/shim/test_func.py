"""torch.func against PyTorch's: each transformation, their nesting, what may happen inside, their errors; a JAX function on the tape."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from twin import same, same_error

import funnn.torch as shim
from funnn.engine.program.graph import flush
from funnn.engine.program.states import count_states
from funnn.engine.state import thread
from funnn.engine.types import tree as _tree


def data(t):
    x = t.tensor([0.5, -1.2, 2.0], dtype=t.float64)
    m = t.tensor([[0.3, -0.7, 1.1], [1.5, 0.2, -0.4]], dtype=t.float64)
    return t.func, x, m


def cube(x):
    return (x**3).sum()


def wave(m):
    return m.sin() * m.sum()


PROGRAMS = {
    "grad": lambda t, f, x, m: f.grad(cube)(x),
    "grad of grad": lambda t, f, x, m: f.grad(lambda v: f.grad(cube)(v).prod())(x),
    "grad of several": lambda t, f, x, m: f.grad(lambda a, b: (a * b).sum(), argnums=(0, 1))(x, x + 1),
    "grad of a dict": lambda t, f, x, m: f.grad(lambda d: (d["b"] * d["a"][0]).sum())({"b": x, "a": [x + 2]}),
    "grad, other argument": lambda t, f, x, m: f.grad(lambda a, b, k=1: (a * b * k).sum(), argnums=1)(x, x + 1, k=3),
    "grad, nothing depends": lambda t, f, x, m: f.grad(lambda a, b: a.sum(), argnums=(0, 1))(x, m),
    "grad with aux": lambda t, f, x, m: f.grad(lambda v: (cube(v), {"v": v * 2, "k": [v]}), has_aux=True)(x),
    "grad_and_value": lambda t, f, x, m: [f.grad_and_value(cube)(x), f.grad_and_value(lambda v: (cube(v), v), has_aux=True)(x)],
    "grad under no_grad": lambda t, f, x, m: t.no_grad()(f.grad(cube))(x),
    "no_grad inside grad": lambda t, f, x, m: f.grad(lambda v: (v * t.no_grad()(lambda: v**2)()).sum())(x),
    "detach inside grad": lambda t, f, x, m: f.grad(lambda v: (v * v.detach()).sum())(x),
    "control flow inside grad": lambda t, f, x, m: f.grad(lambda v: v.sum() if v[0] > 0 else (v * 2).sum() * v[1].item())(x * -1),
    "in place inside grad": lambda t, f, x, m: f.grad(lambda v: in_place(v).sum())(x),
    "autograd inside grad": lambda t, f, x, m: f.grad(lambda v: t.autograd.grad(cube(v), v, create_graph=True)[0].sum())(x),
    "vjp": lambda t, f, x, m: [(r := f.vjp(wave, m)), r[0], r[1](m + 1), r[1](m)][1:],
    "vjp of structures": lambda t, f, x, m: [
        (r := f.vjp(lambda a, b: {"s": (a * b).sum(), "p": [a * b]}, x, x + 1)),
        r[1]({"s": x[0], "p": [x]}),
    ][1:],
    "vjp with aux": lambda t, f, x, m: f.vjp(lambda v: (v * 2, v + 1), x, has_aux=True)[2],
    "jvp": lambda t, f, x, m: f.jvp(wave, (m,), (m + 1,)),
    "jvp of structures": lambda t, f, x, m: f.jvp(lambda a, d: {"y": a * d["k"], "z": (d["k"],)}, (x, {"k": x + 1}), (x, {"k": x * 2})),
    "jvp with aux": lambda t, f, x, m: f.jvp(lambda v: (v.sin(), (v * 2, v)), (x,), (x,), has_aux=True),
    "jvp of jvp": lambda t, f, x, m: f.jvp(lambda v: f.jvp(t.sin, (v,), (v,))[1], (x,), (x + 1,)),
    "jvp of a constant": lambda t, f, x, m: f.jvp(lambda v: t.ones(2), (x,), (x,)),
    "jvp, values known": lambda t, f, x, m: f.jvp(lambda v: v * v[2].item() if v[0] > 0 else v, (x,), (x,)),
    "detach inside jvp": lambda t, f, x, m: f.jvp(lambda v: v * v.detach(), (x,), (x,)),
    "detach inside jvp of grad": lambda t, f, x, m: f.jvp(f.grad(lambda v: (v**2 * v.detach()).sum()), (x,), (x,)),
    "jvp, in place": lambda t, f, x, m: f.jvp(in_place, (x,), (x + 1,)),
    "linearize": lambda t, f, x, m: [(r := f.linearize(t.sin, x)), r[0], r[1](x + 1), r[1](x)][1:],
    "jacrev": lambda t, f, x, m: [f.jacrev(wave)(m), f.jacrev(wave, chunk_size=2)(m), f.jacrev(t.sum)(x)],
    "jacrev of structures": lambda t, f, x, m: f.jacrev(lambda a, b: {"y": a * b, "s": b.sum()}, argnums=(0, 1))(x, x + 1),
    "jacrev with aux": lambda t, f, x, m: f.jacrev(lambda v: (v.exp(), v * 2), has_aux=True)(x),
    "jacfwd": lambda t, f, x, m: [f.jacfwd(wave)(m), f.jacfwd(lambda v: (v.exp(), v * 2), has_aux=True)(x)],
    "jacfwd of structures": lambda t, f, x, m: f.jacfwd(lambda a, b: (a * b, b.sum()), argnums=(0, 1))(x, x + 1),
    "hessian": lambda t, f, x, m: [f.hessian(cube)(x), f.hessian(lambda a, b: (a**2 * b).sum(), argnums=(0, 1))(x, x)],
    "Jacobians of Jacobians": lambda t, f, x, m: [g(h(t.sin))(x) for g in (f.jacrev, f.jacfwd) for h in (f.jacrev, f.jacfwd)],
    "third derivative": lambda t, f, x, m: f.jacfwd(f.jacrev(f.grad(lambda v: (v**4).sum())))(x),
    "vmap": lambda t, f, x, m: [f.vmap(t.sum)(m), t.vmap(t.dot)(m, m + 1), f.vmap(lambda v: {"a": v, "b": (v[0],)})(m)],
    "vmap, dimensions": lambda t, f, x, m: [
        f.vmap(t.dot, in_dims=(1, None))(m, m[:, 0]),
        f.vmap(lambda v: v * 2, in_dims=-1, out_dims=1)(m),
        f.vmap(lambda v, d: v * d["k"] + d["c"], in_dims=(0, {"k": 1, "c": None}))(x, {"k": m, "c": 2.0}),
        f.vmap(lambda v: (v, t.ones(2)), out_dims=(0, None))(x),
    ],
    "vmap in chunks": lambda t, f, x, m: f.vmap(lambda v: (v.sin(), v.sum()), chunk_size=2, out_dims=(1, 0))(m.t()),
    "vmap of vmap": lambda t, f, x, m: f.vmap(f.vmap(lambda a, b: a * b, in_dims=(0, None)), in_dims=(None, 0))(x, x + 1),
    "shapes inside vmap": lambda t, f, x, m: f.vmap(lambda v: v * v.shape[0] + v.dim() + v.numel())(m),
    "views inside vmap": lambda t, f, x, m: f.vmap(lambda v: v[1:].flip(0) * v.view(3, 1).t()[0, :2])(m),
    "in place inside vmap": lambda t, f, x, m: [f.vmap(in_place)(m), m],
    "in place on an argument": lambda t, f, x, m: [f.vmap(lambda v: v.mul_(2).sum())(m), m],
    "indices inside vmap": lambda t, f, x, m: f.vmap(lambda v, i: v.index_select(0, i))(m, t.tensor([[0, 2], [1, 1]])),
    "vmap of grad": lambda t, f, x, m: f.vmap(f.grad(cube))(m),
    "per-sample gradients": lambda t, f, x, m: f.vmap(f.grad(lambda w, v: (w * v).sum().sin()), in_dims=(None, 0))(x, m),
    "grad of vmap": lambda t, f, x, m: f.grad(lambda v: f.vmap(lambda row: (row * v).sum().sin())(m).sum())(x),
    "grad of vmap of grad": lambda t, f, x, m: f.grad(lambda v: f.vmap(f.grad(lambda r: (r**3 * v).sum()))(m).sum())(x),
    "grad of grad of vmap": lambda t, f, x, m: f.grad(lambda w: f.grad(lambda v: f.vmap(lambda r: (r * v**3).sum())(m).sum())(w).sum())(x),
    "detach inside vmap inside grad": lambda t, f, x, m: f.grad(lambda v: f.vmap(lambda r: (r * v * v.detach()).sum())(m).sum())(x),
    "vmap of jvp": lambda t, f, x, m: f.vmap(lambda v: f.jvp(t.sin, (x,), (v,))[1])(m),
    "jvp of vmap": lambda t, f, x, m: f.jvp(f.vmap(lambda r: (r * r).sum()), (m,), (m + 1,)),
    "grad of jvp": lambda t, f, x, m: f.grad(lambda v: f.jvp(lambda u: u**3, (v,), (v * 2,))[1].sum())(x),
    "grad of jvp, captured": lambda t, f, x, m: f.grad(lambda w: f.jvp(lambda u: u**2 * w**2, (x,), (x + 1,))[1].sum())(x),
    "grad of grad of jvp": lambda t, f, x, m: f.grad(lambda w: f.grad(lambda v: f.jvp(t.sin, (v,), (w,))[1].sum())(w).sum())(x),
    "jvp of grad": lambda t, f, x, m: f.jvp(f.grad(cube), (x,), (x + 1,)),
    "vmap of vjp": lambda t, f, x, m: f.vmap(f.vjp(lambda v: v.sin(), x)[1])(m),
    "autograd.grad inside vmap": lambda t, f, x, m: [
        (v := x.clone().requires_grad_()),
        (y := v**2),
        t.vmap(lambda u: t.autograd.grad(y, v, u, retain_graph=True)[0])(m),
    ][2:],
    "is_grads_batched": lambda t, f, x, m: [
        (v := x.clone().requires_grad_()),
        t.autograd.grad(v**2, [v, x.clone().requires_grad_()], m, is_grads_batched=True, allow_unused=True),
        t.autograd.grad(v**3, v, m, is_grads_batched=True, create_graph=True)[0].sum().backward(),
        v,
    ][1:],
    "functionalize": lambda t, f, x, m: f.functionalize(in_place)(x),
}


def in_place(v):
    y = v * 1
    y[0] = y[1] * 3
    y[1:].mul_(v[:2]).add_(1)
    return y


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.filterwarnings("ignore")
def test_transformations(name):
    same(lambda t: PROGRAMS[name](t, *data(t)))


TAPE = {
    "grad, of an argument and a captured tensor": lambda t, f, w, x, m: f.grad(lambda v: (v**2 * w).sum())(x).pow(2).sum(),
    "value": lambda t, f, w, x, m: f.grad_and_value(lambda v: (v**2 * w).sum())(x)[1],
    "aux": lambda t, f, w, x, m: f.grad(lambda v: (v.sum(), v * w), has_aux=True)(x)[1].sum(),
    "vjp": lambda t, f, w, x, m: (r := f.vjp(lambda v: v**2 * w, x))[1](x * w)[0].sum() + r[0].sum(),
    "vmap": lambda t, f, w, x, m: f.vmap(lambda r: (r * w * x).sum().sin())(m).sum(),
    "vmap of the tensors": lambda t, f, w, x, m: f.vmap(lambda a, b: a * b, out_dims=0)(w, x).sum(),
    "vmap, no_grad inside": lambda t, f, w, x, m: f.vmap(lambda r: (r * w).sin() * t.no_grad()(lambda: w * 2)())(m).sum(),
    "vmap, one output detached": lambda t, f, w, x, m: sum(o.sum() for o in f.vmap(lambda r: ((r * w).sin(), (r * x).detach()))(m)),
    "jvp": lambda t, f, w, x, m: sum(o.sum() for o in f.jvp(lambda v: v**2 * w, (x,), (w * x,))),
    "vmap of grad": lambda t, f, w, x, m: f.vmap(f.grad(lambda r: (r**2 * w * x).sum()))(m).sum(),
    "jacrev": lambda t, f, w, x, m: f.jacrev(lambda v: v**2 * w)(x).pow(2).sum(),
    "jacfwd": lambda t, f, w, x, m: f.jacfwd(lambda v: v**2 * w)(x).pow(2).sum(),
}


@pytest.mark.parametrize("name", TAPE)
def test_results_are_on_the_tape(name):
    """backward() reaches arguments and captured tensors, twice."""

    def program(t):
        f, x, m = data(t)
        x.requires_grad_()
        w = t.tensor([1.5, 0.5, -1.0], dtype=t.float64, requires_grad=True)
        total = TAPE[name](t, f, w, x, m)
        first = t.autograd.grad(total, [w, x], create_graph=True, allow_unused=True)
        sum((g**2).sum() for g in first if g is not None).backward()
        return total.detach(), [None if g is None else g.detach() for g in first], w, x

    same(program)


def test_nothing_requires_grad_where_nothing_outside_does():
    def program(t):
        f, x, m = data(t)
        results = [f.grad(cube)(x), *f.vjp(t.sin, x)[:1], f.vmap(f.grad(cube))(m), *f.jvp(t.sin, (x,), (x,)), f.jacrev(t.sin)(x)]
        return [r.requires_grad for r in results], [r.grad_fn for r in results]

    same(program)


RANDOM = {
    "different": lambda t, f, x, m: f.vmap(lambda v: v + t.rand(3).double(), randomness="different")(m),
    "same": lambda t, f, x, m: f.vmap(lambda v: v + t.randn(3).double(), randomness="same")(m),
    "nested": lambda t, f, x, m: f.vmap(f.vmap(lambda v: v + t.rand(4), randomness="different"), randomness="different")(m),
    "nested, one": lambda t, f, x, m: f.vmap(f.vmap(lambda v: v + t.rand(4), randomness="different"), randomness="same")(m),
    "dropout": lambda t, f, x, m: f.vmap(lambda v: t.nn.functional.dropout(v, 0.5), randomness="different")(t.ones(4, 20)),
    "randint": lambda t, f, x, m: f.vmap(lambda v: t.randint(0, 9, (5,)), randomness="different")(m),
    "by examples": lambda t, f, x, m: [
        f.vmap(draw, randomness="different")(m.abs() / 2)
        for draw in (
            t.bernoulli,
            t.poisson,
            t._standard_gamma,
            t._sample_dirichlet,
            lambda v: t.normal(v, v),
            lambda v: t.binomial(v * 0 + 5, v),
        )
    ],
    "by columns": lambda t, f, x, m: f.vmap(t.bernoulli, in_dims=1, randomness="different")(m.abs() / 2),
    "by one value": lambda t, f, x, m: [
        f.vmap(lambda v: v + t.bernoulli(m[0].abs()), randomness=randomness)(m) for randomness in ("same", "different")
    ],
    "nested, by examples": lambda t, f, x, m: f.vmap(f.vmap(t.bernoulli, randomness="different"), randomness="different")(m.abs() / 2),
    "nested, by the outer": lambda t, f, x, m: f.vmap(
        lambda v: f.vmap(lambda u: u + t.bernoulli(v), randomness="different")(v), randomness="different"
    )(m.abs() / 2),
    "multinomial": lambda t, f, x, m: [
        f.vmap(lambda v: t.multinomial(v, 2), randomness="different")(m.abs()),
        f.vmap(lambda v: t.multinomial(v.expand(2, 3), 5, replacement=True), randomness="different")(m.abs()),
    ],
    "in place": lambda t, f, x, m: f.vmap(lambda v: v.clone().bernoulli_(v), randomness="different")(m.abs() / 2),
    "distributions": lambda t, f, x, m: f.vmap(
        lambda v: t.distributions.Categorical(probs=v, validate_args=False).sample(), randomness="different"
    )(m.abs()),
    "jvp": lambda t, f, x, m: f.jvp(lambda v: t.bernoulli(v) * v, (x.abs() / 2,), (x,)),
    "jvp of vmap": lambda t, f, x, m: f.jvp(f.vmap(lambda v: t.bernoulli(v) * v, randomness="different"), (m.abs() / 2,), (m,)),
    "vmap of jvp": lambda t, f, x, m: f.vmap(lambda v: f.jvp(lambda u: t.bernoulli(u) * u, (v,), (v,)), randomness="different")(
        m.abs() / 2
    ),
    "grad": lambda t, f, x, m: f.grad(lambda v: (v * t.rand(3)).sum())(x),
}


@pytest.mark.parametrize("name", RANDOM)
def test_random_numbers(name):
    same(lambda t: [RANDOM[name](t, *data(t)), t.rand(2)])


def test_random_numbers_again_in_backward():
    """Backward through vmap runs the function again, with the numbers of the first run."""
    w = shim.ones(3, requires_grad=True)
    rows = shim.vmap(lambda v: v * w * shim.rand(3), randomness="different")(shim.ones(2, 3))
    after = shim.get_rng_state()
    rows.sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), rows.detach().sum(0).numpy(), rtol=1e-6)
    assert (shim.get_rng_state() == after).all()


ERRORS = {
    "item": (lambda t, f, x, m: f.vmap(lambda v: v.item())(x), RuntimeError, r"vmap: It looks like you're calling .item\(\) on a Tensor"),
    "if": (lambda t, f, x, m: f.vmap(lambda v: v if v > 0 else -v)(x), RuntimeError, "data-dependent control flow"),
    "random": (
        lambda t, f, x, m: f.vmap(lambda v: v + t.rand(3))(m),
        RuntimeError,
        "called random operation while in randomness error mode",
    ),
    "randomness": (lambda t, f, x, m: f.vmap(cube, randomness="a"), RuntimeError, "Only allowed values for randomness are"),
    "chunk_size": (lambda t, f, x, m: f.vmap(cube, chunk_size=0)(x), ValueError, "chunk_size should be None or greater than 0"),
    "not a tensor out": (lambda t, f, x, m: f.vmap(lambda v: 3.0)(x), ValueError, "must only return Tensors, got type <class 'float'>"),
    "no arguments": (lambda t, f, x, m: f.vmap(lambda: 1)(), ValueError, "got no inputs"),
    "in_dims' structure": (
        lambda t, f, x, m: f.vmap(t.dot, in_dims=(0,))(m, m),
        ValueError,
        "in_dims is not compatible with the structure of",
    ),
    "in_dims' type": (lambda t, f, x, m: f.vmap(t.dot, in_dims="a")(m, m), ValueError, "expected `in_dims` to be int or a"),
    "in_dims of None": (
        lambda t, f, x, m: f.vmap(t.dot, in_dims=(None, None))(m, m),
        ValueError,
        "Expected at least one Tensor to vmap over",
    ),
    "in_dim's range": (
        lambda t, f, x, m: f.vmap(t.sum, in_dims=2)(m),
        ValueError,
        "Got in_dim=2 for some input, but that input is a Tensor of dim",
    ),
    "not a tensor in": (lambda t, f, x, m: f.vmap(t.sum)(3.0), ValueError, "We cannot vmap over non-Tensor arguments"),
    "sizes": (lambda t, f, x, m: f.vmap(t.add)(m, x), ValueError, r"same size in the mapped dimension, got sizes \[2, 3\]"),
    "out_dims": (
        lambda t, f, x, m: f.vmap(lambda v: (v, v), out_dims=(0,))(x),
        ValueError,
        "out_dims is not compatible with the structure of",
    ),
    "out_dims' range": (lambda t, f, x, m: f.vmap(lambda v: v, out_dims=2)(x), IndexError, "Dimension out of range"),
    "out_dims of None": (
        lambda t, f, x, m: f.vmap(lambda v: v, out_dims=None)(x),
        ValueError,
        "can not return a BatchedTensor when out_dim is None",
    ),
    "not a scalar": (lambda t, f, x, m: f.grad(t.sin)(x), RuntimeError, "to return a scalar Tensor, got tensor with 1 dims"),
    "a number out": (
        lambda t, f, x, m: f.grad(lambda v: 3.0)(x),
        RuntimeError,
        r"Expected f\(\*args\) to return a Tensor, got <class 'float'>",
    ),
    "a number in": (
        lambda t, f, x, m: f.grad(lambda v: v)(3.0),
        ValueError,
        "Thing passed to transform API must be Tensor, got <class 'float'>",
    ),
    "integers": (lambda t, f, x, m: f.grad(t.sum)(t.ones(2).long()), RuntimeError, "only Tensors of floating point dtype can require grad"),
    "argnums": (lambda t, f, x, m: f.grad(cube, argnums=2)(x), RuntimeError, "Got argnum=2, but only 1 positional inputs"),
    "aux": (lambda t, f, x, m: f.grad(cube, has_aux=True)(x), RuntimeError, r"output of function f should be a tuple: \(output, aux\)"),
    "backward inside": (
        lambda t, f, x, m: f.grad(lambda v: cube(v).backward())(x),
        RuntimeError,
        r"backward\(\) called inside a functorch",
    ),
    "leaf": (
        lambda t, f, x, m: f.grad(lambda v: v.mul_(2).sum())(x),
        RuntimeError,
        "a leaf Variable that requires grad is being used in an in-pl",
    ),
    "view of a leaf": (
        lambda t, f, x, m: f.grad(lambda v: v[0].mul_(2))(x),
        RuntimeError,
        "a view of a leaf Variable that requires grad is",
    ),
    "cotangents": (
        lambda t, f, x, m: f.vjp(lambda v: (v, v), x)[1](x),
        RuntimeError,
        "Expected pytree structure of cotangents to be the same",
    ),
    "a number from vjp": (
        lambda t, f, x, m: f.vjp(lambda v: 3, x),
        RuntimeError,
        r"to return only tensors, got unsupported type <class 'int'>",
    ),
    "primals": (lambda t, f, x, m: f.jvp(t.sin, x, x), RuntimeError, "Expected primals to be a tuple"),
    "tangents": (lambda t, f, x, m: f.jvp(t.sin, (x,), (x, x)), RuntimeError, "primals and tangents to have the same python structure"),
    "tangent's shape": (lambda t, f, x, m: f.jvp(t.sin, (x,), (x[:2],)), RuntimeError, "a forward gradient that has a different size than"),
    "independent": (lambda t, f, x, m: f.jvp(lambda v: t.ones(2), (x,), (x,), strict=True), RuntimeError, "is independent of the inputs"),
    "chunk of jacrev": (lambda t, f, x, m: f.jacrev(cube, chunk_size=0)(x), ValueError, "chunk_size` should be greater than 0"),
}


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.filterwarnings("ignore")
def test_errors(name):
    program, error, text = ERRORS[name]
    same_error(lambda t: program(t, *data(t)), error, text)


def test_a_tensor_from_outside_is_not_spoilt():
    total, x = shim.zeros(3), shim.ones(2, 3)
    with pytest.raises(RuntimeError, match=r"inplace arithmetic.* is not possible"):
        shim.vmap(lambda v: total.add_(v))(x)
    assert total.tolist() == [0, 0, 0] and (total + 1).tolist() == [1, 1, 1]
    assert thread.tracing is None and thread.levels == ()
    with pytest.raises(RuntimeError, match="would mutate a captured Tensor"):
        shim.func.jvp(lambda v: total.add_(v[0]), (x,), (x,))
    with pytest.raises(RuntimeError, match="with a tangent into a tensor from outside"):
        shim.func.jvp(lambda v: shim.add(v, 1, out=total), (shim.ones(3),), (shim.ones(3),))
    assert total.tolist() == [0, 0, 0]


def test_a_captured_tensor_with_another_history_is_noticed():
    w = shim.ones(3, requires_grad=True) * 1
    y = shim.vmap(lambda v: v * w)(shim.ones(2, 3))
    w.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_printing_inside():
    def program(t):
        def show(v):
            print(v, v.shape, v.requires_grad)
            return v * 2

        return t.vmap(show)(t.ones(2, 3))

    same(program)


# -- modules


def network(t):
    t.manual_seed(3)
    return t.nn.Sequential(t.nn.Linear(3, 4), t.nn.Tanh(), t.nn.Linear(4, 2))


def tied(t):
    net = t.nn.Sequential(t.nn.Linear(2, 2), t.nn.Linear(2, 2))
    net[1].weight = net[0].weight
    return net


def ensemble(t, f, x):
    models = [network(t) for _ in range(2)] + [t.nn.Sequential(t.nn.Linear(3, 4), t.nn.Tanh(), t.nn.Linear(4, 2))]
    parameters, buffers = f.stack_module_state(models)
    y = t.vmap(lambda p, b, v: f.functional_call(models[0], (p, b), (v,)), in_dims=(0, 0, None))(parameters, buffers, x)
    (y**2).sum().backward()
    return y.detach(), parameters, buffers


def per_sample(t, f, x):
    net = network(t)
    weights = {name: value.detach() for name, value in net.named_parameters()}
    return t.vmap(f.grad(lambda p, v: f.functional_call(net, p, v[None]).pow(2).sum()), in_dims=(None, 0))(weights, x)


def restored(t, f, x):
    net = network(t)
    before = [id(p) for p in net.parameters()]
    f.functional_call(net, {"0.bias": t.zeros(4)}, x)
    return before == [id(p) for p in net.parameters()]


def statistics(t, f, x):
    net = t.nn.BatchNorm1d(3)
    given = {"running_mean": t.ones(3), "weight": t.full((3,), 2.0, requires_grad=True)}
    y = f.functional_call(net, given, x)
    y.pow(2).sum().backward()
    return y.detach(), given, net.running_mean, net.weight.grad


MODULES = {
    "functional_call": lambda t, f, x: f.functional_call(network(t), {"0.bias": t.zeros(4), "unknown": t.zeros(1)}, x).detach(),
    "several dicts": lambda t, f, x: f.functional_call(network(t), [{"0.bias": t.zeros(4)}, {"2.bias": t.ones(2)}], (x,)).detach(),
    "restored": restored,
    "buffers": statistics,
    "tied": lambda t, f, x: f.functional_call(
        tied(t), {"0.weight": t.ones(2, 2), "0.bias": t.zeros(2), "1.bias": t.zeros(2)}, t.ones(2), strict=True
    ),
    "per-sample gradients": per_sample,
    "ensemble": ensemble,
}


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.filterwarnings("ignore")
def test_modules(name):
    same(lambda t: MODULES[name](t, t.func, t.tensor([[0.1, 0.5, -0.3], [1.0, -2.0, 0.4]])))


MODULE_ERRORS = {
    "missing and unexpected": (
        lambda t, f: f.functional_call(t.nn.Linear(2, 2), {"weigh": t.ones(2, 2)}, t.ones(2), strict=True),
        RuntimeError,
        r"in reparametrizing for Linear:\n\tUnexpected key\(s\): 'weigh'.\n\tMissing key\(s\): 'bias', 'weight'.",
    ),
    "twice": (
        lambda t, f: f.functional_call(t.nn.Linear(2, 2), ({"bias": t.ones(2)}, {"bias": t.ones(2)}), t.ones(2)),
        ValueError,
        r"\['bias'\] appeared in multiple dictionaries",
    ),
    "no dicts": (lambda t, f: f.functional_call(t.nn.Linear(2, 2), [1], t.ones(2)), ValueError, "to be dictionaries"),
    "a number": (lambda t, f: f.functional_call(t.nn.Linear(2, 2), 1, t.ones(2)), ValueError, "to be a dict, or a list/tuple of dicts"),
    "tied": (
        lambda t, f: f.functional_call(tied(t), {"0.weight": t.ones(2, 2), "1.weight": t.zeros(2, 2)}, t.ones(2)),
        ValueError,
        "functional_call got multiple values for keys",
    ),
    "no models": (lambda t, f: f.stack_module_state([]), RuntimeError, "Expected at least one model, got 0"),
    "classes": (lambda t, f: f.stack_module_state([t.nn.Linear(1, 1), t.nn.ReLU()]), RuntimeError, "all models to be of the same class"),
    "modes": (
        lambda t, f: f.stack_module_state([t.nn.Linear(1, 1), t.nn.Linear(1, 1).eval()]),
        RuntimeError,
        "the same training/eval mode",
    ),
}


@pytest.mark.parametrize("name", MODULE_ERRORS)
def test_module_errors(name):
    program, error, text = MODULE_ERRORS[name]
    same_error(lambda t: program(t, t.func), error, text)


# -- with the rest


def test_inside_a_compiled_function():
    x, m = shim.tensor([0.5, -1.2, 2.0]), shim.tensor([[0.3, -0.7, 1.1], [1.5, 0.2, -0.4]])

    def step(x, m):
        return shim.vmap(shim.func.grad(cube))(m) + shim.func.jvp(shim.sin, (x,), (x,))[1] + shim.func.jacrev(shim.sin)(x)[:2]

    np.testing.assert_allclose(shim.compile(step)(x, m).numpy(), step(x, m).numpy(), rtol=1e-6)


def per_example_gradients(net):
    """Gradients of each example's own loss, from PyTorch's tutorial."""
    params = {name: parameter.detach() for name, parameter in net.named_parameters()}

    def loss(params, x, y):
        return shim.nn.functional.cross_entropy(shim.func.functional_call(net, params, (x[None],)), y[None])

    every = shim.vmap(shim.func.grad(loss), in_dims=(None, 0, 0))
    return lambda x, y: every(params, x, y)


def test_what_is_transformed_is_recorded():
    """Nothing runs before a value is asked for, and steps that do the same record the same."""
    net, x = shim.nn.Sequential(shim.nn.Linear(3, 40), shim.nn.Tanh(), shim.nn.Linear(40, 4)), shim.ones(70, 3)
    programs = {
        "vmap": lambda: shim.vmap(net)(x),
        "per example": lambda: per_example_gradients(net)(x, shim.zeros(70, dtype=shim.long))["0.weight"],
        "jacrev": lambda: shim.func.jacrev(net)(x[0]),
        "hessian": lambda: shim.func.hessian(lambda x: net(x).sum())(x[0]),
        "jvp": lambda: shim.func.jvp(net, (x,), (x,))[1],
        "dual": lambda: dual(net, x),
    }
    for name, program in programs.items():
        flush()
        assert program()._storage.value.array is None, name
        flush()
        program().sum().item()
        known = count_states()
        for _ in range(3):
            program().sum().item()
        assert count_states() == known, name


def dual(net, x):
    with shim.autograd.forward_ad.dual_level():
        return shim.autograd.forward_ad.unpack_dual(net(shim.autograd.forward_ad.make_dual(x, x))).tangent


def test_other_numbers_of_examples_compile_nothing():
    net = shim.nn.Sequential(shim.nn.Linear(3, 8), shim.nn.Tanh(), shim.nn.Linear(8, 4))
    twin = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 4))
    twin.load_state_dict({name: torch.tensor(value.numpy()) for name, value in net.state_dict().items()})
    gradients = per_example_gradients(net)
    before = shim.compiler.report().compilations
    for count in range(2, 12):
        x, y = shim.randn(count, 3), shim.randint(0, 4, (count,))
        found = gradients(x, y)
        for row in (0, count - 1):
            twin.zero_grad()
            torch.nn.functional.cross_entropy(
                twin(torch.tensor(x.numpy()[row : row + 1])), torch.tensor(y.numpy()[row : row + 1])
            ).backward()
            for name, parameter in twin.named_parameters():
                np.testing.assert_allclose(found[name][row].numpy(), parameter.grad.numpy(), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(shim.vmap(net)(x).detach().numpy(), net(x).detach().numpy(), rtol=1e-5, atol=1e-6)
    assert shim.compiler.report().compilations == before


def test_a_tensor_from_inside_does_not_live_on():
    kept = []
    shim.vmap(lambda x: kept.append(x * 2) or x)(shim.ones(3, 2))
    shim.func.jvp(lambda x: kept.append(x * 2) or x, (shim.ones(2),), (shim.ones(2),))
    for tensor in kept:
        with pytest.raises(RuntimeError, match="used after the transformation had ended"):
            (tensor + 1).sum().item()


def test_a_jax_function_inside():
    """What asks for arrays gets JAX's tracers, and what it gives goes on being recorded."""
    norm = shim.from_jax(lambda x: jnp.sqrt(jnp.sum(x * x)))
    m = shim.tensor([[3.0, 4.0], [6.0, 8.0], [0.0, 1.0]])
    assert shim.vmap(lambda x: norm(x * 2) + x[0])(m).tolist() == [13.0, 26.0, 2.0]
    np.testing.assert_allclose(shim.vmap(shim.func.grad(norm))(m).numpy(), [[0.6, 0.8], [0.6, 0.8], [0, 1]], rtol=1e-6)
    value, tangent = shim.func.jvp(lambda x: norm(x) * 2, (m[0],), (m[0],))
    assert (value.item(), tangent.item()) == (10.0, 10.0)
    idx = shim.tensor([1, 0, 1])
    assert shim.vmap(lambda x, i: x[i])(m, idx).tolist() == [4.0, 6.0, 1.0]


def test_trees():
    value = {"b": (1, None), "a": [2, {"c": 3}]}
    leaves, structure = _tree.flatten(value)
    assert leaves == [1, None, 2, 3] and _tree.unflatten(leaves, structure) == value
    assert list(_tree.unflatten(leaves, structure)) == ["b", "a"]
    assert _tree.spread({"b": 0, "a": (1,)}, structure) is None and _tree.spread({"b": 0, "a": [1, None]}, structure) == [0, 0, 1, None]
    assert (
        repr(structure)
        == "TreeSpec(dict, ['b', 'a'], [TreeSpec(tuple, None, [*, *]), TreeSpec(list, None, [*, TreeSpec(dict, ['c'], [*])])])"
    )


# -- a JAX function on the tape


@jax.custom_vjp
def straight_through(x):
    return jnp.round(x)


straight_through.defvjp(lambda x: (jnp.round(x), None), lambda _, g: (g,))


def test_a_jax_function_on_the_tape():
    x, m = (data(shim)[i].requires_grad_() for i in (1, 2))

    @shim.from_jax
    def mixed(tree, k, *, power=2):
        return {"y": jnp.dot(tree["m"], tree["x"]) ** power * k, "n": jnp.sign(tree["x"]).astype(int)}

    out = mixed({"x": x, "m": m}, 3.0, power=3)
    assert out["y"].grad_fn.name() == "MixedBackward" and not out["n"].requires_grad and out["n"].dtype is shim.int64
    first = shim.autograd.grad(out["y"].sum(), [x, m], create_graph=True)
    sum((g**2).sum() for g in first).backward()
    a, b = (torch.tensor(v.detach().numpy(), requires_grad=True) for v in (x, m))
    expected = torch.autograd.grad(((b @ a) ** 3 * 3).sum(), [a, b], create_graph=True)
    sum((g**2).sum() for g in expected).backward()
    for got, want in zip([*first, x.grad, m.grad], [*expected, a.grad, b.grad], strict=True):
        np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=1e-9)
    y = shim.tensor([0.4, 1.6], requires_grad=True)
    (shim.from_jax(straight_through, name="Straight")(y) * 2).sum().backward()
    assert y.grad.tolist() == [2, 2]
    assert shim.from_jax(jnp.sin)(shim.ones(1).numpy()).dtype is shim.float32
    with pytest.raises(TypeError, match=r"must be hashable, got types .*'set'"):
        mixed({"x": x, "m": m}, {1})
    with pytest.raises(TypeError, match=r"must give arrays.* got int"):
        shim.from_jax(lambda v: 3)(x)


def test_batch_norm_without_running_statistics():
    def program(t):
        net = t.nn.Sequential(t.nn.Linear(3, 2), t.nn.BatchNorm1d(2))
        assert t.func.replace_all_batch_norm_modules_(net) is net
        params = {name: p.detach() for name, p in net.named_parameters()}
        x = t.randn(4, 5, 3)
        y = t.func.vmap(lambda x: t.func.functional_call(net, params, (x,)))(x)
        print(net, list(net.state_dict()))
        return y, net.eval()(x[0]).detach()

    same(program)


def test_a_tangent_is_the_object_that_was_given():
    def program(t):
        forward = t.autograd.forward_ad
        x, tangent = t.ones(2), t.tensor([1.0, 2.0])
        with forward.dual_level():
            dual = forward.make_dual(x, tangent)
            found = [forward.unpack_dual(dual).tangent is tangent, forward.unpack_dual(dual).primal is x]
            computed = dual * dual
            found += [forward.unpack_dual(computed).tangent is forward.unpack_dual(computed).tangent]
            dual.mul_(3)
            return found, forward.unpack_dual(dual).tangent, forward.unpack_dual(computed).tangent

    same(program)
