"""A form traced: for operands of one kind, or once for all sizes that fit a pattern."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr

from funnn.engine.program.garbage import Uncollected
from funnn.engine.program.interpret import Untranslatable, translate
from funnn.engine.program.sizes import Pattern, Vector
from funnn.engine.types import settings as _settings

#: Seconds that NumPy takes for a primitive, an element and a multiplication with an addition; and that XLA takes to compile a program, and each
#: primitive in it. Rounded figures of a slow core: what is chosen by them is the same in every run, as nothing measured would be.
_CALL, _ELEMENT, _PRODUCT = 2e-6, 1e-9, 5e-11
COMPILE, _COMPILE_PRIMITIVE = 2e-2, 2e-3


class Traced:
    """A function traced for operands of given shapes, where some sizes may be symbols.

    Args:
      function: of flat operands, as a form's.
      operands: their shapes and dtypes (``jax.ShapeDtypeStruct``), Python numbers, and pytrees of such for vjps.
      pattern, symbols: of the sizes; None and () where nothing is symbolic.

    Attributes:
      results: (shape, dtype) of each array among the results; note: what the function notes, ``refined`` by the jaxpr if it can be.
      vjp: the pytree that is the last result, or None; jaxpr: of the leaves.
    """

    def __init__(
        self, function: Callable[..., Any], operands: Sequence[Any], pattern: Pattern | None = None, symbols: tuple[str, ...] = ()
    ):
        self.pattern, self.symbols = pattern, symbols
        with _settings.running(), Uncollected():
            # a jit that inlines, or one that is made for this trace alone
            traced = (function if hasattr(function, "trace") else jax.jit(function)).trace(*operands)
        self.jaxpr: ClosedJaxpr = traced.jaxpr
        results, self.note = traced.out_info
        if hasattr(self.note, "refined"):
            self.note = self.note.refined(self.jaxpr.jaxpr)
        self.vjp: Any = results[-1] if results and not hasattr(results[-1], "dtype") else None
        arrays = results[:-1] if self.vjp is not None else results
        self.results = tuple([(result.shape, np.dtype(result.dtype)) for result in arrays])
        self.pulls: dict[Any, Traced | None] = {}

    @functools.cached_property
    def shapes(self) -> Callable[..., tuple[tuple[tuple[int, ...], np.dtype], ...]]:
        """The results' shapes and dtypes for values of the symbols."""
        if not self.symbols:
            return lambda: self.results
        texts = [f"(({''.join(f'{size}, ' for size in shape)}), d[{number}])" for number, (shape, _) in enumerate(self.results)]
        return _evaluate(self.symbols, f"({''.join(f'{text}, ' for text in texts)})", d=[dtype for _, dtype in self.results])

    @functools.cached_property
    def work(self) -> Callable[..., float]:
        """Seconds that NumPy takes for it, about, for values of the symbols."""
        calls, elements, products = _count(self.jaxpr.jaxpr)
        return _evaluate(self.symbols, f"{_CALL} * ({calls}) + {_ELEMENT} * ({elements}) + {_PRODUCT} * ({products})")

    @functools.cached_property
    def purchase(self) -> float:
        """Seconds that compiling it takes, about."""
        return COMPILE + _COMPILE_PRIMITIVE * _equations(self.jaxpr.jaxpr)

    @functools.cached_property
    def program(self) -> Callable[..., tuple[np.ndarray, ...]] | None:
        """What computes it with NumPy, whose warnings the caller silences: (*values of the symbols, *operands) -> leaves; None where something has
        no rule."""
        try:
            with _settings.running(), Uncollected():
                return translate(self.jaxpr, self.symbols, silenced=True)
        except (Untranslatable, LookupError, AttributeError):  # the latter: parameters that another version of JAX has otherwise
            return None

    @functools.cached_property
    def dtypes(self) -> list[np.dtype]:
        """The dtypes of the operands, flat."""
        return [np.dtype(variable.aval.dtype) for variable in self.jaxpr.jaxpr.invars]

    def pull(self, function: Callable[..., Any], gradients: tuple[Any, ...]) -> Traced | None:
        """The function traced for this vjp and gradients; None where it can't be traced without the sizes.

        Args:
          gradients: of each the number of a result that has its shape, and how many of that one's dimensions it lacks in front.
        """
        if (function, gradients) not in self.pulls:
            leaves, structure = jax.tree.flatten(self.vjp)
            smooth = [jax.ShapeDtypeStruct(self.results[place][0][ahead:], self.results[place][1]) for place, ahead in gradients]

            def pulled(*operands: Any) -> Any:
                return function(jax.tree.unflatten(structure, operands[: len(leaves)]), *operands[len(leaves) :])

            try:
                traced = Traced(
                    pulled, [*[jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves], *smooth], self.pattern, self.symbols
                )
            except _NOT_GENERAL:
                traced = None
            self.pulls[function, gradients] = traced
        return self.pulls[function, gradients]


