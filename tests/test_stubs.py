"""The stubs of funnn.torch are current, type checkers accept them and programs that use them, and editors complete from them."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STUBS = {path.relative_to(ROOT): path.read_text() for path in sorted((ROOT / "funnn").rglob("*.pyi"))}

#: What a user writes. A line with ``# error:`` has to be refused, with that text in the message.
PROGRAM = """
from typing import Any, assert_type

import funnn.torch as torch
import funnn.torch.nn.functional as F
from funnn.torch import Tensor, nn, optim
from funnn.torch.distributions.normal import Normal
from funnn.torch.nn.modules.conv import Conv2d
from funnn.torch.utils.data import DataLoader, TensorDataset

x = torch.zeros(2, 3, dtype=torch.float32)
assert_type(x, Tensor)
assert_type(torch.rand((2, 3), requires_grad=True), Tensor)
assert_type(torch.arange(0, 10, 2), Tensor)
assert_type(torch.tensor([[1.0, 2.0]]), Tensor)
assert_type(x.reshape(-1), Tensor)
assert_type(x.reshape(3, 2).permute(1, 0), Tensor)
assert_type(x.sum(), Tensor)
assert_type(x.mean(0, keepdim=True), Tensor)
assert_type(x + 1, Tensor)
assert_type(2.0 * x - x / 2, Tensor)
assert_type(x @ x.T, Tensor)
assert_type(x > 0, Tensor)
assert_type(x == x, Tensor)
assert_type(x[0, 1:], Tensor)
assert_type(x.add_(1), Tensor)
assert_type(x.uniform_(-1, 1), Tensor)
assert_type(x.shape, torch.Size)
assert_type(x.size(), torch.Size)
assert_type(x.size(0), int)
assert_type(x.dtype, torch.dtype)
assert_type(x.device, torch.device)
assert_type(x.requires_grad, bool)
assert_type(x.grad, Tensor | None)
assert_type(x.item(), Any)
assert_type(x.max(), Tensor)
assert_type(x.max(dim=1).indices, Tensor)
assert_type(torch.max(x, 1).values, Tensor)
assert_type(torch.where(x > 0), tuple[Tensor, ...])
assert_type(x.split(1), tuple[Tensor, ...])
assert_type(x.topk(1).values, Tensor)
assert_type(torch.equal(x, x), bool)
assert_type(torch.add(x, 1, out=torch.empty(0)), Tensor)
assert_type(torch.linalg.norm(x), Tensor)
assert_type(torch.linalg.eigh(x @ x.T).eigenvalues, Tensor)
assert_type(torch.fft.fft(x), Tensor)
assert_type(torch.special.expit(x), Tensor)
assert_type(torch.float32, torch.dtype)
assert_type(torch.pi, float)
assert_type(F.relu(x), Tensor)
assert_type(F.max_pool2d(x, 2), Tensor)
assert_type(F.max_pool2d(x, 2, return_indices=True), tuple[Tensor, Tensor])
assert_type(F.cross_entropy(x, torch.tensor([0, 1]), label_smoothing=0.1), Tensor)
for index, row in enumerate(x):
    assert_type(row, Tensor)

layer = nn.Linear(3, out_features=4, bias=False)
assert_type(layer.in_features, int)
nn.Linear(in_feature=3, out_features=4)  # error: Unexpected keyword argument "in_feature" for "Linear"
nn.Conv2d(3, 8, 3, stride=2, padding="same")
Conv2d(3, 8, kernel="3")  # error: Unexpected keyword argument "kernel" for "Conv2d"
nn.LSTM(3, 4, num_layers=2, batch_first=True)
x.reshap(-1)  # error: "Tensor" has no attribute "reshap"
torch.zeross(2)  # error: Module has no attribute "zeross"


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y


net = Net().to("cpu").train()
assert_type(net, Net)
optimizer = optim.Adam(net.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1, amsgrad=True)
assert_type(optimizer, optim.Adam)
torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, nesterov=True)
torch.optim.Adam(net.parameters(), learning_rate=1e-3)  # error: Unexpected keyword argument "learning_rate" for "Adam"
scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=10)
loss = nn.CrossEntropyLoss()(net(x), torch.tensor([0, 1]))
loss.backward()
optimizer.step()
optimizer.zero_grad()
for group in optimizer.param_groups:
    group["lr"] *= 0.5
with torch.no_grad():
    for parameter in net.parameters():
        parameter.sub_(0.1 * parameter)
        assert_type(parameter, nn.Parameter)


@torch.no_grad()
def evaluate(data: Tensor) -> float:
    return float(net(data).mean())


