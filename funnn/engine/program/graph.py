"""The pending graph of a thread: what was recorded and has not run yet.

Operations are recorded one after the other, each a step from state to state (see ``states``), and nothing is ever compared as a whole.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from funnn.engine.program.form import Form
from funnn.engine.program.outline import NOWHERE, check_together, outlined_results
from funnn.engine.program.programs import compute_ahead, find_program, picked
from funnn.engine.program.report import counting, users_line
from funnn.engine.program.states import MOST, State, Step, new_step, starts
from funnn.engine.program.unread import Unread, is_worth
from funnn.engine.program.value import Residuals, Value
from funnn.engine.state import before_settings_change, thread
from funnn.engine.types import settings as _settings

#: Records after which a graph runs that nobody asked for: where the first one comes again, so that of a loop whole rounds are cut; and anywhere.
_LONG, _LONGEST = 1024, 4096
#: Bytes of operands from outside after which it does.
_LARGE = 1 << 30


class immediate:
    """A context in which every operation of this thread runs at its line, so that errors and NaNs show there; for debugging.

    The environment variable ``FUNNN_IMMEDIATE=1`` makes it so everywhere.
    """

    def __enter__(self) -> None:
        self.before, thread.immediate = thread.immediate, True
        flush()

    def __exit__(self, *exc: Any) -> None:
        thread.immediate = self.before


class Graph:
    """The pending graph of a thread.

    Attributes:
      records: (step, new leaves, weak references to the results) of each operation; of several at once, the last step, and the results of all.
      places: by id, the number of each leaf.
      size: bytes of the leaves; closed: whether it has run, or is about to.
      first: what the first record is known by; backwards: whether a backward pass is among them.
      checks: what to look at once the values are known, with the user's line.
      runner, outputs: what runs it, and what that gave.
      used: gradients that an optimizer's step among the records has used.
    """

    __slots__ = (
        "backwards",
        "checks",
        "closed",
        "first",
        "leaves",
        "lock",
        "outputs",
        "places",
        "records",
        "runner",
        "size",
        "state",
        "targets",
        "used",
    )

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.records: list[tuple[Step, list[Any], tuple[Any, ...]]] = []
        self.places: dict[int, int] = {}
        self.leaves: list[Any] = []
        self.state: Any = None
        self.closed = self.backwards = False
        self.size = 0
        self.first: list[Any] = []
        self.checks: list[tuple[Callable[[], None], tuple[str, int]]] = []
        self.outputs: deque[Any] = deque()
        self.runner: Any = None
        self.targets: list[Any] | None = None
        self.used: list[Value] = []

    @property
    def last(self) -> State:
        """The state after what is recorded."""
        return self.records[-1][0].next if self.records else starts[_settings.products]

    def flush(self) -> None:
        """Run what is pending, so that every value that somebody still holds is known."""
        if thread.region is not None and not thread.immediate:
            thread.region.cut(self)
        with self.lock:
            self.closed = True
            if self.targets is None:
                self._choose()
            if self.targets:
                with _settings.kept():
                    self._run()
            self.records, self.leaves, self.targets = [], [], []
            self.places = {}
            checks, self.checks = self.checks, []
        if thread.graph is self:
            thread.graph = Graph()
        if thread.unsettled and (thread.region is None or thread.region.settles):
            settle()
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
        self.records = []  # which hold the leaves too
        if self.used:
            self._leave_out()

    def _leave_out(self) -> None:
        """Let gradients that were used wait until somebody asks, which is seldom."""
        used, self.used = [value for value in dict.fromkeys(self.used) if value.graph is self], []
        state, region = self.state, thread.region
        if state.unread is None:
            state.unread = is_worth(self.leaves, used)
        if state.unread and used and (region is None or region.settles):
            unread = Unread(state, self.leaves, used)
            self.targets = [target for target in self.targets or () if target.graph is not unread]

    def _run(self) -> None:
        targets: Any = self.targets
        if not self.outputs:
            live = tuple([target.place for target in targets])
            for leaf in self.leaves:
                if type(leaf) is Value and leaf.array is None:  # a replay of another thread has just taken it for its next result
                    leaf.known()
            with counting(users_line(), not self.state.visits):
                self.runner = find_program(self.state, live, self.leaves)
                self.runner.run(self.outputs, self.leaves)
        results = self.outputs[0]
        if len(results) != len(targets):
            results = picked(self.runner, results, [target.place for target in targets])
        for target, array in zip(targets, results, strict=True):
            if type(target) is Value:
                target.numbers = None
            target.array = array
        for target in targets:
            target.graph = None


def record(key: list[Any], operands: list[Any], form: Form | Callable[..., Form], *details: Any) -> tuple[list[Any], Step]:
    """Record a form on operands (Values, Residuals, and Python numbers, of which the program depends on the type alone).

    Args:
      key: what the form is known by; it is extended.
      form: the form, or ``form(key, *details)`` finds it; asked only where this record comes for the first time after those before it.

    Returns:
      Its results, pending, and the step. An interrupt at any moment leaves what was recorded before, or that and this record.
    """
    given = len(key)
    while True:
        graph = thread.graph
        if graph is None or graph.closed:
            graph = thread.graph = Graph()
        with graph.lock:
            records = graph.records
            count = len(records)
            state = records[-1][0].next if records else starts[_settings.products]
            depth = state.depth
            if ((depth >= _LONG and (key == graph.first or depth >= _LONGEST)) or graph.size > _LARGE) and thread.region is None:
                graph.flush()
                continue
            places = graph.places
            leaves: list[Any] = []
            fresh: dict[int, int] | None = None
            elsewhere = None  # an operand that is pending on another thread, for which nobody waits with a graph locked
            for operand in operands:
                kind = type(operand)
                if kind is Value or kind is Residuals:
                    if operand.array is None:
                        if operand.graph is graph:
                            key.append(operand.place)
                            continue
                        if operand.graph is NOWHERE:
                            return _record_outline(tuple(key[:given]), operands, form, details)
                        elsewhere = operand
                        break
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
            if elsewhere is None:
                known = tuple(key)
                step = state.get(known)
                if step is None:
                    made = form if isinstance(form, Form) else form(known[:given], *details)
                    step = state[known] = new_step(state, made, operands, graph.places, len(leaves))
                results, references = _pending(step.given, graph)
                if step.vjp is not None:
                    vjp = _new(Residuals)
                    vjp.array = None
                    vjp.kind = step.shaped
                    vjp.graph = graph
                    vjp.place = step.vjp
                    results.append(vjp)
                    references.append(_reference(vjp))
                entry = step, leaves, references
                # else something that ran in between, such as a finalizer, has recorded or flushed: again
                if not graph.closed and len(records) == count:
                    records.append(entry)
                    if not count:
                        graph.first = key[:given]
                    if fresh is not None:
                        places.update(fresh)
                        graph.size += step.size
                    break
        del key[given:]
        if elsewhere is not None:
            elsewhere.known()
            for operand in operands:  # of memory that others see there may be many
                if type(operand) is Value and operand.array is None and operand.graph is not graph:
                    operand.known()
    if thread.immediate:
        graph.flush()
    return results, step


def _record_outline(
    key: tuple[Any, ...], operands: list[Any], form: Form | Callable[..., Form], details: tuple[Any, ...]
) -> tuple[list[Any], Step]:
    """As ``record``, of values some of which have no numbers: no graph takes part, and the results have none either."""
    check_together(operands)
    known = key, _settings.products, *[operand.kind if isinstance(operand, (Value, Residuals)) else type(operand) for operand in operands]
    step = _outlines.get(known)
    if step is None:
        if len(_outlines) >= MOST:
            _outlines.clear()
        shaped = (form if isinstance(form, Form) else form(key, *details)).of(operands)
        step = _outlines[known] = Step(State(None, None, 0, 0), shaped, (), 0, 0)
    return outlined_results(step.shaped), step


_outlines: dict[tuple[Any, ...], Step] = {}


def record_known(graph: Graph, last: Step, given: list[Any], leaves: list[Any], size: int) -> list[Any]:
    """Record all steps to the ``last`` one at one go, which have followed each other before.

    Args:
      given: (place, shape, dtype) of the results that somebody will hold.
      leaves: the new ones, in the order in which the steps bring them; size: their bytes.
    """
    results, references = _pending(given, graph)
    first = graph.last.leaves
    graph.records.append((last, leaves, tuple(sorted(references, key=_place))))
    graph.places.update({id(leaf): ~number for number, leaf in enumerate(leaves, first)})
    graph.size += size
    return results


def _place(reference: Any) -> int:
    place: int = reference().place
    return place


def _pending(given: Iterable[Any], graph: Graph) -> tuple[list[Any], list[Any]]:
    """Values that the graph will give, for each of (place, shape, dtype), and weak references to them."""
    results: list[Any] = []
    references: list[Any] = []
    for place, shape, dtype in given:
        value = _new(Value)
        value.array = None
        value.shape = shape
        value.dtype = dtype
        value.graph = graph
        value.place = place
        results.append(value)
        references.append(_reference(value))
    return results, references


_new: Any = object.__new__
_reference = weakref.ref


def run(form: Form, operands: list[Any]) -> Any:
    """The one result of a form, a Value."""
    if thread.tracing is None:
        return record([form], operands, form)[0][0]
    return compute(form, operands)[0][0]


def compute(form: Form, operands: list[Any]) -> tuple[list[Any], Any]:
    """The results of a form, and its note, while a function is being transformed."""
    found: tuple[list[Any], Any] = thread.tracing.apply(form, operands)
    return found


def compute_at_once(form: Form, operands: list[Any]) -> tuple[list[Any], Any]:
    """The results of a form at once, and its note: of tracers of JAX's, which no graph can hold."""
    with _settings.running():
        results, note = form.run(*[operand.known() if isinstance(operand, (Value, Residuals)) else operand for operand in operands])
    return [Value(result) if hasattr(result, "dtype") else Residuals(result) for result in results], note


