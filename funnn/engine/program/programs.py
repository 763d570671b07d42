"""What runs a graph: NumPy, form after form, until that has cost what a program costs; then one compiled program.

Costs are counted from sizes, not measured: what runs how, and so the last digit of every number, is the same in every run of a script.
"""

from __future__ import annotations

import collections
import functools
import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import get_opaque_trace_state
from jax.sharding import SingleDeviceSharding

from funnn.engine.program.form import name_of
from funnn.engine.program.garbage import Uncollected
from funnn.engine.program.references import are_sole
from funnn.engine.program.traced import COMPILE
from funnn.engine.program.value import Interpreted, Residuals, Value, as_numpy, is_forked, is_on_cpu
from funnn.engine.state import thread
from funnn.engine.types import settings as _settings
from funnn.functional import _conv_onednn as onednn

_NUMBERS = frozenset((bool, int, float, complex))
_VARIANTS = 4  # programs of one graph that differ in what is still held, before one that gives all of that
#: What a program must have cost without it before it is compiled, as a part of what compiling it costs.
PATIENCE = 0.5
_SMALL, _LARGE = 1 << 14, 1 << 16  # bytes that a program copies in no time, and that are worth being overwritten
#: A program with convolutions is compiled a second time when it has run so often, if JAX keeps programs on disk: those that it keeps have slower ones.
_OFTEN = 200
_START = 5e-5  # seconds that XLA takes to start a program
_AHEAD, _AHEAD_WORK = (
    16,
    2e-4,
)  # forms, and the seconds that they take, that lead to a value which is looked at before the rest of its graph runs
_OUTSIDE = get_opaque_trace_state()  # where no function of the user's is being traced


def find_program(state: Any, live: tuple[int, ...], leaves: list[Any]) -> OneByOne | Program:
    """What gives the values at the places ``live``, and maybe more, from the leaves of the graph that ends at ``state``."""
    state.visits += 1
    state.used = True
    split = any(type(leaf) is Residuals and leaf.interpreted for leaf in leaves)
    known = [] if split or is_forked() else [program for program in state.programs if program.covers(live)]
    for program in known:
        if program.may_overwrite(leaves):
            return cast(Program, program)
    stepwise: OneByOne | None = state.stepwise
    if stepwise is not None and stepwise.live == live:
        steps = stepwise.steps
    else:
        stepwise, steps = None, _needed(state.steps(), live)
    if thread.region is not None and (state.visits == 1 or len(steps) > 1):
        thread.region.new_programs += 1
    if len(steps) == 1 or split or is_forked() or (thread.region is None and not _is_worth(state, steps)):
        if stepwise is None:
            stepwise = OneByOne(state, steps, live)
            if state.visits > 1:
                state.stepwise = stepwise
        return stepwise
    state.stepwise = None
    if len(state.programs) >= _VARIANTS:
        live = tuple(sorted(set(live).union(*(program.live for program in state.programs))))
    # where one overwrites what is still held this time, one that overwrites nothing serves always
    program = Program(state.steps(), live, () if known else _overwritten(state.steps(), live, leaves))
    state.programs.append(program)
    return program


def compute_ahead(state: Any, place: int, leaves: list[Any]) -> Any:
    """One value of a graph by NumPy, if that takes no longer than starting another program would; else None."""
    steps = _needed(state.steps(), (place,))
    runner = OneByOne(state, steps, (place,))
    if len(steps) > _AHEAD or sum([step.shaped.work for step in steps]) > _AHEAD_WORK or not all(runner.choose(leaves)):
        return None
    found: list[Any] = []
    runner.run(found, leaves)
    return found[0][0]


def _is_worth(state: Any, steps: list[Any]) -> bool:
    """Whether running the graph without a program has cost what one costs, or would now."""
    if state.visits == 1:
        return _is_new(steps)
    return bool(state.spent >= PATIENCE * _purchase(steps))


def _purchase(steps: list[Any]) -> float:
    """Seconds that compiling one program of all these steps takes, about."""
    return COMPILE + math.fsum([step.shaped.traced.purchase - COMPILE for step in steps])


