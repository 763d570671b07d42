"""The table of a network's layers."""

from html.parser import HTMLParser

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import funnn
import funnn.torch as ftorch
from funnn import layers
from funnn.layers import GELU, LSTM, Conv2d, Embedding, Lambda, Layer, LayerNorm, Linear, ReLU, Remat, Repeat, Residual, Sequential

FLOAT = jnp.float32


def shaped(*shape, dtype=FLOAT):
    return jax.ShapeDtypeStruct(shape, dtype)


def rows(table):
    return {row.path: (row.type, row.output, row.parameters, row.flops, row.calls) for row in table.rows}


def test_text():
    net = Sequential(Conv2d(1, 4, 3), layers.BatchNorm2d(4), ReLU(), layers.Flatten(), Sequential(Linear(144, 10)))
    text = """\
name  type         output        parameters   FLOPs
---------------------------------------------------
      Sequential   (2, 10)            1,498  10,944
0     Conv2d       (2, 4, 6, 6)          40   5,184
1     BatchNorm2d  (2, 4, 6, 6)           8       0
2     ReLU         (2, 4, 6, 6)           0       0
3     Flatten      (2, 144)               0       0
4     Sequential   (2, 10)            1,450   5,760
  0   Linear       (2, 10)            1,450   5,760
---------------------------------------------------
1,498 parameters, 9 in buffers, 6,028 bytes"""
    table = funnn.summary(net, jnp.ones((2, 1, 8, 8)))
    assert str(table) == repr(table) == text
    assert (table.parameters, table.flops, table.buffers, table.bytes) == (1498, 10944, 9, 6028)
    assert "  0   Linear" not in str(funnn.summary(net, jnp.ones((2, 1, 8, 8)), depth=1))
    unused = str(funnn.summary(net)).splitlines()
    assert unused[2].split() == ["Sequential", "-", "1,498", "-"]


