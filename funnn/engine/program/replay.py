"""Replays: the one program of a call that was recorded, run again on other values without the call's Python."""

from __future__ import annotations

import functools
import itertools
import operator
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any

import jax
import jax.numpy as jnp

from funnn.engine.program.graph import Graph
from funnn.engine.program.programs import OneByOne, _needed, _run_steps, find_program
from funnn.engine.program.region import Region
from funnn.engine.program.value import Value
from funnn.engine.state import thread
from funnn.engine.types import settings as _settings


class Recorder(Region):
    """A region that remembers what its program is made of.

    Attributes:
      state, leaves: the graph that ran, as :class:`Graph` has them.
      results: the Values and Residuals that it gave and that somebody held.
      checks: what looked at values to refuse wrong ones, each with the tensors that it read.
      arrays: by id, the arrays that somebody asked for; draws: (generator, name, args, kwargs, array) of each draw of random numbers.
      problem: why the call cannot be replayed, or None.
    """

    def __init__(self, name: str, fullgraph: bool):
        super().__init__(name, fullgraph)
        self.state: Any = None
        self.leaves: list[Any] = []
        self.results: list[Any] = []
        self.checks: list[tuple[Callable[[], None], list[Any]]] = []
        self.arrays: dict[int, Any] = {}
        self.draws: list[tuple[Any, str, tuple[Any, ...], dict[str, Any], Any]] = []
        self.problem: str | None = None
        self._seen: list[Any] | None = None

    def __enter__(self) -> Region:
        super().__enter__()
        self.graph = thread.graph = Graph()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None and self.graph.closed:
            self.refuse("its graph ran before the call was over")
        super().__exit__(kind, error, trace)

    def cut(self, graph: Graph) -> None:
        if not self.closing:
            self.refuse("a value is asked for inside")
        elif graph is self.graph and graph.records:
            self.state = graph.records[-1][0].next
            self.leaves = [leaf for record in graph.records for leaf in record[1]]
            self.results = [value for record in graph.records for reference in record[2] if (value := reference()) is not None]
            graph.checks = [(functools.partial(self.check, check), line) for check, line in graph.checks]
        super().cut(graph)

    def refuse(self, reason: str) -> None:
        if self.problem is None:
            self.problem = reason

    def look(self, tensor: Any) -> None:
        if self._seen is None:
            self.refuse(f"the numbers of a tensor of shape {list(tensor.shape)} are read inside")
        else:
            self._seen.append(tensor)

    def read(self, array: Any) -> None:
        if self._seen is None:
            self.arrays[id(array)] = array

    def check(self, check: Callable[[], None]) -> None:
        seen: list[Any] = []
        self.checks.append((check, seen))
        before, self._seen = self._seen, seen
        try:
            check()
        finally:
            self._seen = before

    def drew(self, generator: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], array: Any) -> None:
        self.draws.append((generator, name, args, kwargs, array))


class Replayable:
    """The program of a graph, for other leaves: its variants by what is still wanted of its results.

    Args:
      state: the graph; order: its leaves in the order in which they will be given.
      donated: which of these are overwritten by results; shared: in how many of a replay's storages each of them lies.
    """

    def __init__(self, state: Any, order: tuple[int, ...], donated: tuple[int, ...], shared: tuple[int, ...]):
        self.state, self.donated = state, donated
        self._places = [order.index(number) for number in range(len(order))]
        self._variants: dict[tuple[int, ...], Callable[[list[Any]], list[Any]]] = {}
        self._take: Any = operator.itemgetter(*donated) if len(donated) > 1 else lambda items: [items[number] for number in donated]
        self._references = [_VALUE_REFERENCES + count - 1 for count in shared]

    def run(self, live: tuple[int, ...], inputs: list[Any]) -> list[Any]:
        """The results at the places ``live``."""
        variant = self._variants.get(live)
        if variant is None:
            variant = self._variants[live] = self._compile(live, inputs)
        return variant(inputs)

    def own(self, values: list[Any], inputs: list[Any]) -> None:
        """Copy what would be donated but did not come from a replay, or is held by somebody else too."""
        if not self.donated:
            return
        given, arrays = self._take(values), self._take(inputs)
        references = list(map(sys.getrefcount, given))
        counts = list(map(sys.getrefcount, arrays))
        if references == self._references and max(counts) == _ARRAY_REFERENCES and set(map(type, map(_graph_of, given))) == {Replay}:
            return
        for place, value, held, least, count in zip(self.donated, given, references, self._references, counts, strict=True):
            if type(value.graph) is not Replay or held > least or count > _ARRAY_REFERENCES:
                inputs[place] = _fresh_copy(value.array)

    def _compile(self, live: tuple[int, ...], inputs: list[Any]) -> Callable[[list[Any]], list[Any]]:
        places = self._places
        found = None if self.donated else find_program(self.state, live)
        if found is not None and not isinstance(found, OneByOne):
            known: Any = found

            def run_known(inputs: list[Any]) -> list[Any]:
                with _settings.running(), jax.ensure_compile_time_eval():
                    results: list[Any] = known([inputs[place] for place in places])
                return results

            return run_known
        needed = _needed(self.state.steps(), live)

        def compute(*inputs: Any) -> list[Any]:
            return _run_steps(needed, live, [inputs[place] for place in places], {})

        with _settings.running(), jax.ensure_compile_time_eval():
            jitted: Any = jax.jit(compute, donate_argnums=self.donated)
            compiled: Any = jitted.lower(*inputs).compile()

        def run_compiled(inputs: list[Any]) -> list[Any]:
            try:
                results: list[Any] = compiled(*inputs)
            except (TypeError, ValueError):  # arrays that lie on other devices than those that it was compiled for
                with _settings.running(), jax.ensure_compile_time_eval():
                    results = jitted(*inputs)
            return results

        return run_compiled


