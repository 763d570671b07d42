"""resize_ beyond a tensor's memory: the memory grows for every tensor that sees it, as in PyTorch."""

from __future__ import annotations

import copy
import io
import warnings

import numpy as np
import pytest
from twin import same, same_error


def base(t):
    x = t.arange(4)
    view, other = x[:2], x.detach()
    x.resize_(8)
    x[0], x[4:], view[1], other[2] = 9, 5, 7, 3
    print(x.stride(), x.untyped_storage().nbytes(), view.untyped_storage().nbytes(), view.data_ptr() == x.data_ptr())
    return x, view, other


def view(t):
    """A view that grows beyond its base, which another view sees, too; and again."""
    x = t.arange(6.0)
    part, rows = x[2:4], x.view(2, 3)
    part.resize_(6).zero_()
    rows.add_(1)
    print(part.storage_offset(), x.tolist(), part.tolist())
    x.resize_(2).resize_(3, 4).fill_(4)
    return x, part, rows


def out(t):
    """An out that is a view writes its base, with torch's warning."""
    x = t.arange(4.0)
    part = x[1:]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        t.add(t.ones(2, 5), 1, out=part)
    print(len(caught))
    empty = t.zeros(0)
    same_memory = empty.view(0)
    t.cat([t.ones(2), t.ones(2)], out=empty)
    return x, part, empty, same_memory


def types(t):
    """Bytes of the same memory."""
    x = t.arange(4, dtype=t.int32)
    numbers = x.view(t.uint8)
    x.resize_(6)
    x[0], numbers[1] = 258, 2
    numbers.resize_(26)
    print(numbers.shape)
    return x[:4], numbers[:16]


def transposed(t):
    x = t.ones(2, 2)
    y = x.t()
    x.resize_(3, 3)
    y[0, 1] = 4
    return x[0], x.view(-1)[:4], y


def with_numpy(t):
    x = t.arange(3.0)
    part = x[:2]
    x.resize_(5)
    x[3:] = 0
    array = part.numpy()
    x[0], array[1] = 8, 4
    print(array.tolist())
    return x, part


def copies(t):
    x = t.arange(4.0)
    part = x[:2]
    x.resize_(5)
    x[4] = 0
    first = copy.deepcopy([x, part])
    file = io.BytesIO()
    t.save([x, part], file)
    file.seek(0)
    second = t.load(file)
    first[0][0], second[0][0] = 7, 8
    return first, second


def versions(t):
    x = t.ones(3)
    part = x.view(3)
    x.resize_(3)
    print(x._version, part._version)
    x.resize_(4)
    x.add_(1)
    print(x._version, part._version)
    return part * 2, part.sum(), part.clone()


def inside(t):
    """In a function that torch.compile compiles."""

    def function(x):
        y = x * 1
        part = y[:2]
        y.resize_(6)
        y[0], y[4:] = 9, 1
        return part.clone(), y[:4].clone()

    compiled = t.compile(function, backend="eager")
    return [compiled(t.arange(4.0) + i) for i in range(3)]


def without_numbers(t):
    x = t.ones(2, device="meta")
    part = x[:1]
    print(x.resize_(5), part)


@pytest.mark.filterwarnings("ignore:TypedStorage")
@pytest.mark.parametrize("program", [base, view, out, types, transposed, with_numpy, copies, versions, inside, without_numbers])
def test_programs(program):
    same(program)


def test_what_was_saved_for_backward_is_seen_to_change():
    def program(t):
        x = t.ones(3)
        leaf = x.view(3)
        x.resize_(4)
        leaf.requires_grad_()
        loss = (leaf * leaf).sum()
        x[0] = 5
        loss.backward()

    same_error(program, RuntimeError, "modified by an inplace operation")


def test_memory_of_numpy_does_not_grow():
    array = np.zeros(2)
    same_error(lambda t: t.from_numpy(array).resize_(5), RuntimeError, "not resizable")


@pytest.mark.parametrize("name", ["cat", "hstack"])
def test_an_out_that_grows_over_an_operand_is_refused(name):
    def program(t):
        x = t.zeros(0)
        getattr(t, name)([x, t.ones(2)], out=x)

    same_error(program, RuntimeError, "refer to a single memory location")
