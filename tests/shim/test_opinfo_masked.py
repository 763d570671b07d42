"""PyTorch's database of operations: torch.masked."""

from __future__ import annotations

import pytest
from opinfo import cases, check_one, operations

OPS = operations(lambda name: name.startswith("masked."))
CASES = cases(OPS)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("op, dtype", CASES.values(), ids=CASES)
def test_samples(op, dtype):
    """Outputs and gradients on samples."""
    assert check_one(op, dtype)
