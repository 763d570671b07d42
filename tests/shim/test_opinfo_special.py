"""PyTorch's database of operations: torch.special and torch.signal.windows."""

from __future__ import annotations

import pytest
import torch
from opinfo import cases, check_one, every, operations

OPS = operations(lambda name: name.startswith(("special.", "signal.")))
CASES = cases(OPS)

#: Relative and absolute tolerance where that of the other operations is too narrow: PyTorch's float64 differs from SciPy's by so much.
TOLERANCE = dict.fromkeys((("special.bessel_j0", torch.float64), ("special.bessel_j1", torch.float64)), (1e-6, 1e-7))


@pytest.mark.filterwarnings("ignore")
@every(CASES)
def test_samples(op, dtype):
    """Outputs and gradients on samples."""
    assert check_one(op, dtype, tolerance=TOLERANCE.get((op.name, dtype)))