class Cells(HTMLParser):
    """The rows of a table: each with its attributes and the texts of its cells."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.open = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append((dict(attributes), []))
        elif tag in ("td", "th"):
            self.rows[-1][1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][1][-1] += data


def test_html():
    class Sharp(Layer):
        body: Layer

        def _get_name(self):
            return "<Sharp & sound>"

        def forward(self, x):
            return {"<x>": self.body(x)}

    table = funnn.summary(Sharp(Sequential(Linear(3, 2000), ReLU())), shaped(2, 3))
    text = table._repr_html_()
    assert [cells for _, cells in Cells(text).rows] == [
        ["name", "type", "output", "parameters", "FLOPs"],
        ["", "<Sharp & sound>", "{<x>: (2, 2000)}", "8,000", "24,000"],
        ["body", "Sequential", "(2, 2000)", "8,000", "24,000"],
        ["\N{EM SPACE}0", "Linear", "(2, 2000)", "8,000", "24,000"],
        ["\N{EM SPACE}1", "ReLU", "(2, 2000)", "0", "0"],
        ["8,000 parameters, 0 in buffers, 32,000 bytes"],
    ]
    assert [row.get("title") for row, _ in Cells(text).rows] == [None, None, "body", "body.0", "body.1", None]
    assert "<Sharp" not in text and "color" not in text  # escaped; in a dark page as in a light one
    assert len(Cells(funnn.summary(Sharp(Linear(3, 2)), depth=0)._repr_html_()).rows) == 3


def test_loops_and_layers_around_layers():
    block = Residual(Sequential(LayerNorm(16), Linear(16, 64), GELU(), Linear(64, 16)))
    net = Sequential(Embedding(10, 16), Repeat(Remat(block), 24), LSTM(16, 8, batch_first=True))
    found = rows(funnn.summary(net, shaped(4, 7, dtype=jnp.int32)))
    linear = 2 * 4 * 7 * 16 * 64
    assert found["1.layer.layer.body.1"] == ("Linear", (4, 7, 64), 24 * (16 * 64 + 64), 24 * linear, 1)
    assert found["1"] == ("Repeat", (4, 7, 16), 24 * (2 * 16 + 2 * 16 * 64 + 64 + 16), 24 * 2 * linear, 1)
    assert found["2"] == ("LSTM", [(4, 7, 8), [(1, 4, 8), (1, 4, 8)]], 832, 2 * 4 * 7 * 32 * (16 + 8), 1)
    assert found[""][2:4] == (160 + found["1"][2] + 832, found["1"][3] + found["2"][3])


def test_branches_calls_and_structures():
    class Net(Layer):
        first: Layer
        second: Layer

        def forward(self, x, scale=None):
            x = self.first(self.first(x))
            x = jax.lax.cond(x.sum() > 0, lambda x: x @ x.T, lambda x: x @ x.T @ x @ x.T, x)
            x = jax.lax.while_loop(lambda x: x.sum() < 0, lambda x: x @ x, x)
            return {"x": x * scale["by"], "none": None}

    found = rows(funnn.summary(Net(Linear(3, 3), Linear(3, 3)), shaped(3, 3), scale={"by": 2.0}))
    assert found["first"] == ("Linear", (3, 3), 12, 2 * 54, 2) and found["second"] == ("Linear", None, 12, 0, 0)
    assert found[""] == ("Net", {"x": (3, 3), "none": None}, 24, 2 * 54 + 3 * 54 + 54, 1)


def test_a_layer_that_runs_another_one_from_outside():
    inner = Linear(3, 3)
    params, _ = inner.init(jax.random.key(0))
    found = rows(funnn.summary(Sequential(Lambda(lambda x: inner.apply(params, {}, x)[0])), shaped(2, 3)))
    assert list(found) == ["", "0"] and found["0"] == ("Lambda", (2, 3), 0, 36, 1)


def net_of(library):
    nn = library.nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 8, 3, groups=1), nn.BatchNorm2d(8)
            self.up = nn.ConvTranspose2d(8, 4, 3, stride=2, groups=2)
            self.fc, self.drop = nn.Linear(4, 5), nn.Dropout()
            self.tied, self.heads = self.fc, nn.ModuleList([nn.Linear(5, 5)])
            self.weight = nn.Parameter(library.ones(5, 5))

        def forward(self, x, index):
            assert index.dtype is library.int64
            x = self.fc(self.drop(self.up(self.norm(self.conv(x)).relu()).mean((2, 3))))
            return x @ self.weight, self.heads[0](x)[index]

    return Net()


def test_a_module_counts_as_pytorch_counts():
    net, x, index = net_of(ftorch), ftorch.ones(2, 3, 8, 8), ftorch.tensor([1, 0])
    found = rows(funnn.summary(net, x, index))
    theirs = net_of(torch)
    with FlopCounterMode(display=False) as counter:
        theirs(torch.ones(2, 3, 8, 8), torch.tensor([1, 0]))
    counts = {name.partition(".")[2]: sum(kinds.values()) for name, kinds in counter.get_flop_counts().items() if name != "Global"}
    assert {path: row[3] for path, row in found.items() if row[3] and path != "heads"} == counts
    parameters = {name: sum(p.numel() for p in module.parameters()) for name, module in theirs.named_modules()}
    assert {path: row[2] for path, row in found.items()} == parameters
    assert found[""][:2] == ("Net", [(2, 5), (2, 5)]) and found["up"][1] == (2, 4, 13, 13)
    layer, _, _ = ftorch.to_functional(net)
    assert rows(funnn.summary(layer, x, index)) == found


@pytest.mark.parametrize("train", [False, True])
def test_a_module_stays_as_it_was(train):
    net = net_of(ftorch)
    net.drop.eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    draws, modes = ftorch.get_rng_state(), [module.training for module in net.modules()]
    funnn.summary(net, ftorch.ones(2, 3, 8, 8), ftorch.tensor([1, 0]), train=train)
    with pytest.raises(RuntimeError):
        funnn.summary(net, ftorch.ones(2, 4, 8, 8), ftorch.tensor([1, 0]), train=train)
    assert all((tensor == before[name]).all() for name, tensor in net.state_dict().items())
    assert (ftorch.get_rng_state() == draws).all() and [module.training for module in net.modules()] == modes
    assert net.conv.weight.grad is None and not net._forward_hooks
    assert np.isfinite(net(ftorch.ones(2, 3, 8, 8), ftorch.tensor([1, 0]))[0].detach().numpy()).all()


def test_a_modules_types():
    double = ftorch.nn.Linear(2, 3).double()
    assert funnn.summary(double, ftorch.ones(1, 2, dtype=ftorch.float64)).bytes == 72


def test_errors():
    with pytest.raises(TypeError, match=r"a funnn Layer or a funnn.torch Module, got Linear"):
        funnn.summary(torch.nn.Linear(1, 1))
    with pytest.raises(ValueError, match=r"'weight' has no shape yet; call the module once"):
        funnn.summary(ftorch.nn.LazyLinear(3), ftorch.ones(1, 2))
