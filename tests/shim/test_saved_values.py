"""What nodes say that they saved is what PyTorch's nodes say, of every operation of its database, or it is not there."""

import numpy as np
import pytest
import torch
from allowed import listed, no_difference
from opinfo import differentiable, every, forms, samples, tensors, to_shim

import funnn.torch as shim

pytestmark = pytest.mark.filterwarnings("ignore")

#: (node, what it saved) that differ, and why.
OTHERWISE = {
    **dict.fromkeys(
        (("SplitBackward0", "dim"), ("SliceBackward0", "dim"), ("SplitWithSizesBackward0", "dim"), ("RollBackward0", "shifts")),
        listed("nodes", "the same number, counted from the other end"),
    ),
    ("IndexPutBackward0", "indices"): listed("nodes", "a mask is where it is true"),
    ("ConvolutionBackward0", "bias_sym_sizes_opt"): listed("nodes", "of no bias torch says (0,) or ()"),
    ("SegmentReduceBackward0", "lengths"): no_difference("of offsets, the lengths are saved"),
    ("SoftmaxBackwardDataBackward0", "grad_output"): listed("nodes", "kept where it is needed"),
    ("LinalgEighBackward0", "eigenvectors"): no_difference("they have either sign"),
    ("NanmedianBackward1", "indices"): no_difference("which of equal numbers is named"),
}
OPS = differentiable(("svd", "to_sparse"))  # nodes that only show, and of other layouts


def equal(got, expected):
    if isinstance(expected, torch.Tensor):
        if not isinstance(got, shim.Tensor) or str(got.dtype) != str(expected.dtype) or tuple(got.shape) != tuple(expected.shape):
            return False
        a, b = (x.detach().resolve_conj().numpy(force=True) for x in (got, expected.resolve_neg()))
        return np.allclose(a, b, 1e-3, 1e-3, equal_nan=True)
    if isinstance(expected, tuple):
        return isinstance(got, tuple) and len(got) == len(expected) and all(map(equal, got, expected))
    if isinstance(expected, float):
        return type(got) in (int, float) and bool(np.isclose(got, expected, equal_nan=True))
    return str(got) == str(expected) if isinstance(expected, torch.dtype) else type(got) is type(expected) and got == expected


@every(OPS)
def test_saved_values_of_the_database(op, dtype):
    (theirs, ours), *_ = forms(op).values()
    for sample in samples(op, dtype, True, most=2):
        args, kwargs = (sample.input, *sample.args), dict(sample.kwargs)
        torch.manual_seed(0)
        shim.manual_seed(0)
        try:
            expected = [x.grad_fn for x in tensors(theirs(*args, **kwargs), torch.Tensor)]
            got = [x.grad_fn for x in tensors(ours(*to_shim(args), **to_shim(kwargs)), shim.Tensor)]
        except (RuntimeError, TypeError, NotImplementedError):
            continue
        for a, b in zip(got, expected, strict=True):
            if a is None or b is None or a.name() != b.name():
                continue
            for name in dir(b):
                if name.startswith("_saved_") and name in dir(a) and (b.name(), name.removeprefix("_saved_")) not in OTHERWISE:
                    theirs_saved, ours_saved = getattr(b, name), getattr(a, name)
                    assert equal(ours_saved, theirs_saved), f"{b.name()}.{name}: {ours_saved}, torch has {theirs_saved}"


VALUES = {
    "embedding": (lambda t, x: t.nn.functional.embedding(t.tensor([0, 1]), x), "_saved_padding_idx"),
    "embedding with padding": (lambda t, x: t.nn.functional.embedding(t.tensor([0, 1]), x, padding_idx=1), "_saved_padding_idx"),
    "embedding_bag": (lambda t, x: t.nn.functional.embedding_bag(t.tensor([[0, 1]]), x, mode="max"), "_saved_mode"),
    "var": (lambda t, x: x.var(), "_saved_correction"),
    "var of a population": (lambda t, x: x.var(unbiased=False), "_saved_correction"),
    "std of a dimension": (lambda t, x: x.std(1, correction=2), "_saved_correction"),
    "cross_entropy": (lambda t, x: t.nn.functional.cross_entropy(x, t.tensor([0, 1, 2])), "_saved_ignore_index"),
    "its reduction": (lambda t, x: t.nn.functional.cross_entropy(x, t.tensor([0, 1, 2]), reduction="sum"), "_saved_reduction"),
    "its target": (lambda t, x: t.nn.functional.cross_entropy(x, t.tensor([0, 1, 2])), "_saved_target"),
    "conv2d": (lambda t, x: t.nn.functional.conv2d(x[None, None], t.ones(1, 1, 2, 2), stride=2), "_saved_stride"),
    "max_pool2d": (lambda t, x: t.nn.functional.max_pool2d(x[None], 2), "_saved_kernel_size"),
    "index": (lambda t, x: x[:, t.tensor([0, 1])], "_saved_indices"),
    "linear": (lambda t, x: t.nn.functional.linear(x, t.ones(2, 3, requires_grad=True), t.ones(2)), "_saved_mat1"),
}


@pytest.mark.parametrize("case", VALUES.values(), ids=VALUES)
def test_saved_values(case):
    make, name = case
    got, expected = (
        getattr(make(t, t.tensor([[1.0, 2.0, 4.0], [0.5, 0.0, 3.0], [7.0, 1.0, 2.0]], requires_grad=True)).grad_fn, name)
        for t in (shim, torch)
    )
    assert equal(got, expected)


def test_what_is_computed_on_the_way_is_not_there():
    """Where it was None, or an operand that torch's node does not have."""
    node = shim.nn.functional.cross_entropy(shim.ones(2, 3, requires_grad=True), shim.tensor([0, 1])).grad_fn
    assert "_saved_self" not in dir(node)
    with pytest.raises(NotImplementedError, match=r"NllLossBackward0\._saved_self is not there: this operation keeps something else"):
        _ = node._saved_self
    assert "_saved_dim" not in dir(shim.linalg.matrix_norm(shim.ones(2, 2, requires_grad=True), 1).grad_fn)
