"""Sizes that vary, as symbols: which patterns are found, which vectors fit them, and static arguments apart from their sizes."""

import typing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnn.engine.program.sizes import find_patterns
from funnn.engine.program.statics import sizes_of, with_sizes


def first(*vectors):
    return next(find_patterns(vectors))


def test_what_differs_becomes_a_symbol():
    pattern = first((3, 64, 5), (7, 64, 5))
    assert pattern.match((9, 64, 5)) == (9,)
    assert pattern.match((9, 65, 5)) is None
    vector, names = pattern.symbolic()
    assert (list(map(str, vector)), names) == (["s0", "64", "5"], ("s0",))


def test_sizes_that_grow_together_are_one_symbol():
    pattern = first((3, 4, 12, 2), (5, 6, 20, 2))
    vector, names = pattern.symbolic()
    assert (list(map(str, vector)), names) == (["s0", "s0 + 1", "4*s0", "2"], ("s0",))
    assert pattern.match((10, 11, 40, 2)) == (10,)
    assert pattern.match((10, 12, 40, 2)) is None


def test_a_third_vector_tells_what_only_seemed_to_grow_together():
    pattern = first((3, 30), (4, 31), (5, 50))
    assert pattern.symbolic()[1] == ("s0", "s1")
    assert pattern.match((100, 7)) == (100, 7)


@pytest.mark.parametrize("vector", [(1, 64), (0, 64), (64, 64)], ids=["one", "none", "equal by chance"])
def test_sizes_for_which_a_trace_would_go_another_way_do_not_fit(vector):
    assert first((3, 64), (7, 64)).match(vector) is None


def test_the_order_of_sizes_comes_second():
    _, ordered = find_patterns([(3, 500), (7, 500)])
    assert ordered.match((9, 500)) == (9,)
    vector, _ = ordered.symbolic()
    assert (vector[0] < 500) is True  # without it JAX can't tell
    _, other = find_patterns([(600, 500), (700, 500)])
    assert other.match((9, 500)) is None and other.match((501, 500)) == (501,)


@given(st.lists(st.tuples(*[st.integers(1, 9)] * 3), min_size=2, max_size=4, unique=True))
def test_a_pattern_gives_back_the_vectors_that_fit_it(vectors):
    for pattern in find_patterns(vectors):
        symbolic, names = pattern.symbolic()
        for vector in vectors:
            values = pattern.match(vector)
            if values is not None:
                assert tuple(eval(str(size), dict(zip(names, values, strict=True))) for size in symbolic) == vector


class Plan(typing.NamedTuple):
    kind: str
    shape: tuple
    step: float


def test_static_arguments_apart_from_their_sizes():
    static = (Plan("slice", (3, 4), 0.5), [7, None, True], {"dim": -1}, slice(None, 8, 2), np.float32)
    template, sizes = sizes_of(static)
    assert sizes == (3, 4, 7, -1, 8, 2)
    other = with_sizes(static, iter((30, 40, 70, 1, 80, 20)))
    assert other == (Plan("slice", (30, 40), 0.5), [70, None, True], {"dim": 1}, slice(None, 80, 20), np.float32)
    assert type(other[0]) is Plan and sizes_of(other)[0] == template == sizes_of(static)[0] and hash(template) == hash(sizes_of(other)[0])


@pytest.mark.parametrize("a, b", [(1.0, 1), (True, 1), (0.0, -0.0), ((1,), [1]), ({"a": 1}, {"b": 1})])
def test_templates_differ(a, b):
    assert sizes_of(a)[0] != sizes_of(b)[0]
