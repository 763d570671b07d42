"""PyTorch's database of operations: torch.fft."""

from __future__ import annotations

import pytest
import torch
from opinfo import MOST, check, dtype_of, dtypes_of, op_id, operations

CASES = [(op, dtype) for op in operations(lambda name: name.startswith("fft.")) for dtype in dtypes_of(op)]

#: Sums of up to 200 numbers of size 10, which cancel.
TOLERANCE = dict.fromkeys((torch.float32, torch.complex64, torch.int64), (2e-5, 1e-4))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("op, dtype", CASES, ids=[f"{op_id(op)}-{dtype}".replace("torch.", "") for op, dtype in CASES])
def test_samples(op, dtype):
    """Outputs and gradients on samples."""
    assert check(op, dtype, tolerance=TOLERANCE.get(dtype), most=MOST if dtype == dtype_of(op) else 2)
