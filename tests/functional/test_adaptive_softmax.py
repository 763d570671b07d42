"""The softmax in two levels: what its Module and Layer give besides forward, targets out of range, refused input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import funnn.functional as F
import funnn.torch as ft
from funnn import checkpoint
from funnn.errors import DtypeError, ShapeError
from funnn.layers import AdaptiveLogSoftmaxWithLoss, Layer

SETTINGS = (16, 20, (3, 7))


class Both(Layer):
    """A head that gives all log probabilities and its choice."""

    softmax: AdaptiveLogSoftmaxWithLoss

    def forward(self, input):
        return self.softmax.log_prob(input), self.softmax.predict(input)


def test_log_prob_and_predict():
    torch.manual_seed(0)
    theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(*SETTINGS, div_value=2.0)
    x = 3 * torch.randn(30, 16)
    expected, chosen = theirs.log_prob(x).detach().numpy(), theirs.predict(x).numpy()
    layer = Both(AdaptiveLogSoftmaxWithLoss(*SETTINGS, div_value=2.0))
    params, state = layer.init(jax.random.key(0))
    params = {"softmax": checkpoint.from_state_dict(theirs.state_dict(), params["softmax"], {})[0]}
    (log_prob, best), _ = jax.jit(layer.apply)(params, state, jnp.asarray(x.numpy()))
    np.testing.assert_allclose(log_prob, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(best, chosen)
    for method, wanted in (("log_prob", expected), ("predict", chosen)):
        got, _ = layer.softmax.apply(params["softmax"], {}, jnp.asarray(x.numpy()), method=method)
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
    assert list(layer.softmax.cutoffs) == theirs.cutoffs
    module = ft.nn.AdaptiveLogSoftmaxWithLoss(*SETTINGS, div_value=2.0)
    module.load_state_dict({name: ft.tensor(value.numpy()) for name, value in theirs.state_dict().items()})
    np.testing.assert_allclose(module.log_prob(ft.tensor(x.numpy())).detach().numpy(), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(module.predict(ft.tensor(x.numpy())).numpy(), chosen)
    output = module(ft.tensor(x.numpy()), ft.arange(30) % 20)
    assert type(output).__name__ == "_ASMoutput" and output._fields == ("output", "loss") and output.loss.item() == output[1].item()


def test_targets_out_of_range_are_nan():
    head, tail = jnp.ones((4, 5)), [jnp.ones((4, 2)), jnp.ones((4, 3))]
    log_prob = F.adaptive_log_softmax(head, tail, jnp.array([0, 8, -1, 7]))
    assert jnp.isnan(log_prob).tolist() == [False, True, True, False]
    np.testing.assert_allclose(jnp.exp(F.adaptive_log_softmax(head, tail)).sum(1), 1, rtol=1e-6)


@pytest.mark.parametrize("cutoffs", [(), (3, 3), (5, 3), (0, 4), (20,), (2.5,)])
def test_cutoffs(cutoffs):
    for kind in (AdaptiveLogSoftmaxWithLoss, torch.nn.AdaptiveLogSoftmaxWithLoss):
        with pytest.raises(ValueError, match="cutoffs should be a sequence of"):
            kind(16, 20, cutoffs)


def call(head, target):
    return lambda: F.adaptive_log_softmax(jnp.ones(head), [jnp.ones((*head[:-1], 2))], target)


ERRORS = [
    (call((3, 4), jnp.ones(2, int)), ShapeError, "should have the same size in the batch dimension"),
    (call((3, 4), jnp.ones((), int)), ShapeError, "0D target tensor expects 1D input tensors"),
    (call((3, 4), jnp.ones((3, 1), int)), ShapeError, "0D or 1D target tensor expected, multi-target not supported"),
    (call((3, 4), jnp.ones(3)), DtypeError, "target must hold class indices, integers, but got float32"),
]


@pytest.mark.parametrize(("function", "error", "text"), ERRORS)
def test_errors(function, error, text):
    with pytest.raises(error, match=text):
        function()
