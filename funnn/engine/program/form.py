"""The functions of arrays that graphs are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from funnn.engine.program.value import Residuals, Value
from funnn.engine.types import settings as _settings


class Form:
    """A pure function ``(*operands) -> (results, note)``, with the shapes of what it gives for operands of every kind that has come.

    Operands are arrays, Python numbers, and vjps of earlier forms. ``results`` is a tuple of arrays, the last of which may be a vjp, a function of
    gradients that is a pytree of what it keeps; ``note`` is a static pytree that tells what was learnt while tracing, or None.
    """

    __slots__ = ("__weakref__", "function", "run", "shaped")

    def __init__(self, function: Callable[..., tuple[tuple[Any, ...], Any]]):
        self.function = function
        self.run = jax.jit(function, inline=True)
        self.shaped: dict[tuple[Any, ...], Shaped] = {}

    def of(self, operands: list[Any]) -> Shaped:
        """The form for operands of these kinds."""
        kinds = tuple([operand.kind if isinstance(operand, (Value, Residuals)) else type(operand) for operand in operands])
        shaped = self.shaped.get(kinds)
        if shaped is None:
            shaped = self.shaped[kinds] = Shaped(self, operands)
        return shaped


class Shaped:
    """A form for operands of given kinds.

    Attributes:
      results: (shape, dtype) of each result; of a vjp, its pytree of shapes and dtypes.
      note: what the form notes.
    """

    __slots__ = ("form", "note", "results", "vjp")

    def __init__(self, form: Form, operands: list[Any]):
        self.form = form
        with _settings.running(), jax.ensure_compile_time_eval():
            results, self.note = jax.eval_shape(form.run, *map(outline, operands))
        self.results = tuple([(result.shape, result.dtype) if hasattr(result, "dtype") else result for result in results])
        #: whether the last result is a vjp
        self.vjp = bool(results) and not hasattr(results[-1], "dtype")


def outline(operand: Any) -> Any:
    """The operand without its numbers."""
    if isinstance(operand, Value):
        return jax.ShapeDtypeStruct(operand.shape, operand.dtype)
    if isinstance(operand, Residuals):
        return operand.outline
    return operand


def strong(array: Any) -> Any:
    """The array, never weakly typed, so that only its dtype counts later."""
    array = jnp.asarray(array)
    return lax.convert_element_type(array, array.dtype) if array.weak_type else array
