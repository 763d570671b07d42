"""``python -m funnn port --layers``: Module classes become layers that compute the same from the same parameters, or it is said why not."""

import textwrap

import jax
import numpy as np
import pytest
import torch

from funnn import __main__, checkpoint, init, layers
from funnn import functional as F
from funnn._port import expressions
from funnn._port import layers as port_layers
from funnn._port.edits import Source

HEAD = "import math\nimport torch\nimport torch.nn as nn\nimport torch.nn.functional as F\nfrom torch.nn import Linear, Parameter\n"

#: Programs of one class, how it is made, and the shapes of its inputs (a number: integers below it).
SAME = {
    "parameters": ("""
        class Curve(torch.nn.Module):
            def __init__(self):
                super(Curve, self).__init__()
                self.A = nn.Parameter(torch.randn((1), requires_grad=True))  # a comment
                self.B = nn.Parameter(torch.full((1,), 0.5))
            def forward(self, input):
                return self.A * input[:,0] * torch.log(input[:,1]) + self.B * input[:,1] * input[:,1]
        """, "Curve()", [(3, 2)]),
    "functions of torch": ("""
        class Xor(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.in_to_hid = torch.nn.Linear(2, 2)
                self.hid_to_out = Linear(2, 1)
            def forward(self, input):
                return torch.sigmoid(self.hid_to_out(torch.tanh(self.in_to_hid(input))))
        """, "Xor()", [(4, 2)]),
    "sequential": ("""
        class Main(nn.Module):
            def __init__(self, num_input, num_hidden, num_out):
                super(Main, self).__init__()
                self.main = nn.Sequential(nn.Linear(num_input, num_hidden), nn.Tanh(), nn.Linear(num_hidden, num_out), nn.Sigmoid())
            def forward(self, input):
                output = self.main(input)
                return output
        """, "Main(2, 5, 3)", [(4, 2)]),
    "sizes": ("""
        class Net(nn.Module):
            def __init__(self):
                super(Net, self).__init__()
                self.conv1 = nn.Conv2d(1, 2, 3)
                self.conv2 = nn.Conv2d(2, 3, 3)
                self.fc1 = nn.Linear(3 * 2 * 2, 5)
            def forward(self, x):
                x = F.max_pool2d(F.relu(self.conv1(x)), (2, 2))
                x = F.max_pool2d(F.relu(self.conv2(x)), 2)
                x = x.view(-1, self.num_flat_features(x))
                return self.fc1(x)
            def num_flat_features(self, x):
                size = x.size()[1:]
                num_features = 1
                for s in size:
                    num_features *= s
                return num_features
        """, "Net()", [(2, 1, 14, 14)]),
    "lstm": ("""
        class Tagger(torch.nn.Module):
            def __init__(self, embedding_dim, hidden_dim, vocab_size, tagset_size):
                super(Tagger, self).__init__()
                self.hidden_dim = hidden_dim
                self.word_embeddings = torch.nn.Embedding(vocab_size, embedding_dim)
                self.lstm = torch.nn.LSTM(embedding_dim, hidden_dim)
                self.hidden2tag = torch.nn.Linear(hidden_dim, tagset_size)
            def forward(self, sentence):
                embeds = self.word_embeddings(sentence)
                lstm_out, _ = self.lstm(embeds.view(len(sentence), 1, -1))
                tag_space = self.hidden2tag(lstm_out.view(len(sentence), -1))
                return F.log_softmax(tag_space, dim=1)
        """, "Tagger(3, 4, 7, 2)", [7]),
    "lists, blocks and helpers": ("""
        SCALE = 0.5
        def swish(x):
            return x * torch.sigmoid(x) * SCALE
        class Block(nn.Module):
            def __init__(self, width, bias=True):
                nn.Module.__init__(self)
                self.linear = nn.Linear(width, 2 * width, bias=bias)
                half = width // 2
                self.gain = Parameter(torch.ones(half, 2) * 3)
            def forward(self, x):
                a, b = self.linear(x).chunk(2, dim=-1)
                return swish(a) + b * self.gain.reshape(-1)
        class Deeper(Block):
            def forward(self, x):
                return super().forward(x) + x
        class Stack(nn.Module):
            def __init__(self, width, depth=2):
                super().__init__()
                self.blocks = nn.ModuleList([Block(width, bias=False) for _ in range(depth)])
                self.more = nn.ModuleList()
                for _ in range(depth):
                    self.more.append(nn.Sequential(Deeper(width), nn.ReLU(inplace=True)))
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                for block, more in zip(self.blocks, self.more):
                    x = more(block(x))
                return x
        """, "Stack(4)", [(3, 4)]),
    "attention": ("""
        class Attention(nn.Module):
            def __init__(self, width, heads):
                super().__init__()
                self.heads = heads
                self.qkv = nn.Linear(width, 3 * width)
                self.temperature = nn.Parameter(torch.tensor([1.0, 1.0]))
                self.register_buffer("offset", torch.zeros(1))
            def forward(self, x):
                b, t, c = x.shape
                qkv = self.qkv(x).reshape(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
                q, k, v = qkv[0], qkv[1], qkv[2]
                scores = torch.matmul(q, k.transpose(-2, -1)) / math.sqrt(q.size(-1)) * self.temperature.view(1, -1, 1, 1)
                mask = torch.tril(torch.ones(t, t)) == 0
                scores = scores.masked_fill(mask, float("-inf")).softmax(dim=-1)
                y = (scores @ v).transpose(1, 2).contiguous().view(b, t, c)
                return torch.cat([y, y], dim=2).unsqueeze(0) + self.offset
        """, "Attention(4, 2)", [(2, 3, 4)]),
    "statistics": ("""
        class Norm(nn.Module):
            def __init__(self, dim, eps=1e-5):
                super().__init__()
                self.eps = eps
                self.scale = nn.Parameter(torch.rand(1, dim) * 2)
            def forward(self, x):
                m, s = x.mean(dim=-1, keepdim=True), torch.std(x, dim=-1, keepdim=True)
                z = (x - m) / torch.sqrt(x.var(-1, keepdim=True) + self.eps) * self.scale
                return z.clamp(min=-1.0).sum(1), torch.stack([s, m], dim=0).squeeze(-1), (x + 1).flatten(1).abs().max(), x.t().float()
        """, "Norm(3)", [(4, 3)]),
}  # fmt: skip


