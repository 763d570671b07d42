"""``python -m funnn check``: the names of torch that programs use, found without running them, and what becomes of each."""

import ast
import json
import textwrap

import pytest

from funnn import __main__
from funnn._check.names import uses
from funnn._check.status import exists, returns_tensor, status
from funnn.torch._differences import DIFFERENCES

#: A program, and the names that are found in it by line, without ``torch.``; one that is caught has a ``?``.
PROGRAMS = {
    "imports": ("import torch.nn as nn, os\nfrom torch.nn import functional as F, Linear\nimport torch as t\nnn.ReLU, F.relu, Linear, t.ones, os.path",
                {1: "nn", 2: "nn.Linear nn.functional", 3: "", 4: "nn.Linear nn.ReLU nn.functional.relu ones"}),
    "a submodule binds its top": ("import torch.utils.data\ntorch.utils.data.DataLoader, torch.ones", {1: "utils.data", 2: "ones utils.data.DataLoader"}),
    "a chain is one use, at its end": ("import torch\nx = (torch.nn\n  .functional.relu(\n  torch.ones(2)))", {1: "", 3: "nn.functional.relu", 4: "ones"}),
    "aliases by assignment": (
        "import torch\nF = torch.nn.functional\nrelu = F.relu\nrelu(1)",
        {1: "", 2: "nn.functional", 3: "nn.functional.relu", 4: "nn.functional.relu"}),
    "of one name that becomes two things": ("import torch\nF = torch.nn\nF = 3\nF.relu", {1: "", 2: "nn"}),
    "parameters and loops hide": (
        "import torch.nn as F\ndef f(F, x=F.Tanh):\n  return F.a\n[F.b for F in x]\nlambda F: F.c\nF.ReLU",
        {1: "nn", 2: "nn.Tanh", 6: "nn.ReLU"}),
    "scopes": ("def f():\n  import torch\n  def g():\n    return torch.ones\ntorch.zeros", {2: "", 4: "ones"}),
    "a class's names are not its methods'": ("import torch\nclass A:\n  torch = 3\n  def f(self): return torch.ones\n  torch.zeros", {1: "", 4: "ones"}),
    "bases, decorators, annotations": ("import torch\n@torch.no_grad()\nclass A(torch.nn.Module):\n  def f(self, x: torch.Tensor) -> torch.Size: ...",
                                       {1: "", 2: "no_grad", 3: "nn.Module", 4: "Size Tensor"}),
    "tensors that are certain": ("import torch\nx = torch.ones(2)\nx.a\ny = x.add(1).b\nz = x.max(0).values\ntorch.load(x).c\nx.add",
                                 {1: "", 2: "ones", 3: "Tensor.a", 4: "Tensor.add Tensor.b", 5: "Tensor.max", 6: "load", 7: "Tensor.add"}),
    "and those that are not": ("import torch\nx = torch.ones(2)\nx = f(x)\nx.a\ndef g(x): return x.b\nfor y in x: y.c", {1: "", 2: "ones"}),
    "star": ("from torch.nn import *\nLinear, no_such", {1: "nn", 2: "nn.Linear"}),
    "ready for absence": (
        "try:\n  import torch.ops\nexcept ImportError:\n  torch = None\nif hasattr(torch, 'mps'): torch.mps.f\ntorch.ao",
        {2: "ops?", 5: "mps.f?", 6: "ao"}),
    "other exceptions are not that": (
        "import torch\ntry: torch.a\nexcept (KeyError, ValueError): torch.b\ntry: torch.c\nexcept: pass",
        {1: "", 2: "a", 3: "b", 4: "c?"}),
    "what is written": ("import torch\ntorch.backends.cudnn.benchmark = True\ndel torch.a.b", {1: "", 2: "backends.cudnn", 3: "a"}),
    "not torch's": ("import numpy as torch\nfrom .torch import nn\nfrom mytorch import a\ntorch.ones, nn.Linear, a.b", {}),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_names(name):
    text, expected = PROGRAMS[name]
    found = {}
    for use in uses(ast.parse(text), returns_tensor, exists):
        found.setdefault(use.line, []).append(use.name.removeprefix("torch").removeprefix(".") + "?" * use.caught)
    assert {line: " ".join(names) for line, names in found.items()} == expected


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("torch", "same", ""),
        ("torch.nn.functional.relu", "same", ""),
        ("torch.Tensor.shape", "same", ""),
        ("torch.float32.itemsize.real", "same", ""),
        ("torch.utils.tensorboard.SummaryWriter", "same", ""),
        ("torch.compile", "differs", "Python runs at every call of a function"),
        ("torch.topk", "differs", "Which of several equal numbers"),
        ("torch.ao.quantization.prepare", "missing", "there are no quantised tensors"),
        ("torch.SymInt", "missing", "sizes are Python integers"),  # which is there and raises when it is called
        ("torch.nn.quantized.Linear", "missing", "there are no quantised tensors"),
        ("torch.no_such", "missing", "it is not in funnn.torch"),
        ("torch.nn.functional.no_such", "missing", "it is not in funnn.torch"),
    ],
)
def test_status(name, kind, text):
    found = status(name)
    assert found.kind == kind and (found.text.startswith(text) if text else not found.text)


