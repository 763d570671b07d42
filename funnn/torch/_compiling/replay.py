"""``torch.compile(mode="reduce-overhead")``: calls that did twice the same are done again without their Python."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import operator
import threading
import warnings
import weakref
from collections.abc import Callable
from typing import Any

from funnn.engine.memory.storage import Storage
from funnn.engine.program.graph import flush
from funnn.engine.program.region import Region
from funnn.engine.program.replay import Recorder, Replay, Replayable, as_leaf, set_attributes, set_values
from funnn.engine.program.value import Value
from funnn.engine.state import thread
from funnn.engine.tape.node import node_type
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.tree import map_items
from funnn.torch._compiling.plan import Plan, Released, Snapshot, Source, _Read
from funnn.torch._compiling.signature import Refused, Signature, give_back, is_plain, is_slice, replaced, stand_in
from funnn.torch._compiling.watch import Watch

_MISS: Any = object()
_PLANS, _SIGNATURES = 4, 64
_IN_VAIN = 4  # recordings one after the other that led to no replay
_slots: Any = Storage
_set_value, _set_version, _set_writes = _slots.value.__set__, _slots.version.__set__, _slots.writes.__set__
_set_inference = _slots.inference.__set__
_version_of, _writes_of = operator.attrgetter("version"), operator.attrgetter("writes")
_new: Any = object.__new__
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
        self.direct_ids = {roles[number][1].id for number in order[0]} | plan.watch.memory()
        kinds = [number for number in itertools.chain(*order) if roles[number][0] != "argument"]
        self.shapes, self.dtypes = [plan.shapes[number] for number in kinds], [plan.dtypes[number] for number in kinds]
        self.shares = [(self._renumber[a], self._renumber[b]) for a, b in plan.shares]
        self._prepare_leaves(plan)
        self._prepare_results(plan)
        self.slots_at = plan.watch.numbers_of([slot for slot in plan.slots if type(slot.value) is float])
        self.traced_slots = {source.what for source in plan.leaves if source.kind == "slot"}
        tied = [(number, what) for number, what in enumerate(plan.arguments) if number not in loose]
        self.tied_storages = [(number, what.of) for number, what in tied if not isinstance(what, float)]
        self.tied_floats = [(number, what) for number, what in tied if isinstance(what, float)]
        self.free = [number for number, what in enumerate(plan.arguments) if number in loose and not isinstance(what, float)]
        self.looked: list[Any] = [None] * len(plan.checks)

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
        self.written = _picker([self._renumber[number] for number, _ in plan.writes])
        optional = self._only_gradients(plan)
        self.live = tuple(sorted(plan.live, key=lambda place: (place in optional, place)))
        self.needed = len(self.live) - len(optional)
        self.places = {place: number for number, place in enumerate(self.live)}
        given = {place: (shape, dtype) for step in plan.state.steps() for place, shape, dtype in step.given}
        self.kinds = [given[place][0] for place in self.live], [given[place][1] for place in self.live]
        # where gradients are few, the next call comes first, for it may let go of them, and then they need not be written
        self.waits = bool(optional) and sum(math.prod(given[place][0]) for place in optional) <= _FEW
        written = {self._renumber[number] for number, source in plan.writes if source.kind == "result"}
        arguments = set(range(len(self.direct) + len(self.of_gradients), len(plan.roles)))
        donated = tuple([place for place, number in enumerate(self.read_numbers) if number in written - arguments])
        shared = tuple([1 + sum(a == self.read_numbers[place] for a, _ in self.shares) for place in donated])
        key = id(plan.state), self.order, donated, shared
        if key not in self.programs:
            self.programs[key] = Replayable(plan.state, self.order, donated, shared)
        self.program = self.programs[key]
        self.counted = _picker([self._renumber[number] for number, _, _ in plan.versions])
        self.versions, self.writes = [version for _, version, _ in plan.versions], [writes for _, _, writes in plan.versions]
        self.constants: list[Value] = []
        # what goes somewhere is taken from one list: the results, then the values that were there, then constants
        base = len(self.live)
        count = len(plan.roles)

        def place_of(source: Source) -> int:
            if source.kind == "result":
                return self.places[source.what]
            if source.kind == "storage":
                return base + self._renumber[source.what]
            if source.kind == "constant":
                self.constants.append(source.what)
                return base + count + len(self.constants) - 1
            raise Refused("it gives back numbers as they came")

        self.sources = _picker([place_of(source) for _, source in plan.writes])
        self.new_values = _picker([place_of(source) for source, _ in plan.storages])
        self.new_inference = [inference for _, inference in plan.storages]
        self.new_kinds = [made.kind for made in plan.tensors]
        self.new_fields = [(number, fields) for number, made in enumerate(plan.tensors) if (fields := self._fields(made))]
        self.sees_old = any(not made.storage[0] for made in plan.tensors)
        fresh = len(plan.storages)
        self.new_memory = _picker([made.storage[1] if made.storage[0] else fresh + self._renumber[made.storage[1]] for made in plan.tensors])
        self.checks: list[tuple[Any, list[tuple[int, Any]], bool]] = []
        for check, sources in plan.checks:
            found = [(place_of(source), window) for source, window in sources]
            self.checks.append((check, found, any(place < base for place, _ in found)))
        self.known_checks = any(not later for _, _, later in self.checks)
        self.asks = any(later for _, _, later in self.checks)
        self.gradients = [(who.of if hasattr(who, "of") else who, number) for who, number in plan.gradients]

    @staticmethod
    def _only_gradients(plan: Plan) -> set[int]:
        """The places of results that nobody holds but new tensors that become gradients."""
        places = [source.what for source, _ in plan.storages]
        fresh = {number for _, number in plan.gradients if number is not None and plan.tensors[number].storage[0]}
        mine = {places[plan.tensors[number].storage[1]] for number in fresh if plan.storages[plan.tensors[number].storage[1]][0].kind == "result"}
        others = {source.what for _, source in plan.writes} | {source.what for _, sources in plan.checks for source, _ in sources}
        others |= {places[made.storage[1]] for number, made in enumerate(plan.tensors) if number not in fresh and made.storage[0]}
        return mine - others

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
        for number in self.free:
            if id(leaves[number]._storage) in self.direct_ids:
                return False
        return True

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
        """Do it; ``_MISS`` if it cannot be done after all, and nothing was done."""
        storages = self._storages(leaves)
        if storages is None:
            return _MISS
        olds = list(map(_value_of, storages))
        count = len(self.shapes)
        if list(map(_shape_of, olds[:count])) != self.shapes:
            return _MISS
        for a, b in self.shares:
            if olds[a] is not olds[b]:
                return _MISS
        if self.known_checks:
            self._look(olds, None)
        rest = self._rest(leaves) if self.changing or self.plan.draws else self.rest
        ticket = Replay(self.program, olds, self.read, rest, self.live)
        values = ticket.pending(*self.kinds, self.needed)
        pool = [*values, *olds, *self.constants]
        tensors, owners, gradients = self._make(pool, storages, leaves)
        before, thread.replay = thread.replay, weakref.ref(ticket)
        counted = self.counted(storages)
        set_values(_set_version, counted, map(operator.add, map(_version_of, counted), self.versions))
        set_values(_set_writes, counted, map(operator.add, map(_writes_of, counted), self.writes))
        set_values(_set_value, self.written(storages), self.sources(pool))
        set_attributes("_grad", owners, gradients)
        if before is not None and (last := before()) is not None:
            last.flush()
        if self.asks:
            before_values = list(olds)  # a check may also read what was there; it is not donated then
            del pool, olds
            ticket.flush()
            self._look(before_values, values)
        elif not self.waits:
            del pool, olds
            ticket.flush()
        return self._build(self.plan.result, tensors, leaves)

    def _storages(self, leaves: list[Any]) -> list[Storage] | None:
        storages = [reference() for reference in self.direct]
        try:
            storages += [reference()._grad._storage for reference in self.of_gradients]
        except AttributeError:
            return None
        if None in storages:
            return None
        return storages + [leaves[number]._storage for number in self.of_arguments]

    def _rest(self, leaves: list[Any]) -> list[Any]:
        """The leaves that are no storage's."""
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
        return rest

    def _make(self, pool: list[Any], storages: list[Storage], leaves: list[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """The new tensors, and whose gradients become which."""
        made: list[Any] = list(map(_new, itertools.repeat(Storage, len(self.new_inference))))
        set_values(_set_value, made, self.new_values(pool))
        set_values(_set_version, made, itertools.repeat(0))
        set_values(_set_writes, made, itertools.repeat(0))
        set_values(_set_inference, made, self.new_inference)
        tensors: list[Any] = list(map(_new, self.new_kinds))
        set_attributes("_storage", tensors, self.new_memory([*made, *storages]) if self.sees_old else self.new_memory(made))
        for number, fields in self.new_fields:
            tensors[number].__dict__.update(fields)
        owners = [leaves[who] if type(who) is int else who() for who, _ in self.gradients]
        return tensors, owners, [None if number is None else tensors[number] for _, number in self.gradients]

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
            if last is not None and all(reference() is value for reference, value in zip(last, seen, strict=True)):
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
            return tensors[made[1]]
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


@dataclasses.dataclass
class Entry:
    """What is known of calls with one signature."""

    visits: int = 0
    recorded: int = 0
    replayed: int = 0
    in_vain: int = 0
    scripts: list[Script] = dataclasses.field(default_factory=list)
    candidates: list[Plan] = dataclasses.field(default_factory=list)
    references: list[Any] = dataclasses.field(default_factory=list)
    reason: str = ""
    refused: bool = False

    def forget(self, _: Any = None) -> None:
        """Something that the plans are about is gone."""
        self.scripts, self.candidates = [], []


_all: weakref.WeakSet[Replayer] = weakref.WeakSet()


def forget_all() -> None:
    """What ``torch.compiler.reset`` does: every function is recorded anew."""
    for replayer in list(_all):
        replayer.forget()


class Replayer:
    """Calls of one compiled function.

    Args:
      function: what is compiled; name: what warnings call it; fullgraph: as of a region.
    """

    def __init__(self, function: Callable[..., Any], name: str, fullgraph: bool):
        self.function, self.name, self.fullgraph = function, name, fullgraph
        self._recording = threading.Lock()
        self._warned: set[str] = set()
        self.forget()
        _all.add(self)

    def forget(self) -> None:
        """Begin again."""
        self.entries: dict[Any, Entry] = {}
        self.programs: dict[Any, Replayable] = {}
        self._warned.clear()

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any], plainly: Callable[..., Any]) -> Any:
        """The result of a call: of a replay, or of the function in a region, which ``plainly(region, args, kwargs)`` runs."""
        if not is_plain():
            return self._plainly(args, kwargs, plainly)
        try:
            signature = Signature(args, kwargs)
            entry = self.entries.get(signature.key)
        except (Refused, TypeError) as error:
            self._warn(str(error) if isinstance(error, Refused) else f"an argument cannot be compared ({error})")
            return self._plainly(args, kwargs, plainly)
        if entry is None:
            if len(self.entries) >= _SIGNATURES:
                self._warn(
                    f"it was called with more than {_SIGNATURES} kinds of arguments; pass a number that changes as a tensor or a float"
                )
                return self._plainly(args, kwargs, plainly)
            entry = self.entries[signature.key] = Entry()
            entry.references = [weakref.ref(item, functools.partial(_drop, weakref.ref(self), signature.key)) for item in signature.objects]
        entry.visits += 1
        if entry.refused or entry.visits == 1:
            return self._plainly(args, kwargs, plainly)
        for script in list(entry.scripts):
            if script.holds(signature.leaves):
                graph = thread.graph
                if graph is not None and graph.records:
                    flush()
                result = script.run(signature.leaves)
                if result is not _MISS:
                    entry.replayed += 1
                    entry.in_vain = 0
                    return result
        if not self._recording.acquire(blocking=False):
            return self._plainly(args, kwargs, plainly)
        try:
            return self._record(entry, signature, args, kwargs, plainly)
        finally:
            self._recording.release()

    def _plainly(self, args: tuple[Any, ...], kwargs: dict[str, Any], run: Callable[..., Any]) -> Any:
        return run(Region(self.name, self.fullgraph), args, kwargs)

    def _record(self, entry: Entry, signature: Signature, args: Any, kwargs: Any, plainly: Callable[..., Any]) -> Any:
        """Call the function, and see whether the call can be done again."""
        leaves, places = list(signature.leaves), {}
        stand_ins: dict[int, Tensor] = {}
        flush()
        for number, leaf in enumerate(leaves):
            if isinstance(leaf, Tensor):
                leaf._operand().known()
                if is_slice(leaf):
                    made = stand_ins.setdefault(id(leaf), stand_in(leaf))
                    leaves[number] = made
                    places[id(made._storage)] = leaf._storage, leaf._window
        if stand_ins:
            originals = {id(made): leaf for leaf, made in zip(signature.leaves, leaves, strict=True) if made is not leaf}
            args, kwargs = replaced(args, stand_ins), {name: replaced(item, stand_ins) for name, item in kwargs.items()}
        recorder = Recorder(self.name, self.fullgraph)
        roots = [("function", self.function), *(("argument", item) for item in signature.objects)]
        watch = Watch(roots, entry.forget)
        snapshot = Snapshot()
        result = plainly(recorder, args, kwargs)
        snapshot.let_go()
        entry.recorded += 1
        try:
            plan = Plan(recorder, snapshot, leaves, result, watch, entry.forget)
            del recorder, snapshot
            if stand_ins:
                self._settle(originals, leaves, places, result)
            plan.finish()
            self._add(entry, plan)
        except Refused as reason:
            self._failed(entry, str(reason))
        finally:
            if stand_ins:
                give_back(result, places)
        return result

    @staticmethod
    def _settle(originals: dict[int, Tensor], leaves: list[Any], places: dict[int, Any], result: Any) -> None:
        """What was written into stand-ins belongs to the tensors that they stood for."""
        for made in leaves:
            original = originals.get(id(made))
            if original is not None and made._storage.writes:
                original._write(made._storage.value)
                raise Refused("it writes into an argument that is a part of a larger tensor")

    def _add(self, entry: Entry, plan: Plan) -> None:
        reason = "there was no second call that did the same"
        for script in entry.scripts:
            found = _agree(script.plan, plan, script.loose, reason)
            if isinstance(found, set):
                entry.scripts.remove(script)
                entry.scripts.insert(0, Script(plan, self.programs, found))
                self._judge(entry)
                return
        for candidate in reversed(entry.candidates):
            found = _agree(candidate, plan, set(), reason)
            if isinstance(found, set):
                entry.candidates.remove(candidate)
                entry.scripts.insert(0, Script(plan, self.programs, found))
                del entry.scripts[_PLANS:]
                self._judge(entry)
                return
            reason = found
        entry.candidates.append(plan)
        del entry.candidates[:-_PLANS]
        self._failed(entry, reason)

    def _judge(self, entry: Entry) -> None:
        """Recording takes longer than the plain call: where it does not pay, it ends."""
        if entry.recorded >= 12 and entry.replayed < 2 * entry.recorded:
            self._refuse(entry, entry.reason or "it does something else at most calls")

    def _failed(self, entry: Entry, reason: str) -> None:
        entry.in_vain += 1
        entry.reason = reason
        if entry.in_vain >= _IN_VAIN:
            self._refuse(entry, reason)
        else:
            self._judge(entry)

    def _refuse(self, entry: Entry, reason: str) -> None:
        entry.refused = True
        entry.forget()
        self._warn(reason)

    def _warn(self, reason: str) -> None:
        if reason in self._warned or len(self._warned) > 8:
            return
        self._warned.add(reason)
        code = getattr(self.function, "__code__", getattr(getattr(self.function, "__func__", None), "__code__", None))
        file, line = (code.co_filename, code.co_firstlineno) if code is not None else ("torch.compile", 0)
        text = f"torch.compile of {self.name!r} with mode='reduce-overhead' replays no such calls: {reason}. Python runs at every one, and the numbers are the same"
        warnings.warn_explicit(text, UserWarning, file, line)


def _drop(replayer: Any, key: Any, _: Any) -> None:
    """An object that a signature knows by its number is gone."""
    found = replayer()
    if found is not None:
        found.entries.pop(key, None)


def _agree(old: Plan, new: Plan, loose: set[Any], otherwise: str) -> set[Any] | str:
    """The slots and arguments that may vary if two calls did the same, or what they did not do the same."""
    reason = old.differs(new)
    if reason is not None:
        return reason
    found = set(loose)
    for mine, theirs in zip(old.leaves, new.leaves, strict=True):
        if mine.kind == "slot" and mine.more != theirs.more:
            found.add(("slot", theirs.what))
        elif mine.kind == "float" and mine.more != theirs.more:
            found.add(theirs.what)
    memory = new.watch.memory()
    for number, (a, b) in enumerate(zip(old.arguments, new.arguments, strict=True)):
        if not isinstance(b, float) and a != b:
            if b.id in memory or a.id in memory:
                return "an argument is at times a tensor that the function knows without it"
            found.add(number)
    return found
