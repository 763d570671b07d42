"""What must hold for every layer, over the one table of cases, with torch 2.13 as the oracle."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import funnn.torch as ft
from funnn import checkpoint, layers
from tests import exhaustive
from tests.cases import CASES, OTHERS, TOPICS, Case
from tests.quick import quick

#: Every case; one of each layer at every run.
every_case = pytest.mark.parametrize("case", exhaustive.one_each(CASES, lambda case: case.name, str))
#: One case of each layer, for what does not depend on its options.
ONE_EACH = list({case.name: case for case in reversed(CASES)}.values())
every_layer = pytest.mark.parametrize("case", ONE_EACH, ids=str)
#: The same; one of each topic at every run: what is the mechanism's and the kernel's, whose transformations tests/functional has.
every_topic = pytest.mark.parametrize("case", exhaustive.one_each(ONE_EACH, lambda case: TOPICS[case.name], str))


def _modes(cases: list[Case]) -> Any:
    """Each case in training, and in evaluation where that differs; one of each layer at every run."""
    pairs = [(case, train) for case in cases for train in (True, False) if train or case.modal]
    name = lambda pair: f"{pair[0]}-{'train' if pair[1] else 'eval'}"  # noqa: E731
    return pytest.mark.parametrize(("case", "train"), exhaustive.one_each(pairs, lambda pair: pair[0].name, name))


every_mode, every_layers_mode = _modes(CASES), _modes(ONE_EACH)
pytestmark = [
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN"),  # torch says so once, of its own speed
    pytest.mark.filterwarnings("ignore:`NLLLoss2d` has been deprecated:FutureWarning"),  # of torch and of both worlds here
]


class Inputs:
    """A case's inputs: the arrays among them as a list, and the way back to the arguments of forward."""

    def __init__(self, case: Case, seed: int = 0):
        leaves, self._tree = jax.tree.flatten(case.arrays(seed))
        self._places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, np.ndarray)]
        self._leaves = leaves
        self.arrays = [leaves[i] for i in self._places]
        self.floats = [i for i, array in enumerate(self.arrays) if array.dtype.kind == "f"]

    def fill(self, arrays: list) -> tuple[tuple, dict]:
        leaves = list(self._leaves)
        for place, array in zip(self._places, arrays, strict=True):
            leaves[place] = array
        return jax.tree.unflatten(self._tree, leaves)

    def jax(self) -> list[jax.Array]:
        kinds = {"f": jnp.float32, "i": jnp.int32, "b": jnp.bool_}
        return [jnp.asarray(array, kinds[array.dtype.kind]) for array in self.arrays]

    def of(self, torch: Any) -> list:
        kinds = {"f": torch.float32, "i": torch.int64, "b": torch.bool}
        return [torch.tensor(array, dtype=kinds[array.dtype.kind]) for array in self.arrays]


def run_layer(layer, inputs: Inputs, params, state, arrays, **kwargs):
    args, named = inputs.fill(arrays)
    return layer.apply(params, state, *args, **named, **kwargs)


def run_module(module, inputs: Inputs, arrays):
    args, named = inputs.fill(arrays)
    return module(*args, **named)


def run_pure(case: Case, train: bool = True):
    layer, inputs = case.layer(), Inputs(case)
    params, state = layer.init(jax.random.key(0))

    def run(params, state, xs):
        return run_layer(layer, inputs, params, state, xs, key=jax.random.key(1), train=train)

    return quick(run)(params, state, inputs.jax())


def total(y) -> Any:
    """One number that depends on every floating output; for arrays and for Tensors."""
    return sum(array.astype(jnp.float32).sum() if isinstance(array, jax.Array) else array.sum() for array in smooth(y))


def smooth(y) -> list:
    """The floating outputs, through a function that is not linear."""
    leaves = jax.tree.leaves(y)
    return [jnp.sin(a) if isinstance(a, jax.Array) else a.sin() for a in leaves if "float" in str(a.dtype)]


