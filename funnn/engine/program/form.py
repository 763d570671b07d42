"""The functions of arrays that graphs are made of."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from funnn.engine.program.sizes import Pattern, Vector, find_patterns
from funnn.engine.program.statics import sizes_of, with_sizes
from funnn.engine.program.traced import Traced, trace_for, vector_of
from funnn.engine.program.value import Residuals, Value
from funnn.engine.types import settings as _settings

_EXAMPLES, _TRIED = 4, 12  # vectors of sizes that are compared, and patterns that are tried, for operands of one kind
_SHAPES, _FAMILIES = 1024, 20_000  # kinds of operands that a form remembers, and families


class Form:
    """A pure function ``(*operands) -> (results, note)``, with the shapes of what it gives for operands of every kind that has come.

    Operands are arrays, Python numbers, and vjps of earlier forms. ``results`` is a tuple of arrays, the last of which may be a vjp, a function of
    gradients that is a pytree of what it keeps; ``note`` is a static pytree that tells what was learnt while tracing, or None. It says nothing of sizes:
    of all forms of a family it is the same.

    Args:
      function: the function.
      family: the forms that differ from this one in static sizes alone; None: it is alone.
      sizes: its static sizes.
      exact: whether it is traced for each shape, never for all.

    Attributes:
      owner: the object whose method the function is, or None.
      derived: the forms of what transformations make of the function.
    """

    __slots__ = ("__dict__", "__weakref__", "derived", "exact", "family", "function", "owner", "shaped", "sizes")

    def __init__(
        self,
        function: Callable[..., Any],
        family: Family | None = None,
        sizes: tuple[int, ...] = (),
        exact: bool = False,
    ):
        self.function, self.sizes, self.exact = function, sizes, exact
        self.owner: Any = getattr(function, "__self__", None)
        self.family = Family(lambda sizes: function) if family is None else family
        self.shaped: dict[tuple[Any, ...], Shaped] = {}
        self.derived: dict[Any, Form] = {}

    @functools.cached_property
    def run(self) -> Any:
        """The function compiled."""
        return jax.jit(self.function, inline=True)

    def of(self, operands: list[Any]) -> Shaped:
        """The form for operands of these kinds."""
        kinds = tuple([operand.kind if isinstance(operand, (Value, Residuals)) else type(operand) for operand in operands])
        key = kinds, _settings.products
        shaped = self.shaped.get(key)
        if shaped is None:
            if len(self.shaped) >= _SHAPES:
                self.shaped.clear()
            shaped = self.shaped[key] = self._shape(kinds)
        return shaped

    def _shape(self, kinds: tuple[Any, ...]) -> Shaped:
        source = kinds[0] if kinds and isinstance(kinds[0], Shaped) else None
        found = None
        if source is not None:
            found = None if self.exact else source.pulled(self, kinds[1:])
        elif not self.exact and not any(_is_vjp(kind) for kind in kinds):
            found = self.family.find(kinds, self.sizes)
        shaped = Shaped(self, kinds, *(found or (Traced(self.run, [_operand_of(kind) for kind in kinds]), ())))
        shaped.reads_leaves = source is None or found is not None or not source.traced.symbols
        return shaped


class Family:
    """Forms that differ in static sizes alone, and what is known of them for all sizes.

    Args:
      make: static sizes -> the function.

    Attributes:
      derived: the families of what transformations make of the functions.
    """

    __slots__ = ("derived", "known", "make")

    def __init__(self, make: Callable[[tuple[Any, ...]], Callable[..., Any]]):
        self.make = make
        self.known: dict[tuple[Any, ...], _Sizes] = {}  # by the operands' dtypes and ranks
        self.derived: dict[Any, Family] = {}

    def find(self, kinds: tuple[Any, ...], sizes: tuple[int, ...]) -> tuple[Traced, Vector] | None:
        """A trace for all sizes, and the values of its symbols; None where these have to be traced for themselves."""
        kind = (
            tuple([kind if isinstance(kind, type) else (len(kind[0]), kind[1]) for kind in kinds]),
            _settings.products,
        )
        known = self.known.get(kind)
        if known is None:
            known = self.known[kind] = _Sizes()
        vector = vector_of(kinds, sizes)
        for traced in known.general:
            values = traced.pattern.match(vector)
            if values is not None and _are_sizes(traced.shapes(*values)):
                return traced, values
        for pattern in known.patterns(vector):
            known.tried.add(pattern)
            made = trace_for(self.make, kinds, len(sizes), pattern)
            values = pattern.match(vector) or ()
            if made is not None:
                known.general.append(made)
                if _are_sizes(made.shapes(*values)):
                    return made, values
        known.keep(vector)
        return None


class _Sizes:
    """What came of operands of one kind.

    Attributes:
      vectors: some of the sizes that were traced for themselves; general: the traces for all that fit a pattern; tried: the patterns that were tried.
    """

    __slots__ = ("general", "tried", "vectors")

    def __init__(self) -> None:
        self.vectors: list[Vector] = []
        self.general: list[Any] = []
        self.tried: set[Pattern] = set()

    def patterns(self, vector: Vector) -> Iterator[Pattern]:
        """Those of this vector and earlier ones that are worth a trace: of all that differ where sizes are known to vary, then of the nearest one."""
        if not self.vectors or vector in self.vectors:
            return
        varying = {place for traced in self.general for place, *_ in traced.pattern.affine}
        nearest = min(self.vectors, key=lambda other: len(_differing(vector, other)))
        varying |= _differing(vector, nearest)
        alike = [other for other in self.vectors if _differing(vector, other) <= varying]
        for examples in ([*alike, vector], [nearest, vector]):
            for pattern in find_patterns(examples):
                if len(self.tried) < _TRIED and pattern not in self.tried and pattern.match(vector) is not None:
                    yield pattern

    def keep(self, vector: Vector) -> None:
        if vector not in self.vectors:
            del self.vectors[: len(self.vectors) + 1 - _EXAMPLES]
            self.vectors.append(vector)


def _are_sizes(results: tuple[Any, ...]) -> bool:
    """Whether there can be such results: a kernel does not check its operands' sizes where they are symbols (a window that is larger than an image)."""
    return all(size > 0 for shape, _ in results for size in shape)


