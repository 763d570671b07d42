"""Functions of nested arrays as functions of nested Values, recorded like any operation."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from funnn.engine.program.form import Form, strong
from funnn.engine.program.graph import compute, record
from funnn.engine.program.programs import Computing
from funnn.engine.program.traced import Traced
from funnn.engine.program.value import Value, is_on_cpu
from funnn.engine.state import thread

_NUMBERS = (float, int, bool, complex)


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class _Structure:
    of: Any


def lift(function: Callable[..., Any]) -> Callable[..., Any]:
    """A pure function of arrays and numbers in lists, tuples and dicts, as one of Values and numbers in such; also a decorator."""
    forms: dict[Any, Form] = {}

    @functools.wraps(function)
    def lifted(*args: Any) -> Any:
        leaves, structure = jax.tree.flatten(args)
        form = forms.get(structure)
        if form is None:
            form = forms[structure] = Form(_flat(function, structure))
        operands = [leaf if isinstance(leaf, Value) or type(leaf) in _NUMBERS else Value(leaf) for leaf in leaves]
        if thread.tracing is not None:
            results, note = compute(form, operands)
        else:
            results, step = record([form], operands, form)
            note = step.shaped.note
        return jax.tree.unflatten(note.of, results)

    return lifted


def _flat(function: Callable[..., Any], structure: Any) -> Callable[..., tuple[tuple[Any, ...], _Structure]]:
    def flat(*leaves: Any) -> tuple[tuple[Any, ...], _Structure]:
        results, of = jax.tree.flatten(function(*jax.tree.unflatten(structure, leaves)))
        return tuple(map(strong, results)), _Structure(of)

    return flat


def constants(function: Callable[[], list[Any]]) -> Callable[[], list[Value]]:
    """A function without arguments that gives arrays, as one that gives them as known Values, computed at once and anew at every call."""
    traced = Traced(lambda: (tuple(map(strong, function())), None), [])
    compute = traced.program if is_on_cpu() and traced.program is not None else None
    compiled = jax.jit(function)

    def give() -> list[Value]:
        if compute is not None:
            with np.errstate(all="ignore"):
                return [Value(np.array(array, order="C")) for array in compute()]
        with Computing():
            return list(map(Value, compiled()))

    return give
