"""LBFGS: the same path as torch's, with and without the line search, resumed, refused."""

import jax.numpy as jnp
import pytest
import torch
from twin import compare, same, same_error

import funnn.torch as shim
from funnn.optim import lbfgs

PRECISE = (1e-8, 1e-9)
OPTIONS = {
    "default": {},
    "wolfe": {"line_search_fn": "strong_wolfe", "max_iter": 8},
    "short memory": {"history_size": 2, "lr": 0.3, "max_iter": 6},
    "few evaluations": {"line_search_fn": "strong_wolfe", "max_eval": 5},
    "a long step": {"line_search_fn": "strong_wolfe", "lr": 30.0, "max_iter": 5},
    "tolerances": {"line_search_fn": "strong_wolfe", "tolerance_grad": 1e-2, "tolerance_change": 1e-4},
}


def valley(t):
    """Rosenbrock's function of a vector and of a matrix that another parameter scales."""
    params = [t.nn.Parameter(t.tensor(v, dtype=t.float64)) for v in ([-1.2, 1.0, 0.7], [[0.3, -0.4]])]
    params.append(t.nn.Parameter(t.ones(2, dtype=t.float64)))  # never in the loss

    def loss():
        x = t.cat([params[0], params[1].reshape(-1)])
        return (10 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()

    return params, loss


def steps(optimizer, loss, count):
    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    return [optimizer.step(closure).item() for _ in range(count)]


@pytest.mark.parametrize("case", OPTIONS)
def test_path(case):
    def program(t):
        params, loss = valley(t)
        optimizer = t.optim.LBFGS(params, **OPTIONS[case])
        print(optimizer)
        losses = steps(optimizer, loss, 4)
        state = optimizer.state_dict()["state"][0]
        print(state["n_iter"], state["func_evals"], list(state), len(state["ro"]))
        return losses, [p.detach() for p in params], optimizer.state_dict()

    same(program, PRECISE)


def test_complex_and_single_precision():
    def program(t):
        p = t.nn.Parameter(t.tensor([1.0 + 2j, -1j, 0.5], dtype=t.complex128))
        q = t.nn.Parameter(t.tensor([[1.0, -2.0]]))
        results = []
        for x, line in ((p, None), (q, "strong_wolfe")):
            optimizer = t.optim.LBFGS([x], lr=0.5, max_iter=4, line_search_fn=line)
            results.append(steps(optimizer, lambda x=x: ((x - 1).abs() ** 2).sum() + (x.abs() ** 4).sum(), 2))
            results.append(x.detach())
        return results

    same(program, (1e-5, 1e-6))


@pytest.mark.parametrize("ours_first", [True, False])
def test_state_from_and_to_pytorch(ours_first):
    first, second = (shim, torch) if ours_first else (torch, shim)
    options = OPTIONS["wolfe"]
    params, loss = valley(torch)
    expected = steps(torch.optim.LBFGS(params, **options), loss, 4)
    begun, loss = valley(first)
    optimizer = first.optim.LBFGS(begun, **options)
    losses = steps(optimizer, loss, 2)
    other, loss = valley(second)
    for p, q in zip(other, begun, strict=True):
        p.data = second.tensor(q.detach().numpy())
    resumed = second.optim.LBFGS(other)
    state = optimizer.state_dict()
    resumed.load_state_dict(translated(state) if ours_first else state)
    losses += steps(resumed, loss, 2)
    compare(losses, expected, tolerance=PRECISE)


def translated(value):
    if isinstance(value, shim.Tensor):
        return torch.tensor(value.numpy())
    if isinstance(value, dict):
        return {name: translated(item) for name, item in value.items()}
    return type(value)(map(translated, value)) if isinstance(value, (list, tuple)) else value


def test_errors():
    one = lambda t: [t.nn.Parameter(t.ones(1))]  # noqa: E731
    same_error(lambda t: t.optim.LBFGS([{"params": one(t)}, {"params": one(t)}]), ValueError, "LBFGS doesn't support per-parameter options")
    same_error(lambda t: t.optim.LBFGS(one(t)).step(), TypeError, "closure")
    same_error(lambda t: t.optim.LBFGS(one(t), lr=-1), ValueError, "Invalid learning rate: -1")

    def searched(t):
        params = one(t)
        steps(t.optim.LBFGS(params, line_search_fn="armijo"), lambda: (params[0] ** 2).sum(), 1)

    same_error(searched, RuntimeError, "only 'strong_wolfe' is supported")


@pytest.mark.filterwarnings("ignore:torch.compile of")
def test_a_compiled_step():
    params, loss = valley(torch)
    expected = steps(torch.optim.LBFGS(params, **OPTIONS["wolfe"]), loss, 2)
    params, loss = valley(shim)
    optimizer = shim.optim.LBFGS(params, **OPTIONS["wolfe"])
    optimizer.step = shim.compile(optimizer.step)
    compare(steps(optimizer, loss, 2), expected)


def test_a_compiled_closure():
    params, loss = valley(torch)
    expected = steps(torch.optim.LBFGS(params, **OPTIONS["wolfe"]), loss, 2)
    params, loss = valley(shim)
    optimizer = shim.optim.LBFGS(params, **OPTIONS["wolfe"])

    @shim.compile
    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    compare([optimizer.step(closure).item() for _ in range(2)], expected, tolerance=PRECISE)


def test_no_iteration():
    def program(t):
        p = t.nn.Parameter(t.ones(2))
        optimizer = t.optim.LBFGS([p], max_iter=0)
        return steps(optimizer, lambda: (p * p).sum(), 2), p.detach()

    same(program)


def test_function_of_a_pytree():
    def loss(params):
        x = jnp.concatenate([params["a"], params["b"].reshape(-1)])
        return jnp.sum(10 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    params, before, state = {"a": jnp.array([0.5, 1.2, 0.7]), "b": jnp.array([[0.3, 0.4]])}, None, None
    for _ in range(3):
        params, before, state = lbfgs(loss, params, state, line_search_fn="strong_wolfe")
    assert before < 1e-6
    assert float(loss(params)) < 1e-9
    assert state["n_iter"] > 20