#: What a trace raises that asks a symbol for its size, or compares two.
_NOT_GENERAL = (Exception,)


def trace_for(make: Callable[[tuple[Any, ...]], Callable[..., Any]], kinds: Sequence[Any], count: int, pattern: Pattern) -> Traced | None:
    """A form traced for all vectors of the pattern: ``count`` static sizes, then those of the operands. None where it needs to know them."""
    vector, symbols = pattern.symbolic()
    statics, rest = tuple(vector[:count]), iter(vector[count:])
    try:
        operands = [kind() if isinstance(kind, type) else jax.ShapeDtypeStruct([next(rest) for _ in kind[0]], kind[1]) for kind in kinds]
        return Traced(make(statics), operands, pattern, symbols)
    except _NOT_GENERAL:
        return None


def vector_of(kinds: Sequence[Any], statics: tuple[int, ...]) -> Vector:
    """Static sizes, then those of the operands."""
    return (*statics, *[size for kind in kinds if not isinstance(kind, type) for size in kind[0]])


def _evaluate(symbols: tuple[str, ...], text: str, **names: Any) -> Callable[..., Any]:
    names.update(floordiv=int.__floordiv__, mod=int.__mod__, max=max, min=min)
    evaluate: Callable[..., Any] = eval(f"lambda {', '.join(symbols)}: {text}", names)  # the text is JAX's own, of symbols and numbers
    return evaluate


def _equations(jaxpr: Jaxpr) -> int:
    return sum(1 + sum(_equations(inner) for inner in _inner(equation)) for equation in jaxpr.eqns)


def _inner(equation: Any) -> list[Jaxpr]:
    found = []
    for value in equation.params.values():
        for item in value if isinstance(value, (tuple, list)) else (value,):
            item = getattr(item, "jaxpr", item)
            if isinstance(item, Jaxpr):
                found.append(item)
    return found


def _count(jaxpr: Jaxpr) -> tuple[Any, Any, Any]:
    """Primitives, elements and products, as numbers or expressions of the symbols."""
    calls: Any = 0
    elements: Any = 0
    products: Any = 0
    for equation in jaxpr.eqns:
        inner = _inner(equation)
        times = equation.params["length"] if equation.primitive.name == "scan" else 1
        for part in inner:
            more = _count(part)
            calls, elements, products = calls + times * more[0], elements + times * more[1], products + times * more[2]
        if inner or not equation.outvars:
            continue
        size = math.prod(_shape(equation.outvars[0]))
        calls, elements = calls + 1, elements + size
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            products += size * math.prod(_shape(equation.invars[0])[axis] for axis in contracted)
        elif equation.primitive.name == "conv_general_dilated":
            kernel, numbers = _shape(equation.invars[1]), equation.params["dimension_numbers"]
            products += 4 * size * math.prod(kernel) // kernel[numbers.rhs_spec[0]]  # windows are copied too
    return calls, elements, products


def _shape(variable: Any) -> tuple[Any, ...]:
    shape: tuple[Any, ...] = variable.aval.shape
    return shape
