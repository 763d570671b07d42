"""``python -m funnn port``: scripts whose import lines are changed and nothing else, and the comparison of what both versions print."""

import ast
import textwrap

import pytest
import torch

from funnn import __main__
from funnn._port.edits import Source
from funnn._port.imports import ported, remaining
from funnn._port.verify import compare

IMPORTS = {
    "import torch": "import funnn.torch as torch",
    "import torch as t": "import funnn.torch as t",
    "import torch.nn as nn": "import funnn.torch.nn as nn",
    "import torch.nn": "import funnn.torch as torch",
    "import torch.utils.tensorboard": "import funnn.torch as torch, funnn.torch.utils.tensorboard",
    "import torch, os, torch.utils.data  # torch": "import funnn.torch as torch, os, funnn.torch.utils.data  # torch",
    "from torch import nn, optim": "from funnn.torch import nn, optim",
    "from  torch.nn import (functional as F,\n  Linear)": "from  funnn.torch.nn import (functional as F,\n  Linear)",
    "from \\\n  torch import *": "from \\\n  funnn.torch import *",
    "def f():\n\tü = 'é'; import torch; return torch": "def f():\n\tü = 'é'; import funnn.torch as torch; return torch",
    "from .torch import nn\nfrom mytorch import x\nimport torchx\ntorch = 'import torch'": None,
    "import os\r\nimport torch\r\n": "import os\r\nimport funnn.torch as torch\r\n",
    "# -*- coding: utf-8 -*-\n'''torch'''\nx = 3": None,
}


@pytest.mark.parametrize("text", IMPORTS)
def test_import_lines(text):
    after = ported(Source(text.encode())).decode()
    assert after == (text if IMPORTS[text] is None else IMPORTS[text])
    assert ported(Source(after.encode())).decode() == after
    ast.parse(after)


@pytest.mark.parametrize(
    "text", [text for text in IMPORTS if "import *" not in text and text.startswith(("import torch", "from torch", "from  torch"))]
)
def test_the_same_names_are_bound(text):
    before, after = {}, {}
    exec(text, before)
    exec(ported(Source(text.encode())), after)
    assert after.keys() - {"funnn"} == before.keys()
    assert {
        name: value.__name__.removeprefix("funnn.") for name, value in after.items() if name not in ("__builtins__", "os", "funnn")
    } == {name: value.__name__ for name, value in before.items() if name not in ("__builtins__", "os")}


def test_what_remains(tmp_path):
    (tmp_path / "helper.py").write_text("from torch import nn\n")
    (tmp_path / "other.py").write_text("import os\n")
    text = "import torch, os, other\nimport helper\nimport importlib\nimportlib.import_module('torch.nn')\n__import__('os')\n"
    text += "from safetensors import torch as st\n"
    found = remaining(Source(text.encode()), tmp_path / "script.py")
    assert [line.partition(" imports ")[0] for line in found] == ["line 4", "line 2", "line 6"]
    assert (
        "write 'funnn.torch.nn' there" in found[0] and "helper.py imports torch: port it too" in found[1] and "funnn.install()" in found[2]
    )


OUTPUTS = [
    ("a 1\nb 2.50", "a 1\nb 2.50", True, "of 2 lines 2 are equal"),
    ("loss 0.1234 at 3", "loss 0.1235 at 3", True, "of 1 lines 0 are equal, 1 but for the last digits"),
    ("loss 0.1234", "loss 0.1236", False, "line 1:"),
    ("100000.5 1e-12", "100001.0 1.1e-12", True, "last digits"),
    ("step 3", "step 4", False, "funnn:   step 4"),
    ("x 1.0", "y 1.0", False, "line 1:"),
    ("tensor([0.5000,  nan])", "tensor([0.5001,  nan])", True, "last digits"),
    ("1.0 nan", "1.0 2.0", False, "line 1:"),
    ("a\nb", "a", False, "funnn:   (no such line)"),
]


@pytest.mark.parametrize("theirs, ours, agrees, text", OUTPUTS)
def test_comparison(theirs, ours, agrees, text):
    verdict = compare(theirs, ours)
    assert verdict.agrees is agrees and text in "\n".join(verdict.lines)


@pytest.fixture
def script(tmp_path):
    def write(text):
        (tmp_path / "script.py").write_text(textwrap.dedent(text))
        return tmp_path / "script.py"

    return write


def test_diff_and_output(script, tmp_path, capsys):
    file, out = script("import torch\nprint(torch.ones(2))\n"), tmp_path / "out.py"
    assert __main__.main(["port", str(file)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"--- {file}", f"+++ {file}", "@@ -1,2 +1,2 @@", "-import torch", "+import funnn.torch as torch", " print(torch.ones(2))",
    ]  # fmt: skip
    assert __main__.main(["port", str(file), "-o", str(out)]) == 0
    assert file.read_text().startswith("import torch\n") and out.read_text().startswith("import funnn.torch as torch\n")
    capsys.readouterr()
    assert __main__.main(["port", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: nothing to change\n"
    out.write_text("x = = 1")
    for wrong in (str(out), "no_such.py", "a.ipynb"):
        assert __main__.main(["port", wrong]) == 2
        assert "can't be read" in capsys.readouterr().err


def test_verify(script, tmp_path, capsys):
    text = "import sys, torch\ntorch.manual_seed(0)\nprint(torch.nn.Linear(3, 2)(torch.rand(4, 3)), sys.argv[1:], __file__ != '')\n"
    assert __main__.main(["port", str(script(text)), "--verify", "--args", "--lr", "3"]) == 0
    assert "of 4 lines 4 are equal" in capsys.readouterr().out
    assert __main__.main(["port", str(script(text + "print(torch.__version__)\nraise SystemExit(3)\n")), "--verify"]) == 1
    printed = capsys.readouterr().out
    assert "exit code 3 with PyTorch, 3 with funnn" in printed and f"  PyTorch: {torch.__version__}" in printed
    assert [path.name for path in tmp_path.iterdir()] == ["script.py"]
