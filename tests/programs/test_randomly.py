"""Programs written at random do in funnn.torch what they do in PyTorch."""

import pytest
import torch

import funnn.torch as shim
from tests.programs.randomly import KINDS, WAYS, Statements, differs, limited, shortened

pytestmark = pytest.mark.filterwarnings("ignore")
SEEDS = range(16)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", SEEDS)
def test_training(seed, way):
    torch.set_num_threads(1)
    program = KINDS["training"](seed)
    with limited(120):
        assert not (text := differs(program, torch, shim, way)), f"{text}\n{program}"


def test_a_difference_is_found_and_made_short():
    """A number, and an exception that only one of the two raises."""
    lines = ("x = torch.ones(2)", "y = x * 2", "note(y)", "z = x + 1", "note(torch.__name__ == 'torch')", "note(z)")
    program = Statements(lines)
    assert differs(program, torch, shim, "plain").startswith("statement 4")
    assert shortened(program, lambda program: differs(program, torch, shim, "plain")).lines == (lines[4],)
    raising = Statements(("torch.__name__ == 'torch' and [][1]", "note(1)"))
    assert "IndexError" in differs(raising, torch, shim, "plain")
    assert not differs(Statements(("[][1]", "x = torch.ones(2)", "x.add_(1)", "note(x)")), torch, shim, "plain")
