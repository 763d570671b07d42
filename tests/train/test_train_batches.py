"""What of a batch the layer and the loss of a train_step are given: by position, by name, with params and key."""

import functools
import inspect

import jax
import jax.numpy as jnp
import pytest

import funnn
from funnn import functional as F
from funnn import optim
from funnn.layers import CrossEntropyLoss, Dropout, Lambda, Layer, Linear, Remat, Sequential
from funnn.torch import nn, to_functional

KEY = jax.random.key(0)
X, MASK, TARGET = jnp.arange(8.0).reshape(4, 2), jnp.array([1.0, 0.0, 1.0, 1.0]), jnp.array([0, 1, 1, 0])


class Masked(Layer):
    """A layer with two arguments, one of them called as one of ``apply``."""

    inner: Linear

    def forward(self, x, state, bias=0.0):
        return self.inner(x) * state[:, None] + bias


def loss(logits, labels, weight=1.0):
    return (weight * F.cross_entropy(logits, labels, reduction="none")).mean()


def losses(layer, loss, *batches):
    """The loss of each batch, before any step."""
    init, step, evaluate = funnn.train_step(layer, loss, optim.sgd())
    found = [evaluate(init(KEY), batch)["loss"].item() for batch in batches]
    assert [step(init(KEY), batch)[1]["loss"].item() for batch in batches] == pytest.approx(found)
    return found


def test_a_dict_has_the_names_of_both_functions_arguments():
    layer = Masked(Linear(2, 3))
    by_position, by_name, mixed = losses(
        layer,
        loss,
        ((X, MASK), TARGET),
        {"labels": TARGET, "state": MASK, "x": X},
        {"inputs": (X, MASK), "labels": TARGET},
    )
    assert by_position == by_name == mixed
    optional, both = losses(
        layer,
        loss,
        ((X, MASK, 2.0), TARGET, 3.0),
        {"x": X, "state": MASK, "bias": 2.0, "labels": TARGET, "weight": 3.0},
    )
    assert optional == both != by_name


def test_an_entry_may_be_of_both():
    def masked_loss(logits, labels, *, state):
        return (state * F.cross_entropy(logits, labels, reduction="none")).sum() / state.sum()

    named, expected = losses(
        Masked(Linear(2, 3)),
        masked_loss,
        {"x": X, "state": MASK, "labels": TARGET},
        {"inputs": [X], "state": MASK, "labels": TARGET},
    )
    y = Masked(Linear(2, 3)).apply(Masked(Linear(2, 3)).init(KEY)[0], {}, X, MASK)[0]
    assert named == expected == pytest.approx(masked_loss(y, TARGET, state=MASK).item())


def test_forward_with_any_arguments():
    net = Linear(2, 3)
    plain, through, module = (
        losses(layer, criterion, batch)[0]
        for layer, criterion, batch in (
            (net, CrossEntropyLoss(), {"input": X, "target": TARGET}),
            (Remat(net), CrossEntropyLoss(), {"input": X, "target": TARGET}),
            (Sequential(net), F.cross_entropy, {"inputs": X, "target": TARGET}),
        )
    )
    assert plain == pytest.approx(losses(net, F.cross_entropy, (X, TARGET))[0])
    assert through == pytest.approx(losses(Remat(net), F.cross_entropy, (X, TARGET))[0])
    assert module == pytest.approx(losses(Sequential(net), F.cross_entropy, (X, TARGET))[0])

    class Two(nn.Module):
        def forward(self, x, scale=1.0):
            return x * scale

    layer, params, state = to_functional(Two())
    init, step, _ = funnn.train_step(layer, lambda y, target: (y - target).sum(), optim.sgd())
    assert step(init(KEY, params, state), {"x": X, "scale": 2.0, "target": X})[1]["loss"] == X.sum()


def test_a_loss_that_takes_the_rest():
    assert losses(Linear(2, 3), lambda y, **rest: y.sum() * 0 + len(rest), {"input": X, "a": 1, "b": 2}) == [2]