assert_type(evaluate(x), float)
assert_type(Normal(0.0, 1.0).loc, Any)
Normal(0.0, 1.0).sample((2,))
DataLoader(TensorDataset(x, x), batch_size=2, shuffle=True)
"""

#: The shim's own files are followed without a word, others are not read at all: JAX takes a minute.
SETTINGS = """
[mypy]
follow_imports = silent
[mypy-jax.*,numpy.*,optax.*,chex.*,ml_dtypes.*,tqdm.*,tensorboardX.*,funnn.functional.*,funnn.layers.*,funnn.optim.*,funnn.checkpoint.*]
follow_imports = skip
"""


def run(*command):
    return subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="they are made with Python 3.11, and others may add to classes")
def test_they_are_current():
    result = run(".ci/stubs.py", "--check")
    assert result.returncode == 0, result.stdout + result.stderr


def test_one_that_is_wrong_missing_or_left_over_is_named(tmp_path, monkeypatch):
    for path, text in STUBS.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    monkeypatch.syspath_prepend(ROOT / ".ci")
    from stub_files import stale

    assert stale(STUBS, tmp_path) == []
    wrong, missing, left_over = Path("funnn/torch/fft.pyi"), Path("funnn/torch/nn/functional.pyi"), Path("funnn/torch/gone.pyi")
    (tmp_path / wrong).write_text(STUBS[wrong].replace("def fft(", "def fft_("))
    (tmp_path / missing).unlink()
    (tmp_path / left_over).touch()
    assert stale(STUBS, tmp_path) == sorted([wrong, missing, left_over])


def test_there_is_one_tensor():
    """One stub defines it, and what goes by its name elsewhere is imported from there."""
    defining = [path for path, text in STUBS.items() if re.search(r"^class Tensor\b", text, re.MULTILINE)]
    assert len(defining) == 1
    module = ".".join(defining[0].with_suffix("").parts)
    assert f"from {module} import Tensor as Tensor\n" in STUBS[Path("funnn/torch/__init__.pyi")]
    body = next(node for node in ast.parse(STUBS[defining[0]]).body if isinstance(node, ast.ClassDef) and node.name == "Tensor").body
    names = {node.name for node in body if isinstance(node, ast.FunctionDef)}
    assert {"__add__", "__rmul__", "__getitem__", "reshape", "sum", "add_", "T", "transpose_", "_read"} <= names
    assert "__getattr__" not in names, "it would let every misspelt name pass"


def test_type_checkers_accept_the_stubs_and_check_programs(tmp_path):
    pytest.importorskip("mypy", reason="it reads the stubs")
    (tmp_path / "mypy.ini").write_text(SETTINGS)
    (tmp_path / "program.py").write_text(PROGRAM)
    options = (
        "--config-file",
        str(tmp_path / "mypy.ini"),
        "--strict",
        "--allow-untyped-calls",
        "--cache-dir",
        str(tmp_path / "cache"),
        "--no-error-summary",
    )
    files = [str(path) for path in STUBS]
    result = run("-m", "mypy", *options, str(tmp_path / "program.py"), *files)
    found = {int(line): text for line, text in re.findall(r"program\.py:(\d+): error: (.*)", result.stdout)}
    expected = {number: line.partition("# error: ")[2] for number, line in enumerate(PROGRAM.splitlines(), 1) if "# error: " in line}
    others = [line for line in result.stdout.splitlines() if "error: " in line and "program.py" not in line]
    assert not others and not result.stderr, "\n".join(others[:20]) + result.stderr
    assert found.keys() == expected.keys(), found
    assert all(expected[number] in text for number, text in found.items()), found


def test_editors_complete_and_show_arguments():
    jedi = pytest.importorskip("jedi", reason="it completes names as editors do")
    project = jedi.Project(ROOT)
    start = "import funnn.torch as torch\nfrom funnn.torch import nn\nx = torch.zeros(2, 3)\n"

    def names(code):
        return {item.name for item in jedi.Script(start + code, project=project).complete()}

    def arguments(code):
        signature, *_ = jedi.Script(start + code, project=project).get_signatures()
        return [parameter.name for parameter in signature.params]

    assert {"reshape", "requires_grad_", "sum", "T", "shape", "add_", "backward", "to"} <= names("x.")
    assert {"relu", "cross_entropy"} <= names("nn.functional.")
    assert {"matmul", "float32", "no_grad", "Tensor", "linalg"} <= names("torch.")
    assert {"values", "indices"} <= names("x.topk(1).")
    assert {"size", "dtype", "requires_grad"} <= set(arguments("torch.zeros("))
    assert arguments("nn.Linear(")[:3] == ["in_features", "out_features", "bias"]
    assert arguments("torch.optim.Adam(")[:3] == ["params", "lr", "betas"]
    assert arguments("x.sum(")[:2] == ["dim", "keepdim"]
