"""Masks of weight decay, stacked parameters, and optimizers for parameters chosen by path or by type of layer."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import funnn
from funnn import checkpoint, optim
from funnn import functional as F
from funnn.layers import (
    LSTM,
    BatchNorm1d,
    Embedding,
    LayerNorm,
    Linear,
    MultiheadAttention,
    Repeat,
    Sequential,
    TransformerEncoderLayer,
)

KEY = jax.random.key(0)
BLOCK = Sequential(LayerNorm(4), Linear(4, 4))
NET = Sequential(Embedding(5, 4), Repeat(BLOCK, 3), Repeat(Repeat(Linear(4, 4), 2), 3), Linear(4, 2))
PARAMS, _ = NET.init(KEY)
GRADS = jax.tree.map(lambda leaf: jax.random.normal(jax.random.key(leaf.size), leaf.shape), PARAMS)
DECAYING = {
    name: function
    for name, function in vars(optim).items()
    if inspect.isfunction(function) and {"mask", "lr"} <= inspect.signature(function).parameters.keys()
}


def close(got, expected, rtol=1e-6):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-7), got, expected)


def changes(optimizer, params=PARAMS, grads=GRADS, steps=2):
    state = optimizer.init(params)
    for _ in range(steps):
        updates, state = optimizer.update(grads, state, params)
    assert jax.tree.structure(state) == jax.tree.structure(optimizer.init(params))
    return updates


MATRIX = {"weight": True, "bias": False}
DECAY = {
    "0": {"weight": True},
    "1": {"layer": {"0": {"weight": False, "bias": False}, "1": MATRIX}},
    "2": {"layer": {"layer": MATRIX}},
    "3": MATRIX,
}


def test_the_mask_of_decay_does_not_count_the_axes_of_stacks():
    assert optim.decay_mask(NET)(PARAMS) == DECAY
    assert optim.decay_mask(NET, exclude=[Embedding, r"^3\."])(PARAMS) == DECAY | {
        "0": {"weight": False},
        "3": {"weight": False, "bias": False},
    }
    assert optim.decay_mask(NET)({"3": PARAMS["3"], "0": None}) == {"3": MATRIX, "0": None}
    assert optim.stacked_axes(NET)(PARAMS) == {
        "0": {"weight": 0},
        "1": {"layer": {"0": {"weight": 1, "bias": 1}, "1": {"weight": 1, "bias": 1}}},
        "2": {"layer": {"layer": {"weight": 2, "bias": 2}}},
        "3": {"weight": 0, "bias": 0},
    }
    with pytest.raises(ValueError, match=r"'4\.bias' is no parameter of the layer, which has \['0\.weight', "):
        optim.decay_mask(NET)({"4": PARAMS["3"]})


@pytest.mark.parametrize(
    ("layer", "decayed"),
    [
        (TransformerEncoderLayer(4, 2, 8), ["linear1.weight", "linear2.weight", "self_attn.in_proj_weight", "self_attn.out_proj.weight"]),
        (MultiheadAttention(4, 2, add_bias_kv=True), ["in_proj_weight", "out_proj.weight"]),
        (LSTM(2, 3), ["weight_hh_l0", "weight_ih_l0"]),
        (Sequential(BatchNorm1d(2), Linear(2, 2)), ["1.weight"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_decays(layer, decayed):
    mask = optim.decay_mask(layer)(jax.eval_shape(layer.init, jax.random.key(0))[0])
    assert sorted(path for path, decays in checkpoint.flatten(mask).items() if decays) == decayed


@pytest.mark.parametrize("name", DECAYING)
def test_masked_decay_is_decay_of_the_masked(name):
    make = DECAYING[name]
    options = {"stacked": optim.stacked_axes(NET)} if "stacked" in inspect.signature(make).parameters else {}
    params, grads = PARAMS, GRADS
    if name == "muon":
        params, grads = ({name: tree[name] for name in ("0", "2")} for tree in (PARAMS, GRADS))
        params, grads = (
            jax.tree_util.tree_map_with_path(lambda keys, leaf: None if "bias" in str(keys) else leaf, t) for t in (params, grads)
        )
    mask = optim.decay_mask(NET, exclude=[Embedding])
    decayed, plain, masked, as_tree = (
        changes(make(weight_decay=0.3, **options, **more), params, grads)
        for more in ({}, {"mask": lambda params: False}, {"mask": mask}, {"mask": mask(params)})
    )
    close(plain, changes(make(**options | {"weight_decay": 0}), params, grads))
    expected = jax.tree.map(lambda decays, with_, without: with_ if decays else without, mask(params), decayed, plain)
    close(masked, expected)
    close(as_tree, expected)
    assert not np.array_equal(masked["2"]["layer"]["layer"]["weight"], plain["2"]["layer"]["layer"]["weight"])


def test_the_mask_is_that_of_optax():
    mask = optim.decay_mask(NET)
    close(changes(optim.adamw(0.1, weight_decay=0.3, mask=mask)), changes(optax.adamw(0.1, weight_decay=0.3, mask=mask)), rtol=2e-5)


@pytest.mark.parametrize("make", [optim.muon, optim.adafactor])
def test_layers_of_a_stack_are_updated_each_by_itself(make):
    params, grads = ({"w": jax.random.normal(jax.random.key(seed), (2, 3, 4, 6))} for seed in (0, 1))
    params, grads = (jax.tree.map(lambda leaf: leaf * jnp.arange(1.0, 4)[:, None, None], tree) for tree in (params, grads))
    stacked = changes(make(0.1, stacked={"w": 2}), params, grads, steps=3)["w"]
    for i in range(2):
        for j in range(3):
            one, grad = ({"w": tree["w"][i, j]} for tree in (params, grads))
            close(stacked[i, j], changes(make(0.1), one, grad, steps=3)["w"], rtol=1e-5)


def test_a_stack_for_muon_is_named():
    with pytest.raises(
        ValueError,
        match=r"2D parameters .* \(3, 4, 4\); use AdamW, or, where Repeat stacks matrices, muon\(stacked=stacked_axes\(layer\)\)",
    ):
        changes(optim.muon(), {"w": jnp.ones((3, 4, 4))}, {"w": jnp.ones((3, 4, 4))})


def test_muon_for_the_matrices_of_repeated_layers_in_train_step():
    net = Sequential(Linear(4, 4), Repeat(Linear(4, 4), 3), Linear(4, 2))
    matrices = optim.muon(lr=0.1, weight_decay=0, stacked=optim.stacked_axes(net))
    init, step, _ = funnn.train_step(net, F.cross_entropy, optim.param_groups([(r"^1\..*weight$", matrices), ("", optim.adamw(1e-2))]))
    before, _ = net.init(KEY)
    batch = jax.random.normal(KEY, (8, 4)), jnp.arange(8) % 2
    grads = jax.grad(lambda params: F.cross_entropy(net.apply(params, {}, batch[0])[0], batch[1]))(before)
    train_state, _ = step(init(KEY), batch)
    was, grad, now = (tree["1"]["layer"]["weight"] for tree in (before, grads, train_state.params))
    for n in range(3):
        close(now[n] - was[n], changes(optim.muon(lr=0.1, weight_decay=0), was[n], grad[n], steps=1), rtol=0.05)  # of bfloat16


def test_eps_root_is_in_the_root():
    grad, v, t = 0.5, (1 - 0.999) * 0.5**2, 1
    corrected = v / (1 - 0.999**t)
    for optimizer in (optim.adam, optim.adamw):
        updates = changes(optimizer(0.1, eps_root=2.0, **{"weight_decay": 0}), jnp.ones(1), jnp.full(1, grad), steps=1)
        assert updates.item() == pytest.approx(-0.1 * grad / (np.sqrt(corrected + 2.0) + 1e-8), rel=1e-5)
    updates = changes(optim.nadam(0.1, eps_root=2.0), jnp.ones(1), jnp.full(1, grad), steps=1)
    mu, after = (0.9 * (1 - 0.5 * 0.96 ** (n * 4e-3)) for n in (1, 2))
    root = np.sqrt(corrected + 2.0) + 1e-8
    expected = -0.1 * (1 - mu) * grad / (1 - mu) / root - 0.1 * after * 0.1 * grad / (1 - mu * after) / root
    assert updates.item() == pytest.approx(expected, rel=1e-5)
    plain, rooted = (changes(optim.radam(0.1, **more), jnp.ones(1), jnp.full(1, grad), steps=8) for more in ({}, {"eps_root": 2.0}))
    t, v = 8, grad**2 * (1 - 0.999**8)
    assert (rooted / plain).item() == pytest.approx(np.sqrt(v) / np.sqrt(v + 2.0 * (1 - 0.999**8)), rel=1e-4)
    with pytest.raises(ValueError, match="Invalid eps_root value: -1"):
        optim.adam(eps_root=-1)


def test_second_derivatives_at_a_zero_gradient_need_eps_root():
    def moved(x, **options):
        updates, _ = (optimizer := optim.adam(0.1, **options)).update(x, optimizer.init(x), x)
        return updates

    assert jnp.isnan(jax.grad(moved)(0.0)) and jnp.isfinite(jax.grad(lambda x: moved(x, eps_root=1e-8))(0.0))


def test_groups_have_optimizers_of_their_own():
    rules = [(Embedding, None), (r"bias$", optim.sgd(0.1)), (LayerNorm, optim.sgd(0.2)), ("", optim.sgd(1.0))]
    updates = changes(optim.param_groups(rules, NET))
    rate = {"bias": -0.1}
    rates = {"0": {"weight": 0}, "1": {"layer": {"0": rate | {"weight": -0.2}, "1": rate | {"weight": -1}}}}
    rates |= {"2": {"layer": {"layer": rate | {"weight": -1}}}, "3": rate | {"weight": -1}}
    close(updates, jax.tree.map(lambda factor, grad: factor * grad, rates, GRADS))


def test_frozen_parameters_stay_and_have_no_state_and_no_gradients():
    net = Sequential(*[Linear(64, 64) for _ in range(5)], BatchNorm1d(64), Linear(64, 2))
    optimizer = optim.freeze(optim.adam(0.1), r"^[0-4]\.", BatchNorm1d, layer=net)
    init, step, _ = funnn.train_step(net, F.cross_entropy, optimizer)
    _, step_of_all, _ = funnn.train_step(net, F.cross_entropy, optim.adam(0.1))
    batch, before = (jax.random.normal(KEY, (32, 64)), jnp.arange(32) % 2), init(KEY)
    assert len(jax.tree.leaves(before.opt_state)) == 3 * 2 + 1
    after, metrics = step(init(KEY), batch)
    for name in map(str, range(6)):
        jax.tree.map(np.testing.assert_array_equal, after.params[name], before.params[name])
    assert (after.params["6"]["weight"] != before.params["6"]["weight"]).any() and after.state["5"]["num_batches_tracked"] == 1

    def loss_of(head):
        y, _ = net.apply({**before.params, "6": head}, before.state, batch[0], train=True)
        return F.cross_entropy(y, batch[1])

    head = jax.grad(loss_of)(before.params["6"])
    assert metrics["grad_norm"].item() == pytest.approx(np.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(head))).item(), rel=1e-4)
    other = funnn.train_step(net, F.cross_entropy, optim.adam(0.1)).init(KEY)
    flops = [s.lower(state, batch).compile().cost_analysis()["flops"] for s, state in ((step, after), (step_of_all, other))]
    assert flops[0] < 0.5 * flops[1]


def test_rates_by_path():
    schedule = optax.linear_schedule(1.0, 0.0, 2)
    rates = optim.scale_by_path([(r"^0\.", 0.5), (r"^2\.", schedule), (Repeat, jnp.array([1.0, 2.0, 3.0]))], NET)
    plain, scaled = changes(optim.adamw(0.1)), changes(optax.chain(optim.adamw(0.1), rates))
    close(scaled["0"], jax.tree.map(lambda change: 0.5 * change, plain["0"]))
    close(scaled["1"], jax.tree.map(lambda change: change * jnp.arange(1.0, 4).reshape(3, *[1] * (change.ndim - 1)), plain["1"]))
    close(scaled["2"], jax.tree.map(lambda change: 0.5 * change, plain["2"]))
    close(scaled["3"], plain["3"])
    assert jax.tree.map(lambda leaf: leaf.dtype, scaled) == jax.tree.map(lambda leaf: leaf.dtype, PARAMS)


def test_a_part_of_the_parameters():
    """Masks see what optax hands on: the parameters of their group, and nothing of the others."""
    inner = optim.adamw(0.1, weight_decay=0.3, mask=optim.decay_mask(NET))
    updates = changes(optim.param_groups([(r"^3\.", inner), ("", None)]))
    close(updates["3"], changes(inner)["3"])
    assert not updates["0"]["weight"].any()


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (
            lambda: optim.freeze(optim.adam(), "encoder").init(PARAMS),
            ValueError,
            r"param_groups: 'encoder' selects none of the parameters \['0\.weight'",
        ),
        (
            lambda: optim.param_groups([("^0", None)]).init(PARAMS),
            ValueError,
            r"no rule selects \['1\..*end with a rule for the rest, \('', optimizer\)",
        ),
        (lambda: optim.freeze(optim.adam(), Linear), TypeError, r"by the class Linear, and needs to know the layers: pass layer="),
        (
            lambda: optim.freeze(optim.adam(), Linear(2, 2)),
            TypeError,
            r"regular expression or a class of layers, got Linear\(in_features=2",
        ),
        (lambda: optim.decay_mask(NET, exclude=[3]), TypeError, r"decay_mask selects parameters by .* got 3"),
        (lambda: optim.freeze(optim.adam(), BatchNorm1d, layer=NET).init(PARAMS), ValueError, "BatchNorm1d selects none"),
        (lambda: optim.scale_by_path([("nothing", 1.0)]).init(PARAMS), ValueError, r"scale_by_path: 'nothing' selects none"),
        (
            lambda: changes(optim.scale_by_path([("^3", jnp.ones(3))])),
            ValueError,
            r"factor of '3\.bias' has shape \(3,\), and the parameter \(2,\)",
        ),
        (lambda: optim.transformation(optim.rprop_rule, mask=True), TypeError, "Rprop has no weight decay to mask"),
    ],
)
def test_errors(make, error, text):
    with pytest.raises(error, match=text):
        make()
