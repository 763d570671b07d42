"""torch.ao.quantization.quantize_dynamic: what is printed, the numbers, and what is not there."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from fbgemm import WARNINGS
from fbgemm import engine as engine

import funnn.torch as shim

pytestmark = WARNINGS


def network(t, bias=True):
    t.manual_seed(0)
    return t.nn.Sequential(t.nn.Linear(64, 50, bias=bias), t.nn.ReLU(), t.nn.Sequential(t.nn.Linear(50, 7, bias=bias)))


def inputs(t):
    t.manual_seed(1)
    x = t.randn(40, 64)
    return {
        **{"normal": x, "one row": x[:1], "three axes": 100 * x.reshape(2, 20, 64), "no row": x[:0], "zeros": 0 * x},
        **{
            "positive": x.abs(),
            "negative": -x.abs(),
            "small": 1e-3 * x,
            "least scale": 1e-4 * x,
            "smaller": 1e-6 * x.abs(),
            "subnormal": 1e-38 * x,
        },
    }


@pytest.mark.parametrize("name", inputs(torch))
@pytest.mark.parametrize("bias", [True, False])
def test_numbers(name, bias):
    """Each integer and each sum of integers is PyTorch's; the last product with the scales may round otherwise."""
    results = []
    for t in (torch, shim):
        net = t.ao.quantization.quantize_dynamic(network(t, bias), {t.nn.Linear}, dtype=t.qint8)
        results.append([net[0](inputs(t)[name]).detach().numpy(), net(inputs(t)[name]).detach().numpy()])
    for theirs, ours in zip(*results, strict=True):
        assert theirs.shape == ours.shape and ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6 * max(np.abs(theirs).max(initial=0.0), 1e-30))


def test_how_far_it_is_from_the_network():
    net, x = network(shim), inputs(shim)["normal"]
    y, exact = shim.quantization.quantize_dynamic(net, {shim.nn.Linear})(x), net(x)
    assert 0 < (y - exact).abs().max() < 0.03 * exact.abs().max()


def layers_of(t):
    nn = t.nn

    class Own(nn.Linear):
        pass

    return {
        "network": nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Sequential(nn.Linear(3, 2, bias=False))),
        "itself": nn.Linear(2, 2),
        "a class of its own": nn.Sequential(Own(2, 2)),
        "attention": nn.Sequential(nn.TransformerEncoderLayer(4, 2)),
    }


@pytest.mark.parametrize("name", layers_of(torch))
def test_which_modules_are_replaced(name):
    texts = []
    for t in (torch, shim):
        net = layers_of(t)[name]
        new = t.quantization.quantize_dynamic(net, {t.nn.Linear}, dtype=t.qint8)
        texts.append((str(new), str(net), new.training, net.training, [n for n, _ in new.named_parameters()]))
    assert texts[0] == texts[1]


def test_names_defaults_and_in_place():
    for t in (torch, shim):
        net = network(t)
        assert [type(m).__name__ for m in t.quantization.quantize_dynamic(net, {"2"})] == ["Linear", "ReLU", "Sequential"]
        assert "Dynamic" in str(t.quantization.quantize_dynamic(net, {"2"})[2]) and "Dynamic" not in str(net)
        assert "Dynamic" in str(t.quantization.quantize_dynamic(net)[0])
        same = t.quantization.quantize_dynamic(net, {t.nn.Linear}, inplace=True)
        assert same is net and isinstance(net[0], t.ao.nn.quantized.dynamic.Linear)
        assert (net[0].in_features, net[0].out_features, tuple(net[0].bias().shape)) == (64, 50, (50,))


def test_the_integers_are_pytorchs():
    theirs, ours = (t.ao.quantization.quantize_dynamic(network(t), {t.nn.Linear})[0] for t in (torch, shim))
    np.testing.assert_array_equal(ours.int_weight.numpy(), theirs.weight().int_repr().numpy())
    assert ours.weight_scale.item() == pytest.approx(theirs.weight().q_scale(), rel=1e-6)


