"""PyTorch's database of operations: those of the namespace ``torch`` itself."""

from __future__ import annotations

import pytest
from allowed import no_difference
from opinfo import MATRIX_NAMES, cases, check_one, dtype_of, every, operations

import funnn.torch as shim

#: Operations that are not there: name -> the reason.
ABSENT = {
    **dict.fromkeys(
        (
            "jiterator_unary",
            "jiterator_binary",
            "jiterator_binary_return_by_ref",
            "jiterator_2inputs_2outputs",
            "jiterator_4inputs_with_extra_args",
        ),
        no_difference("kernels given as CUDA source text"),
    ),
    "_segment_reduce": no_difference("the name of torch.segment_reduce in the database; see test_small_names"),
    **dict.fromkeys(
        ("slice", "max_pool2d_with_indices_backward", "native_dropout_backward", "_batch_norm_with_update", "_upsample_bilinear2d_aa"),
        no_difference("not in PyTorch's own namespace: reached only as torch.ops.aten.…"),
    ),
}

#: Operations whose values nobody specifies: shapes, strides and types are compared.
UNSPECIFIED = ("empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided")

#: Operations whose gradient in PyTorch is wrong, by its own gradcheck: outputs are compared.
WRONG_GRADIENT = {"as_strided_scatter": no_difference("the input's gradient is kept where src was written, and dropped elsewhere")}

#: Operations that give an index of one of several equal elements, and PyTorch says not of which: in types where that happens, values are compared.
UNSPECIFIED_INDEX = ("kthvalue", "mode", "topk")

#: Samples that are left out, with the reason.
LEFT_OUT = {
    "addbmm": lambda sample: sample.input.dim() < 2,  # in place, PyTorch resizes what it would broadcast; here that is an error
    "renorm": lambda sample: sample.input.is_complex() and sample.args[0] == float("inf"),  # PyTorch's gradient is NaN
}

OPS = operations(lambda name: "." not in name and name not in MATRIX_NAMES and name not in ABSENT)
CASES = cases(OPS)


@pytest.mark.filterwarnings("ignore")
@every(CASES)
def test_samples(op, dtype):
    """Function, method and in-place form on samples: outputs; gradients of float32 and complex numbers."""
    first = dtype == dtype_of(op)
    leave_out = LEFT_OUT.get(op.name, lambda sample: False)
    part = (lambda result: result[0]) if op.name in UNSPECIFIED_INDEX and not first else lambda result: result
    gradients = (first or dtype.is_complex) and op.name not in WRONG_GRADIENT
    assert check_one(op, dtype, leave_out, values=op.name not in UNSPECIFIED, part=part, gradients=gradients)


@pytest.mark.parametrize(
    "name, args", [("kthvalue", (3,)), ("median", (0,)), ("mode", (0,)), ("sort", (0,)), ("topk", (3, 0)), ("cummax", (0,)), ("max", (0,))]
)
def test_an_index_is_where_the_value_is(name, args):
    x = shim.tensor([[2, 0, 2, 1, 2, 0], [1, 1, 0, 0, 1, 1]]).t()
    values, indices = getattr(shim, name)(x, *args, **({"dim": 0} if name == "kthvalue" else {}))
    assert (x.gather(0, indices.reshape(-1, 2)) == values.reshape(-1, 2)).all()