def _differing(a: Vector, b: Vector) -> set[int]:
    return {place for place, (x, y) in enumerate(zip(a, b, strict=True)) if x != y}


class Families:
    """Families of forms by what their static arguments have in common."""

    def __init__(self) -> None:
        self._known: dict[Any, Family] = {}

    def form(self, statics: Any, make: Callable[[Any], Callable[..., Any]], *common: Any) -> Form:
        """A form, in its family.

        Args:
          statics: its static arguments.
          make: such arguments -> the function.
          common: what its family has in common beside them.
        """
        template, sizes = sizes_of(statics)
        family = self._known.get((template, *common))
        if family is None:
            if len(self._known) >= _FAMILIES:
                self._known.clear()
            family = self._known[template, *common] = Family(lambda sizes: make(with_sizes(statics, iter(sizes))))
        return Form(make(statics), family, sizes)


def forms_of(make: Callable[..., Callable[..., Any]]) -> Callable[..., Form]:
    """Static arguments, which are hashable -> the form of the function that ``make`` makes of them."""
    families = Families()
    return functools.lru_cache(maxsize=4096)(lambda *statics: families.form(statics, lambda given: make(*given)))


class Shaped:
    """A form for operands of given kinds.

    Attributes:
      traced, values: its trace, and the values of the symbols there.
      results: (shape, dtype) of each array that it gives; vjp: whether a vjp comes after them; note: what the form notes.
      reads_leaves: whether its trace reads a vjp among the operands by the leaves that the vjp's own trace gives.
      spent: seconds that running it without its program took, about; compiled: whether it has one.
    """

    __slots__ = ("_outline", "_work", "compiled", "form", "kinds", "note", "reads_leaves", "results", "spent", "traced", "values", "vjp")

    def __init__(self, form: Form, kinds: tuple[Any, ...], traced: Traced, values: Vector):
        self.form, self.kinds, self.traced, self.values = form, kinds, traced, values
        self.results, self.note = traced.shapes(*values), traced.note
        self.vjp = traced.vjp is not None
        self.reads_leaves = True
        self.spent, self.compiled = 0.0, False
        self._outline: Any = None
        self._work: float | None = None

    @property
    def work(self) -> float:
        """Seconds that NumPy takes for it, about."""
        if self._work is None:
            self._work = self.traced.work(*self.values)
        return self._work

    def pulled(self, form: Form, gradients: tuple[Any, ...]) -> tuple[Traced, Vector] | None:
        """The trace of a form of this one's vjp and gradients, and the values of its symbols."""
        if not self.traced.symbols:
            return None
        places = [_like(gradient, number, self.results) for number, gradient in enumerate(gradients)]
        traced = None if None in places else self.traced.pull(form.function, tuple(places))
        return None if traced is None else (traced, self.values)

    def describe(self) -> tuple[str, tuple[int, ...], tuple[Any, ...]]:
        """Its name, static sizes, and the operands' shapes and dtypes."""
        kinds = [kind.__name__ if isinstance(kind, type) else "vjp" if _is_vjp(kind) else (kind[0], str(kind[1])) for kind in self.kinds]
        return name_of(self.form), self.form.sizes, tuple(kinds)

    @property
    def outline(self) -> Any:
        """The vjp with shapes and dtypes for arrays."""
        if self._outline is None:
            exact = self.traced if not self.traced.symbols else Traced(self.form.run, [_operand_of(kind) for kind in self.kinds])
            self._outline = exact.vjp
        return self._outline


