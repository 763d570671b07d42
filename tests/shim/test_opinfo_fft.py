"""PyTorch's database of operations: torch.fft."""

from __future__ import annotations

import pytest
import torch
from opinfo import cases, check_one, every, operations

CASES = cases(operations(lambda name: name.startswith("fft.")))

#: Sums of up to 200 numbers of size 10, which cancel.
TOLERANCE = dict.fromkeys((torch.float32, torch.complex64, torch.int64), (2e-5, 1e-4))


@pytest.mark.filterwarnings("ignore")
@every(CASES)
def test_samples(op, dtype):
    """Outputs and gradients on samples."""
    assert check_one(op, dtype, tolerance=TOLERANCE.get(dtype))
