"""How many Python functions of how many files one line of a user enters, and what its errors show."""

import ast
import subprocess
import sys
import traceback

import jax
import pytest

import funnn.torch as torch
from funnn.torch import nn
from funnn.torch.nn import functional as F

COUNT = """
import sys
import funnn.torch as torch
from funnn.engine.program.graph import flush
from funnn.torch.nn import functional as F

x, w = torch.ones(3, 4, requires_grad=True), torch.ones(4, 2, requires_grad=True)
results = []

def line():
    {line}

for _ in range(3):
    line()
    flush()
found = []

def note(frame, event, argument):
    if event == "call" and "/funnn/" in frame.f_code.co_filename:
        found.append((frame.f_code.co_filename.rpartition("/funnn/")[2], frame.f_code.co_name))

sys.setprofile(note)
line()
sys.setprofile(None)
print(found)
"""


def entered(line):
    """The functions of the library that a line enters, with their files, once everything is compiled; in a process where nothing overrides them."""
    return ast.literal_eval(
        subprocess.run([sys.executable, "-c", COUNT.format(line=line)], capture_output=True, text=True, check=True).stdout
    )


@pytest.mark.parametrize("line", ["results.append(x @ w)", "x @ w", "results.append(F.relu(x))", "F.relu(x)", "torch.add(x, x)", "x + 1"])
def test_few_functions_in_few_files(line):
    found = entered(line)
    assert 3 <= len(found) <= 12, found
    assert len({file for file, _ in found}) <= 5, found


def test_the_count_sees_more():
    assert len(entered("(x @ w).sum().backward()")) > 15


# -- errors


class OfTheUser(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(4, 2))

    def forward(self, x):
        return self.inner(x)


ERRORS = {
    "an operator": (lambda x: x @ x, ["<lambda>", "matmul"]),
    "a function": (lambda x: torch.cat([x, x[:, :2]]), ["<lambda>", "cat"]),
    "a method": (lambda x: x.reshape(5), ["<lambda>", "reshape"]),
    "a function of nn.functional": (lambda x: F.conv2d(x, x), ["<lambda>", "conv2d", "dispatch", "conv2d"]),
    "a value": (lambda x: F.embedding(torch.tensor([7]), x), ["<lambda>", "embedding", "dispatch", "embedding"]),
    "in place": (lambda x: x.add_(torch.ones(5)), ["<lambda>", "add_"]),
    "a module in a module": (
        lambda x: OfTheUser()(x),
        ["<lambda>", "__call__", "forward", "__call__", "forward", "__call__", "forward", "linear"],
    ),
    "with gradients": (lambda x: torch.nn.Parameter(x) @ x, ["<lambda>", "matmul"]),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_shows_the_users_lines_and_the_operation(name):
    function, expected = ERRORS[name]
    with pytest.raises((RuntimeError, IndexError, ValueError)) as caught:
        function(torch.ones(2, 3))
    frames = traceback.extract_tb(caught.value.__traceback__)[1:]
    assert [frame.name for frame in frames] == expected
    walk = list(traceback.walk_tb(caught.value.__traceback__))[1:]
    shown = [frame.f_code.co_name for frame, _ in walk if "__tracebackhide__" not in frame.f_locals]  # what notebooks show
    assert shown == [name for i, name in enumerate(expected) if "dispatch" not in expected[i : i + 2]]
    assert not getattr(caught.value, "__notes__", []) and caught.value.__cause__ is None


def test_a_users_function_inside_an_operation_is_shown():
    class Mine(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine") as caught:
        torch.add(torch.ones(2), torch.ones(2).as_subclass(Mine))
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "__torch_function__"


def test_all_frames_are_there_where_jax_shows_all_of_its_own():
    before = jax.config.jax_traceback_filtering
    jax.config.update("jax_traceback_filtering", "off")
    try:
        with pytest.raises(RuntimeError) as caught:
            torch.ones(2, 3) @ torch.ones(2, 3)
    finally:
        jax.config.update("jax_traceback_filtering", before)
    assert len(traceback.extract_tb(caught.value.__traceback__)) > 5


def test_what_python_prints():
    program = "import funnn.torch as torch\ndef mine():\n    return torch.ones(2, 3) @ torch.ones(2, 3)\nmine()"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stderr
    assert printed.count("File ") == 3 and "in mine" in printed and "in matmul" in printed and "JAX" not in printed
