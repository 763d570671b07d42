"""Replays: the one program of a call that was recorded, run again on other values without the call's Python."""

from __future__ import annotations

import functools
import itertools
import operator
import sys
import threading
import weakref
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

    def compute(self, live: tuple[int, ...], inputs: list[Any]) -> list[Any]:
        """The results at the places ``live``."""
        with counting(users_line(), False):
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
    """One run of a :class:`Replayable` that overwrites what it reads: what its results wait for, as they wait for a graph, until they are known.

    Args:
      program: what it runs; live: the places of the results.
    """

    __slots__ = ("__weakref__", "_foreign", "_inputs", "_live", "_lock", "_outputs", "_program", "_targets")

    def __init__(self, program: Replayable, live: tuple[int, ...]):
        self._program, self._live = program, live
        self._lock = threading.RLock()
        self._outputs: deque[Any] = deque()
        self._inputs: Any = None

    def give(self, targets: list[Value], inputs: list[Any], foreign: Any) -> None:
        """Wait for somebody to ask for one of the results.

        Args:
          inputs: arrays for the leaves, which nobody else holds where they may be donated; foreign: the numbers of those that no replay gave.
        """
        self._targets, self._foreign, self._inputs = targets, foreign, inputs

    def flush(self) -> None:
        """Run, so that the values are known. An interrupt loses nothing: who asks for a value runs what has not run yet."""
        with self._lock:
            if self._inputs is None:
                return
            if not self._outputs:
                self._program.own(self._inputs, self._foreign)
                self._outputs.extend(map(self._program.compute, (self._live,), (self._inputs,)))
            _each(_set_array, self._targets, self._outputs[0])
            self._inputs = self._targets = None  # type: ignore[assignment]
            self._outputs.clear()


class Unasked:
    """What gradients wait for that a replay left out, as few programs read them after an optimizer has: they are computed if somebody asks.

    Args:
      program: what computes them; live: their places; inputs: what the replay read, which nothing overwrites.
    """

    __slots__ = ("_inputs", "_live", "_lock", "_program", "_targets")

    def __init__(self, program: Replayable | None, live: tuple[int, ...], inputs: list[Any] | None):
        self._program, self._live, self._inputs = program, live, inputs
        self._lock = threading.RLock()
        self._targets: list[Any] = []

    def give(self, targets: list[Value]) -> None:
        """Wait for somebody to ask for one of these values."""
        self._targets = list(map(weakref.ref, targets))

    def flush(self) -> None:
        """Compute them. From now on replays on this thread leave none out."""
        with self._lock:
            if self._inputs is None:
                return
            thread.reads_gradients = True
            program: Any = self._program
            results = program.compute(self._live, self._inputs)
            for reference, array in zip(self._targets, results, strict=True):
                value = reference()
                if value is not None and value.graph is self:
                    value.array = array
            self._inputs = None


#: In the place of the graph of what a replay gave at once.
NOBODY = Unasked(None, (), None)


def pending(shapes: Sequence[Any], dtypes: Sequence[Any]) -> list[Value]:
    """New Values of these kinds, to be filled."""
    values = list(map(_new, itertools.repeat(Value, len(shapes))))
    consume(map(_set_shape, values, shapes), map(_set_dtype, values, dtypes), map(_set_numbers, values, itertools.repeat(None)))
    return values


def fill(values: list[Value], arrays: list[Any], giver: Any) -> Iterator[None]:
    """What, consumed, gives the first values these arrays, and lets the rest wait for ``giver``."""
    seen = values if set(map(type, map(_numbers_of, values))) != _UNSEEN else ()
    return itertools.chain(
        map(_set_graph, values, itertools.chain(itertools.repeat(NOBODY, len(arrays)), itertools.repeat(giver))),
        map(_set_numbers, seen, itertools.repeat(None)),
        map(_set_array, values, itertools.chain(arrays, itertools.repeat(None))),
    )


_new: Any = object.__new__
_array_of, _numbers_of = operator.attrgetter("array"), operator.attrgetter("numbers")
_UNSEEN = {type(None)}
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
