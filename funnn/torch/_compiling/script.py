"""A plan made ready: what two calls did, done again without their Python."""

from __future__ import annotations

import functools
import itertools
import math
import operator
import sys
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from funnn.engine.memory.shared import SharedStorage
from funnn.engine.memory.storage import Storage
from funnn.engine.program.references import SOLE
from funnn.engine.program.replay import Replay, Replayable, arrays_of, as_leaf, consume
from funnn.engine.program.value import Value
from funnn.engine.state import thread
from funnn.engine.tape.node import node_type
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.tree import map_items
from funnn.torch._compiling.plan import Plan, Released, Source, _Read
from funnn.torch._compiling.signature import Refused

#: What ``Script.run`` returns where it can't be done after all.
MISS: Any = object()
_slots: Any = Storage
_set_value, _set_version, _set_writes = _slots.value.__set__, _slots.version.__set__, _slots.writes.__set__
_set_inference = _slots.inference.__set__
_version_of, _writes_of = operator.attrgetter("version"), operator.attrgetter("writes")
_new: Any = object.__new__
_REPLAYS = {Replay}
_grad_of, _storage_of, _window_of = operator.attrgetter("_grad"), operator.attrgetter("_storage"), operator.attrgetter("_window")
_need = operator.attrgetter("_leaf_requires_grad")
_graph_of = operator.attrgetter("graph")
_FEW = 1 << 20  # numbers of gradients
_value_of, _shape_of, _dtype_of = map(operator.attrgetter, ("value", "shape", "dtype"))
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