def assert_close(got, expected, tolerance, what=""):
    got, expected = jax.tree.leaves(got), jax.tree.leaves(expected)
    assert len(got) == len(expected), what
    for a, b in zip(got, expected, strict=True):
        b = b.detach().numpy() if hasattr(b, "detach") else np.asarray(b)
        a = a.detach().numpy() if hasattr(a, "detach") else np.asarray(a)
        assert a.shape == b.shape, f"{what}: {a.shape}, expected {b.shape}"
        np.testing.assert_allclose(a, b, rtol=tolerance[0], atol=tolerance[1], err_msg=what)


def assert_gradients_close(got, expected, tolerance, what=""):
    """As ``assert_close``, but an element that is a sum of terms which cancel may err as such a sum does in float32: by the size of what was summed,
    for which the array's largest element stands (16 units of its last place)."""
    largest = max((float(np.abs(grad).max()) for grad in map(np.asarray, jax.tree.leaves(expected)) if grad.size), default=0.0)
    assert_close(got, expected, (tolerance[0], max(tolerance[1], 16 * np.finfo(np.float32).eps * largest)), what)


def leaf_names(tree) -> set[str]:
    return set(checkpoint.flatten(tree))


def test_every_public_layer_has_a_case():
    public = {name for name in dir(layers) if name[0].isupper()}
    assert public == {case.name for case in CASES} | OTHERS


#: Classes of torch.nn that are no layers: containers and bases of Modules, classes that fill in sizes at the first call, wrappers for devices.
NO_LAYERS = {"Container", "DataParallel", "Module", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "RNNBase", "RNNCellBase"}
#: Layers of torch.nn that the core does not have: name -> the reason.
ABSENT = {
    "CrossMapLRN2d": "torch's running sum never drops channel 0 and its backward is not the derivative of its forward; LocalResponseNorm is right"
}


def test_every_layer_of_torch_is_there():
    classes = {name for name, value in vars(torch.nn).items() if isinstance(value, type) and issubclass(value, torch.nn.Module)}
    wanted = {name for name in classes - NO_LAYERS if not name.startswith("Lazy")}
    assert wanted - set(dir(layers)) == set(ABSENT)


def test_every_module_of_the_shim_is_in_the_table():
    modules = {name for name in dir(ft.nn) if isinstance(getattr(ft.nn, name), type) and issubclass(getattr(ft.nn, name), ft.nn.Module)}
    lazy = {name for name in modules if name.startswith("Lazy")}
    assert modules - NO_LAYERS - lazy - ABSENT.keys() - {"Sequential", "NonDynamicallyQuantizableLinear"} == {case.name for case in CASES}


@every_mode
def test_outputs_gradients_and_buffers_equal_torchs(case, train):
    if case.stochastic == "always" or (case.stochastic and train):
        pytest.skip("random numbers differ by design: the pure layer draws from a key; the Module's numbers are compared below")
    theirs = case.module(torch).train(train)
    with torch.no_grad():
        for index, parameter in enumerate(theirs.parameters()):
            parameter.copy_(torch.linspace(-1, 1, parameter.numel()).reshape(parameter.shape) + index % 2)
    layer, inputs = case.layer(), Inputs(case)
    params, state = checkpoint.from_state_dict(theirs.state_dict(), *layer.init(jax.random.key(0)))
    xs, ts = inputs.jax(), inputs.of(torch)
    for i in inputs.floats:
        ts[i].requires_grad_()

    def scalar(params, chosen):
        merged = list(xs)
        for i, x in zip(inputs.floats, chosen, strict=True):
            merged[i] = x
        y, new_state = run_layer(layer, inputs, params, state, merged, train=train)
        return total(y), (y, new_state)

    gradients = jax.grad(scalar, argnums=(0, 1), has_aux=True)
    (grads, input_grads), (y, new_state) = quick(gradients)(params, [xs[i] for i in inputs.floats])
    expected = run_module(theirs, inputs, ts)
    summed = total(expected)
    summed.backward() if getattr(summed, "requires_grad", False) else None
    assert_close(y, expected, case.tolerance, "output")
    for name, parameter in theirs.named_parameters():
        assert_gradients_close(checkpoint.flatten(grads)[name], grad_of(parameter), case.gradient_tolerance, name)
    for i, gradient in zip(inputs.floats, input_grads, strict=True):
        assert_gradients_close(gradient, grad_of(ts[i]), case.gradient_tolerance, f"gradient of input {i}")
    for name, buffer in theirs.named_buffers():
        assert_close(checkpoint.flatten(new_state)[name], buffer, (1e-5, 1e-6), name)