def layer_of(text):
    written = port_layers.layers_of(Source((HEAD + textwrap.dedent(text)).encode()))
    names = {"__name__": "ported"}
    exec(written.text, names)
    return names, written


def input_of(shape):
    return np.arange(shape) % 5 if isinstance(shape, int) else np.random.default_rng(0).uniform(0.5, 1.5, shape).astype(np.float32)


@pytest.mark.parametrize("name", SAME)
def test_layers_compute_the_same(name):
    text, made, shapes = SAME[name]
    theirs = {}
    exec(HEAD + textwrap.dedent(text), theirs)
    torch.manual_seed(0)
    module = eval(made, theirs)
    inputs = [input_of(shape) for shape in shapes]
    expected = module(*map(torch.from_numpy, inputs))
    ours, written = layer_of(text)
    assert written.notes == [] and "torch" not in written.text
    layer = eval(made, ours)
    params, state = layer.init(jax.random.key(0))
    assert checkpoint.to_state_dict(params, state).keys() == module.state_dict().keys()
    params, state = checkpoint.from_state_dict(module.state_dict(), params, state)
    got, _ = layer.apply(params, state, *inputs)
    for one, other in zip(jax.tree.leaves(got), expected if isinstance(expected, tuple) else [expected], strict=True):
        np.testing.assert_allclose(one, other.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_initial_distributions():
    names, _ = layer_of(SAME["statistics"][0])
    scale = names["Norm"](1000).init(jax.random.key(0))[0]["scale"]
    assert scale.shape == (1, 1000) and 0 <= scale.min() < 0.1 and 1.9 < scale.max() <= 2


def test_random_draws_take_a_key():
    names, written = layer_of("""
    class Drop(nn.Module):
        def __init__(self):
            super().__init__()
        def forward(self, x):
            return F.dropout(x, 0.5, training=self.training)
    """)
    assert not written.notes and "    def __init__(self):\n        pass\n" in written.text
    y, _ = names["Drop"]().apply({}, {}, np.ones(100, np.float32), key=jax.random.key(0), train=True)
    assert set(np.asarray(y)) == {0.0, 2.0}


NOTED = {
    "nn.init.xavier_uniform_(self.fc.weight)": "define redraw",
    "self.apply(weights)": "initialisers stand in spec",
    "self.w = nn.Parameter(other)": "put it into spec",
    "self.d = nn.ModuleDict({})": "make each entry a field",
    "self.register_buffer('b', torch.arange(3))": "as Buffer(shape, initialiser)",
    "FORWARD self.last = x": "a layer is a value",
    "FORWARD x[0] = 1": "write x = x.at",
    "FORWARD x, i = x.max(1)": ".max(…) has no counterpart",
    "FORWARD x.add_(1)": ".add_(…) has no counterpart",
    "FORWARD x = torch.cdist(x, x)": "torch.cdist has no counterpart",
    "FORWARD d = x.device": "arrays of JAX have none",
}


@pytest.mark.parametrize("line", NOTED)
def test_what_is_not_mechanical_is_said(line, tmp_path, capsys):
    inside = line.removeprefix("FORWARD ")
    made, run = ("pass", inside) if line.startswith("FORWARD") else (inside, "pass")
    file = tmp_path / "script.py"
    file.write_text(
        f"{HEAD}class Net(nn.Module):\n  def __init__(self):\n    super().__init__()\n    {made}\n  def forward(self, x):\n    {run}\n    return x\n"
    )
    number = 11 if line.startswith("FORWARD") else 9
    assert __main__.main(["port", "--layers", str(file)]) == 1
    printed = capsys.readouterr()
    assert f"{file}, line {number}: " in printed.err and NOTED[line] in printed.err and "class Net(Layer):" in printed.out


def test_command(tmp_path, capsys):
    file, out = tmp_path / "script.py", tmp_path / "out.py"
    file.write_text(HEAD + textwrap.dedent(SAME["sequential"][0]))
    assert __main__.main(["port", "--layers", str(file), "-o", str(out)]) == 0
    assert out.read_text().startswith("from funnn import Layer, layers\n\n\nclass Main(Layer):\n")
    file.write_text("import torch\nclass A: pass\n")
    assert __main__.main(["port", "--layers", str(file)]) == 2
    assert "no class that derives from torch.nn.Module" in capsys.readouterr().err


def test_the_tables_name_what_is_there():
    import jax.numpy as jnp

    assert [name for name in expressions._NUMPY.values() if not hasattr(jnp, name)] == []
    assert [name for name in expressions._METHODS.values() if not hasattr(jnp.ones(1), name)] == []
    assert [name for name in port_layers._DRAWN.values() if not hasattr(init, name.removeprefix("init."))] == []
    assert callable(F.relu) and callable(layers.ReLU)
