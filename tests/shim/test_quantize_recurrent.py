"""torch.ao.quantization.quantize_dynamic of recurrent modules and tables, against PyTorch's engine fbgemm."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from fbgemm import WARNINGS
from fbgemm import engine as engine

import funnn.torch as shim

pytestmark = WARNINGS


RECURRENT = {
    "lstm": lambda nn: nn.LSTM(6, 16),
    "lstm, all options": lambda nn: nn.LSTM(6, 16, num_layers=2, batch_first=True, dropout=0.3, bidirectional=True),
    "gru": lambda nn: nn.GRU(6, 16),
    "gru, all options": lambda nn: nn.GRU(6, 16, num_layers=2, batch_first=True, bidirectional=True),
}
CELLS = {
    "lstm cell": lambda nn: nn.LSTMCell(6, 16),
    "gru cell": lambda nn: nn.GRUCell(6, 16),
    "rnn cell": lambda nn: nn.RNNCell(6, 16),
    "rnn cell, relu": lambda nn: nn.RNNCell(6, 16, nonlinearity="relu"),
}


def quantised(t, make, spec=None, **settings):
    t.manual_seed(0)
    net = t.nn.Sequential(make(t.nn))
    return net[0], t.ao.quantization.quantize_dynamic(net, spec, **settings)[0]


def arrays(found):
    """The numbers of a result: tensors, in tuples or packed."""
    if isinstance(found, tuple):
        return [array for x in found if x is not None for array in arrays(x)]
    return [found.detach().numpy()]


def same(results, tolerance=2e-6):
    """An integer apart is 1e-3 of a result or more."""
    theirs, ours = (arrays(result) for result in results)
    assert len(theirs) == len(ours)
    for a, b in zip(theirs, ours, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(b, a, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("state", [False, True], ids=["", "state"])
@pytest.mark.parametrize("name", RECURRENT)
def test_sequences(name, state):
    results = []
    for t in (torch, shim):
        net, new = quantised(t, RECURRENT[name])
        x, count = 2 * t.randn(5, 4, 6), net.num_layers * (2 if net.bidirectional else 1)
        hx = [t.randn(count, 5 if net.batch_first else 4, 16) for _ in range(2 if isinstance(net, t.nn.LSTM) else 1)]
        results.append(new(x, (tuple(hx) if len(hx) == 2 else hx[0]) if state else None))
        exact = net.eval()(x, (tuple(hx) if len(hx) == 2 else hx[0]) if state else None)[0]
        assert 0 < (results[-1][0] - exact).abs().max() < 0.05
    same(results)


@pytest.mark.parametrize("name", RECURRENT)
def test_packed_sequences(name):
    results = []
    for t in (torch, shim):
        _, new = quantised(t, RECURRENT[name])
        x = [t.randn(size, 6) for size in (3, 5, 1, 5)]
        results.append(new(t.nn.utils.rnn.pack_sequence(x, enforce_sorted=False)))
        assert isinstance(results[-1][0], t.nn.utils.rnn.PackedSequence)
    same(results)


@pytest.mark.parametrize("name", CELLS)
def test_cells(name):
    results = []
    for t in (torch, shim):
        net, new = quantised(t, CELLS[name])
        x, h, c = t.randn(3, 6), t.randn(3, 16), t.randn(3, 16)
        hx = (h, c) if isinstance(net, t.nn.LSTMCell) else h
        results.append((new(x, hx), new(x)))
    same(results)


@pytest.mark.parametrize("name", [*RECURRENT, *CELLS])
def test_texts_and_modules(name):
    texts = []
    for t in (torch, shim):
        _, new = quantised(t, {**RECURRENT, **CELLS}[name])
        texts.append((str(new), type(new).__name__, type(new).__module__.removeprefix("funnn."), new.training, len(list(new.parameters()))))
        assert isinstance(new, getattr(t.ao.nn.quantized.dynamic, type(new).__name__))
    assert texts[0] == texts[1]


def test_a_module_that_is_made_has_pytorchs_numbers():
    results = []
    for t in (torch, shim):
        t.manual_seed(0)
        dynamic = t.ao.nn.quantized.dynamic
        made = (
            dynamic.LSTM(6, 5, 2, bidirectional=True),
            dynamic.GRU(6, 5),
            dynamic.GRUCell(6, 5),
            dynamic.RNNCell(6, 5, nonlinearity="relu"),
        )
        x = t.randn(3, 2, 6)
        results.append((made[0](x), made[1](x), made[2](x[0]), made[3](x[0])))
    same(results)


def test_state_pickles_and_gradients():
    _, new = quantised(shim, RECURRENT["lstm"])
    x = shim.randn(2, 3, 6, requires_grad=True)
    assert list(new.state_dict())[:3] == ["int_weight_ih_l0", "weight_scale_ih_l0", "bias_ih_l0"]
    _, other = quantised(shim, RECURRENT["lstm"])
    other.load_state_dict(new.state_dict())
    for copy in (other, pickle.loads(pickle.dumps(new))):
        assert shim.equal(copy(x)[0], new(x)[0])
    assert not new(x)[0].requires_grad


@pytest.mark.parametrize(
    ("make", "call"),
    [
        (RECURRENT["lstm"], lambda t, m: m(t.ones(2, 3, 5))),
        (RECURRENT["gru"], lambda t, m: m(t.ones(2, 6))),
        (RECURRENT["lstm"], lambda t, m: m(t.ones(2, 3, 6), (t.ones(1, 2, 16), t.ones(1, 3, 16)))),
        (CELLS["gru cell"], lambda t, m: m(t.ones(2, 5))),
        (CELLS["lstm cell"], lambda t, m: m(t.ones(2, 6), (t.ones(2, 16), t.ones(3, 16)))),
        (CELLS["rnn cell"], lambda t, m: m(t.ones(2, 6), t.ones(2, 15))),
    ],
)
def test_errors(make, call):
    texts = []
    for t in (torch, shim):
        _, new = quantised(t, make)
        with pytest.raises(RuntimeError) as caught:
            call(t, new)
        texts.append(str(caught.value))
    assert texts[0] == texts[1]


def test_without_biases_it_is_refused_as_in_pytorch():
    for t in (torch, shim):
        for make in (lambda nn: nn.LSTM(2, 3, bias=False), lambda nn: nn.GRUCell(2, 3, bias=False)):
            with pytest.raises(AssertionError, match=r"mod\.bias must be True"):
                quantised(t, make)


# -- tables


def tables(t):
    t.manual_seed(0)
    net = t.nn.ModuleDict({"table": t.nn.Embedding(9, 5), "sums": t.nn.EmbeddingBag(9, 5, mode="sum", include_last_offset=True)})
    with t.no_grad():
        net["table"].weight[1:4] = t.tensor([[0.0] * 5, [2.0] * 5, [-1.0] * 5])  # rows of one number, which have no scale
    return net


@pytest.mark.parametrize("how", ["type", "dict", "set"])
def test_tables(how):
    results, texts = [], []
    for t in (torch, shim):
        q, nn = t.ao.quantization, t.nn
        kinds = (nn.Embedding, nn.EmbeddingBag)
        spec = {"type": None, "dict": dict.fromkeys(kinds, q.float_qparams_weight_only_qconfig), "set": set(kinds)}[how]
        new = q.quantize_dynamic(tables(t), spec, dtype=t.qint8 if how == "dict" else t.quint8)
        texts.append(str(new))
        numbers, offsets = t.tensor([8, 1, 2, 3, 3, 0]), t.tensor([0, 2, 2, 6])
        results.append(
            (
                new["table"](numbers),
                new["table"](numbers.reshape(2, 3).int()),
                new["sums"](numbers, offsets),
                new["sums"](numbers, offsets, per_sample_weights=t.linspace(-1, 1, 6)),
            )
        )
        assert (new["table"](t.arange(9)) - tables(t)["table"](t.arange(9))).abs().max() < 0.02
    same(results)
    assert texts[0] == texts[1] and "QuantizedEmbedding(" in texts[0]


def test_a_bag_of_rows_of_indices():
    results = []
    for t in (torch, shim):
        t.manual_seed(0)
        net = t.nn.Sequential(t.nn.EmbeddingBag(9, 5, mode="sum"))
        results.append(t.ao.quantization.quantize_dynamic(net, dtype=t.quint8)[0](t.tensor([[0, 8], [3, 3]])))
    same(results)


def test_what_is_refused_of_tables():
    for t in (torch, shim):
        with pytest.raises(AssertionError, match="Embedding quantization is only supported with float_qparams_weight_only_qconfig"):
            t.ao.quantization.quantize_dynamic(tables(t), {t.nn.Embedding})
    new = shim.ao.quantization.quantize_dynamic(tables(shim), dtype=shim.quint8)
    with pytest.raises(RuntimeError, match=r"must be in \[0, 9\), the rows of the table, got 0 to 9"):
        new["table"](shim.tensor([0, 9]))
    with pytest.raises(RuntimeError, match=r"must be integers.*got torch.float32; convert them with .long"):
        new["sums"](shim.tensor([0.0]), shim.tensor([0, 1]))


def test_configurations():
    """By class, by name and by a module around; None leaves as it is."""
    texts = []
    for t in (torch, shim):
        nn, config = t.nn, t.ao.quantization.default_dynamic_qconfig
        net = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.GRU(3, 4), nn.Linear(3, 4)), nn.LSTM(3, 2))
        specs = (
            {nn.Linear: config},
            {"1": config, "1.0": None},
            {nn.Sequential: config},
            {nn.GRU, "0"},
            {nn.Linear: None, nn.LSTM: config},
        )
        texts.append([str(t.ao.quantization.quantize_dynamic(net, spec)) for spec in specs])
    assert texts[0] == texts[1]
