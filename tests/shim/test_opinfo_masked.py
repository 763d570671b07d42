"""PyTorch's database of operations: torch.masked."""

from __future__ import annotations

import pytest
from opinfo import cases, check_one, every, operations

OPS = operations(lambda name: name.startswith("masked."))
CASES = cases(OPS)


@pytest.mark.filterwarnings("ignore")
@every(CASES)
def test_samples(op, dtype):
    """Outputs and gradients on samples."""
    assert check_one(op, dtype)
