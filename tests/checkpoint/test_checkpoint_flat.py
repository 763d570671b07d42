"""flatten and unflatten: inverse of each other, and clear about names that cannot be."""

import doctest
import importlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funnn.checkpoint import flatten, unflatten

names = st.text(st.characters(exclude_characters=".", exclude_categories=("Cs",)), min_size=1, max_size=4)
trees = st.dictionaries(names, st.recursive(st.integers(), lambda inner: st.dictionaries(names, inner, min_size=1, max_size=3)), max_size=3)


@given(trees)
@settings(max_examples=100, deadline=None)
def test_round_trip(tree):
    flat = flatten(tree)
    assert unflatten(flat) == tree
    assert flatten(unflatten(flat)) == flat


def test_order_none_and_empty():
    assert list(flatten({"b": {"y": 1, "x": 2}, "a": 3}).items()) == [("b.y", 1), ("b.x", 2), ("a", 3)]
    assert flatten({"relu": {}, "fc": {"bias": None, "weight": 1}}) == {"fc.weight": 1}
    assert unflatten({}) == {}


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        ({"fc": {"a.b": 1}}, "the name 'a.b' in 'fc' cannot be part of a dotted key; use a non-empty string without '.'"),
        ({"": 1}, "the name '' at the top"),
        ({0: 1}, "the name 0 at the top"),
    ],
)
def test_bad_names(tree, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        flatten(tree)


@pytest.mark.parametrize(
    "flat", [{"fc": 1, "fc.weight": 2}, {"fc.weight": 2, "fc": 1}, {"fc": 1, "fc.a.b": 2}, {"fc": {"bias": 1}, "fc.weight": 2}]
)
def test_key_inside_a_value(flat):
    inner = next(key for key in flat if key != "fc")
    with pytest.raises(ValueError, match=re.escape(f"'fc' holds a value and {inner!r} lies inside it; rename one of them")):
        unflatten(flat)


@pytest.mark.parametrize("key", ["", "fc.", ".fc", "fc..weight"])
def test_empty_parts(key):
    with pytest.raises(ValueError, match=re.escape(f"the key {key!r} has an empty part")):
        unflatten({key: 1})


def test_not_a_dict():
    with pytest.raises(TypeError, match="expected nested dicts, got list; pass the params and state"):
        flatten([1])


@pytest.mark.parametrize("name", ["_flat", "_state_dict"])
def test_examples(name):
    results = doctest.testmod(importlib.import_module(f"funnn.checkpoint.{name}"))
    assert results.attempted > 0
    assert results.failed == 0
