"""What can be recorded: states, the steps between them, and how many of them are known.

What was recorded so far, up to the operands' shapes and dtypes, is a :class:`State`; recording one more operation is a step to the next one, found in a
dictionary by what is recorded. So a loop that does the same again walks through the same states, and finds there the shapes of all results and, at the
end, the program.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator
from typing import Any

from funnn.engine.program.form import Form, Shaped
from funnn.engine.program.value import Residuals, Value

#: States that are known at most; then those are forgotten that lead to no program in use.
MOST = 16_000


class Step:
    """From one state to the next: a form with operands.

    Attributes:
      shaped: the form for these operands; operands: the places of values, or ~n for leaf n.
      given: what ``shaped.results`` says of arrays, (place, shape, dtype) of each; of a vjp, its place, or None where there is none.
      next: the state after it; size: bytes of its new leaves.
    """

    __slots__ = ("given", "next", "operands", "shaped", "size", "vjp")

    def __init__(self, state: State, shaped: Shaped, operands: tuple[int, ...], leaves: int, size: int):
        self.shaped, self.operands, self.size = shaped, operands, size
        count = len(shaped.results)
        self.given = tuple([(state.results + number, *result) for number, result in enumerate(shaped.results)])
        self.vjp = state.results + count if shaped.vjp else None
        self.next = State(state, self, state.results + count + shaped.vjp, state.leaves + leaves)


class State(dict[tuple[Any, ...], Step]):
    """What has been recorded, and the steps from here.

    Attributes:
      before: the state before, and the step from it; results, leaves: how many there are.
      programs: those that run what was recorded; stepwise: what runs it without one.
      visits: how often it came; spent: the seconds that it took without a program, about; used: whether it came since states were forgotten.
      depth: how many steps lead here; passes: the backward passes that began here (see ``backward.passes``).
      unread: whether the gradients that an optimizer used are left out; None where that is yet to be seen.
    """

    __slots__ = ("before", "depth", "leaves", "passes", "programs", "results", "spent", "step", "stepwise", "unread", "used", "visits")

    def __init__(self, before: State | None, step: Step | None, results: int, leaves: int):
        self.before, self.step, self.results, self.leaves = before, step, results, leaves
        self.programs: list[Any] = []
        self.stepwise: Any = None
        self.visits, self.spent, self.used = 0, 0.0, False
        self.depth: int = 0 if before is None else before.depth + 1
        self.passes: dict[Any, list[Any]] = {}
        self.unread: bool | None = None

    def steps(self) -> list[Step]:
        """The steps that lead here."""
        found: list[Step] = []
        state: State | None = self
        while state is not None and state.step is not None:
            found.append(state.step)
            state = state.before
        return found[::-1]


#: Where nothing has been recorded yet, by the precision of products that traces are made for.
starts: dict[str, State] = collections.defaultdict(lambda: State(None, None, 0, 0))


def count_states() -> int:
    """How many states are known: it stays the same when nothing new is recorded."""
    return sum(1 for _ in _states())


def count_programs() -> int:
    """How many programs have been compiled for whole graphs."""
    return sum(len(state.programs) for state in _states())


def _states() -> Iterator[State]:
    waiting = list(starts.values())
    while waiting:
        state = waiting.pop()
        yield state
        waiting.extend([step.next for step in list(state.values())])


def _forget_states() -> None:
    """Keep the states that lead to a program that ran since the last time."""
    kept = set(map(id, starts.values()))
    for last in list(_states()):
        state: State | None = last
        while last.used and last.programs and state is not None and id(state) not in kept:
            kept.add(id(state))
            state = state.before
    for state in list(_states()):
        state.used = False
        state.passes = {
            key: [each for each in passes if each is not None and id(each.last.next) in kept] for key, passes in state.passes.items()
        }
        for key, step in list(state.items()):
            if id(step.next) not in kept:
                state.pop(key, None)
    global _known
    _known = len(kept)


_known = 0


def new_step(state: State, form: Form, operands: list[Any], places: dict[int, int], leaves: int) -> Step:
    """The step from a state for operands of kinds that have not come there before.

    Args:
      places: by id, the number of each leaf so far; leaves: how many more there are.
    """
    global _known
    _known += 1
    if _known > MOST:
        _forget_states()
    shaped = form.of(operands)
    fresh: dict[int, int] = {}
    numbers = iter(range(state.leaves, state.leaves + leaves))
    found: list[int] = []
    size = 0
    for operand in operands:
        if not isinstance(operand, (Value, Residuals)):
            found.append(~next(numbers))
        elif operand.array is None:
            found.append(operand.place)
        else:
            name = id(operand)
            place = places.get(name, fresh.get(name))
            if place is None:
                place = fresh[name] = ~next(numbers)
                size += operand.size * operand.dtype.itemsize if isinstance(operand, Value) else 0
            found.append(place)
    return Step(state, shaped, tuple(found), leaves, size)
