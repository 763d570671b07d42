"""flatten and unflatten: inverse of each other, and clear about names that cannot be."""

import doctest
import importlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import funnn.torch
from funnn.checkpoint import flatten, from_arrays, to_arrays, unflatten

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


def test_a_leaf_is_no_tree():
    with pytest.raises(TypeError, match="expected nested dicts or another pytree, got int; put it into a dict"):
        flatten(1)


def test_other_containers():
    inner = {
        "list": [1, {"a": 2}],
        "tuple": (3, None, (4,)),
        "empty": (),
        "state": optax.EmptyState(),
        "named": optax.TraceState(trace={"w": 5}),
    }
    expected = {"list.0": 1, "list.1.a": 2, "tuple.0": 3, "tuple.2.0": 4, "named.trace.w": 5}
    assert flatten(inner) == expected and list(flatten(inner)) == list(expected)
    assert flatten([1, 2]) == {"0": 1, "1": 2} and flatten(()) == {}
    with pytest.raises(ValueError, match="cannot be part of a dotted key"):
        flatten({"a": (1,), "a.0": 2})


def test_an_optimizers_state_has_a_leaf_for_each_array():
    params = {"w": jnp.ones(1)}
    tree = {"params": params, "opt_state": optax.adam(0.1).init(params)}
    flat = flatten(tree)
    assert list(flat) == ["params.w", "opt_state.0.count", "opt_state.0.mu.w", "opt_state.0.nu.w"]
    assert set(flat) == set(to_arrays(tree))
    again = from_arrays(flat, tree)
    assert jax.tree.structure(again) == jax.tree.structure(tree)


def test_arrays_of_all_kinds_are_leaves():
    tensor = funnn.torch.nn.Parameter(funnn.torch.ones(1))  # which JAX sees as a container
    leaves = {
        "tensor": tensor,
        "array": jnp.ones(1),
        "numpy": np.ones(1),
        "shape": jax.ShapeDtypeStruct((1,), float),
        "text": "a",
        "f": len,
    }
    assert flatten({"a": leaves}) == {f"a.{name}": leaf for name, leaf in leaves.items()}


@pytest.mark.parametrize("name", ["_flat", "_state_dict", "_arrays"])
def test_examples(name):
    results = doctest.testmod(importlib.import_module(f"funnn.checkpoint.{name}"))
    assert results.attempted > 0
    assert results.failed == 0
