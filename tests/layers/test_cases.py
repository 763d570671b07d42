"""What must hold for every layer, over the one table of cases, with torch 2.13 as the oracle."""

from __future__ import annotations

import pickle

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import funnn.torch as ft
from funnn import checkpoint, layers
from tests.cases import CASES, OTHERS, Case

every_case = pytest.mark.parametrize("case", CASES, ids=str)


def inputs32(case: Case) -> list[jax.Array]:
    return [jnp.asarray(x, jnp.float32 if x.dtype.kind == "f" else jnp.int32) for x in case.arrays()]


def torch_inputs(case: Case) -> list[torch.Tensor]:
    return [torch.tensor(x, dtype=torch.float32 if x.dtype.kind == "f" else torch.int64) for x in case.arrays()]


def run_pure(case: Case, train: bool = True):
    layer = case.layer()
    params, state = layer.init(jax.random.key(0))
    return layer.apply(params, state, *inputs32(case), key=jax.random.key(1), train=train)


def leaf_names(tree) -> set[str]:
    return set(checkpoint.flatten(tree))


def test_every_public_layer_has_a_case():
    public = {name for name in dir(layers) if name[0].isupper()}
    assert public == {case.name for case in CASES} | OTHERS


def test_every_module_of_the_shim_is_in_the_table():
    modules = {name for name in dir(ft.nn) if isinstance(getattr(ft.nn, name), type) and issubclass(getattr(ft.nn, name), ft.nn.Module)}
    assert modules - {"Module", "ModuleList", "ModuleDict", "Sequential"} == {case.name for case in CASES}


@every_case
@pytest.mark.parametrize("train", [True, False], ids=["train", "eval"])
def test_outputs_gradients_and_buffers_equal_torchs(case, train):
    if case.stochastic and train:
        pytest.skip("random numbers differ by design: the pure layer draws from a key; the Module's numbers are compared below")
    theirs = case.module(torch).train(train)
    with torch.no_grad():
        for index, parameter in enumerate(theirs.parameters()):
            parameter.copy_(torch.linspace(-1, 1, parameter.numel()).reshape(parameter.shape) + index)
    layer = case.layer()
    params, state = checkpoint.from_state_dict(theirs.state_dict(), *layer.init(jax.random.key(0)))
    xs, ts = inputs32(case), torch_inputs(case)
    floats = [i for i, t in enumerate(ts) if t.is_floating_point()]
    for i in floats:
        ts[i].requires_grad_()

    def scalar(params, chosen):
        merged = list(xs)
        for i, x in zip(floats, chosen, strict=True):
            merged[i] = x
        y, new_state = layer.apply(params, state, *merged, train=train)
        return jnp.sum(jnp.sin(y)), (y, new_state)

    (grads, input_grads), (y, new_state) = jax.grad(scalar, argnums=(0, 1), has_aux=True)(params, [xs[i] for i in floats])
    expected = theirs(*ts)
    expected.sin().sum().backward() if expected.requires_grad else None
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=2e-5, atol=2e-6)
    for name, parameter in theirs.named_parameters():
        np.testing.assert_allclose(checkpoint.flatten(grads)[name], parameter.grad.numpy(), rtol=1e-4, atol=1e-5, err_msg=name)
    for i, gradient in zip(floats, input_grads, strict=True):
        np.testing.assert_allclose(gradient, ts[i].grad.numpy(), rtol=1e-4, atol=1e-5)
    for name, buffer in theirs.named_buffers():
        np.testing.assert_allclose(checkpoint.flatten(new_state)[name], buffer.numpy(), rtol=1e-5, atol=1e-6, err_msg=name)


@every_case
def test_names_are_torchs_state_dict_keys(case):
    params, state = case.layer().init(jax.random.key(0))
    theirs = case.module(torch)
    assert leaf_names(params) == {name for name, _ in theirs.named_parameters()}
    assert leaf_names(state) == {name for name, _ in theirs.named_buffers()}
    assert list(case.module(ft).state_dict()) == list(theirs.state_dict())


@every_case
def test_text_is_torchs(case):
    assert repr(case.layer()) == repr(case.module(ft)) == repr(case.module(torch))


@every_case
def test_layer_is_a_value(case):
    a, b = case.layer(), case.layer()
    assert a == b and hash(a) == hash(b)
    assert pickle.loads(pickle.dumps(a)) == a
    with pytest.raises(AttributeError, match=r"is a value and its attribute 'x' can't be assigned"):
        a.x = 1


@every_case
def test_apply_is_pure_and_jits_without_recompiling(case):
    layer = case.layer()
    params, state = layer.init(jax.random.key(0))
    xs = inputs32(case)
    copies = jax.tree.map(np.array, (params, state, xs))
    traces = 0

    @jax.jit
    def run(params, state, key, *xs):
        nonlocal traces
        traces += 1
        return layer.apply(params, state, *xs, key=key, train=True)

    y, new_state = run(params, state, jax.random.key(1), *xs)
    again = run(params, state, jax.random.key(1), *xs)
    assert traces == 1
    chex.assert_trees_all_equal((y, new_state), again)
    chex.assert_trees_all_equal((params, state, xs), copies)
    eager = layer.apply(params, state, *xs, key=jax.random.key(1), train=True)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), (y, new_state), eager)
    assert jax.tree.structure(new_state) == jax.tree.structure(state)
    assert jax.tree.map(lambda a: (a.shape, a.dtype), new_state) == jax.tree.map(lambda a: (a.shape, a.dtype), state)
    shaped = jax.eval_shape(lambda: layer.apply(params, state, *xs, key=jax.random.key(1), train=True))
    assert jax.tree.map(lambda a: a.shape, shaped) == jax.tree.map(lambda a: a.shape, eager)