def _picker(numbers: list[int]) -> Callable[[Any], Any]:
    """What takes the items of these numbers from a list, as a list or tuple."""
    if len(numbers) > 1:
        return operator.itemgetter(*numbers)
    return lambda items: [items[number] for number in numbers]


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
        self.read = _picker([self._renumber[source.what] for _, source in stored])
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
        optional = self._only_gradients(plan)
        self.unseen = bool(optional)
        given = {place: (shape, dtype) for step in plan.state.steps() for place, shape, dtype in step.given}
        recycled = self._recyclable(plan, given)
        self.live = tuple(sorted(plan.live, key=lambda place: (place not in recycled, optional.get(place, -1), place)))
        self.needed = len(self.live) - len(optional)
        self.places = {place: number for number, place in enumerate(self.live)}
        kinds = [given[place] for place in self.live[len(recycled) :]]
        self.kinds = [shape for shape, _ in kinds], [dtype for _, dtype in kinds]
        few = self.needed - len(recycled)
        self.few_kinds = self.kinds[0][:few], self.kinds[1][:few]
        self.recycled_to = [[self._renumber[number] for number in recycled[place]] for place in self.live[: len(recycled)]]
        self.recycled = _picker([numbers[0] for numbers in self.recycled_to])
        self.references = [_VALUE_REFERENCES + 2 * len(numbers) for numbers in self.recycled_to]
        # where gradients are few, the next call comes first, for it may let go of them, and then they need not be written
        self.waits = self.unseen and sum(math.prod(given[place][0]) for place in optional) <= _FEW
        written = {self._renumber[number] for number, source in plan.writes if source.kind == "result"}
        arguments = set(range(len(self.direct) + len(self.of_gradients), len(plan.roles)))
        donated = tuple([place for place, number in enumerate(self.read_numbers) if number in written - arguments])
        self.give = _picker(list(donated))
        replayed = {number for numbers in self.recycled_to for number in numbers}
        foreign = [(self._renumber[number], plan.shapes[number]) for number, (kind, _) in enumerate(plan.roles) if kind != "argument"]
        foreign = [(number, shape) for number, shape in foreign if number not in replayed]
        self.foreign, self.shapes = _picker([number for number, _ in foreign]), [shape for _, shape in foreign]
        key = id(plan.state), self.order, donated
        if key not in self.programs:
            self.programs[key] = Replayable(plan.state, self.order, donated)
        self.program = self.programs[key]
        plan_writes = [(number, source) for number, source in plan.writes if source.kind != "result" or source.what not in recycled]
        self.written = _picker([self._renumber[number] for number, _ in plan_writes])
        self.counted = _picker([self._renumber[number] for number, _, _ in plan.versions])
        self.changed = _picker([self._renumber[number] for number in {number for number, *_ in (*plan.writes, *plan.versions)}])
        self.versions, self.writes = [version for _, version, _ in plan.versions], [writes for _, _, writes in plan.versions]
        self.constants: list[Value] = [source.what for source in plan.sources() if source.kind == "constant"]
        # what goes somewhere is taken from one list: the results, then the values that were there, then constants
        base = len(self.live)
        count = len(plan.roles)

        def place_of(source: Source) -> int:
            if source.kind == "result":
                return self.places[source.what]
            if source.kind == "storage":
                return base + self._renumber[source.what]
            if source.kind == "constant":
                return base + count + self.constants.index(source.what)
            if source.kind == "draw" and plan.draws and source.what < len(plan.draws):
                return base + count + len(self.constants) + source.what
            raise Refused("it gives back numbers as they came")

        self.sources = _picker([place_of(source) for _, source in plan_writes])
        self._prepare_new(plan, place_of)
        self.checks: list[tuple[Any, list[tuple[int, Any]], bool]] = []
        for check, sources in plan.checks:
            if any(source.kind == "draw" for source, _ in sources):
                raise Refused("random numbers are checked")
            if all(source.kind == "constant" for source, _ in sources):  # which were looked at when the call was recorded
                continue
            found = [(place_of(source), window) for source, window in sources]
            self.checks.append((check, found, any(place < base for place, _ in found)))
        self.looked: list[Any] = [None] * len(self.checks)
        changing = {self._renumber[number] for number, _ in plan.writes}
        self.skips = {
            number
            for number, (_, found, later) in enumerate(self.checks)
            if not later and all(base <= place and place - base not in changing for place, _ in found)
        }
        self.quick = [(n, found[0][0] - base) for n, (_, found, _) in enumerate(self.checks) if n in self.skips and len(found) == 1]
        self.all_quick = len(self.quick) == sum(not later for _, _, later in self.checks)
        self.known_checks = any(not later for _, _, later in self.checks)
        self.asks = any(later for _, _, later in self.checks)
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

    def _prepare_new(self, plan: Plan, place_of: Callable[[Source], int]) -> None:
        """The new storages and tensors; those that only become gradients stand last, in the order of the gradients."""
        last = [number for _, number in plan.gradients] if self.unseen else []
        tensors = [number for number in range(len(plan.tensors)) if number not in last] + last
        last_storages = [plan.tensors[number].storage[1] for number in last]
        storages = [number for number in range(len(plan.storages)) if number not in last_storages] + last_storages
        self.tensor_numbers = {number: place for place, number in enumerate(tensors)}
        numbers = {number: place for place, number in enumerate(storages)}
        self.gradient_numbers = [None if number is None else self.tensor_numbers[number] for _, number in plan.gradients]
        sources = [place_of(plan.storages[number][0]) for number in storages]
        self.new_inference = [plan.storages[number][1] for number in storages]
        self.new_kinds = [plan.tensors[number].kind for number in tensors]
        fields = [self._fields(plan.tensors[number]) for number in tensors]
        self.new_fields = [(place, found) for place, found in enumerate(fields) if found]
        self.sees_old = any(not plan.tensors[number].storage[0] for number in tensors)
        self.counts = len(storages), len(tensors)
        self.few_counts = len(storages) - len(last), len(tensors) - len(last)

        def memory(count: int, fresh: int) -> Callable[[Any], Any]:
            seen = [plan.tensors[number].storage for number in tensors[:count]]
            return _picker([numbers[number] if new else fresh + self._renumber[number] for new, number in seen])

        self.new_values, self.few_values = _picker(sources), _picker(sources[: self.few_counts[0]])
        self.new_memory, self.few_memory = memory(self.counts[1], self.counts[0]), memory(self.few_counts[1], self.few_counts[0])
        self.alone, self.awaited = [SOLE] * len(last), [SOLE + 1] * len(last)

    @staticmethod
    def _only_gradients(plan: Plan) -> dict[int, int]:
        """The places of results that are nothing but the new gradients of tensors, with the numbers of these; none where other gradients are set too."""
        places: dict[int, int] = {}
        for count, (_, number) in enumerate(plan.gradients):
            if number is None or plan.tensors[number][:1] + plan.tensors[number][2:] != (Tensor, None, True, False, None, 0):
                return {}
            fresh, storage = plan.tensors[number].storage
            if not fresh or plan.storages[storage][0].kind != "result" or plan.storages[storage][1]:
                return {}
            places[plan.storages[storage][0].what] = count
        numbers = [number for _, number in plan.gradients]
        memory = [plan.tensors[number].storage for number in numbers if number is not None]
        uses = [source.what for source in plan.sources() if source.kind == "result" and source.what in places]
        others = [made.storage for made in plan.tensors if made.storage in memory]
        once = len(uses) == len(places) == len(plan.gradients) == len(others) == len(set(memory))
        return places if once and not any(_mentions(plan.result, number) for number in numbers) else {}

    @staticmethod
    def _fields(made: Any) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        if made.window is not None:
            fields["_window"] = made.window
        if not made.tracked:
            fields["_tracked"] = False
        if made.requires_grad:
            fields["_leaf_requires_grad"] = True
        if made.node is not None:
            node = node_type(made.node, Released)(())
            node.count = made.output + 1
            fields["_grad_fn"], fields["_output"] = node, made.output
        return fields

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
        if self.known_checks and not self._is_looked(olds):
            self._look(olds, None)
        rest, drawn = self._rest(leaves) if self.changing or self.plan.draws else (self.rest, [])
        owners = [leaves[who] if type(who) is int else who() for who, _ in self.gradients]
        last, thread.replay = None if thread.replay is None else thread.replay(), None
        kept = self._unseen(owners, last) if self.unseen else []
        try:
            if last is not None:
                if kept and set(map(_graph_of, kept)) == {last}:
                    last.drop()
                last.flush()
            tensors, ticket, results = self._commit(storages, olds, rest, drawn, owners, kept)
        except BaseException:
            if kept:
                consume(map(setattr, owners, itertools.repeat("_grad"), itertools.repeat(None)))
            raise
        if not self.asks:
            del olds  # whose arrays may be given away when it runs
        if self.waits:
            thread.replay = weakref.ref(ticket)
        else:
            ticket.flush()
        if self.asks:
            ticket.flush()
            self._look(olds, results)
        return self._build(self.plan.result, tensors, leaves)

    def _unseen(self, owners: list[Any], last: Any) -> list[Value]:
        """The values of the gradients that stand there, if a replay gave them and nobody else holds them: then they may be replaced where they are."""
        grads = list(map(_grad_of, owners))
        if set(map(type, grads)) != {Tensor}:
            return []
        storages = list(map(_storage_of, grads))
        values = list(map(_value_of, storages))
        alone = (
            list(map(sys.getrefcount, values)) == (self.awaited if last is not None and last.is_pending() else self.alone)
            and list(map(sys.getrefcount, storages)) == self.alone
            and list(map(sys.getrefcount, grads)) == self.alone
            and set(map(type, map(_graph_of, values))) == _REPLAYS
            and not any(map(_window_of, grads))
            and not any(map(_need, grads))
        )
        return values if alone else []

    def _commit(
        self, storages: list[Storage], olds: list[Value], rest: list[Any], drawn: list[Any], owners: list[Any], kept: list[Value]
    ) -> Any:
        """Let everybody see the results, pending as they are, in one breath."""
        first = self.read(olds)
        inputs = arrays_of(first)
        given = self.give(first)
        foreign = () if set(map(type, map(_graph_of, given))) <= _REPLAYS else self._foreign(given)
        del first, given
        inputs += rest
        ticket = Replay(self.program, self.live, self.needed)
        recycled, instead = self._recycle(ticket, olds, storages)
        fresh = ticket.pending(*(self.few_kinds if kept else self.kinds))
        pool = [*recycled, *fresh, *kept, *olds, *self.constants, *map(Value, drawn)]
        tensors = self._make(pool, storages, bool(kept))
        ticket.give(pool[: len(self.live)], inputs, foreign)
        counted = self.counted(storages)
        mine = recycled
        if instead:
            put = {id(value) for _, value in instead}
            mine = [value for value in recycled if id(value) not in put]
        consume(
            map(_set_version, counted, list(map(operator.add, map(_version_of, counted), self.versions))),
            map(_set_writes, counted, list(map(operator.add, map(_writes_of, counted), self.writes))),
            ticket.take_over([*mine, *kept]),
            map(_set_value, self.written(storages), self.sources(pool)),
            map(_set_value, [storage for storage, _ in instead], [value for _, value in instead]),
            ()
            if kept
            else map(setattr, owners, itertools.repeat("_grad"), [None if n is None else tensors[n] for n in self.gradient_numbers]),
        )
        return tensors, ticket, pool[: len(self.live)] if self.asks else None

    def _recycle(self, ticket: Replay, olds: list[Value], storages: list[Storage]) -> tuple[list[Value], list[tuple[Any, Value]]]:
        """Values for the results that overwrite storages: those that are there, where nobody else holds them; and which are to be put in their stead."""
        values: Any = self.recycled(olds)
        if list(map(sys.getrefcount, values)) == self.references:
            return list(values), []
        counts = list(map(sys.getrefcount, values))
        found, instead = [], []
        for value, count, least, numbers in zip(values, counts, self.references, self.recycled_to, strict=True):
            if count <= least:
                found.append(value)
                continue
            made = ticket.pending([value.shape], [value.dtype])[0]
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

    def _make(self, pool: list[Any], storages: list[Storage], unseen: bool) -> list[Any]:
        """The new tensors."""
        _, tensor_count = self.few_counts if unseen else self.counts
        if not tensor_count:
            return []
        made: list[Any] = []
        for value, inference in zip((self.few_values if unseen else self.new_values)(pool), self.new_inference, strict=False):
            storage = _new(Storage)
            storage.value, storage.version, storage.writes, storage.inference = value, 0, 0, inference
            made.append(storage)
        tensors: list[Any] = list(map(_new, self.new_kinds[:tensor_count]))
        memory = (self.few_memory if unseen else self.new_memory)([*made, *storages] if self.sees_old else made)
        for tensor, storage in zip(tensors, memory, strict=True):
            tensor._storage = storage
        for number, fields in self.new_fields:
            tensors[number].__dict__.update(fields)
        return tensors

    def _is_looked(self, olds: list[Value]) -> bool:
        """Whether the values that are to be checked have been."""
        for number, place in self.quick:
            last = self.looked[number]
            if last is None or last[0]() is not olds[place]:
                return False
        return self.all_quick

    def _look(self, olds: list[Value] | None, values: list[Value] | None) -> None:
        """Check values: those that are known before the program runs, or those that it gave."""
        base = len(self.live)
        for number, (check, sources, later) in enumerate(self.checks):
            if later is not (values is not None):
                continue
            seen = []
            for place, _ in sources:
                pool: Any = values if place < base else olds if place < base + len(self.plan.roles) else self.constants
                seen.append(pool[place if place < base else place - base if pool is olds else place - base - len(self.plan.roles)])
            last = self.looked[number]
            if number in self.skips and last is not None and all(reference() is value for reference, value in zip(last, seen, strict=True)):
                continue
            tensors = []
            for value, (_, window) in zip(seen, sources, strict=True):
                tensor = Tensor._wrap(value)
                if window is not None:
                    tensor._window = window
                tensors.append(tensor)
            if type(check) is tuple:
                function, args, kwargs = check
                fill = functools.partial(_fill_in, tensors)
                function(*[map_items(fill, item) for item in args], **{name: map_items(fill, item) for name, item in kwargs.items()})
            else:
                check()
            self.looked[number] = None if later else [weakref.ref(value) for value in seen]

    def _build(self, made: tuple[Any, ...], tensors: list[Any], leaves: list[Any]) -> Any:
        kind = made[0]
        if kind == "new":
            return tensors[self.tensor_numbers[made[1]]]
        if kind == "constant":
            return made[2]
        if kind == "argument":
            return leaves[made[1]]
        if kind == "old":
            return made[1].of()
        if kind == "items":
            return made[1]([self._build(item, tensors, leaves) for item in made[2]])
        if kind == "named":
            return made[1](*[self._build(item, tensors, leaves) for item in made[2]])
        result = made[1].__new__(made[1])
        if kind == "dict":
            for key, item in made[2]:
                dict.__setitem__(result, key, self._build(item, tensors, leaves))
        for name, item in made[-1]:
            object.__setattr__(result, name, self._build(item, tensors, leaves))
        return result


def _fill_in(tensors: list[Any], item: Any) -> Any:
    return tensors[item.number] if type(item) is _Read else item


def _count_references() -> int:
    """What ``sys.getrefcount`` says in ``Script._recycle`` of a value, but for the storages and the items of ``olds`` that hold it."""
    olds = [Value(np.zeros(())) for _ in range(2)]
    values = operator.itemgetter(0, 1)(olds)
    return max(map(sys.getrefcount, values)) - 1


def _mentions(made: Any, number: int | None) -> bool:
    """Whether a tensor is in a result."""
    return isinstance(made, tuple) and (made[:2] == ("new", number) or any(_mentions(item, number) for item in made))


_VALUE_REFERENCES = _count_references()