def test_params_for_a_penalty():
    def penalised(y, target, params, strength=0.5):
        return ((y - target) ** 2).mean() + strength * (params["weight"] ** 2).sum()

    init, step, _ = funnn.train_step(Linear(2, 1), penalised, optim.sgd(lr=0.1))
    before = init(KEY)
    y, _ = Linear(2, 1).apply(before.params, {}, X)
    expected = before.params["weight"] - 0.1 * (2 * (y - 1).mT @ X / 4 + before.params["weight"])
    after, metrics = step(init(KEY), (X, 1.0))
    assert jnp.allclose(after.params["weight"], expected, rtol=1e-5)
    assert metrics["loss"].item() == pytest.approx((((y - 1) ** 2).mean() + 0.5 * (before.params["weight"] ** 2).sum()).item(), rel=1e-6)
    named, _ = step(init(KEY), {"input": X, "target": 1.0})
    assert jnp.array_equal(named.params["weight"], after.params["weight"])


def test_key_for_a_loss_that_draws():
    layer = Dropout()

    def draws(y, *, key):
        return y.sum(), {"drawn": jax.random.bits(key), "dropped": y}

    init, step, evaluate = funnn.train_step(layer, draws, optim.sgd())
    state, first = step(init(KEY), (jnp.ones(8),))
    evaluated = evaluate(state, (jnp.ones(8),))
    _, second = step(state, (jnp.ones(8),))
    assert first["drawn"] != second["drawn"] == evaluated["drawn"]
    assert step(init(KEY), {"input": jnp.ones(8)})[1]["drawn"] == first["drawn"]
    step_key = jax.random.fold_in(init(KEY).key, 0)
    assert first["drawn"] not in (
        jax.random.bits(step_key),
        jax.random.bits(jax.random.fold_in(step_key, 1)),
    )  # not what the layer draws from


@pytest.mark.parametrize(
    ("loss", "targets", "expected"),
    [
        (lambda y, params, target: (target, params), (7,), (7, {})),  # in any place
        (lambda y, params, *targets: (targets, params), (7, 8), ((7, 8), {})),
        (lambda y, target, key=3: (target, key), (7, 8), (7, 8)),  # filled by the batch, as if the loss were called with it
        (functools.partial(lambda y, target, params: (target, params), params=5), (7,), (7, 5)),  # bound already
        (lambda y, **rest: (len(rest), 0), (), (0, 0)),
    ],
)
def test_which_argument_is_which(loss, targets, expected):
    def told(y, *args, **kwargs):
        seen.append(loss(y, *args, **kwargs))
        return y.sum()

    seen = []
    told.__signature__ = inspect.signature(loss)
    if isinstance(loss, functools.partial):
        told = functools.partial(told, **loss.keywords)
    init, _, evaluate = funnn.train_step(Lambda(jnp.abs), told, optim.sgd())
    with jax.disable_jit():
        evaluate(init(KEY), (X, *targets))
    assert seen == [expected]


@pytest.mark.parametrize(
    ("batch", "text"),
    [
        (
            {"x": X, "label": TARGET},
            r"entries \['x', 'label'\], which do not fit; missing: state of Masked\.forward, labels of the loss loss; taken by neither: label\. "
            r".*Masked\.forward\(x, state, bias=0\.0\) or of the loss loss\(labels, weight=1\.0\), by name; rename",
        ),
        ({"inputs": (X, MASK), "labels": TARGET, "x": X}, r"taken by neither: x"),
        ({"x": X, "state": MASK, "labels": TARGET, "ids": TARGET}, r"which do not fit; taken by neither: ids"),
        ({}, r"entries \[\], .* missing: x of Masked"),
        ((), r"got an empty tuple"),
        ("xy", r"must be a tuple \(inputs, \*targets\), or a dict of the arguments' names, got str"),
        ({X.shape: X}, r"taken by neither: \(4, 2\)"),
    ],
)
def test_errors(batch, text):
    init, _, evaluate = funnn.train_step(Masked(Linear(2, 3)), loss, optim.sgd())
    with jax.disable_jit(), pytest.raises(TypeError, match=text):
        evaluate(init(KEY), batch)