def _is_new(steps: list[Any]) -> bool:
    """Whether a program costs less than those of its forms that NumPy has no rule for and that come for the first time.

    Those that come in another graph are compiled by themselves, to serve in more of them.
    """
    new = [step.shaped for step in steps if not (step.shaped.compiled or step.shaped.spent or _has_rules(step.shaped))]
    if len(new) < 2 or _purchase(steps) > sum([shaped.traced.purchase for shaped in new]):
        return False
    for shaped in new:
        shaped.spent += shaped.traced.purchase
    return True


def _has_rules(shaped: Any) -> bool:
    """Whether NumPy can do the form."""
    return is_on_cpu() and shaped.traced.program is not None


def _needed(steps: Sequence[Any], live: tuple[int, ...]) -> list[Any]:
    """The steps that the places ``live`` depend on."""
    wanted, kept = set(live), []
    for step in reversed(steps):
        given = [place for place, _, _ in step.given]
        if step.vjp in wanted or not wanted.isdisjoint(given):
            kept.append(step)
            wanted.update(place for place in step.operands if place >= 0)
    return kept[::-1]


def _operand(leaf: Any) -> Any:
    """A leaf for a program of XLA, which takes small arrays of NumPy as fast as its own."""
    if type(leaf) is not Value:
        return leaf.known() if type(leaf) is Residuals else leaf
    array = leaf.array
    return leaf.on_device() if type(array) is np.ndarray and array.nbytes > _SMALL else array


def _in_reach(operand: Any) -> Any:
    """A leaf for a forked process, which can't compute with arrays of the former one's JAX."""
    return operand if type(operand) in (np.ndarray, Interpreted) else jax.tree.map(as_numpy, operand)


def _at_hand(array: Any) -> bool:
    """Whether NumPy can read the numbers where they are."""
    return isinstance(array, (np.ndarray, np.generic)) or type(array.sharding) is SingleDeviceSharding


class OneByOne:
    """Runs a graph form after form: with NumPy, or by the form's program once that is worth it or where NumPy has no rule."""

    def __init__(self, state: Any, steps: list[Any], live: tuple[int, ...]):
        self.state, self.steps, self.live = state, steps, live
        last: dict[int, int] = {}
        for number, step in enumerate(steps):
            last.update((place, number) for place in (*step.operands, *(given[0] for given in step.given), step.vjp) if place is not None)
        wanted = set(live)
        self.ends: list[list[int]] = [[] for _ in steps]  # what is no longer needed after each step
        for place, number in last.items():
            if place >= 0 and place not in wanted:
                self.ends[number].append(place)

    def run(self, outputs: Any, leaves: list[Any]) -> None:
        """Append the results, in the order of ``live``, to ``outputs``."""
        interpreted = self.choose(leaves)
        found: dict[int, Any] = {~place: leaf.array if isinstance(leaf, (Value, Residuals)) else leaf for place, leaf in enumerate(leaves)}
        if is_forked():
            found = {place: _in_reach(operand) for place, operand in found.items()}
        spent = 0.0
        with np.errstate(all="ignore"):
            for step, by_numpy, ended in zip(self.steps, interpreted, self.ends, strict=True):
                shaped = step.shaped
                operands = [found[place] for place in step.operands]
                spent += _cost(shaped, by_numpy)
                results = _interpret(shaped, operands) if by_numpy else _run_by_xla(shaped, operands)
                for (place, _, _), result in zip(step.given, results, strict=False):
                    found[place] = result
                if step.vjp is not None:
                    found[step.vjp] = results[-1]
                for place in ended:
                    found.pop(place, None)
        self.state.spent += max(spent - _START, 0.0)  # which a program would take too
        outputs.append([_settled(found[place]) for place in self.live])

    def choose(self, leaves: list[Any]) -> list[bool]:
        """Which steps NumPy does. What gives a vjp and what reads it are both done by NumPy or both by XLA, for which its leaves may be others."""
        if not is_on_cpu() or not all(_at_hand(leaf.array) for leaf in leaves if type(leaf) is Value):
            return [False] * len(self.steps)
        by_numpy = [self._is_interpreted(step.shaped) for step in self.steps]
        vjps = {~number for number, leaf in enumerate(leaves) if type(leaf) is Residuals}
        by_xla = {~number for number, leaf in enumerate(leaves) if type(leaf) is Residuals and not leaf.interpreted}
        for step, interpreted in zip(self.steps, by_numpy, strict=True):
            if step.vjp is not None:
                vjps.add(step.vjp)
            if not interpreted:
                by_xla.update(vjps.intersection((*step.operands, step.vjp)))
        if not by_xla:
            return by_numpy
        return [
            interpreted and by_xla.isdisjoint((*step.operands, step.vjp)) for step, interpreted in zip(self.steps, by_numpy, strict=True)
        ]

    def _is_interpreted(self, shaped: Any) -> bool:
        """Whether NumPy does a form: it has rules for all of it, and there is no program, nor was it worth one; of a graph that keeps coming, the whole is.

        In a forked process NumPy does all that it can.
        """
        waits = self.state.visits > 1 and len(self.steps) > 1
        is_worth_no_program = not shaped.compiled and (waits or shaped.spent <= PATIENCE * shaped.traced.purchase)
        return shaped.reads_leaves and (is_worth_no_program or is_forked()) and shaped.traced.program is not None