def test_state_and_pickles():
    net, x = shim.quantization.quantize_dynamic(network(shim), {shim.nn.Linear}), inputs(shim)["normal"]
    other = shim.quantization.quantize_dynamic(network(shim, bias=True).apply(lambda m: None), {shim.nn.Linear})
    assert list(net[0].state_dict()) == ["int_weight", "weight_scale", "float_bias"]
    other.load_state_dict(net.state_dict())
    for copy in (other, pickle.loads(pickle.dumps(net))):
        assert shim.equal(copy(x), net(x))
    assert not net(x.requires_grad_()).requires_grad


@pytest.mark.parametrize(
    "x",
    [lambda t: t.ones(2, 64).half(), lambda t: t.ones(2, 64).long(), lambda t: t.ones(64), lambda t: t.ones(2, 5)],
    ids=["half", "long", "1-d", "size"],
)
def test_errors_of_inputs(x):
    texts = []
    for t in (torch, shim):
        net = t.quantization.quantize_dynamic(network(t), {t.nn.Linear})
        with pytest.raises(RuntimeError) as caught:
            net(x(t))
        texts.append(str(caught.value).lower())
    start = texts[0].split(" but found")[0].split(": ")[0]
    assert texts[1].startswith(start), texts


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("an LSTM with proj_size=2 is not supported: leave it out", lambda q, nn: q(nn.Sequential(nn.LSTM(2, 3, proj_size=2)))),
        (
            "has no dropout in training: call .eval()",
            lambda q, nn: q(nn.Sequential(nn.GRU(2, 3, 2, dropout=0.5))).train()(shim.ones(1, 1, 2)),
        ),
        (
            "QuantizedEmbeddingBag with mode='mean' is not supported",
            lambda q, nn: q(nn.Sequential(nn.EmbeddingBag(2, 3)), dtype=shim.quint8),
        ),
        ("quantize_dynamic with dtype=torch.quint4x2", lambda q, nn: q(nn.Sequential(nn.Embedding(2, 3)), dtype=shim.quint4x2)),
        ("there are no quantised tensors", lambda q, nn: q(nn.Sequential(nn.Embedding(2, 3)), dtype=shim.quint8)[0].weight()),
        ("dtype=torch.float16 is not supported: call .half()", lambda q, nn: q(nn.Sequential(nn.Linear(2, 3)), dtype=shim.float16)),
        ("with a mapping is not supported", lambda q, nn: q(nn.Sequential(nn.Linear(2, 3)), mapping={})),
        ("give default_dynamic_qconfig or float_qparams", lambda q, nn: q(nn.Sequential(nn.Linear(2, 3)), {nn.Linear: "int8"})),
        ("takes weights of torch.float32, got torch.float64", lambda q, nn: q(nn.Sequential(nn.GRU(2, 3)).double())),
        ("takes weights of torch.float32, got torch.float64", lambda q, nn: q(nn.Sequential(nn.Linear(2, 3)).double())),
        ("there are no quantised tensors; int_weight holds", lambda q, nn: q(nn.Sequential(nn.Linear(2, 3)))[0].weight()),
        ("of modules there is torch.ao.quantization.quantize_dynamic", lambda q, nn: shim.ao.quantization.prepare),
        ("of modules there is torch.ao.quantization.quantize_dynamic", lambda q, nn: shim.quantization.QConfig),
    ],
)
def test_what_is_not_there(text, call):
    with pytest.raises(NotImplementedError) as caught:
        call(shim.quantization.quantize_dynamic, shim.nn)
    assert text in str(caught.value)


def test_another_type_is_refused_as_in_pytorch():
    for t in (torch, shim):
        with pytest.raises(RuntimeError, match="Unknown dtype specified for quantize_dynamic"):
            t.quantization.quantize_dynamic(network(t), {t.nn.Linear}, dtype=t.int8)
