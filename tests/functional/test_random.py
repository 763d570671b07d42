"""Random functions: PyTorch's own numbers through the shim, the distributions and the key of the pure form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import funnn.functional as F
import funnn.torch as ft
from funnn.errors import KeyRequiredError

X = np.random.default_rng(0).standard_normal((6, 5, 4, 3)).astype(np.float32)

# name -> call of torch.nn.functional on (functional, x)
CALLS = {
    "dropout": lambda f, x: f.dropout(x, 0.3),
    "dropout of everything": lambda f, x: f.dropout(x, 1.0),
    "dropout1d": lambda f, x: f.dropout1d(x[0], 0.4),
    "dropout1d without a batch": lambda f, x: f.dropout1d(x[0, 0], 0.4),
    "dropout2d": lambda f, x: f.dropout2d(x, 0.4),
    "dropout3d without a batch": lambda f, x: f.dropout3d(x, 0.4),
    "alpha_dropout": lambda f, x: f.alpha_dropout(x, 0.3, training=True),
    "feature_alpha_dropout": lambda f, x: f.feature_alpha_dropout(x, 0.3, training=True),
    "rrelu": lambda f, x: f.rrelu(x, 0.1, 0.9, training=True),
    "gumbel_softmax": lambda f, x: f.gumbel_softmax(x, 0.5),
    "gumbel_softmax, hard": lambda f, x: f.gumbel_softmax(x, 2.0, hard=True, dim=1),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_shim_draws_torchs_numbers(name):
    """Twice in a row, so that the generator has advanced as far as torch's; with gradients."""
    results = []
    for t in (ft, torch):
        t.manual_seed(5)
        x = t.tensor(X)
        x.requires_grad_()
        first, second = (CALLS[name](t.nn.functional, x) for _ in range(2))
        (first * first + 2 * second).sum().backward()
        results.append([first.detach().numpy(), second.detach().numpy(), x.grad.numpy(), t.rand(3).numpy()])
    for got, expected in zip(*results, strict=True):
        np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", ["celu_", "elu_", "hardtanh_", "leaky_relu_", "relu_", "selu_"])
def test_in_place_spellings(name):
    x, y = ft.tensor(X[0, 0]), torch.tensor(X[0, 0])
    assert getattr(ft.nn.functional, name)(x) is x
    np.testing.assert_allclose(x.numpy(), getattr(torch.nn.functional, name)(y).numpy(), rtol=1e-6)


KEY = jax.random.key(0)
RATES = {
    "dropout1d": (lambda x: F.dropout1d(x, 0.25, key=KEY), (300, 100, 2)),
    "dropout2d": (lambda x: F.dropout2d(x, 0.25, key=KEY), (300, 100, 2, 1)),
    "dropout3d": (lambda x: F.dropout3d(x, 0.25, key=KEY), (300, 100, 2, 1, 1)),
}


@pytest.mark.parametrize("name", RATES)
def test_whole_channels_are_dropped(name):
    call, shape = RATES[name]
    y = call(jnp.ones(shape)).reshape(300, 100, 2)
    assert (y[..., 0] == y[..., 1]).all()
    assert abs((y == 0).mean() - 0.25) < 0.02 and abs(y.mean() - 1) < 0.02


@pytest.mark.parametrize("feature", [False, True])
def test_alpha_dropout_keeps_mean_and_variance(feature):
    function = F.feature_alpha_dropout if feature else F.alpha_dropout
    x = jax.random.normal(jax.random.key(1), (400, 200))
    y = function(x, 0.3, training=True, key=KEY)
    assert abs(y.mean()) < 0.03 and abs(y.var() - 1) < 0.05


def test_rrelu_and_gumbel_softmax():
    x = -jnp.ones(10_000)
    slopes = -F.rrelu(x, 0.2, 0.6, training=True, key=KEY)
    assert slopes.min() >= 0.2 and slopes.max() <= 0.6 and abs(slopes.mean() - 0.4) < 0.01
    p = jnp.array([0.1, 0.2, 0.7])
    samples = F.gumbel_softmax(jnp.broadcast_to(jnp.log(p), (20_000, 3)), hard=True, key=KEY)
    np.testing.assert_allclose(samples.mean(0), p, atol=0.02)
    assert set(np.unique(samples).round(5).tolist()) == {0.0, 1.0}


def test_errors():
    for call in (
        lambda: F.rrelu(jnp.ones(2), training=True),
        lambda: F.gumbel_softmax(jnp.ones(2)),
        lambda: F.dropout2d(jnp.ones((1, 2, 2, 2))),
    ):
        with pytest.raises(KeyRequiredError, match=r"needs a key: pass key=jax.random.key\(seed\)"):
            call()
    with pytest.raises(ValueError, match="dropout1d: Expected 2D or 3D input, but received a 4D input"):
        F.dropout1d(jnp.ones((1, 2, 2, 2)), key=KEY)
    with pytest.raises(ValueError, match="Lower bound should be less than or equal to the upper bound"):
        F.rrelu(jnp.ones(2), 0.5, 0.1)
