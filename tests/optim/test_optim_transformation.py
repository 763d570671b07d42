"""The rules as optax transformations: any pytree, jit, scan, vmap, chain, masked, inject_hyperparams, schedules, no recompiling."""

import doctest
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from funnn import optim
from tests.quick import quick

OPTIMIZERS = {
    "sgd": optim.sgd,
    "momentum": lambda lr=0.1, **options: optim.sgd(lr, momentum=0.9, **options),
    "adam": optim.adam,
    "amsgrad": lambda lr=0.1, **options: optim.adam(lr, amsgrad=True, **options),
}
every = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)

PARAMS = {"fc": {"weight": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "bias": jnp.array([0.1, -0.1])}, "relu": {}}


def loss(params, x=1.0):
    return sum((jnp.sum((leaf - x) ** 2) for leaf in jax.tree.leaves(params)), start=jnp.zeros(()))


def step(optimizer, params, state, x=1.0):
    updates, state = optimizer.update(jax.grad(loss)(params, x), state, params)
    return optax.apply_updates(params, updates), state


def train(optimizer, params, steps=3):
    state = optimizer.init(params)
    for _ in range(steps):
        params, state = step(optimizer, params, state)
    return params, state


def assert_close(a, b, rtol=1e-6):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-7), a, b)


EXAMPLES = [
    "_rule",
    "schedules",
    "lbfgs",
    "adadelta",
    "adafactor",
    "adagrad",
    "adam",
    "adamax",
    "asgd",
    "groups",
    "masks",
    "muon",
    "nadam",
    "radam",
    "rmsprop",
]


@pytest.mark.parametrize("name", [*EXAMPLES, "rprop", "sgd", "sparse_adam"])
def test_examples(name):
    results = doctest.testmod(importlib.import_module(f"funnn.optim.{name}"))
    assert results.attempted > 0
    assert results.failed == 0


@every
def test_trains_any_pytree(make):
    for params in [PARAMS, [PARAMS["fc"]["weight"], (PARAMS["fc"]["bias"],)], PARAMS["fc"]["bias"], {}, ()]:
        trained, _ = train(make(0.05), params, steps=60)
        assert jax.tree.structure(trained) == jax.tree.structure(params)
        assert loss(trained) <= 0.7 * loss(params)


@every
def test_state_is_a_pytree_of_arrays_shaped_like_the_parameters(make):
    state = make().init(PARAMS)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(make().init(jnp.asarray(1.0))))
    for name, slot in state.slots.items():
        assert jax.tree.structure(slot) == jax.tree.structure(PARAMS)
        if name != "step":
            assert optax.tree.get(state, name) is slot
            assert jax.tree.map(jnp.shape, slot) == jax.tree.map(jnp.shape, PARAMS)


def test_state_names():
    assert optim.sgd().init(PARAMS).slots == {}
    assert set(optim.sgd(momentum=0.9).init(PARAMS).slots) == {"step", "momentum_buffer"}
    assert set(optim.adam().init(PARAMS).slots) == {"step", "exp_avg", "exp_avg_sq"}
    assert set(optim.adam(amsgrad=True).init(PARAMS).slots) == {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"}


@every
def test_jit_scan_and_vmap_agree_with_the_loop(make):
    optimizer = make(0.1)
    expected, _ = train(optimizer, PARAMS)
    state = optimizer.init(PARAMS)
    scanned, _ = jax.jit(lambda carry: jax.lax.scan(lambda c, _: (step(optimizer, *c), None), carry, None, length=3)[0])((PARAMS, state))
    assert_close(scanned, expected)
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf + 1]), PARAMS)
    many, _ = jax.vmap(lambda params: train(optimizer, params))(stacked)
    assert_close(jax.tree.map(lambda leaf: leaf[0], many), expected)
    rates = jnp.array([0.1, 0.2])
    many, _ = jax.vmap(lambda lr: train(make(lr), PARAMS))(rates)
    assert_close(jax.tree.map(lambda leaf: leaf[0], many), expected, rtol=2e-5)


@every
def test_does_not_recompile(make):
    traces = []

    @jax.jit
    def jitted(params, state, lr):
        traces.append(lr)
        return step(make(lr), params, state)

    params, state = PARAMS, make(0.1).init(PARAMS)
    for lr in (0.1, 0.2, 0.3):
        params, state = jitted(params, state, lr)
    assert len(traces) == 1


