"""What values are inside a transformation, and what a form computes of them.

Inside vmap a value stands for one example of many: a :class:`Batched` value, around one that has the examples in its first dimension. In forward mode
it is a :class:`Dual`, around a value and its tangent. A form of such values is another form, :func:`mapped` or :func:`with_tangents`, of what they are
around. So transformations nest, and at the bottom is what runs without any: a record in the pending graph.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.interpreters import ad

from funnn.engine.program.form import Family, Form
from funnn.engine.program.value import Residuals, Value

#: Of an operand of a form whether it is inside; of a vjp, of each of its leaves.
Flags = bool | tuple[bool, ...]


class Inside(Value):
    """A value inside a transformation.

    Attributes:
      level: the transformation; below: the value that it is around.
    """

    __slots__ = ("_tracer", "below", "level")

    def __init__(self, level: Any, below: Value, shape: tuple[int, ...]):
        self.level, self.below, self.shape, self.dtype = level, below, shape, below.dtype
        self.graph = self.numbers = self._tracer = None

    @property
    def array(self) -> Any:  # a slot there
        """JAX's tracer, for a function of arrays that runs at once."""
        if self._tracer is None:
            self._tracer = self.level.tracer(self)
        return self._tracer

    def known(self) -> Any:
        return self.array

    def on_device(self) -> Any:
        return self.array

    @property
    def traced(self) -> bool:
        return True

    @property
    def kind(self) -> Any:
        return self.shape, self.dtype


class Batched(Inside):
    """One example of many, which ``below`` has in its first dimension."""

    __slots__ = ()

    def __init__(self, level: Any, below: Value):
        super().__init__(level, below, below.shape[1:])

    def around(self, below: Value) -> Batched:
        """Another value instead of the one that this is around."""
        return Batched(self.level, below)


class Dual(Inside):
    """A value with a tangent."""

    __slots__ = ("tangent",)

    def __init__(self, level: Any, below: Value, tangent: Value):
        super().__init__(level, below, below.shape)
        self.tangent = tangent

    def around(self, below: Value) -> Dual:
        """Another value instead of the one that this is around."""
        return Dual(self.level, below, self.tangent)


class InsideResiduals(Residuals):
    """A vjp inside a transformation.

    Attributes:
      level: the transformation.
      below: the vjp that it is around: with examples in the first dimension of its leaves, or a pair of the vjp and the tangents of its leaves.
      flags: of each leaf whether it is inside.
    """

    __slots__ = ("below", "flags", "level")

    def __init__(self, level: Any, below: Residuals, flags: tuple[bool, ...]):
        self.level, self.below, self.flags = level, below, flags
        self.graph = None

    @property
    def array(self) -> Any:  # a slot there
        """The vjp of tracers, for a function of arrays that runs at once."""
        return self.level.traced_vjp(self)

    def known(self) -> Any:
        return self.array

    @property
    def interpreted(self) -> bool:
        return False

    @property
    def outline(self) -> Any:
        outline = self.below.outline
        return self.level.outline_of(outline)


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class Transformed:
    """What a transformed form notes.

    Attributes:
      note: what the form itself notes.
      arrays: of each array that it gives whether it is inside; vjp: of each leaf of the vjp; None: there is no vjp.
    """

    note: Any
    arrays: tuple[bool, ...]
    vjp: tuple[bool, ...] | None


def _derived(form: Form, transform: Callable[..., Any], *rest: Any) -> Form:
    """The form of the transformed function, in the family of the transformed functions of the form's family."""
    key = (transform, *rest)
    found = form.derived.get(key)
    if found is None:
        family = form.family.derived.get(key)
        if family is None:
            make = form.family.make
            family = form.family.derived[key] = Family(lambda sizes: transform(make(sizes), *rest))
        found = form.derived[key] = Form(transform(form.function, *rest), family, form.sizes, form.exact)
    return found


def mapped(form: Form, flags: tuple[Flags, ...]) -> Form:
    """The form for each example of the operands that have them, by ``flags``."""
    return _derived(form, _map, flags)


def with_tangents(form: Form, flags: tuple[Flags, ...]) -> Form:
    """The form and its derivative along tangents: a tangent comes behind each operand that has one; the tangents of results behind all results."""
    return _derived(form, _push, flags)


def _is_vjp(result: Any) -> bool:
    return not hasattr(result, "dtype")


