"""Everything public says what it is; and the examples in docstrings run, in every module but the functional kernels (which their own test runs)."""

from __future__ import annotations

import builtins
import doctest
import functools
import importlib
import inspect
import pkgutil
import re
import types
from collections import namedtuple
from typing import Any

import jax
import pytest
from jax.experimental.compilation_cache.compilation_cache import reset_cache

import funnn

SKIPPED = ("funnn.functional", "funnn.__main__", "funnn.examples.digits_torch")  # the last one is a PyTorch script
MODULES = [name for _, name, _ in pkgutil.walk_packages(funnn.__path__, "funnn.") if not name.startswith(SKIPPED)]
#: Those that users import from; what is public of the engine is so under torch's names.
PUBLIC = ["funnn", "funnn.functional", *(name for name in MODULES if not re.search(r"\._(?!_future__)|examples|funnn\.engine", name))]


#: Modules whose examples need an optional package.
OPTIONAL = dict.fromkeys(("funnn.checkpoint._safetensors_read", "funnn.checkpoint._safetensors_write"), "safetensors")


@pytest.fixture
def no_cache_left():
    """JAX's persistent compilation cache as it was: other programs of this process are compiled otherwise where it is on."""
    before = jax.config.values["jax_compilation_cache_dir"]
    yield
    if jax.config.values["jax_compilation_cache_dir"] != before:
        jax.config.update("jax_compilation_cache_dir", before)
        reset_cache()


@pytest.mark.usefixtures("no_cache_left")
@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    if name in OPTIONAL:
        pytest.importorskip(OPTIONAL[name], reason="the examples of this module use it")
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = {test.name for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples}
    assert {"funnn.layers._layer.Layer", "funnn.layers.linear.Linear", "funnn.init.calculate_gain"} <= found


# -- everything public has a docstring

#: Of Python's own types, which what is made of them would show.
BORROWED = {functools.partial.__doc__, *(kind.__doc__ for kind in vars(builtins).values() if inspect.isclass(kind))}
#: Says nothing: the list of fields that Python writes, the name of an inner function, or the text of a function of JAX that one of ours wraps.
EMPTY = re.compile(
    r"\w+\([^()]*\)|(In-place version of|As) (torch\.|`*)(run|write|call|apply|make|function|<lambda>)\b.*|JAX implementation of .*", re.S
)
#: What stands in a class for its data: slots, and fields of named tuples.
DATA = types.MemberDescriptorType, type(namedtuple("One", "field").field)


def says_nothing(doc: str | None) -> bool:
    return doc is None or not doc.strip() or doc in BORROWED or any(map(EMPTY.fullmatch, (doc.strip(), doc.strip().split("\n\n")[0])))


def is_lambda(value: Any) -> bool:
    """Whether a function has no name, nor a signature that is written out."""
    return inspect.isroutine(value) and getattr(inspect.unwrap(value), "__name__", "") == "<lambda>"


def members(kind: type) -> dict[str, Any]:
    """The methods and properties that a class itself defines."""
    public = {name: value for name, value in vars(kind).items() if not name.startswith("_") and not inspect.isclass(value)}
    return {name: value for name, value in public.items() if hasattr(type(value), "__get__") and not isinstance(value, DATA)}


def undocumented(module: types.ModuleType) -> list[str]:
    """The public functions and classes of a module that have no docstring, and methods and properties that have none in any base either."""
    found = []
    for name, value in vars(module).items():
        ours = isinstance(value, functools.partial) or (getattr(value, "__module__", None) or "").startswith("funnn")
        if name.startswith("_") or not callable(value) or not ours:
            continue
        if says_nothing(value.__doc__) or is_lambda(value):
            found.append(name)
        for member, entry in members(value).items() if inspect.isclass(value) else ():
            docs = [getattr(vars(base)[member], "__doc__", None) for base in value.__mro__ if member in vars(base)]
            if all(map(says_nothing, docs)) or is_lambda(getattr(entry, "__func__", entry)):
                found.append(f"{name}.{member}")
    return found


@pytest.mark.parametrize("name", PUBLIC)
def test_everything_public_has_a_docstring(name):
    assert undocumented(importlib.import_module(name)) == []


def test_the_test_above_can_fail():
    class Base:
        """A class."""

        def documented(self):
            """A method."""

    class Silent(Base):
        size = property(lambda self: 0)
        told = property(lambda self: 0, doc="A property.")
        count = staticmethod(lambda: 0)

        def documented(self):  # its base says what it does
            pass

        def silent(self):
            pass

        def _private(self):
            pass

    def write():
        """In-place version of run."""

    def adds():
        """JAX implementation of :func:`numpy.add`.

        Args: …
        """

    def fine():
        """The sum of a and b."""

    planted = types.ModuleType("planted")
    items = {"Silent": Silent, "write": write, "adds": adds, "part": functools.partial(fine), "numel": lambda input: 0, "fine": fine}
    for name, value in items.items():
        if not isinstance(value, functools.partial):
            value.__module__ = "funnn.planted"
        setattr(planted, name, value)
    assert undocumented(planted) == ["Silent", "Silent.size", "Silent.count", "Silent.silent", "write", "adds", "part", "numel"]
    assert len(PUBLIC) > 150 and "funnn.torch.nn.functional" in PUBLIC and "funnn.torch.__future__" in PUBLIC
