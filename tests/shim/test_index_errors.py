"""What is refused where tensors are indexed, joined, cut and multiplied: torch's class, and its text to be recognised."""

import re

import numpy as np
import pytest
from twin import same, same_error

import funnn.torch as shim
from funnn.engine.program import programs
from funnn.engine.program.graph import flush


def x(t):
    return t.zeros(3, 4)


def i(t, *values):
    return t.tensor(values)


CASES = {
    "gather_bounds": (lambda t: t.gather(x(t), 0, i(t, [5])), RuntimeError, "index 5 is out of bounds for dimension 0 with size 3"),
    "gather_negative": (lambda t: t.gather(x(t), 0, i(t, [-1])), RuntimeError, "index -1 is out of bounds"),
    "gather_rank": (lambda t: t.gather(x(t), 0, i(t, 0)), RuntimeError, "same number of dimensions as input tensor"),
    "gather_size": (lambda t: t.gather(x(t), 0, i(t, [0] * 7)), RuntimeError, r"to be no larger than self \[3, 4\] apart from dimension 0"),
    "gather_kind": (lambda t: t.gather(x(t), 0, t.zeros(1, 1)), RuntimeError, "Expected dtype int32/int64 for index"),
    "scatter_bounds": (lambda t: x(t).scatter(1, i(t, [4]), 1.0), RuntimeError, "index 4 is out of bounds for dimension 1 with size 4"),
    "scatter_kind": (lambda t: x(t).scatter(0, i(t, [0]), t.zeros(1, 1).double()), RuntimeError, "Expected self.dtype to be equal to src"),
    "scatter_src": (lambda t: x(t).scatter(0, i(t, [0, 1]), t.zeros(1, 1)), RuntimeError, r"no larger size than src \[1, 1\]"),
    "scatter_how": (
        lambda t: x(t).scatter(0, i(t, [0]), 1.0, reduce="sum"),
        RuntimeError,
        "reduce argument must be either add or multiply",
    ),
    "reduce_how": (lambda t: x(t).scatter_reduce(0, i(t, [0]), x(t), "add"), RuntimeError, "must be either sum, prod, mean, amax or amin"),
    "select_bounds": (lambda t: t.index_select(x(t), 0, i(t, -1)), IndexError, "index out of range in self"),
    "select_rank": (lambda t: t.index_select(x(t), 0, i(t, [1])), IndexError, "Index is supposed to be a vector"),
    "take_bounds": (lambda t: t.take(x(t), i(t, 12)), IndexError, "tried to access index 12 on a tensor of 12 elements"),
    "take_empty": (lambda t: t.take(t.zeros(0), i(t, 1)), IndexError, "tried to take from an empty tensor"),
    "put_count": (lambda t: x(t).put(i(t, 1), t.zeros(2)), IndexError, "source.numel\\(\\) = 2, index.numel\\(\\) = 1"),
    "add_bounds": (lambda t: x(t).index_add(0, i(t, 5), t.zeros(1, 4)), RuntimeError, "index 5 is out of bounds"),
    "add_count": (lambda t: x(t).index_add(0, i(t, 1, 2), t.zeros(1, 4)), RuntimeError, "Number of indices \\(2\\) should be equal"),
    "copy_bounds": (lambda t: x(t).index_copy(0, i(t, -1), t.zeros(1, 4)), IndexError, "index_copy_\\(\\): index -1 is out of bounds"),
    "fill_value": (lambda t: x(t).index_fill(0, i(t, 1), t.ones(1)), RuntimeError, "only supports a 0-dimensional value tensor"),
    "index_reduce_how": (lambda t: x(t).index_reduce(0, i(t, 1), t.zeros(1, 4), "sum"), RuntimeError, "one of prod, mean, amax or amin"),
    "index_put_kind": (lambda t: x(t).index_put((i(t, 1),), t.ones(1).double()), RuntimeError, "source and destination dtypes match"),
    "index_put_bounds": (
        lambda t: x(t).index_put((i(t, 9),), t.ones(1)),
        IndexError,
        "index 9 is out of bounds for dimension 0 with size 3",
    ),
    "mask_kind": (lambda t: t.masked_select(x(t), x(t)), RuntimeError, "expected BoolTensor for mask"),
    "mask_short": (lambda t: x(t).masked_scatter(x(t) == 0, t.ones(2)), RuntimeError, "source < number of ones in mask"),
    "along_rank": (lambda t: t.take_along_dim(x(t), i(t, 1), 0), RuntimeError, "should have the same number of dimensions"),
    "unravel": (lambda t: t.unravel_index(i(t, 1), (2, -1)), ValueError, "cannot have negative values"),
    "repeats": (lambda t: x(t).repeat_interleave(i(t, 1, 2), dim=0), RuntimeError, "repeats must have the same size as input along dim"),
    "narrow": (lambda t: x(t).narrow(0, 5, 1), IndexError, r"start out of range \(expected to be in range of \[-3, 3\], but got 5\)"),
    "split": (lambda t: x(t).split(0), RuntimeError, "split_size can only be 0 if dimension size is 0"),
    "sizes": (lambda t: x(t).split_with_sizes([1, 1]), RuntimeError, "expects split_sizes to sum exactly to 3"),
    "sections": (lambda t: x(t).hsplit(3), RuntimeError, "is not divisible by the split_size 3"),
    "movedim": (lambda t: x(t).movedim((0, 0), (0, 1)), RuntimeError, "repeated dim in `source`"),
    "as_strided": (lambda t: x(t).as_strided((20,), (1,)), RuntimeError, "are out of bounds for storage of size 48"),
    "slice_scatter": (lambda t: x(t).slice_scatter(t.zeros(4), 0, 0, 2), RuntimeError, r"src size = \[4\], slice size = \[2, 4\]"),
    "view_as_complex": (lambda t: t.view_as_complex(t.zeros(3, 4)), RuntimeError, "must have a last dimension of size 2"),
    "view_dtype": (lambda t: t.zeros(3).view(t.float64), RuntimeError, r"self.size\(-1\) must be divisible by 2"),
    "hstack": (lambda t: t.hstack([]), RuntimeError, "hstack expects a non-empty TensorList"),
    "cat": (lambda t: t.cat([t.zeros(1), None]), TypeError, "got None|NoneType"),
    "block_diag": (lambda t: t.block_diag(t.zeros(1, 1, 1)), RuntimeError, "must have 2 or fewer dimensions"),
    "sum_to_size": (lambda t: x(t).sum_to_size(2, 4), RuntimeError, "is not expandable to size"),
    "rot90": (lambda t: x(t).rot90(1, [0, 0]), RuntimeError, "expected rotation dims to be different"),
    "einsum_size": (lambda t: t.einsum("ij,jk", x(t), x(t)), RuntimeError, "subscript j has size 3 for operand 1 which does not broadcast"),
    "einsum_output": (lambda t: t.einsum("ij->ik", x(t)), RuntimeError, "output subscript k does not appear in the equation"),
    "einsum_rank": (lambda t: t.einsum("ij", t.zeros(4)), RuntimeError, "does not match the number of dimensions"),
    "tensordot": (lambda t: t.tensordot(x(t), x(t), dims=1), RuntimeError, "contracted dimensions need to match"),
    "inner": (lambda t: t.inner(x(t), t.zeros(3)), RuntimeError, "the last dimension must match on both input tensors"),
    "cross": (lambda t: t.cross(t.zeros(2, 3), t.zeros(2, 3), dim=0), RuntimeError, "inputs dimension 0 must have length 3"),
    "addmv": (lambda t: t.addmv(t.zeros(3), t.zeros(4), t.zeros(4)), RuntimeError, "vector \\+ matrix @ vector expected, got 1, 1, 1"),
    "addr": (lambda t: t.addr(i(t, [0]), i(t, 1), i(t, 1), beta=0.5), RuntimeError, "argument beta must not be a floating point number"),
    "trace": (lambda t: t.trace(t.zeros(4)), RuntimeError, "expected a matrix, but got tensor with dim 1"),
    "tril_indices": (lambda t: t.tril_indices(-1, 3), RuntimeError, "row must be non-negative"),
    "strides": (lambda t: t.empty_strided((2, 3), (1,)), RuntimeError, "must match dimensionality of strides"),
    "permuted": (lambda t: t.empty_permuted((2, 3), (0, 0)), RuntimeError, "Duplicate dim not allowed"),
    "embedding": (lambda t: t.nn.Embedding(3, 2)(i(t, 0, 3)), IndexError, "index out of range in self"),
    "max_unpool1d": (
        lambda t: t.nn.functional.max_unpool1d(t.ones(1, 1, 1), i(t, 9)[None, None], 2),
        RuntimeError,
        "invalid max index: 9 .*2x1",
    ),
    "max_unpool2d": (lambda t: t.nn.MaxUnpool2d(2)(t.ones(1, 1, 1), i(t, -1)[None, None]), RuntimeError, "invalid max index: -1 .*2x2"),
    "embedding_below": (lambda t: t.embedding(t.ones(3, 2), i(t, -2)), IndexError, "index out of range in self"),
    "bag": (lambda t: t.nn.EmbeddingBag(3, 2)(i(t, [0, 3])), RuntimeError, r"Index 1 of input takes value 3 .* \[0, 3\)"),
    "bag_max": (lambda t: t.nn.EmbeddingBag(3, 2, mode="max")(i(t, [4])), RuntimeError, "found idx to be 4"),
    "bag_start": (lambda t: t.nn.EmbeddingBag(3, 2)(i(t, 0, 1), i(t, 1)), RuntimeError, r"offsets\[0\] has to be 0"),
    "bag_end": (lambda t: t.nn.EmbeddingBag(3, 2)(i(t, 0, 1), i(t, 0, 5)), RuntimeError, r"can not be greater than input's length 2"),
    "class": (lambda t: t.nn.CrossEntropyLoss()(x(t), i(t, 0, 4, 1)), IndexError, "Target 4 is out of bounds."),
    "class_below": (lambda t: t.nn.CrossEntropyLoss()(t.zeros(3), i(t, -1)[0]), IndexError, "Target -1 is out of bounds."),
    "class_of_place": (lambda t: t.nn.NLLLoss()(t.zeros(1, 2, 3), i(t, [0, 1, 2])), IndexError, "Target 2 is out of bounds."),
    "linear_class": (lambda t: t.nn.LinearCrossEntropyLoss(2, 3)(t.ones(1, 2), i(t, 3)), IndexError, "Target 3 is out of bounds."),
    "margin_class": (lambda t: t.nn.MultiMarginLoss()(x(t), i(t, 0, 4, 1)), RuntimeError, "target out of range"),
    "margin_classes": (lambda t: t.nn.MultiLabelMarginLoss()(t.ones(1, 3), i(t, [0, 3, -1])), RuntimeError, "'target' is out of range"),
    "adaptive": (
        lambda t: t.nn.AdaptiveLogSoftmaxWithLoss(4, 6, [2])(t.ones(2, 4), i(t, 0, 6)),
        RuntimeError,
        r"should be in \[0, 5\], but values in range \[0, 6\]",
    ),
    "probability": (lambda t: t.nn.BCELoss()(t.ones(1) * 2, t.ones(1)), RuntimeError, "all elements of input should be between 0 and 1"),
    "probability_nan": (lambda t: t.nn.BCELoss()(t.ones(1) * float("nan"), t.ones(1)), RuntimeError, "all elements of input should be"),
    "probability_of": (lambda t: t.nn.BCELoss()(t.ones(1), t.ones(1) * 2), RuntimeError, "all elements of target should be between"),
    "variance": (lambda t: t.nn.GaussianNLLLoss()(t.ones(1), t.ones(1), -t.ones(1)), ValueError, "var has negative entry"),
    "ctc_length": (
        lambda t: t.nn.CTCLoss()(t.zeros(5, 1, 4), i(t, [1, 2]), i(t, 9), i(t, 2)),
        RuntimeError,
        "input_lengths to have value at most 5, but got value 9",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_refused(name):
    same_error(*CASES[name])


def test_classes_that_are_ignored():
    same(lambda t: t.nn.NLLLoss(ignore_index=9)(x(t), i(t, 0, 9, 1)))


def test_known_indices_are_looked_at_in_compiled_functions_too():
    look_up = shim.compile(lambda index: shim.nn.functional.embedding(index, shim.ones(3, 2)))
    with pytest.raises(IndexError, match="index out of range in self"):
        look_up(shim.tensor([0, 3]))


def test_pending_indices_are_looked_at_when_they_are_known(monkeypatch):
    monkeypatch.setattr(programs, "_AHEAD", 0)  # none is looked at before
    flush()  # what others left, which may run at any moment
    index = (shim.arange(5000) - 1).reshape(1, 5000) + shim.zeros(5000, dtype=shim.int64)  # too many for NumPy at once
    found = shim.ones(5000)[None].gather(1, index)
    with pytest.raises(RuntimeError, match="index -1 is out of bounds") as error:
        found.sum().item()
    assert re.match(r"The operation was recorded at .*test_index_errors\.py:\d+ and ran when", error.value.__notes__[0])


def test_pending_indices_that_cost_little_are_looked_at_at_their_line():
    table = shim.nn.Parameter(shim.zeros(5, 2))
    optimizer = shim.optim.SGD([table], lr=1.0)
    labels = shim.arange(4000) % 5
    for wrong in (False, True, False):
        index = labels.clone()
        index[7] = 9 if wrong else 0
        optimizer.zero_grad()
        try:
            shim.nn.functional.embedding(index, table).sum().backward()
        except IndexError:
            assert wrong and table.grad is None
        optimizer.step()
    np.testing.assert_array_equal(
        table.detach().numpy(), -2 * np.bincount(np.where(np.arange(4000) == 7, 0, np.arange(4000) % 5))[:, None] + np.zeros((1, 2))
    )


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    "write",
    [
        lambda t, x, i: x.index_add_(0, i, t.ones(3)),
        lambda t, x, i: x.index_copy_(0, i, t.ones(3)),
        lambda t, x, i: x.index_fill_(0, i, 1.0),
        lambda t, x, i: x.scatter_(0, i, t.ones(3)),
        lambda t, x, i: x.scatter_add_(0, i, t.ones(3)),
        lambda t, x, i: x.put_(i, t.ones(3)),
    ],
)
def test_nothing_is_written_where_a_computed_index_is_wrong(write, compiled):
    x, weights = shim.zeros(4), shim.ones(300, 300).triu()

    def step():
        found = weights
        for _ in range(8):  # too much to be computed at once
            found = (found @ weights).softmax(-1)
        write(shim, x, found.argmax(1)[:3])

    with pytest.raises((IndexError, RuntimeError), match="299"):
        (shim.compile(step) if compiled else step)()
    assert x.tolist() == [0.0] * 4


def test_what_beta_ignores():
    """With beta = 0 the input's values do not count, not even NaN."""

    def program(t):
        nan, m = t.full((3, 3), float("nan")), t.arange(9.0).reshape(3, 3)
        return [
            t.addmm(nan, m, m, beta=0),
            t.addmv(nan[0], m, m[0], beta=0, alpha=2),
            t.addr(nan, m[0], m[1], beta=0),
            t.addbmm(nan, m[None], m[None], beta=0),
            t.baddbmm(nan[None], m[None], m[None], beta=0),
        ]

    same(program)
