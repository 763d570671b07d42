"""A plan made ready: what two calls did, done again without their Python."""

from __future__ import annotations

import itertools
import math
import operator
import sys
from typing import Any

import numpy as np

from funnn.engine.memory.shared import SharedStorage
from funnn.engine.memory.storage import Storage
from funnn.engine.program.references import SOLE
from funnn.engine.program.replay import NOBODY, Replay, Replayable, Unasked, arrays_of, as_leaf, consume, fill, pending
from funnn.engine.program.unread import are_small
from funnn.engine.program.value import Value
from funnn.engine.state import thread
from funnn.engine.tensor.tensor import Tensor
from funnn.torch._compiling.checks import Checks
from funnn.torch._compiling.making import Making, only_gradients, picker
from funnn.torch._compiling.plan import Plan, Source
from funnn.torch._compiling.signature import Refused

#: What ``Script.run`` returns where it can't be done after all.
MISS: Any = object()
_slots: Any = Storage
_set_value, _set_version, _set_writes = _slots.value.__set__, _slots.version.__set__, _slots.writes.__set__
_version_of, _writes_of = operator.attrgetter("version"), operator.attrgetter("writes")
_REPLAYS, _GIVERS = {Replay}, {Replay, Unasked}
_grad_of, _storage_of, _window_of = operator.attrgetter("_grad"), operator.attrgetter("_storage"), operator.attrgetter("_window")
_need = operator.attrgetter("_leaf_requires_grad")
_graph_of = operator.attrgetter("graph")
_value_of, _shape_of = map(operator.attrgetter, ("value", "shape"))
_numbers: dict[tuple[type, str], Any] = {}


def _scalar(number: Any) -> Any:
    """The array that stands for a number in a program."""
    key = type(number), str(number)
    found = _numbers.get(key)
    if found is None:
        if len(_numbers) > 1024:
            _numbers.clear()
        found = _numbers[key] = as_leaf(number)
    return found


