"""What runs a graph: one compiled program for one that keeps coming, form after form for one that comes once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import jax

from funnn.engine.program.value import Residuals, Value
from funnn.engine.state import thread

Runner = Callable[[list[Any]], list[Any]]

#: Steps of a graph that is compiled when it comes again, and the seconds for each further one that must have been spent without a program before.
_CHEAP, _COST = 400, 0.01
_VARIANTS = 4  # programs of one graph that differ in what is still held, before one that gives all of that


def find_program(state: Any, live: tuple[int, ...]) -> Runner:
    """What gives the values at the places ``live`` from the leaves of the graph that ends at ``state``."""
    state.visits += 1
    state.used = True
    for program in state.programs:
        if program.covers(live):
            return cast(Runner, program.runner(live))
    steps = _needed(state.steps(), live)
    if thread.region is not None and (state.visits == 1 or len(steps) > 1):
        thread.region.new_programs += 1
    if len(steps) == 1 or (thread.region is None and (state.visits == 1 or state.spent < _COST * max(0, len(steps) - _CHEAP))):
        return OneByOne(state, steps, live)
    if len(state.programs) >= _VARIANTS:
        live = tuple(sorted(set(live).union(*(program.live for program in state.programs))))
    program = Program(state.steps(), live)
    state.programs.append(program)
    return program.runner(live)


def _needed(steps: Sequence[Any], live: tuple[int, ...]) -> list[Any]:
    """The steps that the places ``live`` depend on."""
    wanted, kept = set(live), []
    for step in reversed(steps):
        given = [place for place, _, _ in step.given]
        if step.vjp in wanted or not wanted.isdisjoint(given):
            kept.append(step)
            wanted.update(place for place in step.operands if place >= 0)
    return kept[::-1]


def _run_steps(steps: Sequence[Any], live: tuple[int, ...], leaves: Sequence[Any], last: dict[int, list[int]]) -> list[Any]:
    """The values at ``live``; ``last`` says which are no longer needed after which step."""
    found: dict[int, Any] = {}
    for number, step in enumerate(steps):
        results, _ = step.shaped.form.run(*[found[place] if place >= 0 else leaves[~place] for place in step.operands])
        for (place, _, _), result in zip(step.given, results, strict=False):
            found[place] = result
        if step.vjp is not None:
            found[step.vjp] = results[-1]
        for place in last.get(number, ()):
            found.pop(place, None)
    return [found[place] for place in live]


def _arrays(leaves: list[Any]) -> list[Any]:
    return [leaf.known() if isinstance(leaf, (Value, Residuals)) else leaf for leaf in leaves]


class OneByOne:
    """Runs a graph form after form."""

    def __init__(self, state: Any, steps: list[Any], live: tuple[int, ...]):
        self.state, self.steps, self.live = state, steps, live

    def __call__(self, leaves: list[Any]) -> list[Any]:
        last: dict[int, int] = {}
        for number, step in enumerate(self.steps):
            last.update((place, number) for place in (*step.operands, *(given[0] for given in step.given), step.vjp) if place is not None)
        for place in self.live:
            last.pop(place, None)
        ends: dict[int, list[int]] = {}
        for place, number in last.items():
            ends.setdefault(number, []).append(place)
        began = time.perf_counter()
        results = _run_steps(self.steps, self.live, _arrays(leaves), ends)
        self.state.spent += time.perf_counter() - began
        return results


class Program:
    """One compiled program for a whole graph."""

    def __init__(self, steps: list[Any], live: tuple[int, ...]):
        self.live = live
        self.places = {place: number for number, place in enumerate(live)}
        needed = _needed(steps, live)

        def compute(leaves: list[Any]) -> list[Any]:
            return _run_steps(needed, live, leaves, {})

        self.compiled: Any = jax.jit(compute)

    def covers(self, live: tuple[int, ...]) -> bool:
        """Whether the program gives all these."""
        return live == self.live or self.places.keys() >= set(live)

    def runner(self, live: tuple[int, ...]) -> Runner:
        """The program, of whose results those at ``live`` are taken."""
        if live == self.live:
            return self
        chosen = [self.places[place] for place in live]

        def run(leaves: list[Any]) -> list[Any]:
            results = self(leaves)
            return [results[number] for number in chosen]

        return run

    def __call__(self, leaves: list[Any]) -> list[Any]:
        results: list[Any] = self.compiled(_arrays(leaves))
        return results