def _cost(shaped: Any, by_numpy: bool) -> float:
    """Seconds that the form is about to take, about."""
    work: float = shaped.work
    if by_numpy:
        shaped.spent += work
        return work
    return _START + work + (0.0 if shaped.compiled else shaped.traced.purchase)


def _interpret(shaped: Any, operands: list[Any]) -> list[Any]:
    """The results of a form by NumPy; a vjp among them by its leaves."""
    traced = shaped.traced
    flat: list[Any] = []
    for operand in operands:
        if type(operand) is Interpreted:
            flat.extend(operand.leaves)
        elif type(operand) is np.ndarray:
            flat.append(operand)
        elif type(operand) in _NUMBERS:
            flat.append(np.asarray(operand, traced.dtypes[len(flat)]))
        else:
            flat.append(np.asarray(operand))
    results = list(traced.program(*shaped.values, *flat))
    count = len(shaped.results)
    if not shaped.vjp:
        return results
    return [*results[:count], Interpreted(results[count:], functools.partial(_pytree, shaped, operands, results[count:]))]


def _pytree(shaped: Any, operands: list[Any], leaves: list[Any]) -> Any:
    """A vjp as XLA's programs take it."""
    if not shaped.traced.symbols:
        return jax.tree.unflatten(jax.tree.structure(shaped.traced.vjp), leaves)
    return _run_by_xla(shaped, operands)[-1]


def _run_by_xla(shaped: Any, operands: Iterable[Any]) -> Any:
    """The results of a form by its own program."""
    given = [operand.pytree() if type(operand) is Interpreted else operand for operand in operands]
    with Computing(() if shaped.compiled else (shaped,)):
        results, _ = shaped.form.run(*given)
    shaped.compiled = True
    return results


class Computing:
    """A context for a call of a compiled program, which computes at once even where a user's function is being traced.

    Args:
      compiles: the shaped forms of a program that is compiled by this call; none where it is compiled already.
    """

    __slots__ = ("_began", "_compiles", "_contexts")

    def __init__(self, compiles: Sequence[Any] = ()):
        self._compiles = compiles
        # what is traced under ensure_compile_time_eval is known by it, and would be traced anew
        at_once = () if get_opaque_trace_state() == _OUTSIDE else (jax.ensure_compile_time_eval(),)
        self._contexts = _settings.running(), *at_once, *((Uncollected(),) if compiles else ())

    def __enter__(self) -> None:
        for context in self._contexts:
            context.__enter__()
        self._began = time.perf_counter()

    def __exit__(self, kind: type | None, *exc: Any) -> None:
        if self._compiles and kind is None:
            thread.compiled.append((time.perf_counter() - self._began, tuple([shaped.describe() for shaped in self._compiles])))
        for context in reversed(self._contexts):
            context.__exit__(kind, *exc)


def _settled(result: Any) -> Any:
    """A result as values keep it: in memory of its own where it is but seen through strides."""
    return np.asarray(result, order="C") if isinstance(result, np.ndarray) else result