def flush() -> None:
    """Run what is pending on this thread."""
    if thread.graph is not None and thread.graph.records:
        thread.graph.flush()


before_settings_change.append(flush)


def check_later(check: Callable[[], None]) -> None:
    """Run ``check``, which holds pending values, when they are known; what it raises tells the line that recorded them."""
    graph = thread.graph
    with graph.lock:
        waits = not graph.closed
        if waits:
            graph.checks.append((check, users_line()))
    if not waits:  # another thread has just run the graph
        check()


def look_ahead(value: Value) -> None:
    """Compute a value that this thread's graph will give, if few cheap forms lead to it; the graph stays as it is."""
    graph = thread.graph
    if value.graph is not graph or graph.closed:
        return
    with graph.lock:
        array = compute_ahead(graph.records[-1][0].next, value.place, [leaf for record in graph.records for leaf in record[1]])
        if array is not None:
            value.numbers = None
            value.array = array


def use_up(gradients: list[Value]) -> None:
    """Take note that an optimizer has just used gradients: few programs read them afterwards, and the pending graph need not give them."""
    graph = thread.graph
    if graph is not None and not graph.closed:
        graph.used += gradients


def count_checks() -> int:
    """How many checks of values are put off."""
    return 0 if thread.graph is None else len(thread.graph.checks)


def settle_checks(before: str) -> None:
    """Make the checks that are put off, before something happens that an error must come before."""
    if count_checks():
        if thread.region is not None:
            thread.region.end_program(f"values that are computed inside are checked before {before}")
        else:
            thread.graph.flush()


def begin_backward() -> None:
    """A backward pass begins: where one is pending already, what a loop recorded in between runs first.

    So does what a check waits for, which may raise: then no gradient has been accumulated, and no parameter changed.
    """
    graph = thread.graph
    if graph is not None:
        settle_checks("a backward pass")
        if graph.backwards and thread.region is None:
            graph.flush()
        thread.graph.backwards = True


def settle() -> None:
    """Let others see what was written into memory that they share."""
    while thread.unsettled:
        thread.unsettled.pop()()


def end_step() -> None:
    """Run what is pending at the end of an optimizer's step; torch.compile's regions go on."""
    if thread.region is None:
        flush()
