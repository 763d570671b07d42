"""PyTorch's database of operations: torch.linalg, and the older names of linear algebra in the namespace ``torch``."""

from __future__ import annotations

import pytest
from opinfo import MATRIX_NAMES, MOST, check, dtype_of, dtypes_of, op_id, operations

OPS = operations(lambda name: name.startswith("linalg.") or name in MATRIX_NAMES)
CASES = [(op, dtype) for op in OPS for dtype in dtypes_of(op)]

#: Samples that are left out: name -> which. The reason: such a window is a leaf, but PyTorch gives it no gradient, because it is a view.
LEFT_OUT = {"istft": lambda sample: "window" in sample.kwargs and sample.kwargs["window"]._is_view()}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("op, dtype", CASES, ids=[f"{op_id(op)}-{dtype}".replace("torch.", "") for op, dtype in CASES])
def test_samples(op, dtype):
    """Function and method on samples: outputs and gradients."""
    leave_out = LEFT_OUT.get(op.name, lambda sample: False)
    assert check(op, dtype, leave_out, most=MOST if dtype == dtype_of(op) else 2, by_norm=True)