class Replay:
    """One run of a :class:`Replayable`: what its results wait for, as they wait for a graph. It stays their ``graph`` when they are known.

    Args:
      values: those that the leaves are read from, all of the storages'; read: which of them are the first leaves; rest: the other leaves.
      live: the places of the results, the last of which are given only if somebody still holds them when it runs: all behind the ``needed`` first.
    """

    __slots__ = ("__weakref__", "_chosen", "_live", "_lock", "_needed", "_optional", "_outputs", "_program", "_read", "_rest", "_values")

    def __init__(self, program: Replayable, values: list[Value], read: Callable[[Any], Any], rest: list[Any], live: tuple[int, ...]):
        self._program, self._values, self._read, self._rest, self._live = program, values, read, rest, live
        self._lock = threading.RLock()
        self._outputs: deque[Any] = deque()
        self._chosen: Any = None

    def pending(self, shapes: Sequence[Any], dtypes: Sequence[Any], needed: int) -> list[Value]:
        """Values for the results."""
        values = list(map(_new, itertools.repeat(Value, len(shapes))))
        _each(_set_array, values, itertools.repeat(None))
        _each(_set_numbers, values, itertools.repeat(None))
        _each(_set_shape, values, shapes)
        _each(_set_dtype, values, dtypes)
        _each(_set_graph, values, itertools.repeat(self))
        self._needed = values[:needed]
        self._optional = list(map(weakref.ref, values[needed:]))
        return values

    def flush(self) -> None:
        """Run, so that the values are known. An interrupt loses nothing: who asks for a value runs what has not run yet."""
        with self._lock:
            if self._values is None:
                return
            if not self._outputs:
                optional = [value for reference in self._optional if (value := reference()) is not None]
                live = self._live if len(optional) == len(self._optional) else self._live[: len(self._needed)] if not optional else None
                if live is None:  # some of them
                    optional, live = self._chosen_of(optional)
                self._chosen = [*self._needed, *optional]
                del optional
                self._outputs.extend(map(self._program.run, (live,), (self._inputs(),)))
            _each(_set_array, self._chosen, self._outputs[0])
            self._values = self._rest = self._chosen = self._needed = self._optional = None
            self._outputs.clear()

    def _chosen_of(self, optional: list[Value]) -> tuple[list[Value], tuple[int, ...]]:
        """All results, those that nobody holds in values that nobody will see: one more variant is not worth its compiling."""
        held = {id(value): value for value in optional}
        every = []
        for reference in self._optional:
            value = reference()
            every.append(held[id(value)] if value is not None else _new(Value))
        return every, self._live

    def _inputs(self) -> list[Any]:
        first = list(self._read(self._values))
        inputs = list(map(_array_of, first))
        if not set(map(type, inputs)) <= _ARRAYS:
            inputs = [value.on_device() for value in first]
        del first
        inputs += self._rest
        self._program.own(self._values, inputs)
        return inputs


_new: Any = object.__new__
_slots: Any = Value
_set_array, _set_numbers, _set_graph = _slots.array.__set__, _slots.numbers.__set__, _slots.graph.__set__
_set_shape, _set_dtype = _slots.shape.__set__, _slots.dtype.__set__


def _each(function: Callable[[Any, Any], Any], objects: Iterable[Any], values: Iterable[Any]) -> None:
    """``function(object, value)`` for all; no line of Python runs in between that an interrupt could come at."""
    deque(map(function, objects, values), maxlen=0)


def set_values(set_one: Callable[[Any, Any], Any], objects: Iterable[Any], values: Iterable[Any]) -> None:
    """Set a slot of each object, in one breath."""
    _each(set_one, objects, values)


def set_attributes(name: str, objects: Iterable[Any], values: Iterable[Any]) -> None:
    """Set an attribute of each object, in one breath."""
    deque(map(setattr, objects, itertools.repeat(name), values), maxlen=0)


def as_leaf(number: Any) -> Any:
    """A Python number as the array that a program takes in its stead: JAX still lets the other operands decide the type."""
    with jax.enable_x64(True), jax.ensure_compile_time_eval():
        return jnp.asarray(number)



def _fresh_copy(array: Any) -> Any:
    """The array in memory of its own."""
    with jax.enable_x64(True), jax.ensure_compile_time_eval():
        return jnp.copy(array)


_array_of, _graph_of = operator.attrgetter("array"), operator.attrgetter("graph")
_ARRAYS = {type(as_leaf(0.0))}


def _count_references() -> tuple[int, int]:
    """What ``sys.getrefcount`` says in ``Replayable.own`` of a value that lies in ``values`` once, and of its array."""
    values = [Value(_fresh_copy(as_leaf(0.0))) for _ in range(2)]
    inputs = list(map(_array_of, values))
    take = operator.itemgetter(0, 1)
    given, arrays = take(values), take(inputs)
    return max(map(sys.getrefcount, given)), max(map(sys.getrefcount, arrays))


_VALUE_REFERENCES, _ARRAY_REFERENCES = _count_references()