def _map(function: Callable[..., Any], flags: tuple[Flags, ...]) -> Callable[..., Any]:
    def of_all(*operands: Any) -> tuple[tuple[Any, ...], Transformed]:
        leaves, structure = jax.tree.flatten(operands)
        axes: list[int | None] = []
        for operand, flag in zip(operands, flags, strict=True):
            count = len(jax.tree.leaves(operand))
            axes.extend(0 if one else None for one in (flag if isinstance(flag, tuple) else (flag,) * count))
        found: list[Any] = []

        def of_one(*items: Any) -> tuple[()]:
            trace = next(item._trace for item, axis in zip(items, axes, strict=True) if axis is not None)
            found[:] = _parts_of(function(*jax.tree.unflatten(structure, items)), lambda leaf: _examples(leaf, trace))
            return ()

        jax.vmap(of_one, in_axes=tuple(axes))(*leaves)
        arrays, vjp, note = found
        results = [leaf for leaf, _ in arrays]
        if vjp is not None:
            results.append(jax.tree.unflatten(vjp[1], [leaf for leaf, _ in vjp[0]]))
        return tuple(results), _noted(arrays, vjp, note)

    return of_all


def _examples(leaf: Any, trace: Any) -> tuple[Any, bool]:
    """What a tracer of vmap is around, examples first; whether there are examples."""
    if not (isinstance(leaf, Tracer) and leaf._trace is trace):
        return leaf, False
    dim = leaf.batch_dim
    return (jnp.moveaxis(leaf.val, dim, 0), True) if isinstance(dim, int) else (leaf.val, False)


def _push(function: Callable[..., Any], flags: tuple[Flags, ...]) -> Callable[..., Any]:
    def along(*physical: Any) -> tuple[tuple[Any, ...], Transformed]:
        rest = iter(physical)
        operands, tangents = [], []  # tangents of all leaves
        for flag in flags:
            operand = next(rest)
            if isinstance(flag, tuple):
                operand, given = operand[0], iter(operand[1])
                tangents += [next(given) if one else None for one in flag]
            elif flag:
                tangents.append(next(rest))
            else:
                tangents += [None] * len(jax.tree.leaves(operand))
            operands.append(operand)
        leaves, structure = jax.tree.flatten(operands)
        found: list[Any] = []

        def at(*moving: Any) -> tuple[()]:
            items = iter(moving)
            filled = [leaf if tangent is None else next(items) for leaf, tangent in zip(leaves, tangents, strict=True)]
            trace = moving[0]._trace
            found[:] = _parts_of(function(*jax.tree.unflatten(structure, filled)), lambda leaf: _pair(leaf, trace))
            return ()

        moved = [(leaf, tangent) for leaf, tangent in zip(leaves, tangents, strict=True) if tangent is not None]
        jax.jvp(at, tuple(leaf for leaf, _ in moved), tuple(tangent for _, tangent in moved))
        arrays, vjp, note = found
        results = [value for (value, _), _ in arrays] + [tangent for (_, tangent), flag in arrays if flag]
        if vjp is not None:
            pairs, of = vjp
            kept = jax.tree.unflatten(of, [value for (value, _), _ in pairs])
            directions = [tangent for (_, tangent), flag in pairs if flag]
            results.append((kept, directions) if directions else kept)
        return tuple(results), _noted(arrays, vjp, note)

    return along


def _pair(leaf: Any, trace: Any) -> tuple[tuple[Any, Any], bool]:
    """Value and tangent of a tracer of forward mode, and whether there is a tangent."""
    if not (isinstance(leaf, Tracer) and leaf._trace is trace):
        return (leaf, None), False
    if type(leaf.tangent) is ad.Zero:
        return (leaf.primal, None), False
    return (leaf.primal, leaf.tangent), True


def _parts_of(given: tuple[Any, Any], part: Callable[[Any], Any]) -> tuple[Any, Any, Any]:
    """Of what a form gives: the parts of its arrays, those of its vjp's leaves with their structure (or None), and its note."""
    results, note = given
    if results and _is_vjp(results[-1]):
        leaves, structure = jax.tree.flatten(results[-1])
        return [part(array) for array in results[:-1]], ([part(leaf) for leaf in leaves], structure), note
    return [part(array) for array in results], None, note


def _noted(arrays: Any, vjp: Any, note: Any) -> Transformed:
    return Transformed(note, tuple(flag for _, flag in arrays), None if vjp is None else tuple(flag for _, flag in vjp[0]))
