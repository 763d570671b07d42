"""PyTorch's database of operations: torch.fft."""

from __future__ import annotations

import pytest
from opinfo import cases, check_one, every, operations

CASES = cases(operations(lambda name: name.startswith("fft.")))


@pytest.mark.filterwarnings("ignore")
@every(CASES)
def test_samples(op, dtype):
    """Outputs and gradients on samples."""
    assert check_one(op, dtype)
