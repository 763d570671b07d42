"""Products of what can't be multiplied: the error begins as PyTorch's does."""

import pytest
import torch

import funnn.torch as ft

SHAPES = [
    ("mm", (2, 3), (2, 3)),
    ("mm", (3,), (3, 1)),
    ("mm", (3, 3), (3,)),
    ("bmm", (2, 3), (2, 3, 1)),
    ("bmm", (2, 3, 1), (2, 3)),
    ("bmm", (2, 3, 1), (2, 2, 1)),
    ("bmm", (2, 3, 3), (3, 3, 3)),
    ("mv", (2, 3), (2,)),
    ("mv", (3,), (3,)),
    ("mv", (3, 3), (3, 1)),
    ("dot", (2,), (3,)),
    ("dot", (2, 1), (2,)),
    ("vdot", (2,), (3,)),
    ("matmul", (3, 3), (2,)),
    ("matmul", (3,), (2, 2)),
    ("matmul", (2, 3, 3), (2, 2, 2)),
    ("matmul", (2, 3, 3), (2, 2)),
    ("matmul", (2, 3, 3), (2,)),
    ("linalg.cross", (2, 4), (2, 4)),
    ("linalg.vecdot", (3, 2), (2, 3)),
    ("addmm", (2, 2), (2, 3), (2, 3)),
    ("addmm", (3, 3), (2, 2), (2, 2)),
    ("addmm", (2, 2), (2, 2, 1), (2, 2)),
    ("addmm", (2, 2), (2, 2), (2,)),
    ("addmv", (2,), (2, 3), (2,)),
    ("baddbmm", (1, 2, 2), (2, 2, 2), (3, 2, 2)),
    ("baddbmm", (2, 2, 2), (2, 2, 3), (2, 3, 3)),
    ("addbmm", (2, 2), (2, 2), (3, 2, 2)),
]
#: Name, shapes, and which operands are of the other type.
TYPES = [
    ("mm", [(2, 2), (2, 2)], {1}),
    ("bmm", [(1, 2, 2), (1, 2, 2)], {1}),
    ("mv", [(2, 2), (2,)], {1}),
    ("dot", [(2,), (2,)], {1}),
    ("matmul", [(2, 2, 2), (2, 2, 2)], {1}),
    ("matmul", [(2, 2, 2), (2,)], {1}),
    ("inner", [(2, 2), (2, 2)], {1}),
    ("tensordot", [(2, 2), (2, 2)], {1}),
    ("addmm", [(2, 2), (2, 2), (2, 2)], {0}),
    ("addmm", [(2, 2), (2, 2), (2, 2)], {2}),
    ("addmv", [(2,), (2, 2), (2,)], {0}),
    ("addmv", [(2,), (2, 2), (2,)], {2}),
    ("baddbmm", [(1, 2, 2), (1, 2, 2), (1, 2, 2)], {0}),
    ("baddbmm", [(1, 2, 2), (1, 2, 2), (1, 2, 2)], {2}),
]


def error_of(t, name, operands):
    function = t
    for part in name.split("."):
        function = getattr(function, part)
    with pytest.raises(Exception) as caught:
        function(*operands)
    return type(caught.value), str(caught.value)


def begins_alike(name, ours, theirs):
    kind, text = error_of(ft, name, ours)
    expected, theirs_text = error_of(torch, name, theirs)
    assert kind is expected
    assert text.startswith(theirs_text.rstrip("."))


@pytest.mark.parametrize(("name", "shapes"), [(name, shapes) for name, *shapes in SHAPES], ids=str)
def test_sizes(name, shapes):
    begins_alike(name, [ft.ones(shape) for shape in shapes], [torch.ones(shape) for shape in shapes])


@pytest.mark.parametrize("other", ["double", "half", "bfloat16", "long", "short", "uint8", "bool", "cfloat"])
@pytest.mark.parametrize(("name", "shapes", "which"), TYPES, ids=str)
def test_types(name, shapes, which, other):
    ours, theirs = (
        [t.ones(shape).to(getattr(t, other)) if n in which else t.ones(shape) for n, shape in enumerate(shapes)] for t in (ft, torch)
    )
    begins_alike(name, ours, theirs)
