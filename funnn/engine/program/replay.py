"""Replays: the one program of a call that was recorded, run again on other values without the call's Python."""

from __future__ import annotations

import functools
import itertools
import operator
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from funnn.engine.program.graph import Graph
from funnn.engine.program.programs import Computing, compose
from funnn.engine.program.region import Region
from funnn.engine.program.report import counting, users_line
from funnn.engine.program.value import Value
from funnn.engine.state import thread


class Recorder(Region):
    """A region that remembers what its program is made of.

    Attributes:
      state, leaves: the graph that ran, as :class:`Graph` has them.
      results: the Values and Residuals that it gave and that somebody held.
      checks: what looked at values to refuse wrong ones, each with the tensors that it read.
      arrays: by id, the arrays that somebody asked for; draws: (generator, name, args, kwargs, array) of each draw of random numbers.
    """

    settles = False  # whoever looks at what the call did sees to it

    def __init__(self, name: str, fullgraph: bool):
        super().__init__(name, fullgraph)
        self.state: Any = None
        self.leaves: list[Any] = []
        self.results: list[Any] = []
        self.checks: list[tuple[Callable[[], None], list[Any]]] = []
        self.arrays: dict[int, Any] = {}
        self.draws: list[tuple[Any, str, tuple[Any, ...], dict[str, Any], Any]] = []
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

    def end_program(self, reason: str) -> None:
        self.refuse(reason)
        super().end_program(reason)

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
      donated: which of these are overwritten by results.
    """

    def __init__(self, state: Any, order: tuple[int, ...], donated: tuple[int, ...]):
        self.state, self.donated = state, donated
        self._places = [order.index(number) for number in range(len(order))]
        self._variants: dict[tuple[int, ...], Callable[[list[Any]], list[Any]]] = {}
        self._take: Any = operator.itemgetter(*donated) if len(donated) > 1 else lambda items: [items[number] for number in donated]

    def run(self, live: tuple[int, ...], inputs: list[Any]) -> list[Any]:
        """The results at the places ``live``."""
        variant = self._variants.get(live)
        if variant is None:
            variant = self._variants[live] = self._compile(live, inputs)
        return variant(inputs)

    def own(self, inputs: list[Any], foreign: Any) -> None:
        """Copy what would be donated but did not come from a replay (those in ``foreign``), or is held by somebody else too."""
        if not self.donated:
            return
        arrays = self._take(inputs)
        counts = list(map(sys.getrefcount, arrays))
        if max(counts) == _ARRAY_REFERENCES and not foreign:
            return
        for place, array, count in zip(self.donated, arrays, counts, strict=True):
            if count > _ARRAY_REFERENCES or place in foreign:
                inputs[place] = _fresh_copy(array)

    def _compile(self, live: tuple[int, ...], inputs: list[Any]) -> Callable[[list[Any]], list[Any]]:
        places = self._places
        if not self.donated:
            for program in self.state.programs:
                if not program.overwritten and program.covers(live):
                    chosen = [program.places[place] for place in live]

                    def run_known(inputs: list[Any], compiled: Any = program.compiled, chosen: list[int] = chosen) -> list[Any]:
                        with Computing():
                            results = compiled([inputs[place] for place in places], [])
                        return [results[number] for number in chosen]

                    return run_known
        function, shaped = compose(self.state.steps(), live)

        def compute(*inputs: Any) -> list[Any]:
            return function([inputs[place] for place in places])

        with Computing(shaped):
            jitted: Any = jax.jit(compute, donate_argnums=self.donated)
            compiled: Any = jitted.lower(*inputs).compile()

        def run_compiled(inputs: list[Any]) -> list[Any]:
            try:
                results: list[Any] = compiled(*inputs)
            except (TypeError, ValueError):  # arrays that lie on other devices than those that it was compiled for
                with Computing():
                    results = jitted(*inputs)
            return results

        return run_compiled


class Replay:
    """One run of a :class:`Replayable`: what its results wait for, as they wait for a graph. It stays their ``graph`` when they are known.

    Args:
      program: what it runs; live: the places of the results, those behind the first ``needed`` only where they are wanted.
    """

    __slots__ = ("__weakref__", "_foreign", "_inputs", "_live", "_lock", "_needed", "_outputs", "_program", "_targets")

    def __init__(self, program: Replayable, live: tuple[int, ...], needed: int):
        self._program, self._live, self._needed = program, live, needed
        self._lock = threading.RLock()
        self._outputs: deque[Any] = deque()
        self._inputs: Any = None

    def pending(self, shapes: Sequence[Any], dtypes: Sequence[Any]) -> list[Value]:
        """New Values for results of these kinds."""
        if len(shapes) > 4:
            values = list(map(_new, itertools.repeat(Value, len(shapes))))
            consume(map(_set_shape, values, shapes), map(_set_dtype, values, dtypes), self.take_over(values))
            return values
        values = []
        for shape, dtype in zip(shapes, dtypes, strict=True):
            value = _new(Value)
            value.array = value.numbers = None
            value.shape, value.dtype, value.graph = shape, dtype, self
            values.append(value)
        return values

    def give(self, targets: list[Value], inputs: list[Any], foreign: Any) -> None:
        """Wait for somebody to ask for one of the results.

        Args:
          inputs: arrays for the leaves, which nobody else holds where they may be donated; foreign: the numbers of those that no replay gave.
        """
        self._targets, self._foreign, self._inputs = targets, foreign, inputs

    def is_pending(self) -> bool:
        """Whether it has not run yet, and so holds what waits for it."""
        return self._inputs is not None

    def drop(self) -> None:
        """Nobody will ask for the results that are not needed."""
        with self._lock:
            if self._inputs is not None and not self._outputs:
                del self._targets[self._needed :]
                self._live = self._live[: self._needed]

    def take_over(self, values: list[Value]) -> Iterator[None]:
        """What, consumed, lets known Values that nobody but their storages holds be results of this one."""
        return itertools.chain(
            map(_set_graph, values, itertools.repeat(self)),
            map(_set_numbers, values, itertools.repeat(None)),
            map(_set_array, values, itertools.repeat(None)),
        )

    def flush(self) -> None:
        """Run, so that the values are known. An interrupt loses nothing: who asks for a value runs what has not run yet."""
        with self._lock:
            if self._inputs is None:
                return
            if not self._outputs:
                self._program.own(self._inputs, self._foreign)
                with counting(users_line(), False):
                    self._outputs.extend(map(self._program.run, (self._live,), (self._inputs,)))
            _each(_set_array, self._targets, self._outputs[0])
            self._inputs = self._targets = None  # type: ignore[assignment]
            self._outputs.clear()


_new: Any = object.__new__
_array_of = operator.attrgetter("array")
_slots: Any = Value
_set_array, _set_numbers, _set_graph = _slots.array.__set__, _slots.numbers.__set__, _slots.graph.__set__
_set_shape, _set_dtype = _slots.shape.__set__, _slots.dtype.__set__


def _each(function: Callable[[Any, Any], Any], objects: Iterable[Any], values: Iterable[Any]) -> None:
    """``function(object, value)`` for all; no line of Python runs in between that an interrupt could come at."""
    deque(map(function, objects, values), maxlen=0)


def consume(*steps: Iterable[Any]) -> None:
    """Do what iterators do that are written in C, all in one breath: no interrupt comes in between."""
    deque(itertools.chain(*steps), maxlen=0)


def array_of(value: Value) -> Any:
    """The array as programs take it; the value is computed if it must."""
    array = value.array
    return value.on_device() if type(array) in _OTHERS else array


def as_leaf(number: Any) -> Any:
    """A Python number as the array that a program takes in its stead: JAX still lets the other operands decide the type."""
    with jax.enable_x64(True), jax.ensure_compile_time_eval():
        return jnp.asarray(number)


def _fresh_copy(array: Any) -> Any:
    """The array in memory of its own."""
    with jax.enable_x64(True), jax.ensure_compile_time_eval():
        return jnp.copy(array)


#: What a value may have instead of an array of JAX's: nothing yet, or one of NumPy's.
_OTHERS = frozenset({type(None), np.ndarray})


def arrays_of(values: Sequence[Value]) -> list[Any]:
    """The arrays of values, as programs take them."""
    arrays = list(map(_array_of, values))
    return arrays if _OTHERS.isdisjoint(map(type, arrays)) else list(map(array_of, values))


def _count_references() -> int:
    """What ``sys.getrefcount`` says in ``Replayable.own`` of an array that only a replay holds."""
    inputs = [object() for _ in range(2)]
    arrays = operator.itemgetter(0, 1)(inputs)
    return max(map(sys.getrefcount, arrays))


_ARRAY_REFERENCES = _count_references()