class Script:
    """A plan made ready to be done again.

    Args:
      plan: what two calls did; programs: those of the compiled function.
      loose: the slots, and the arguments, that were not the same in all recorded calls, and may be any.
    """

    def __init__(self, plan: Plan, programs: dict[Any, Replayable], loose: set[Any]):
        self.plan, self.programs, self.loose = plan, programs, loose
        roles = plan.roles
        order = [[number for number, (kind, _) in enumerate(roles) if kind == wanted] for wanted in ("direct", "grad", "argument")]
        self._renumber = {number: place for place, number in enumerate(itertools.chain(*order))}
        self.direct = [roles[number][1].of for number in order[0]]
        self.of_gradients = [roles[number][1].of for number in order[1]]
        self.of_arguments = [roles[number][1] for number in order[2]]
        first = len(order[0]) + len(order[1])
        self.sliced = [(first + place, number) for place, number in enumerate(self.of_arguments) if number in plan.slices]
        self.direct_ids = {roles[number][1].id for number in order[0]} | plan.watch.memory()
        self.shares = [(self._renumber[a], self._renumber[b]) for a, b in plan.shares]
        self._prepare_leaves(plan)
        self._prepare_results(plan)
        self.slots_at = plan.watch.numbers_of([slot for slot in plan.slots if type(slot.value) is float])
        self.traced_slots = {source.what for source in plan.leaves if source.kind == "slot"}
        tied = [(number, what) for number, what in enumerate(plan.arguments) if number not in loose]
        self.tied_storages = [(number, what.of) for number, what in tied if not isinstance(what, float)]
        self.tied_floats = [(number, what) for number, what in tied if isinstance(what, float)]
        self.free = [number for number, what in enumerate(plan.arguments) if number in loose and not isinstance(what, float)]

    def _prepare_leaves(self, plan: Plan) -> None:
        numbered = list(enumerate(plan.leaves))
        stored = [(number, source) for number, source in numbered if source.kind == "storage"]
        others = [(number, source) for number, source in numbered if source.kind != "storage"]
        self.order = tuple([number for number, _ in (*stored, *others)])
        self.read = picker([self._renumber[source.what] for _, source in stored])
        self.read_numbers = [self._renumber[source.what] for _, source in stored]
        self.rest: list[Any] = []
        self.changing: list[tuple[int, Source]] = []
        for place, (_, source) in enumerate(others):
            if source.kind == "number":
                self.rest.append(_scalar(source.what))
            elif source.kind == "constant":
                self.rest.append(source.what.on_device())
            elif source.kind in ("slot", "float") and self._name(source) not in self.loose:
                self.rest.append(_scalar(source.more))
            else:
                self.rest.append(None)
                self.changing.append((place, source))

    def _name(self, source: Source) -> Any:
        return ("slot", source.what) if source.kind == "slot" else source.what

    def _prepare_results(self, plan: Plan) -> None:
        optional = only_gradients(plan)
        self.unseen = bool(optional)
        given = {place: (shape, dtype) for step in plan.state.steps() for place, shape, dtype in step.given}
        recycled = self._recyclable(plan, given)
        self.live = tuple(sorted(plan.live, key=lambda place: (place not in recycled, optional.get(place, -1), place)))
        self.needed, self.asked_late = self.live[: len(self.live) - len(optional)], self.live[len(self.live) - len(optional) :]
        places = {place: number for number, place in enumerate(self.live)}
        kinds = [given[place] for place in self.live[len(recycled) :]]
        self.kinds = [shape for shape, _ in kinds], [dtype for _, dtype in kinds]
        few = len(self.needed) - len(recycled)
        self.few_kinds = self.kinds[0][:few], self.kinds[1][:few]
        self.recycled_to = [[self._renumber[number] for number in recycled[place]] for place in self.live[: len(recycled)]]
        self.recycled = picker([numbers[0] for numbers in self.recycled_to])
        self.references = [_VALUE_REFERENCES + 2 * len(numbers) for numbers in self.recycled_to]
        self.alone = [SOLE] * len(optional)
        written = {self._renumber[number] for number, source in plan.writes if source.kind == "result"}
        arguments = set(range(len(self.direct) + len(self.of_gradients), len(plan.roles)))
        # what is small is not overwritten: then the program can start before anything is changed, and give the gradients if somebody asks
        read = {source.what for source in plan.leaves if source.kind == "storage"}
        self.is_small = are_small([math.prod(plan.shapes[number]) * plan.dtypes[number].itemsize for number in read])
        donated = tuple([place for place, number in enumerate(self.read_numbers) if number in written - arguments and not self.is_small])
        self.give = picker(list(donated))
        replayed = {number for numbers in self.recycled_to for number in numbers}
        foreign = [(self._renumber[number], plan.shapes[number]) for number, (kind, _) in enumerate(plan.roles) if kind != "argument"]
        foreign = [(number, shape) for number, shape in foreign if number not in replayed]
        self.foreign, self.shapes = picker([number for number, _ in foreign]), [shape for _, shape in foreign]
        key = id(plan.state), self.order, donated
        if key not in self.programs:
            self.programs[key] = Replayable(plan.state, self.order, donated)
        self.program = self.programs[key]
        plan_writes = [(number, source) for number, source in plan.writes if source.kind != "result" or source.what not in recycled]
        self.written = picker([self._renumber[number] for number, _ in plan_writes])
        self.counted = picker([self._renumber[number] for number, _, _ in plan.versions])
        changing = {self._renumber[number] for number, *_ in (*plan.writes, *plan.versions)}
        self.changed = picker(list(changing))
        self.versions, self.writes = [version for _, version, _ in plan.versions], [writes for _, _, writes in plan.versions]
        self.constants: list[Value] = [source.what for source in plan.sources() if source.kind == "constant"]
        # what goes somewhere is taken from one list: the results, then the values that were there, then constants
        base = len(self.live)
        count = len(plan.roles)

        def place_of(source: Source) -> int:
            if source.kind == "result":
                return places[source.what]
            if source.kind == "storage":
                return base + self._renumber[source.what]
            if source.kind == "constant":
                return base + count + self.constants.index(source.what)
            if source.kind == "draw" and plan.draws and source.what < len(plan.draws):
                return base + count + len(self.constants) + source.what
            raise Refused("it gives back numbers as they came")

        self.sources = picker([place_of(source) for _, source in plan_writes])
        self.making = Making(plan, place_of, self._renumber, self.unseen)
        self.checks = Checks(plan, place_of, base, count, {self._renumber[number] for number, _ in plan.writes})
        self.gradients = [(who.of if hasattr(who, "of") else who, number) for who, number in plan.gradients]

    @staticmethod
    def _recyclable(plan: Plan, given: dict[int, Any]) -> dict[int, list[int]]:
        """The places of results that overwrite storages of their kind, which one value is shared by, and those storages."""
        writers: dict[int, list[int]] = {}
        for number, source in plan.writes:
            if source.kind == "result":
                writers.setdefault(source.what, []).append(number)
        group = {number: {number} for number in range(len(plan.roles))}
        for first, other in plan.shares:
            group[first].add(other)
            group[other] = group[first]
        kept = {source.what for source in plan.sources() if source.kind == "storage"}
        return {
            place: numbers
            for place, numbers in writers.items()
            if set(numbers) == group[numbers[0]]
            and not kept.intersection(numbers)
            and all(
                (plan.shapes[number], plan.dtypes[number]) == given[place] and plan.roles[number][0] != "argument" for number in numbers
            )
        }

    # -- whether it may be done

    def holds(self, leaves: list[Any]) -> bool:
        """Whether all that can be checked is as it was."""
        plan = self.plan
        changed = plan.watch.changed()
        if changed is None or (changed and not self._tolerates(changed)) or plan.watch.without_gradient() != plan.needs:
            return False
        for number, reference in self.tied_storages:
            if leaves[number]._storage is not reference():
                return False
        for number, value in self.tied_floats:
            if leaves[number] != value and not (value != value and leaves[number] != leaves[number]):
                return False
        return all(id(leaves[number]._storage) not in self.direct_ids for number in self.free)

    def _tolerates(self, changed: list[int]) -> bool:
        """Whether what changed are floats that the program takes as they are; equal numbers are no change."""
        rest = [number for number in changed if number not in self.slots_at]
        if rest and not self.plan.watch.is_equal(rest):
            return False
        for number in changed:
            for slot in self.slots_at.get(number, ()):
                value = slot.read()
                if type(value) is not float:
                    return False
                if value != slot.value:
                    loose = ("slot", self.plan.slots.index(slot)) in self.loose
                    if not loose or bool(value) != bool(slot.value):  # whether it is 0 decides which state there is
                        return False
        return True

    # -- doing it

    def run(self, leaves: list[Any]) -> Any:
        """Do it; ``MISS`` if it cannot be done after all, and nothing was done."""
        storages = self._storages(leaves)
        if storages is None:
            return MISS
        try:
            olds = list(map(_value_of, storages))
        except AttributeError:  # one is gone
            return MISS
        if SharedStorage in set(map(type, storages)) and SharedStorage in set(map(type, self.changed(storages))):
            return MISS
        for place, number in self.sliced:
            olds[place] = leaves[number]._operand()
        if list(map(_shape_of, self.foreign(olds))) != self.shapes:  # what a replay gave is of the right kind
            return MISS
        for a, b in self.shares:
            if olds[a] is not olds[b]:
                return MISS
        if self.checks.known and not self.checks.are_done(olds):
            self.checks.look([*itertools.repeat(None, len(self.live)), *olds, *self.constants], later=False)
        rest, drawn = self._rest(leaves) if self.changing or self.plan.draws else (self.rest, [])
        owners = [leaves[who] if type(who) is int else who() for who, _ in self.gradients]
        kept = self._unseen(owners) if self.unseen else []
        tensors, ticket, values = self._commit(storages, olds, rest, drawn, owners, kept)
        del olds  # whose arrays may be given away when it runs
        if ticket is not None:
            ticket.flush()
        if self.checks.later:
            self.checks.look(values, later=True)
        return self.making.result(tensors, leaves)

    def _unseen(self, owners: list[Any]) -> list[Value]:
        """The values of the gradients that stand there, if a replay gave them and nobody else holds them: then they may be replaced where they are."""
        grads = list(map(_grad_of, owners))
        if set(map(type, grads)) != {Tensor}:
            return []
        storages = list(map(_storage_of, grads))
        values = list(map(_value_of, storages))
        alone = (
            list(map(sys.getrefcount, values)) == self.alone
            and list(map(sys.getrefcount, storages)) == self.alone
            and list(map(sys.getrefcount, grads)) == self.alone
            and set(map(type, map(_graph_of, values))) <= _GIVERS
            and not any(map(_window_of, grads))
            and not any(map(_need, grads))
        )
        return values if alone else []

    def _commit(
        self, storages: list[Storage], olds: list[Value], rest: list[Any], drawn: list[Any], owners: list[Any], kept: list[Value]
    ) -> Any:
        """Let everybody see the results, in one breath: those that were computed before, or, if the program overwrites what it reads, pending ones."""
        first = self.read(olds)
        inputs = arrays_of(first)
        if self.is_small:
            inputs += rest
            late = self.unseen and not thread.reads_gradients
            known = self.program.compute(self.needed if late else self.live, inputs)
            ticket, giver = None, Unasked(self.program, self.asked_late, inputs) if late else NOBODY
        else:
            given = self.give(first)
            foreign = () if set(map(type, map(_graph_of, given))) <= _REPLAYS else self._foreign(given)
            del given
            inputs += rest
            ticket = giver = Replay(self.program, self.live)
            known = []
        del first
        recycled, instead = self._recycle(olds, storages)
        results = [*recycled, *pending(*(self.few_kinds if kept else self.kinds)), *kept]
        pool = [*results, *olds, *self.constants, *map(Value, drawn)]
        tensors = self.making.make(pool, storages, bool(kept))
        if ticket is not None:
            ticket.give(results, inputs, foreign)
        elif giver is not NOBODY:
            giver.give(results[len(known) :])
        counted = self.counted(storages)
        consume(
            map(_set_version, counted, list(map(operator.add, map(_version_of, counted), self.versions))),
            map(_set_writes, counted, list(map(operator.add, map(_writes_of, counted), self.writes))),
            fill(results, known, giver),
            map(_set_value, self.written(storages), self.sources(pool)),
            map(_set_value, [storage for storage, _ in instead], [value for _, value in instead]),
            ()
            if kept
            else map(setattr, owners, itertools.repeat("_grad"), [None if n is None else tensors[n] for n in self.making.gradient_numbers]),
        )
        return tensors, ticket, pool if self.checks.later else None

    def _recycle(self, olds: list[Value], storages: list[Storage]) -> tuple[list[Value], list[tuple[Any, Value]]]:
        """Values for the results that overwrite storages: those that are there, where nobody else holds them; and which are to be put in their stead."""
        values: Any = self.recycled(olds)
        counts = list(map(sys.getrefcount, values))
        if counts == self.references:
            return list(values), []
        found, instead = [], []
        for value, count, least, numbers in zip(values, counts, self.references, self.recycled_to, strict=True):
            if count <= least:
                found.append(value)
                continue
            made = pending([value.shape], [value.dtype])[0]
            found.append(made)
            instead += [(storages[number], made) for number in numbers]
        return found, instead

    def _foreign(self, given: Any) -> set[int]:
        """The leaves whose arrays did not come from a replay."""
        return {place for place, value in zip(self.program.donated, given, strict=True) if type(value.graph) is not Replay}

    def _storages(self, leaves: list[Any]) -> list[Storage] | None:
        storages = list(map(operator.call, self.direct))
        try:
            storages += [reference()._grad._storage for reference in self.of_gradients]
        except AttributeError:
            return None
        return storages + [leaves[number]._storage for number in self.of_arguments]

    def _rest(self, leaves: list[Any]) -> tuple[list[Any], list[Any]]:
        """The leaves that are no storage's, and the random numbers."""
        rest = list(self.rest)
        draws = [reference.of()._draw(name, *args, **kwargs) for reference, name, args, kwargs in self.plan.draws]
        for place, source in self.changing:
            if source.kind == "draw":
                array = draws[source.what]
                rest[place] = array if array.shape == source.more else array.reshape(source.more)
            elif source.kind == "slot":
                rest[place] = _scalar(self.plan.slots[source.what].read())
            elif source.kind == "float":
                rest[place] = _scalar(leaves[source.what])
            else:
                tensor = leaves[source.what] if isinstance(source.what, int) else source.what.of()
                rest[place] = tensor._operand().on_device()
        return rest, draws


def _count_references() -> int:
    """What ``sys.getrefcount`` says in ``Script._recycle`` of a value, but for the storages and the items of ``olds`` that hold it."""
    olds = [Value(np.zeros(())) for _ in range(2)]
    values = operator.itemgetter(0, 1)(olds)
    return max(map(sys.getrefcount, values)) - 1


_VALUE_REFERENCES = _count_references()