def grad_of(tensor):
    """torch leaves None where nothing depends on a tensor; jax.grad gives zeros."""
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


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
    layer, inputs = case.layer(), Inputs(case)
    params, state = layer.init(jax.random.key(0))
    xs = inputs.jax()
    copies = jax.tree.map(np.array, (params, state, xs))
    traces = 0

    @quick
    def run(params, state, key, *xs):
        nonlocal traces
        traces += 1
        return run_layer(layer, inputs, params, state, xs, key=key, train=True)

    y, new_state = run(params, state, jax.random.key(1), *xs)
    again = run(params, state, jax.random.key(1), *xs)
    assert traces == 1
    chex.assert_trees_all_equal((y, new_state), again)
    chex.assert_trees_all_equal((params, state, xs), copies)
    assert jax.tree.structure(new_state) == jax.tree.structure(state)
    assert jax.tree.map(lambda a: (a.shape, a.dtype), new_state) == jax.tree.map(lambda a: (a.shape, a.dtype), state)
    shaped = jax.eval_shape(lambda: run_layer(layer, inputs, params, state, xs, key=jax.random.key(1), train=True))
    assert jax.tree.map(lambda a: a.shape, shaped) == jax.tree.map(lambda a: a.shape, (y, new_state))


@every_topic
def test_vmap_over_parameters_and_inputs(case):
    layer, inputs = case.layer(), Inputs(case)
    stacked = jax.vmap(layer.init)(jax.random.split(jax.random.key(0), 2))
    xs = [jnp.stack([x, jnp.roll(x, 1)]) for x in inputs.jax()]

    def run(params, state, xs):
        return run_layer(layer, inputs, params, state, xs, key=case.eval_key)[0]

    @quick
    def both(stacked, xs):
        ones = [run(*jax.tree.map(lambda a, i=i: a[i], stacked), [x[i] for x in xs]) for i in range(2)]
        return jax.vmap(lambda pair, xs: run(*pair, xs))(stacked, xs), jax.tree.map(lambda *a: jnp.stack(a), *ones)

    y, expected = both(stacked, xs)
    assert_close(y, expected, (2e-5, 1e-6))


@every_topic
def test_forward_mode_agrees_with_reverse_mode(case):
    layer, inputs = case.layer(), Inputs(case)
    params, state = layer.init(jax.random.key(0))
    xs = inputs.jax()

    def scalar(params, chosen):
        merged = list(xs)
        for i, x in zip(inputs.floats, chosen, strict=True):
            merged[i] = x
        y, _ = run_layer(layer, inputs, params, state, merged, key=jax.random.key(1), train=True)
        return jnp.asarray(total(y))

    point = (params, [xs[i] for i in inputs.floats])
    tangents = jax.tree.map(lambda a: jnp.cos(jnp.arange(a.size, dtype=a.dtype)).reshape(a.shape), point)

    def both(point, tangents):
        _, forward = jax.jvp(scalar, point, tangents)
        reverse = jax.grad(scalar, argnums=(0, 1))(*point)
        return forward, sum(jnp.vdot(a, b) for a, b in zip(jax.tree.leaves(reverse), jax.tree.leaves(tangents), strict=True))

    forward, reverse = quick(both)(point, tangents)
    np.testing.assert_allclose(forward, reverse, rtol=1e-3, atol=1e-3)