@every
def test_inject_hyperparams(make):
    function = optim.adam if make in (optim.adam, OPTIMIZERS["amsgrad"]) else optim.sgd
    options = {"amsgrad": True} if make is OPTIMIZERS["amsgrad"] else {"momentum": 0.9} if make is OPTIMIZERS["momentum"] else {}
    optimizer = optax.inject_hyperparams(function)(lr=0.1, **options)
    state = optimizer.init(PARAMS)
    shapes = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), state)
    assert shapes == jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), jax.eval_shape(optimizer.init, PARAMS))
    jitted = jax.jit(lambda params, state: step(optimizer, params, state))
    params = PARAMS
    for _ in range(3):
        params, state = jitted(params, state)
    assert_close(params, train(function(0.1, **options), PARAMS)[0], rtol=2e-5)
    state.hyperparams["lr"] = jnp.zeros(())
    still, _ = jitted(params, state)
    assert_close(still, params)
    assert jitted._cache_size() == 1
    assert_close(still, step(optimizer, params, state)[0])  # and outside jit


@every
def test_chain_clips_first(make):
    optimizer = optax.chain(optax.clip_by_global_norm(0.5), make(0.1))
    grads = jax.grad(loss)(PARAMS)
    clipped, _ = optax.clip_by_global_norm(0.5).update(grads, optax.EmptyState())
    updates, _ = optimizer.update(grads, optimizer.init(PARAMS), PARAMS)
    assert_close(updates, make(0.1).update(clipped, make(0.1).init(PARAMS), PARAMS)[0])


@every
def test_masked_and_partition(make):
    mask = {"fc": {"weight": True, "bias": False}, "relu": {}}
    optimizer = optax.masked(make(0.1), mask)
    grads = jax.grad(loss)(PARAMS)
    expected, _ = make(0.1).update(grads, make(0.1).init(PARAMS), PARAMS)
    updates, state = optimizer.update(grads, optimizer.init(PARAMS), PARAMS)
    assert_close(updates["fc"]["weight"], expected["fc"]["weight"])
    assert updates["fc"]["bias"] is grads["fc"]["bias"]
    assert len(jax.tree.leaves(state)) < len(jax.tree.leaves(make().init(PARAMS))) or not make().init(PARAMS).slots
    labels = {"fc": {"weight": "train", "bias": "freeze"}, "relu": {}}
    frozen = optax.partition({"train": make(0.1), "freeze": optax.set_to_zero()}, labels)
    trained, _ = train(frozen, PARAMS)
    assert_close(trained["fc"]["bias"], PARAMS["fc"]["bias"])
    assert_close(trained["fc"]["weight"], train(make(0.1), PARAMS)[0]["fc"]["weight"])


@every
def test_none_gradients_leave_parameter_and_state_alone(make):
    optimizer = make(0.1)
    state = optimizer.init(PARAMS)
    grads = jax.grad(loss)(PARAMS)
    grads["fc"]["bias"] = None
    updates, new = jax.jit(optimizer.update)(grads, state, PARAMS)
    assert updates["fc"]["bias"] is None
    assert jax.tree.structure(new) == jax.tree.structure(state)
    for name, slot in new.slots.items():
        assert_close(slot["fc"]["bias"], state.slots[name]["fc"]["bias"])
        if name == "step":
            assert slot["fc"]["weight"] == 1
    # Parameters filtered to None from the start.
    params = {"fc": {"weight": PARAMS["fc"]["weight"], "bias": None}, "relu": {}}
    state = optimizer.init(params)
    updates, state = optimizer.update(grads, state, params)
    params = optax.apply_updates(params, updates)
    assert params["fc"]["bias"] is None
    optimizer.update(grads, state, params)


@every
def test_a_whole_frozen_branch(make):
    optimizer = make(0.1)
    params = {"body": PARAMS, "head": jnp.ones(2)}
    updates, state = optimizer.update({"body": None, "head": jnp.ones(2)}, optimizer.init(params), params)
    assert updates["body"] is None
    assert jax.tree.structure(state) == jax.tree.structure(optimizer.init(params))


def test_schedules():
    """The learning rate of step t is schedule(t), from 0; another number may have one too."""
    schedule = optax.piecewise_constant_schedule(1.0, {2: 0.1})
    params = jnp.zeros(())
    optimizer = optim.sgd(schedule)
    state = optimizer.init(params)
    moves = []
    for _ in range(4):
        updates, state = jax.jit(optimizer.update)(jnp.ones(()), state, params)
        moves.append(float(updates))
    np.testing.assert_allclose(moves, [-1, -1, -0.1, -0.1], rtol=1e-6)
    constant = train(optim.sgd(0.1, 0.9, nesterov=True), PARAMS)[0]
    assert_close(train(optim.sgd(lambda count: 0.1, momentum=lambda count: 0.9, nesterov=True), PARAMS)[0], constant)


