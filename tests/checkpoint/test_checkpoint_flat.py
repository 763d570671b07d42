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


@pytest.mark.parametrize("inner", [[1], (1,), (), optax.EmptyState()], ids=["list", "tuple", "empty", "EmptyState"])
def test_other_containers_are_refused(inner):
    text = f"'fc.bias' holds a {type(inner).__name__}, and dotted keys lead through dicts only; for another pytree, such as a TrainState"
    with pytest.raises(TypeError, match=re.escape(text)):
        flatten({"fc": {"bias": inner}})


def test_an_optimizers_state_is_refused_with_the_way():
    opt_state = optax.adam(0.1).init({"w": jnp.ones(1)})
    text = "a TrainState or an optimizer's state, use checkpoint.to_arrays and from_arrays"
    with pytest.raises(TypeError, match=f"'opt_state' holds a tuple, .*{text}"):
        flatten({"params": {"w": jnp.ones(1)}, "opt_state": opt_state})
    with pytest.raises(TypeError, match=f"expected nested dicts, got tuple; pass the params .*{text}"):
        flatten(opt_state)


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
