"""Accumulated gradients, their norm, the average of parameters, the loss scale and the mean of metrics, by hand and against optax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import funnn
from funnn import checkpoint, optim
from funnn import functional as F
from funnn.layers import BatchNorm1d, Dropout, Layer, Linear, Param, Policy, Sequential
from tests.checkpoint.states import check_same

KEY = jax.random.key(0)
X, TARGET = jax.random.normal(jax.random.key(1), (8, 2)), jnp.array([0, 1, 1, 0, 1, 1, 0, 0])
BATCHES = [(X[:4], TARGET[:4]), (X[4:], TARGET[4:])]
NET = Sequential(Linear(2, 4), Linear(4, 2))


class Weight(Layer):
    """y = w · x, whose gradient for the loss y is x."""

    def spec(self):
        return {"w": Param((), lambda source, shape, dtype: jnp.ones(shape, dtype))}

    def forward(self, x):
        return self.w * x


def close(got, expected, rtol=1e-6):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-7), got, expected)


def norm_of(grads):
    return np.sqrt(sum((np.asarray(grad, np.float64) ** 2).sum() for grad in jax.tree.leaves(grads)))


@pytest.mark.parametrize(
    "accumulated",
    [lambda inner: optax.MultiSteps(inner, 2), lambda inner: optax.chain(optax.MultiSteps(inner, 2).gradient_transformation())],
    ids=["itself", "in a chain"],
)
def test_two_accumulated_halves_are_one_batch(accumulated):
    init, step, _ = funnn.train_step(NET, F.cross_entropy, accumulated(optim.adam(0.1)), ema=0.5)
    _, step_of_all, _ = funnn.train_step(NET, F.cross_entropy, optim.adam(0.1), ema=0.5)
    accumulated, whole = init(KEY), funnn.train_step(NET, F.cross_entropy, optim.adam(0.1), ema=0.5).init(KEY)
    for n in range(3):
        for batch in BATCHES:
            assert accumulated.ema.updates == n
            accumulated, _ = step(accumulated, batch)
        whole, _ = step_of_all(whole, (X, TARGET))
        close(accumulated.params, whole.params, rtol=1e-4)
        close(accumulated.ema, whole.ema, rtol=1e-4)
    assert accumulated.step == 6


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_the_gradients_norm(dtype):
    net = NET.with_policy(Policy(params=dtype, compute=dtype))
    init, step, _ = funnn.train_step(net, F.cross_entropy, optax.chain(optax.clip_by_global_norm(1e-3), optim.sgd()))
    params, _ = net.init(KEY)
    grads = jax.grad(lambda params: F.cross_entropy(net.apply(params, {}, X.astype(dtype))[0], TARGET))(params)
    expected = norm_of(grads)
    norm = step(init(KEY), (X.astype(dtype), TARGET))[1]["grad_norm"]
    assert norm.item() == pytest.approx(expected, rel=1e-5 if dtype == jnp.float32 else 2e-2) and norm.dtype == jnp.float32


@pytest.mark.parametrize(
    "freeze",
    [
        lambda labels: optax.multi_transform({True: optax.set_to_zero(), False: optim.adam()}, labels),
        lambda labels: optax.chain(optim.sgd(), optax.masked(optax.set_to_zero(), labels)),
    ],
    ids=["partition", "masked"],
)
def test_frozen_gradients_have_no_part_in_the_norm_and_are_not_computed(freeze):
    layers = [Linear(64, 64) for _ in range(6)]
    labels = {str(n): {"weight": n < 5, "bias": n < 5} for n in range(6)}
    batch = jnp.ones((64, 64)), jnp.zeros(64, int)
    flops = []
    for optimizer in (freeze(labels), optim.adam()):
        init, step, _ = funnn.train_step(Sequential(*layers), F.cross_entropy, optimizer)
        flops.append(step.lower(init(KEY), batch).compile().cost_analysis()["flops"])
    assert flops[0] < 0.55 * flops[1]  # forward, and one of six layers backward, of three parts
    init, step, _ = funnn.train_step(Sequential(*layers), F.cross_entropy, freeze(labels))
    params, _ = Sequential(*layers).init(KEY)
    grads = jax.grad(lambda params: F.cross_entropy(Sequential(*layers).apply(params, {}, batch[0])[0], batch[1]))(params)
    after, metrics = step(init(KEY), batch)
    assert metrics["grad_norm"].item() == pytest.approx(norm_of(grads["5"]), rel=1e-5)
    check_same(after.params["0"], params["0"])


def test_clipping_before_freezing_uses_all_gradients():
    labels = {"0": {"weight": True, "bias": True}, "1": {"weight": False, "bias": False}}
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.masked(optax.set_to_zero(), labels), optim.sgd())
    params, _ = NET.init(KEY)
    grads = jax.grad(lambda params: F.cross_entropy(NET.apply(params, {}, X)[0], TARGET))(params)
    init, step, _ = funnn.train_step(NET, F.cross_entropy, optimizer)
    assert step(init(KEY), (X, TARGET))[1]["grad_norm"].item() == pytest.approx(norm_of(grads), rel=1e-5)


def test_the_average_by_hand():
    init, step, evaluate = funnn.train_step(NET, F.cross_entropy, optim.sgd(0.5), ema=0.9)
    train_state = init(KEY)
    close(evaluate(train_state, BATCHES[0], ema=True), evaluate(train_state, BATCHES[0]))
    expected = None
    for n in range(4):
        train_state, _ = step(train_state, BATCHES[0])
        params = jax.device_get(train_state.params)
        expected = params if expected is None else jax.tree.map(lambda e, p: 0.9 * e + (1 - 0.9) * p, expected, params)
        close(train_state.ema.params, expected)
        assert train_state.ema.updates == n + 1
    measured = evaluate(train_state, BATCHES[0], ema=True)["loss"]
    assert measured.item() == pytest.approx(F.cross_entropy(NET.apply(expected, {}, BATCHES[0][0])[0], BATCHES[0][1]).item(), rel=1e-5)
    assert measured != evaluate(train_state, BATCHES[0])["loss"]


def test_a_decay_by_the_number_of_updates():
    init, step, _ = funnn.train_step(Weight(), lambda y: y, optim.sgd(1.0), ema=lambda n: n / 4)
    train_state, got = init(KEY), []
    for _ in range(3):
        train_state, _ = step(train_state, (jnp.float32(1),))
        got.append(train_state.ema.params["w"].item())
    assert got == [0, 0.25 * 0 + 0.75 * -1, 0.5 * -0.75 + 0.5 * -2]


def test_16_bit_parameters_are_averaged_in_float32():
    net = Weight().with_policy(Policy(params=jnp.bfloat16))
    init, step, evaluate = funnn.train_step(net, lambda y: y.astype(jnp.float32), optim.sgd(2.0**-7), ema=0.999)
    train_state = init(KEY)
    for _ in range(3):
        train_state, _ = step(train_state, (jnp.float32(1),))
    first, second, third = (1 - n * 2.0**-7 for n in (1, 2, 3))
    expected = 0.999 * (0.999 * first + 0.001 * second) + 0.001 * third
    assert train_state.ema.params["w"].dtype == jnp.float32
    assert train_state.ema.params["w"].item() == pytest.approx(expected, rel=1e-6)
    assert evaluate(train_state, (jnp.float32(1),), ema=True)["loss"] == jnp.bfloat16(expected)


def test_the_loss_scale_by_hand():
    init, step, _ = funnn.train_step(
        Weight(), lambda y: y, optim.sgd(1.0, momentum=0.5), ema=0.5, loss_scale=funnn.LossScale(4.0, growth_interval=2)
    )
    train_state, seen = init(KEY), []
    gradients = [1.0, float("inf"), 1.0, 1.0, float("nan"), float("inf")]
    for gradient in gradients:
        train_state, metrics = step(train_state, (jnp.float32(gradient),))
        seen.append((metrics["loss_scale"].item(), metrics["skipped"].item(), train_state.params["w"].item(), int(train_state.ema.updates)))
    assert seen == [(4, False, 0, 1), (4, True, 0, 1), (2, False, -1.5, 2), (2, False, -3.25, 3), (4, True, -3.25, 3), (2, True, -3.25, 3)]
    assert (train_state.loss_scale.scale, train_state.loss_scale.good_steps, train_state.step) == (1, 0, 6)
    assert train_state.opt_state.count == 3


def test_a_scale_changes_no_numbers_but_those_that_would_be_lost():
    plain, scaled = (funnn.train_step(NET, F.cross_entropy, optim.adam(0.1), loss_scale=scale) for scale in (None, funnn.LossScale()))
    one, other = plain.init(KEY), scaled.init(KEY)
    for batch in BATCHES:
        one, metrics = plain.step(one, batch)
        other, more = scaled.step(other, batch)
        assert sorted(more.keys() - metrics.keys()) == ["loss_scale", "skipped"]
        close([one.params, metrics["loss"], metrics["grad_norm"]], [other.params, more["loss"], more["grad_norm"]], rtol=1e-5)
    half = Weight().with_policy(Policy(compute=jnp.float16, output=jnp.float32))
    moved = []
    for scale in (None, funnn.LossScale(2.0**12)):
        init, step, _ = funnn.train_step(half, lambda y: y * 2.0**-14, optim.sgd(2.0**20), loss_scale=scale)
        moved.append(step(init(KEY), (jnp.float32(2.0**-12),))[0].params["w"].item())
    assert moved == [1, 1 - 2.0**-6]  # a gradient of 2⁻²⁶ is 0 in float16


def test_buffers_of_a_skipped_step_stay():
    net = Sequential(Linear(2, 2), BatchNorm1d(2))
    init, step, _ = funnn.train_step(net, F.cross_entropy, optim.adam(), loss_scale=funnn.LossScale())
    before = init(KEY)
    after, metrics = step(init(KEY), (X.at[0, 0].set(jnp.inf), TARGET))
    assert metrics["skipped"]
    check_same([after.params, after.state, after.opt_state], [before.params, before.state, before.opt_state])
    assert after.step == 1 and after.loss_scale.scale == 2.0**15


EVERYTHING = {"ema": 0.9, "loss_scale": funnn.LossScale(growth_interval=2)}


def test_everything_at_once_is_traced_once_and_scans():
    traced = []

    def loss(y, target, params, key):
        traced.append(y)
        return F.cross_entropy(y, target) + 0 * params["0"]["weight"].sum() + 0 * jax.random.uniform(key)

    init, step, _ = funnn.train_step(
        Sequential(Linear(2, 4), Dropout(), Linear(4, 2)), loss, optax.MultiSteps(optim.adam(), 2), **EVERYTHING
    )
    train_state = init(KEY)
    for n in range(4):
        train_state, _ = step(train_state, BATCHES[n % 2])
    assert len(traced) == 1
    stacked = jax.tree.map(lambda *leaves: jnp.stack([*leaves] * 2), *BATCHES)
    scanned, metrics = jax.lax.scan(step, init(KEY), stacked)
    close([scanned.params, scanned.ema, scanned.loss_scale], [train_state.params, train_state.ema, train_state.loss_scale], rtol=1e-4)
    assert metrics["loss_scale"].tolist() == [2.0**16, 2.0**16, 2.0**17, 2.0**17]


def test_a_whole_state_is_saved_and_restored(tmp_path):
    init, step, _ = funnn.train_step(NET, F.cross_entropy, optax.MultiSteps(optim.adam(), 2), **EVERYTHING)
    train_state, _ = step(init(KEY), BATCHES[0])
    train_state, _ = step(train_state, BATCHES[1])
    checkpoint.save(tmp_path / "orbax", train_state)
    checkpoint.save_pt(checkpoint.to_arrays(train_state), tmp_path / "state.pt")
    like = init(jax.random.key(1))
    for restored in (
        checkpoint.restore(tmp_path / "orbax", like).train_state,
        checkpoint.from_arrays(checkpoint.load_pt(tmp_path / "state.pt"), like),
    ):
        check_same(restored, train_state)
        assert restored.ema.updates == 1 and restored.loss_scale.scale == 2.0**17
    expected, _ = step(train_state, BATCHES[0])
    check_same(step(restored, BATCHES[0])[0], expected)


def test_a_state_of_five_fields_is_as_before():
    train_state = funnn.train_step(NET, F.cross_entropy, optim.adam()).init(KEY)
    assert funnn.TrainState(*train_state[:5]) == train_state and train_state[5:] == (None, None)
    assert not any(name.startswith(("ema", "loss_scale")) for name in checkpoint.to_arrays(train_state))


def test_means():
    mean = funnn.MeanMetrics()
    values, weights = [1.0, 5.0, -2.0], [32, 32, 7]
    for value, weight in zip(values, weights, strict=True):
        mean = mean.add({"loss": jnp.float32(value), "hits": jnp.array([value > 0, True])}, weight)
    close(mean.values, {"loss": np.average(values, weights=weights), "hits": [64 / 71, 1.0]})
    assert mean.weight == 71 and mean.values["hits"].dtype == jnp.float32
    same = mean.add({"loss": jnp.nan, "hits": jnp.zeros(2)}, weight=0)
    close([same.values, same.weight], [mean.values, mean.weight])
    assert funnn.MeanMetrics() == ({}, 0) == funnn.MeanMetrics(*funnn.MeanMetrics())
    nothing = funnn.MeanMetrics.zeros({"loss": 3}).add({"loss": jnp.inf}, 0)
    assert (nothing.values, nothing.weight) == ({"loss": 0}, 0)
    with pytest.raises(ValueError, match=r"metrics so far are \['hits', 'loss'\], and now came \['loss'\]"):
        mean.add({"loss": 1.0})


def test_means_in_a_scan_are_those_of_a_loop():
    init, step, _ = funnn.train_step(NET, F.cross_entropy, optim.adam(), **EVERYTHING)
    weights = jnp.array([4.0, 1.0])

    def body(carry, batch_and_weight):
        (train_state, mean), (batch, weight) = carry, batch_and_weight
        train_state, metrics = step(train_state, batch)
        return (train_state, mean.add(metrics, weight * ~metrics["skipped"])), None

    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *BATCHES)
    zeros = funnn.MeanMetrics.zeros(jax.eval_shape(step, init(KEY), BATCHES[0])[1])
    (_, scanned), _ = jax.lax.scan(body, (init(KEY), zeros), (stacked, weights))
    train_state, looped, losses = init(KEY), funnn.MeanMetrics(), []
    for batch, weight in zip(BATCHES, weights, strict=True):
        train_state, metrics = step(train_state, batch)
        looped = looped.add(metrics, weight)
        losses.append(metrics["loss"])
    close([scanned.values, scanned.weight], [looped.values, looped.weight])
    assert looped.values["loss"].item() == pytest.approx(((4 * losses[0] + losses[1]) / 5).item(), rel=1e-6)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"ema": 1.5}, r"ema must be a decay in \[0, 1\] such as 0\.999, .* got 1\.5"),
        ({"loss_scale": 2.0**16}, r"loss_scale must be funnn\.LossScale\(\.\.\.\) or None, got 65536\.0"),
    ],
)
def test_errors_of_arguments(options, text):
    with pytest.raises((TypeError, ValueError), match=text):
        funnn.train_step(NET, F.cross_entropy, optim.adam(), **options)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"init_scale": 0}, "init_scale must be above 0, got 0"),
        ({"growth_factor": 1}, "growth_factor must be above 1, got 1"),
        ({"backoff_factor": 2}, "backoff_factor must be between 0 and 1, got 2"),
        ({"growth_interval": 0}, "growth_interval must be at least 1, got 0"),
    ],
)
def test_errors_of_a_loss_scale(options, text):
    with pytest.raises(ValueError, match=text):
        funnn.LossScale(**options)


def test_other_errors():
    init, step, evaluate = funnn.train_step(NET, F.cross_entropy, optim.adam())
    for key, text in (
        (0, r"such as jax\.random\.key\(0\), got int"),
        (7, r"key\(7\), got int"),
        (None, "got NoneType"),
        (True, "got bool"),
    ):
        with pytest.raises(TypeError, match=f"init takes a random key, {text}|{text}"):
            init(key)
    with pytest.raises(TypeError, match="init takes a random key"):
        init(jnp.int32(3))
    init(jax.random.PRNGKey(0))
    jax.eval_shape(init, jax.random.key(0))
    old = init(KEY)
    with pytest.raises(ValueError, match=r"evaluate\(ema=True\), but no average was kept; train_step\(\.\.\., ema=0\.999\)"):
        evaluate(old, BATCHES[0], ema=True)
    new, _ = step(old, BATCHES[0])
    for again in (step, evaluate):
        with pytest.raises(RuntimeError, match=r"given to step before.*Go on with what step returned: train_state, metrics = step"):
            again(old, BATCHES[0])
    step(jax.tree.map(jnp.copy, new), BATCHES[0])
    step(new, BATCHES[0])
