"""The examples in docstrings run, in every module but the functional kernels (which their own test unwraps and runs)."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import funnn

SKIPPED = ("funnn.functional", "funnn.__main__", "funnn.examples.digits_torch")  # the last one is a PyTorch script
MODULES = [name for _, name, _ in pkgutil.walk_packages(funnn.__path__, "funnn.") if not name.startswith(SKIPPED)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = {test.name for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples}
    assert {"funnn.layers._layer.Layer", "funnn.layers.linear.Linear", "funnn.init.calculate_gain"} <= found