@every
def test_map_params(make):
    """optax finds the parameter-shaped parts of the state, for sharding or casting them."""
    optimizer = make()
    state = optimizer.init(PARAMS)
    doubled = optax.tree.map_params(optimizer, lambda leaf: leaf + 2, state)
    for slot in doubled.slots.values():
        assert all((leaf == 2).all() for leaf in jax.tree.leaves(slot))
    assert doubled.count == 0


def test_errors():
    with pytest.raises(ValueError, match=r"SGD needs the parameters; call update\(grads, state, params\)"):
        optim.sgd().update(PARAMS, optim.sgd().init(PARAMS))
    with pytest.raises(
        TypeError, match="SGD has no option 'beta'; its options are lr, momentum, dampening, weight_decay, nesterov, maximize"
    ):
        optim.transformation(optim.sgd_rule, beta=1)


def test_rules_are_hashable_values_for_caches():
    assert len({optim.sgd_rule, optim.adam_rule, optim.sgd_rule}) == 2


OTHERS = ["adadelta", "adafactor", "adagrad", "adamax", "adamw", "asgd", "muon", "nadam", "radam", "rmsprop", "rprop", "sparse_adam"]


@pytest.mark.parametrize("name", OTHERS)
def test_the_other_rules_chained_masked_and_injected(name):
    """One compiled step of clipping and the rule, its learning rate in the state, on the weights only, beside the plain rule."""
    make = getattr(optim, name)
    factory = optax.inject_hyperparams(make, static_args="ns_steps" if name == "muon" else ())
    optimizer = optax.chain(optax.clip(0.5), optax.masked(factory(lr=0.1), {"fc": {"weight": True, "bias": False}, "relu": {}}))
    grads = jax.grad(loss)(PARAMS)
    state = optimizer.init(PARAMS)
    jitted = quick(optimizer.update)
    updates, state = jitted(grads, state, PARAMS)
    weight = {"weight": PARAMS["fc"]["weight"]}
    plain = make(0.1)
    expected, _ = quick(plain.update)({"weight": jnp.clip(grads["fc"]["weight"], -0.5, 0.5)}, plain.init(weight), weight)
    assert_close(updates["fc"]["weight"], expected["weight"], rtol=2e-5)
    assert_close(updates["fc"]["bias"], jnp.clip(grads["fc"]["bias"], -0.5, 0.5))
    assert jnp.abs(updates["fc"]["weight"]).max() > 0
    state[1].inner_state.hyperparams["lr"] = jnp.zeros(())
    updates, _ = jitted(grads, state, PARAMS)
    if name not in ("rprop", "asgd"):  # which take the learning rate from their state
        assert jnp.abs(updates["fc"]["weight"]).max() == 0
    assert jitted._cache_size() == 1


def test_a_schedule_drives_the_learning_rate():
    schedule = optim.schedules.sequential_lr([optim.schedules.linear_lr(1.0, 0.5, total_iters=2), optim.schedules.step_lr(1.0, 2)], [3])
    optimizer = optim.sgd(schedule)
    state, moves = optimizer.init(jnp.zeros(())), []
    update = quick(optimizer.update)
    for _ in range(6):
        updates, state = update(jnp.ones(()), state, jnp.zeros(()))
        moves.append(-float(updates))
    np.testing.assert_allclose(moves, [0.5, 0.75, 1, 1, 1, 0.1], rtol=1e-6)


def test_adafactor_keeps_rows_and_columns_of_matrices_only():
    state = optim.adafactor().init(PARAMS)
    shapes = {name: jax.tree.map(jnp.shape, slot) for name, slot in state.slots.items()}
    assert shapes["row_var"] == {"fc": {"weight": (2, 1), "bias": None}, "relu": {}}
    assert shapes["col_var"]["fc"]["weight"] == (1, 2)
    assert shapes["variance"] == {"fc": {"weight": None, "bias": (2,)}, "relu": {}}


def test_state_is_sharded_like_the_parameters():
    mesh = jax.make_mesh((1,), ("model",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("model"))
    params = jax.device_put(jnp.ones(4), sharding)
    state = optim.adamax().init(params)
    assert state.slots["exp_inf"].sharding == sharding


def test_lbfgs_whose_line_search_may_not_evaluate_takes_the_first_step():
    params, before, state = optim.lbfgs(lambda p: jnp.sum((p - 3) ** 2), jnp.zeros(2), line_search_fn="strong_wolfe", max_eval=0)
    assert (params.tolist(), before, state["func_evals"]) == ([0.5, 0.5], 18.0, 2)