def compose(steps: Sequence[Any], live: tuple[int, ...]) -> tuple[Callable[[Sequence[Any]], list[Any]], list[Any]]:
    """A function of the leaves of a graph that gives what is at the places ``live``, and the shaped forms that it is made of."""
    needed = _needed(steps, live)

    def compute(leaves: Sequence[Any]) -> list[Any]:
        found: dict[int, Any] = {~number: leaf for number, leaf in enumerate(leaves)}
        for step in needed:
            results, _ = step.shaped.form.run(*[found[place] for place in step.operands])
            for (place, _, _), result in zip(step.given, results, strict=False):
                found[place] = result
            if step.vjp is not None:
                found[step.vjp] = results[-1]
        return [found[place] for place in live]

    return compute, [step.shaped for step in needed]


def _overwritten(steps: Sequence[Any], live: tuple[int, ...], leaves: list[Any]) -> tuple[int, ...]:
    """The leaves that only this graph holds, each with a result at ``live`` that may take its place."""
    given = {place: (shape, dtype) for step in steps for place, shape, dtype in step.given}
    free = collections.Counter(given[place] for place in live if place in given)
    found = []
    sole = are_sole(list(leaves))
    arrays: list[Any] = [leaf.array if type(leaf) is Value else None for leaf in leaves]
    for number, (array, alone) in enumerate(zip(arrays, are_sole(arrays), strict=True)):
        if alone and sole[number] and array.nbytes >= _LARGE:
            kind = array.shape, np.dtype(array.dtype)
            if free[kind] > 0:
                free[kind] -= 1
                found.append(number)
    return tuple(found)


class Program:
    """One compiled program for a whole graph.

    Args:
      live: the places of its results.
      overwritten: the leaves whose memory results take.
    """

    def __init__(self, steps: list[Any], live: tuple[int, ...], overwritten: tuple[int, ...] = ()):
        self.live, self.overwritten = live, overwritten
        self.places = {place: number for number, place in enumerate(live)}
        compute, self.fresh = compose(steps, live)  # fresh: until it is compiled
        gone = frozenset(overwritten)

        def compute_of(kept: list[Any], given: list[Any]) -> list[Any]:
            first, second = iter(kept), iter(given)
            return compute([next(second if number in gone else first) for number in range(len(kept) + len(given))])

        self._function, self._shaped, self._runs = compute_of, self.fresh, 0
        self.compiled: Any = jax.jit(compute_of, donate_argnums=1)

    def _kept(self) -> AbstractContextManager[None]:
        """A context for the next run, in which the program may be compiled."""
        self._runs += 1
        often = self._runs == _OFTEN and not self.fresh and threading.active_count() == 1  # other threads may compile, too
        if not (often and onednn.is_there() and onednn.is_kept() and any("conv" in name_of(shaped.form) for shaped in self._shaped)):
            return nullcontext()
        self.compiled, self.fresh = jax.jit(lambda kept, given: self._function(kept, given), donate_argnums=1), self._shaped
        return onednn.unkept()

    def covers(self, live: tuple[int, ...]) -> bool:
        """Whether the program gives all these."""
        return live == self.live or self.places.keys() >= set(live)

    def may_overwrite(self, leaves: list[Any]) -> bool:
        """Whether nobody else holds the leaves that it overwrites."""
        if not self.overwritten:
            return True
        values = [leaves[number] for number in self.overwritten]
        return all(are_sole(values)) and all(are_sole([value.array for value in values]))

    def run(self, outputs: Any, leaves: list[Any]) -> None:
        """Append the results, in the order of ``live``, to ``outputs``, in the same breath as what they overwrite is gone: an interrupt loses nothing."""
        known = [_operand(leaf) for leaf in leaves]
        given = [known[number] for number in self.overwritten]
        if given:
            gone = frozenset(self.overwritten)
            known = [operand for number, operand in enumerate(known) if number not in gone]
        with self._kept(), Computing(self.fresh):
            if self.fresh and given:  # the first call compiles, where an interrupt may come: what it overwrites are copies
                given = list(map(jnp.copy, given))
            outputs.extend(map(self.compiled, (known,), (given,)))
        self.fresh = []


def picked(program: Any, results: list[Any], places: Sequence[int]) -> list[Any]:
    """Those at the places, in their order, of what a program gave that gives more."""
    return [results[program.places[place]] for place in places]