def test_names_of_differences_are_there():
    assert {name: status(name).kind for each in DIFFERENCES for name in each.names if status(name).kind != "differs"} == {}


@pytest.fixture
def program(tmp_path):
    def write(text, name="program.py"):
        (tmp_path / name).write_text(textwrap.dedent(text))
        return str(tmp_path / name)

    return write


def test_report(program, capsys):
    file = program("import torch\n\ntorch.compile(torch.ones)\ntorch.no_such\ntorch.no_such, torch.nested\n")
    assert __main__.main(["check", file]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{file}: 5 names of torch: 2 same, 1 differs, 2 missing"
    assert lines[1] == "  torch.compile  differs  (line 3)" and lines[2].startswith("      Python runs at every call")
    assert "  torch.no_such  missing  (lines 4, 5)" in lines and "  torch.ones" not in "\n".join(lines)
    assert lines[-1] == "1 file, 5 different names, 2 missing: torch.nested, torch.no_such"
    assert __main__.main(["check", "--all", file]) == 1
    assert "  torch.ones  same  (line 3)" in capsys.readouterr().out


def test_exit_codes_and_json(program, tmp_path, capsys):
    fine = program("import torch\ntry:\n    torch.no_such\nexcept AttributeError:\n    pass\n", "fine.py")
    assert __main__.main(["check", fine, "--json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)["files"]
    assert report["names"][1] == {
        "name": "torch.no_such",
        "status": "missing",
        "text": "it is not in funnn.torch",
        "caught": True,
        "places": [{"line": 3}],
    }
    program("print(1)\n", "none.py")
    (tmp_path / ".hidden").mkdir()
    program("import torch.no_such\n", ".hidden/x.py")
    assert __main__.main(["check", str(tmp_path)]) == 0
    assert "2 files" in capsys.readouterr().out
    broken = program("import torch\nx = = 1\n", "broken.py")
    assert __main__.main(["check", broken]) == 2
    assert f"{broken}, line 2: invalid syntax" in capsys.readouterr().err
    assert __main__.main(["check", "no/such.py"]) == 2
    assert "no such file or folder: 'no/such.py'" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        __main__.main(["check"])
    assert caught.value.code == 2


def test_notebooks(program, capsys):
    cells = ["%matplotlib inline\nimport torch\n!pip install x", ["x = torch.ones(2)\n", "torch.no_such"], "%%time\nno python"]
    content = {"cells": [{"cell_type": "markdown", "source": "torch.a"}, *({"cell_type": "code", "source": cell} for cell in cells)]}
    assert __main__.main(["check", program(json.dumps(content), "a.ipynb")]) == 1
    assert "torch.no_such  missing  (cell 2 line 2)" in capsys.readouterr().out
