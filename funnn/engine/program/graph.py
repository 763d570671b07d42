"""The pending graph of a thread: what was recorded and has not run yet.

Operations are recorded one after the other. What was recorded so far, up to the operands' shapes and dtypes, is a :class:`State`; recording one more is
a step to the next state, found in a dictionary by what is recorded. So a loop that does the same again walks through the same states, finds there the
shapes of all results, and at the end the program that runs it, and nothing is ever compared as a whole.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

import jax

from funnn.engine.program.form import Form, Shaped
from funnn.engine.program.programs import find_program
from funnn.engine.program.value import Residuals, Value
from funnn.engine.state import thread
from funnn.engine.types import settings as _settings


class Step:
    """From one state to the next: a form with operands.

    Attributes:
      shaped: the form for these operands; operands: the places of values, or ~n for leaf n.
      given: what ``shaped.results`` says of arrays, (place, shape, dtype) of each; of a vjp, its place, or None where there is none.
      next: the state after it.
    """

    __slots__ = ("given", "next", "operands", "shaped", "vjp")

    def __init__(self, state: State, shaped: Shaped, operands: tuple[int, ...], leaves: int):
        self.shaped, self.operands = shaped, operands
        count = len(shaped.results)
        arrays = shaped.results[: count - shaped.vjp]
        self.given = tuple([(state.results + number, *result) for number, result in enumerate(arrays)])
        self.vjp = state.results + count - 1 if shaped.vjp else None
        self.next = State(state, self, state.results + count, state.leaves + leaves)


class State(dict[tuple[Any, ...], Step]):
    """What has been recorded, and the steps from here.

    Attributes:
      before: the state before, and the step from it; results, leaves: how many there are.
      programs: those that run what was recorded; visits: how often it came.
    """

    __slots__ = ("before", "leaves", "programs", "results", "step", "visits")

    def __init__(self, before: State | None, step: Step | None, results: int, leaves: int):
        self.before, self.step, self.results, self.leaves = before, step, results, leaves
        self.programs: list[Any] = []
        self.visits = 0

    def steps(self) -> list[Step]:
        """The steps that lead here."""
        found: list[Step] = []
        state: State | None = self
        while state is not None and state.step is not None:
            found.append(state.step)
            state = state.before
        return found[::-1]


_start = State(None, None, 0, 0)


def count_states() -> int:
    """How many states are known: it stays the same when nothing new is recorded."""
    count, waiting = 0, [_start]
    while waiting:
        count += 1
        waiting.extend(step.next for step in waiting.pop().values())
    return count


class Graph:
    """The pending graph of a thread.

    Attributes:
      records: (step, new leaves, weak references to the results) of each operation.
      places: by id, the number of each leaf.
      closed: whether it has run, or is about to.
      checks: what to look at once the values are known, with the user's line.
    """

    __slots__ = ("checks", "closed", "leaves", "lock", "outputs", "places", "records", "state", "targets")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.records: list[tuple[Step, list[Any], tuple[Any, ...]]] = []
        self.places: dict[int, int] = {}
        self.leaves: list[Any] = []
        self.state = _start
        self.closed = False
        self.checks: list[tuple[Callable[[], None], tuple[str, int]]] = []
        self.outputs: deque[Any] = deque()
        self.targets: list[Any] | None = None

    def flush(self) -> None:
        """Run what is pending, so that every value that somebody still holds is known."""
        if thread.region is not None:
            thread.region.cut()
        with self.lock:
            self.closed = True
            if self.targets is None:
                self._choose()
            if self.targets:
                self._run()
            self.records, self.leaves, self.targets = [], [], []
            self.places = {}
            checks, self.checks = self.checks, []
        if thread.graph is self:
            thread.graph = Graph()
        for check, (file, line) in checks:
            try:
                check()
            except Exception as error:
                error.add_note(f"The operation was recorded at {file}:{line} and ran when a value was asked for.")
                raise

    def _choose(self) -> None:
        """Take note of what is still held, and let go of all else."""
        if not self.records:
            self.targets = []
            return
        self.state = self.records[-1][0].next
        self.leaves = [leaf for record in self.records for leaf in record[1]]
        self.targets = [target for record in self.records for reference in record[2] if (target := reference()) is not None]

    def _run(self) -> None:
        targets: Any = self.targets
        if not self.outputs:
            live = tuple([target.place for target in targets])
            with _settings.running(), jax.ensure_compile_time_eval():
                # what a program gave is kept in the same breath, so that an interrupt never loses it
                self.outputs.extend(map(find_program(self.state, live), (self.leaves,)))
        for target, array in zip(targets, self.outputs[0], strict=True):
            target.array = array
        for target in targets:
            target.graph = None


def record(key: list[Any], operands: list[Any], form: Form | Callable[[], Form]) -> tuple[list[Any], Step]:
    """Record a form on operands (Values, Residuals, and Python numbers, of which the program depends on the type alone).

    Args:
      key: what the form is known by; it is extended.
      form: the form, or what finds it; asked only where this record comes for the first time after those before it.

    Returns:
      Its results, pending, and the step. An interrupt at any moment leaves what was recorded before, or that and this record.
    """
    graph = thread.graph
    if graph is None:
        graph = thread.graph = Graph()
    given = len(key)
    with graph.lock:
        records = graph.records
        count = len(records)
        state = records[-1][0].next if count else _start
        places = graph.places
        leaves: list[Any] = []
        fresh: dict[int, int] | None = None
        for operand in operands:
            kind = type(operand)
            if kind is Value or kind is Residuals:
                if operand.array is None:
                    if operand.graph is graph:
                        key.append(operand.place)
                        continue
                    operand.known()
                name = id(operand)
                place = places.get(name)
                if place is None:
                    if fresh is None:
                        fresh = {}
                    place = fresh.get(name)
                    if place is None:
                        fresh[name] = ~(state.leaves + len(leaves))
                        leaves.append(operand)
                        weak = kind is Residuals or getattr(operand.array, "weak_type", False)
                        place = operand.kind if weak else (operand.shape, operand.dtype)
                key.append(place)
            else:
                key.append(kind)
                leaves.append(operand)
        known = tuple(key)
        step = state.get(known)
        if step is None:
            step = state[known] = _new_step(state, form if isinstance(form, Form) else form(), operands, graph, len(leaves))
        results: list[Any] = []
        references = []
        for place, shape, dtype in step.given:
            value = _new(Value)
            value.array = value.numbers = None
            value.shape = shape
            value.dtype = dtype
            value.graph = graph
            value.place = place
            value.lent = False
            results.append(value)
            references.append(_reference(value))
        if step.vjp is not None:
            value = _new(Residuals)
            value.array, value.kind, value.outline = None, step.shaped, step.shaped.results[-1]
            value.graph, value.place, value.lent = graph, step.vjp, False
            results.append(value)
            references.append(_reference(value))
        entry = step, leaves, references
        if graph.closed or len(records) != count:  # something that ran in between, such as a finalizer, has recorded or flushed
            graph = None
        else:
            records.append(entry)
            if fresh is not None:
                places.update(fresh)
    if graph is None:
        return record(key[:given], operands, form)
    if count >= thread.cap:
        graph.flush()
    return results, step


_new: Any = object.__new__
_reference = weakref.ref


def run(form: Form, operands: list[Any]) -> Value:
    """The one result of a form: recorded, or computed at once where an operand is a tracer of JAX's."""
    if thread.tracing is None:
        return record([form], operands, form)[0][0]
    return compute(form, operands)[0][0]