def _like(gradient: Any, number: int, results: Sequence[Any]) -> tuple[int, int] | None:
    """A result of whose shape the gradient's is, but for dimensions in front: its number, and how many they are."""
    for place in (number, *range(len(results))):
        shape, dtype = results[place] if place < len(results) else ((), None)
        ahead = len(shape) - len(gradient[0])
        if dtype == gradient[1] and ahead >= 0 and shape[ahead:] == gradient[0]:
            return place, ahead
    return None


def name_of(form: Form) -> str:
    """What to call a form: by the operation that it is of, or by its function."""
    op = getattr(form.owner, "op", None)
    return str(op.name if op is not None else form.function.__qualname__.partition(".<locals>")[0].strip("_"))


def _is_vjp(kind: Any) -> bool:
    return isinstance(kind, Shaped) or (isinstance(kind, tuple) and isinstance(kind[0], jax.tree_util.PyTreeDef))


def _operand_of(kind: Any) -> Any:
    """An operand of this kind without numbers."""
    if isinstance(kind, Shaped):
        return kind.outline
    if isinstance(kind, type):
        return kind()
    if isinstance(kind[0], tuple):
        return jax.ShapeDtypeStruct(*kind)
    return jax.tree.unflatten(kind[0], [jax.ShapeDtypeStruct(*leaf) for leaf in kind[1:]])


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


def _pull(vjp: Callable[..., Any], *gradients: Any) -> tuple[tuple[Any, ...], None]:
    return tuple(map(strong, vjp(gradients))), None


def _leaves(vjp: Any) -> tuple[tuple[Any, ...], None]:
    return tuple(jax.tree.leaves(vjp)), None


#: What pulls gradients through a vjp: (vjp, *gradients) -> one for each input.
PULL = Form(_pull)
#: What a vjp keeps, for the hooks that pack it.
LEAVES = Form(_leaves, exact=True)