@every_topic
def test_scan_and_remat(case):
    layer, inputs = case.layer(), Inputs(case)
    params, state = layer.init(jax.random.key(0))
    xs = inputs.jax()

    def body(state, key):
        y, state = jax.checkpoint(lambda p: run_layer(layer, inputs, p, state, xs, key=key, train=True))(params)
        return state, jnp.asarray(total(y))

    final, sums = quick(lambda state, keys: jax.lax.scan(body, state, keys))(state, jax.random.split(jax.random.key(1), 3))
    assert sums.shape == (3,)
    assert jax.tree.structure(final) == jax.tree.structure(state)


@every_case
def test_module_runs_the_layers_forward(case):
    module = case.module(ft)
    # recurrent ones are wrapped, for packed input; SyncBatchNorm's own leads to it but in a group of several processes
    forwards = [inspect.unwrap(vars(cls)["forward"]) for cls in type(module).__mro__ if "forward" in vars(cls)]
    assert forwards[0 if case.name != "SyncBatchNorm" else 1] is type(case.layer()).forward


@every_layers_mode
def test_module_equals_torchs_with_the_same_seed(case, train):
    """Same seed: the same initial values, random draws, outputs, gradients and buffers."""
    results, inputs = [], Inputs(case)
    for t in (ft, torch):
        t.manual_seed(3)
        module = case.module(t).train(train)
        xs = inputs.of(t)
        for i in inputs.floats:
            xs[i].requires_grad_()
        y = run_module(module, inputs, xs)
        summed = total(y)
        if getattr(summed, "requires_grad", False):
            summed.backward()
        grads = [p.grad for p in module.parameters()] + [xs[i].grad for i in inputs.floats]
        names = [str(a.grad_fn).split(" object")[0] for a in jax.tree.leaves(y)]
        results.append((module.state_dict(), y, grads, names))
    (own, y, grads, names), (theirs, expected, expected_grads, expected_names) = results
    assert own.keys() == theirs.keys()
    for key in own:
        assert_close(own[key], theirs[key], (1e-6, 1e-7), key)
        assert str(own[key].dtype) == str(theirs[key].dtype)
    assert_close(y, expected, case.tolerance, "output")
    for a, b in zip(grads, expected_grads, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert_gradients_close(a, b, case.gradient_tolerance)
    assert case.several_nodes or names == expected_names


@every_topic
def test_both_ways_between_the_worlds(case):
    module, inputs = case.module(ft), Inputs(case)
    layer, params, state = ft.to_functional(module)
    assert layer == case.layer()
    back = ft.from_functional(layer, params, state)
    assert type(back) is type(module) and repr(back) == repr(module)
    if case.stochastic == "always":
        return  # the layer draws from a key, the module from its generator
    expected, _ = quick(lambda params, state, xs: run_layer(layer, inputs, params, state, xs))(params, state, inputs.jax())
    for m in (module.eval(), back.eval()):
        assert_close(run_module(m, inputs, inputs.of(ft)), expected, (2e-5, 2e-6))


@every_layer
def test_module_pickles_and_copies(case):
    import copy

    module = case.module(ft)
    for twin in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module)):
        assert repr(twin) == repr(module)
        assert twin.state_dict().keys() == module.state_dict().keys()
        for key, value in module.state_dict().items():
            np.testing.assert_array_equal(twin.state_dict()[key].numpy(), value.numpy())


@every_topic
def test_outputs_do_not_depend_on_64_bit_mode(case):
    y, state = run_pure(case)
    with jax.enable_x64(True):
        y64, state64 = run_pure(case)
    for a, b in zip(jax.tree.leaves(y), jax.tree.leaves(y64), strict=True):
        assert jnp.issubdtype(a.dtype, jnp.integer) or a.dtype == b.dtype
    assert_close(y, y64, (1e-5, 1e-6))
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(state64), strict=True):
        assert jnp.issubdtype(a.dtype, jnp.integer) or a.dtype == b.dtype