def compute(form: Form, operands: list[Any]) -> tuple[list[Any], Any]:
    """The results of a form at once, and its note: inside a transformation operands are tracers, which no graph can hold."""
    with _settings.running():
        results, note = form.run(*[operand.known() if isinstance(operand, (Value, Residuals)) else operand for operand in operands])
    return [Value(result) if hasattr(result, "dtype") else Residuals(result) for result in results], note


def _new_step(state: State, form: Form, operands: list[Any], graph: Graph, leaves: int) -> Step:
    """The step for operands of kinds that have not come here before."""
    shaped = form.of(operands)
    fresh: dict[int, int] = {}
    numbers = iter(range(state.leaves, state.leaves + leaves))
    found: list[int] = []
    for operand in operands:
        if not isinstance(operand, (Value, Residuals)):
            found.append(~next(numbers))
        elif operand.array is None:
            found.append(operand.place)
        else:
            name = id(operand)
            place = graph.places.get(name, fresh.get(name))
            if place is None:
                place = fresh[name] = ~next(numbers)
            found.append(place)
    return Step(state, shaped, tuple(found), leaves)


def flush() -> None:
    """Run what is pending on this thread."""
    if thread.graph is not None and thread.graph.records:
        thread.graph.flush()


def users_line() -> tuple[str, int]:
    """File and line of the innermost frame that is not the library's."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in ("funnn", "jax"):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def check_later(check: Callable[[], None]) -> None:
    """Run ``check``, which holds pending values, when they are known; what it raises tells the line that recorded them."""
    thread.graph.checks.append((check, users_line()))


def end_step() -> None:
    """Run what is pending at the end of an optimizer's step; torch.compile's regions go on."""
    if thread.region is None:
        flush()