@every_case
def test_vmap_over_parameters_and_inputs(case):
    layer = case.layer()
    stacked = jax.vmap(layer.init)(jax.random.split(jax.random.key(0), 2))
    xs = [jnp.stack([x, jnp.roll(x, 1)]) for x in inputs32(case)]
    y, _ = jax.vmap(lambda p, s, *xs: layer.apply(p, s, *xs))(*stacked, *xs)
    for i in range(2):
        one, _ = layer.apply(*jax.tree.map(lambda a, i=i: a[i], stacked), *(x[i] for x in xs))
        np.testing.assert_allclose(y[i], one, rtol=2e-5, atol=1e-6)


@every_case
def test_forward_mode_agrees_with_reverse_mode(case):
    layer = case.layer()
    params, state = layer.init(jax.random.key(0))
    xs = inputs32(case)

    def scalar(params, x):
        moved = [x if i == 0 and a.dtype == jnp.float32 else a for i, a in enumerate(xs)]
        y, _ = layer.apply(params, state, *moved, key=jax.random.key(1), train=True)
        return jnp.sum(y * jnp.cos(y))

    x = xs[0] if xs[0].dtype == jnp.float32 else jnp.zeros(())
    tangents = jax.tree.map(lambda a: jnp.cos(jnp.arange(a.size, dtype=a.dtype)).reshape(a.shape), (params, x))
    _, forward = jax.jvp(scalar, (params, x), tangents)
    reverse = jax.grad(scalar, argnums=(0, 1))(params, x)
    total = sum(jnp.vdot(a, b) for a, b in zip(jax.tree.leaves(reverse), jax.tree.leaves(tangents), strict=True))
    np.testing.assert_allclose(forward, total, rtol=1e-3, atol=1e-3)


@every_case
def test_scan_and_remat(case):
    layer = case.layer()
    params, state = layer.init(jax.random.key(0))
    xs = inputs32(case)

    def body(state, key):
        y, state = jax.checkpoint(lambda p: layer.apply(p, state, *xs, key=key, train=True))(params)
        return state, jnp.sum(y)

    final, sums = jax.lax.scan(body, state, jax.random.split(jax.random.key(1), 3))
    assert sums.shape == (3,)
    assert jax.tree.structure(final) == jax.tree.structure(state)


@every_case
def test_module_runs_the_layers_forward(case):
    module = case.module(ft)
    assert type(module).forward is type(case.layer()).forward


@every_case
@pytest.mark.parametrize("train", [True, False], ids=["train", "eval"])
def test_module_equals_torchs_with_the_same_seed(case, train):
    """Same seed: the same initial values, random draws, outputs, gradients and buffers."""
    results = []
    for t in (ft, torch):
        t.manual_seed(3)
        module = case.module(t).train(train)
        xs = [t.tensor(x, dtype=t.float32 if x.dtype.kind == "f" else t.int64) for x in case.arrays()]
        xs[0].requires_grad_(xs[0].is_floating_point())
        y = module(*xs)
        if y.requires_grad:
            y.cos().sum().backward()
        grads = [p.grad for p in module.parameters()] + [xs[0].grad]
        grads = [None if g is None else g.numpy() for g in grads]
        results.append((module.state_dict(), y.detach().numpy(), grads, str(y.grad_fn).split(" object")[0]))
    (own, y, grads, name), (theirs, expected, expected_grads, expected_name) = results
    assert own.keys() == theirs.keys()
    for key in own:
        np.testing.assert_allclose(own[key].numpy(), theirs[key].numpy(), rtol=1e-6, atol=1e-7, err_msg=key)
        assert str(own[key].dtype) == str(theirs[key].dtype)
    np.testing.assert_allclose(y, expected, rtol=2e-5, atol=2e-6)
    for a, b in zip(grads, expected_grads, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert name == expected_name


@every_case
def test_both_ways_between_the_worlds(case):
    module = case.module(ft)
    layer, params, state = ft.to_functional(module)
    assert layer == case.layer()
    back = ft.from_functional(layer, params, state)
    assert type(back) is type(module) and repr(back) == repr(module)
    xs = [ft.tensor(x, dtype=ft.float32 if x.dtype.kind == "f" else ft.int64) for x in case.arrays()]
    expected, _ = layer.apply(params, state, *inputs32(case))
    for m in (module.eval(), back.eval()):
        np.testing.assert_allclose(m(*xs).detach().numpy(), expected, rtol=2e-5, atol=2e-6)


@every_case
def test_module_pickles_and_copies(case):
    import copy

    module = case.module(ft)
    for twin in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module)):
        assert repr(twin) == repr(module)
        assert twin.state_dict().keys() == module.state_dict().keys()
        for key, value in module.state_dict().items():
            np.testing.assert_array_equal(twin.state_dict()[key].numpy(), value.numpy())


@every_case
def test_outputs_do_not_depend_on_64_bit_mode(case):
    y, state = run_pure(case)
    with jax.enable_x64(True):
        y64, state64 = run_pure(case)
    assert y.dtype == y64.dtype
    np.testing.assert_allclose(y, y64, rtol=1e-5, atol=1e-6)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(state64), strict=True):
        assert jnp.issubdtype(a.dtype, jnp.integer) or a.dtype == b.dtype
