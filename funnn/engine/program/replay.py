"""Replays: the one program of a call that was recorded, run again on other values without the call's Python."""

from __future__ import annotations

import functools
import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any

import jax
import jax.numpy as jnp

from funnn.engine.program.graph import Graph
from funnn.engine.program.programs import OneByOne, _needed, _run_steps, find_program
from funnn.engine.program.region import Region
from funnn.engine.program.value import Residuals, Value
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
    """The program of a graph, for other leaves.

    Args:
      state: the graph; live: the places of the results to give.
      order: the graph's leaves in the order in which they will be given; leaves: such, as arrays.
      donated: which of them are overwritten by the results.
    """

    def __init__(self, state: Any, live: tuple[int, ...], order: tuple[int, ...], leaves: list[Any], donated: tuple[int, ...]):
        self.state = state
        found = None if donated else find_program(state, live)
        places = [order.index(number) for number in range(len(order))]
        if found is None or isinstance(found, OneByOne):
            needed = _needed(state.steps(), live)

            def compute(*leaves: Any) -> list[Any]:
                return _run_steps(needed, live, [leaves[place] for place in places], {})

            with _settings.running(), jax.ensure_compile_time_eval():
                self._jitted: Any = jax.jit(compute, donate_argnums=donated)
                self._compiled: Any = self._jitted.lower(*leaves).compile()
        else:
            self._compiled, self._jitted = None, lambda *leaves: found([leaves[place] for place in places])

    def __call__(self, leaves: list[Any]) -> list[Any]:
        if self._compiled is not None:
            try:
                results: list[Any] = self._compiled(*leaves)
                return results
            except (TypeError, ValueError):  # arrays that lie on other devices than those that it was compiled for
                pass
        with _settings.running(), jax.ensure_compile_time_eval():
            results = self._jitted(*leaves)
        return results


class Replay:
    """One run of a :class:`Replayable`: what its results wait for, as they wait for a graph. It stays their ``graph`` when they are known."""

    __slots__ = ("_leaves", "_lock", "_outputs", "_program", "_targets")

    def __init__(self, program: Replayable, leaves: list[Any]):
        self._program, self._leaves = program, leaves
        self._lock = threading.RLock()
        self._outputs: deque[Any] = deque()
        self._targets: Any = None

    def pending(self, shapes: Sequence[Any], dtypes: Sequence[Any]) -> list[Value]:
        """Values for the results."""
        values = list(map(_new, itertools.repeat(Value, len(shapes))))
        _each(_set_array, values, itertools.repeat(None))
        _each(_set_numbers, values, itertools.repeat(None))
        _each(_set_shape, values, shapes)
        _each(_set_dtype, values, dtypes)
        _each(_set_graph, values, itertools.repeat(self))
        self._targets = values
        return values

    def flush(self) -> None:
        """Run, so that the values are known. An interrupt loses nothing: who asks for a value runs what has not run yet."""
        with self._lock:
            if self._targets is None:
                return
            if not self._outputs:
                self._outputs.extend(map(self._program, (self._leaves,)))
            _each(_set_array, self._targets, self._outputs[0])
            self._targets = self._leaves = self._program = None
            self._outputs.clear()


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


def fresh_copy(array: Any) -> Any:
    """The array in memory of its own."""
    with jax.enable_x64(True), jax.ensure_compile_time_eval():
        return jnp.copy(array)


def as_leaf(number: Any) -> Any:
    """A Python number as the array that a program takes in its stead: JAX still lets the other operands decide the type."""
    with jax.enable_x64(True), jax.ensure_compile_time_eval():
        return jnp.asarray(number)


def is_residuals(value: Any) -> bool:
    """Whether it is what an operation keeps for its gradient."""
    return type(value) is Residuals
