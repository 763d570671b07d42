"""PyTorch's database of operations: torch.linalg, and the older names of linear algebra in the namespace ``torch``."""

from __future__ import annotations

import pytest
from opinfo import MATRIX_NAMES, cases, check_one, every, operations

OPS = operations(lambda name: name.startswith("linalg.") or name in MATRIX_NAMES)
#: In 16 bits PyTorch's matrix_exp is NaN unless the matrix is small, though the result is finite; here it is computed in float32.
NAN = ("matrix_exp-bfloat16", "matrix_exp-float16")
CASES = {name: case for name, case in cases(OPS).items() if name not in NAN}


#: Samples that are left out: name -> which. The reason: such a window is a leaf, but PyTorch gives it no gradient, because it is a view.
LEFT_OUT = {"istft": lambda sample: "window" in sample.kwargs and sample.kwargs["window"]._is_view()}


@pytest.mark.filterwarnings("ignore")
@every(CASES)
def test_samples(op, dtype):
    """Function and method on samples: outputs and gradients."""
    leave_out = LEFT_OUT.get(op.name, lambda sample: False)
    assert check_one(op, dtype, leave_out, by_norm=True)
