"""Binary cross entropies and the losses of numbers that are not in test_loss.py: extremes, derivatives at the edges, refused input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as T
from oracle import compare, mode, tensor

import funnn.functional as F
from funnn.errors import ArgumentError, DtypeError, ShapeError


def test_probabilities_of_0_and_1_have_torchs_bounds():
    x = torch.tensor([0.0, 1.0, 0.0, 1.0, 0.5, 1e-30], requires_grad=True)
    y = torch.tensor([0.0, 0.0, 1.0, 1.0, 0.3, 1.0])
    compare(F.binary_cross_entropy, T.binary_cross_entropy, (x, y), {"reduction": "none"})
    y = tensor(6).detach().sigmoid().requires_grad_()
    compare(F.binary_cross_entropy, T.binary_cross_entropy, (torch.tensor([0.1, 0.9, 0.2, 1e-6, 0.5, 0.7]), y))
    assert jnp.isnan(F.binary_cross_entropy(jnp.array([1.5]), jnp.array([1.0])))  # where torch raises RuntimeError


def test_logits_do_not_saturate():
    x = torch.tensor([1e4, -1e4, 1e4, -1e4, 0.0, 90.0], requires_grad=True)
    y = torch.tensor([1.0, 1.0, 0.0, 0.0, 0.5, 0.0])
    for name in ("binary_cross_entropy_with_logits", "multilabel_soft_margin_loss"):
        compare(getattr(F, name), getattr(T, name), (x, y), {"reduction": "none"})


@pytest.mark.parametrize("shape", [(3,), (4, 1), (4, 3), ()])
def test_weights_broadcast(shape):
    x, y = tensor(4, 3, dtype="float64"), tensor(4, 3, dtype="float64", seed=1, grad=False).sigmoid()
    weight, positive = tensor(*shape, dtype="float64", seed=2, grad=False), tensor(3, dtype="float64", seed=3, grad=False).abs()
    with mode("float64"):
        kwargs = {"weight": weight, "pos_weight": positive}
        compare(F.binary_cross_entropy_with_logits, T.binary_cross_entropy_with_logits, (x, y), kwargs)
        compare(F.binary_cross_entropy, T.binary_cross_entropy, (x.detach().sigmoid().requires_grad_(), y), {"weight": weight})


def test_soft_margin_is_exact_where_torch_overflows():
    x = jnp.array([-1000.0, 1000.0])
    assert F.soft_margin_loss(x, jnp.ones(2), reduction="none").tolist() == [1000.0, 0.0]
    assert jax.grad(F.soft_margin_loss)(x, jnp.ones(2)).tolist() == [-0.5, 0.0]


def test_absolute_errors_have_derivative_0_at_0():
    x = torch.tensor([1.0, 2.0, 3.5], requires_grad=True)
    for name, kwargs in (("smooth_l1_loss", {"beta": 0}), ("smooth_l1_loss", {"beta": 0.5}), ("huber_loss", {"delta": 0.5})):
        compare(getattr(F, name), getattr(T, name), (x, torch.tensor([1.0, 2.5, 3.0])), kwargs)
    weight = tensor(3, grad=False).abs()
    compare(F.huber_loss, T.huber_loss, (x, torch.zeros(3)), {"weight": weight})  # over the number, unlike mse_loss


def test_kl_div_means():
    """'mean' is over the elements, with a warning; 'batchmean' over the first axis."""
    x, y = jnp.zeros((4, 5)), jnp.full((4, 5), 0.2)
    total = F.kl_div(x, y, reduction="sum")
    with pytest.warns(UserWarning, match="'batchmean' divides only by the batch size, and aligns with the KL div") as caught:
        np.testing.assert_allclose(F.kl_div(x, y), total / 20, rtol=1e-6)
    assert caught[0].filename == __file__
    np.testing.assert_allclose(F.kl_div(x, y, reduction="batchmean"), total / 4, rtol=1e-6)
    assert F.kl_div(jnp.zeros(2), jnp.array([0.0, 1.0]), reduction="none").tolist() == [0.0, 0.0]
    assert jax.grad(lambda y: F.kl_div(jnp.ones(2), y, reduction="sum"))(jnp.array([0.0, 1.0])).tolist() == [-1.0, 0.0]


def test_poisson_edges():
    x, k = torch.tensor([0.0, 1e-9, 2.0], requires_grad=True), torch.tensor([0.0, 1.0, 5.0])
    compare(F.poisson_nll_loss, T.poisson_nll_loss, (x, k), {"log_input": False, "full": True, "reduction": "none"})


def test_gaussian_variances():
    x, y = tensor(4, 3), tensor(4, 3, seed=1)
    small = torch.tensor([[0.0], [1e-9], [1.0], [2.0]], requires_grad=True)  # the derivative passes where eps takes over
    compare(F.gaussian_nll_loss, T.gaussian_nll_loss, (x, y, small), {"eps": 0.5, "full": True})
    compare(F.gaussian_nll_loss, T.gaussian_nll_loss, (x, y, 2.0), {"reduction": "none"})


def call(name, *args, **kwargs):
    return lambda: getattr(F, name)(*[jnp.ones(a) if isinstance(a, tuple) else a for a in args], **kwargs)


ERRORS = [
    (call("binary_cross_entropy", (3,), (4,)), ShapeError, r"target size \(\[4\]\) that is different to the input size"),
    (call("binary_cross_entropy", (3,), jnp.ones(3, bool)), DtypeError, "expected input and target to have the same dtype"),
    (
        call("binary_cross_entropy", (3,), (3,), (2,)),
        ShapeError,
        r"tensor a \(2\) must match the size of tensor b \(3\) .*got weight \[2\] and input \[3\]",
    ),
    (call("binary_cross_entropy", (3,), (3,), (2, 3)), ShapeError, r"weight of shape \[2, 3\] must broadcast to the input's shape \[3\]"),
    (call("binary_cross_entropy_with_logits", (3,), (1,)), ShapeError, "must be the same as input size"),
    (call("multilabel_soft_margin_loss", (), ()), ShapeError, "must have an axis of classes"),
    (call("soft_margin_loss", (3,), (3,), reduction="batchmean"), ValueError, "batchmean is not a valid value for reduction"),
    (call("smooth_l1_loss", (3,), (3,), beta=-1), ArgumentError, "does not support negative values for beta"),
    (call("huber_loss", (3,), (3,), delta=0), ArgumentError, "does not support non-positive values for delta"),
    (call("kl_div", (3,), jnp.ones(3, int), reduction="sum"), DtypeError, "Integral inputs not supported"),
    (call("gaussian_nll_loss", (3,), (3,), -1.0), ValueError, "var has negative entry/entries"),
    (call("gaussian_nll_loss", (4, 3), (4, 3), (3,)), ShapeError, "var is of incorrect size"),
    (call("poisson_nll_loss", (3,), (2,)), ShapeError, r"tensor a \(3\) must match .*got input \[3\] and target \[2\]"),
]


@pytest.mark.parametrize(("function", "error", "text"), ERRORS)
def test_errors(function, error, text):
    with pytest.raises(error, match=text):
        function()
