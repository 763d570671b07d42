"""What a recorded call did, as something that can be done again: where each number of its program came from, and where each result went."""

from __future__ import annotations

import dataclasses
import functools
import gc
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from funnn.engine.dispatch.call import Recording
from funnn.engine.memory.shared import SharedStorage
from funnn.engine.memory.storage import Storage
from funnn.engine.program.replay import Recorder
from funnn.engine.program.value import Residuals, Value
from funnn.engine.tape.node import SECOND_TIME, Node, reachable
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.tree import map_items
from funnn.torch._compiling.signature import Refused
from funnn.torch._compiling.snapshot import Snapshot
from funnn.torch._compiling.watch import SIMPLE, Watch


class Released(Node):
    """The node of a result whose graph was freed when the call was recorded; backward through it is backward a second time."""

    __slots__ = ("count",)

    def pull(self, gradients: list[Any], create_graph: bool) -> Any:
        raise RuntimeError(SECOND_TIME)


class Ref:
    """An object that is held weakly and known by its number."""

    __slots__ = ("id", "of")

    def __init__(self, value: Any, died: Callable[[Any], None] | None = None):
        self.id, self.of = id(value), weakref.ref(value, died)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Ref) and self.id == other.id and self.of() is not None and self.of() is other.of()

    def __hash__(self) -> int:
        return hash(self.id)


class Source(NamedTuple):
    """Where a value comes from: "result" (place), "storage" (its number), "window" (of a tensor), "draw" (its number, shape), "constant", "number",
    "slot" (its number), "float" (number of the argument)."""

    kind: str
    what: Any
    more: Any = None


class NewTensor(NamedTuple):
    """A tensor that every call makes; ``storage`` is (True, number of a new one) or (False, number of one that was there)."""

    kind: type
    storage: tuple[bool, int]
    window: Any
    tracked: bool
    requires_grad: bool
    node: str | None
    output: int


class Plan:
    """What :mod:`funnn.torch._compiling.script` does again.

    Attributes:
      state, live: the graph, and the places of the results that are kept; leaves: the sources of the graph's leaves.
      roles: of each storage, ("direct", it), ("grad", the tensor whose gradient lies there) or ("argument", its number among the leaves of a call).
      shares: pairs of storages that hold one value.
      writes: (storage, source) of those that are replaced; versions: (storage, versions, writes) that are counted.
      gradients: (tensor, or the number of an argument, and the number of a new tensor, or None).
      storages: (source, inference) of new ones; tensors: new ones; result: how what is returned is made of them.
      draws: random numbers; checks: (function, sources of the tensors that it reads).
      arguments: of each leaf of a call, the storage or the float that it was.
    """

    def __init__(
        self,
        recorder: Recorder,
        snapshot: Snapshot,
        leaves: list[Any],
        result: Any,
        watch: Watch,
        slices: set[int],
        died: Callable[[Any], None],
    ):
        self.slices = slices
        if recorder.problem is not None:
            raise Refused(recorder.problem)
        if recorder.state is None:
            raise Refused("it computes nothing")
        if watch.opaque is not None:
            raise Refused(watch.opaque)
        if watch.has_hooks():
            raise Refused("there are hooks, whose Python would not run")
        if (difference := watch.difference()) is not None:
            raise Refused(f"{difference} while it ran, and would not at a replay")
        self.watch, self.slots, self._died = watch, watch.slots, died
        self.state = recorder.state
        self._recorder, self._snapshot, self._given = recorder, snapshot, leaves
        self.roles: list[tuple[str, Any]] = []
        self._numbers: dict[int, int] = {}
        self._of_arguments = {id(leaf._storage): number for number, leaf in reversed(list(enumerate(leaves))) if isinstance(leaf, Tensor)}
        self._argument_objects = {id(leaf): number for number, leaf in enumerate(leaves) if isinstance(leaf, Tensor)}
        self._places = {id(value): value.place for value in recorder.results if type(value) is Value}
        self._residuals = [weakref.ref(value) for value in recorder.results if type(value) is Residuals]
        self._accounted: set[int] = set()
        self.shares: list[tuple[int, int]] = []
        self.storages: list[tuple[Source, bool]] = []
        self.tensors: list[NewTensor] = []
        self._new_storages: dict[int, int] = {}
        self._new_tensors: dict[int, int] = {}
        self._keep: list[Any] = []
        self._draws()
        self._leaves()
        self.checks = [self._check(check, seen) for check, seen in recorder.checks]
        self._writes()
        self._gradients()
        self.result = self._result(result)
        self.arguments = [Ref(leaf._storage) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        self.shapes = [snapshot.values[number][1].shape for number in self._numbers]
        self.dtypes = [snapshot.values[number][1].dtype for number in self._numbers]
        self.needs = watch.missing
        self._collect()

    # -- where numbers come from

    def _draws(self) -> None:
        """That the draws alone, from the generators' states before, give the same numbers and lead to the states after."""
        draws = self._recorder.draws
        self._drawn = {id(array): number for number, (*_, array) in enumerate(draws)}
        self._drawn_arrays = [array for *_, array in draws]
        after = [generator._engine.get_state() for generator, _ in self._snapshot.generators]
        changed = [not np.array_equal(state, now) for (_, state), now in zip(self._snapshot.generators, after, strict=True)]
        self.draws: list[tuple[Ref, str, tuple[Any, ...], dict[str, Any]]] = []
        if not draws and not any(changed):
            return
        for generator, name, args, kwargs, _ in draws:
            if any(not isinstance(item, (*SIMPLE, tuple, np.dtype, type)) for item in (*args, *kwargs.values())):
                raise Refused("random numbers are drawn by the values of others")
            if all(generator is not one for one, _ in self._snapshot.generators):
                raise Refused("it makes a generator of random numbers")
            self.draws.append((Ref(generator, self._died), name, args, kwargs))
        try:
            for generator, state in self._snapshot.generators:
                generator._engine.set_state(state)
            again = [generator._draw(name, *args, **kwargs) for generator, name, args, kwargs, _ in draws]
            ends = [generator._engine.get_state() for generator, _ in self._snapshot.generators]
        finally:
            for (generator, _), state in zip(self._snapshot.generators, after, strict=True):
                generator._engine.set_state(state)
        same = all(np.array_equal(a, b, equal_nan=True) for a, b in zip(again, self._drawn_arrays, strict=True))
        if not same or not all(map(np.array_equal, ends, after)):
            raise Refused("it sets the state of a generator of random numbers")

    def _leaves(self) -> None:
        by_value: dict[int, list[int]] = {}
        by_array: dict[int, list[int]] = {number: [] for number in self._recorder.arrays}
        for number, (_, value, _, _) in self._snapshot.values.items():
            by_value.setdefault(id(value), []).append(number)
            if type(value) is Value and id(value.array) in by_array:  # not what is left of a transformation, which has no array
                by_array[id(value.array)].append(number)
        floats = {id(leaf): number for number, leaf in enumerate(self._given) if type(leaf) is float}
        slots = {id(slot.value): number for number, slot in enumerate(self.slots) if type(slot.value) is float}
        used = set()
        self.leaves: list[Source] = []
        self._of_leaves: dict[int, Source] = {}
        for leaf in self._recorder.leaves:
            if type(leaf) is Residuals:
                raise Refused("it uses the graph of gradients of what was computed before the call")
            if type(leaf) is not Value:
                source = (
                    Source("float", floats[id(leaf)], leaf)
                    if id(leaf) in floats
                    else Source("slot", slots[id(leaf)], leaf)
                    if id(leaf) in slots
                    else Source("number", leaf, type(leaf))
                )
            else:
                used.add(id(leaf.array))
                source = self._source_of_value(leaf, by_value, by_array)
                self._of_leaves[id(leaf)] = source
            self.leaves.append(source)
        if not used.issuperset(self._recorder.arrays):
            raise Refused("the numbers of a tensor are read inside")

    def _source_of_value(self, leaf: Value, by_value: dict[int, list[int]], by_array: dict[int, list[int]]) -> Source:
        storages = by_value.get(id(leaf)) or by_array.get(id(leaf.array))
        if storages:
            known = [storage for storage in sorted(storages) if self._is_watched(storage)]
            numbers = sorted({self._number(storage) for storage in known or storages[:1]})
            self.shares += [(numbers[0], other) for other in numbers[1:]]
            return Source("storage", numbers[0])
        tensor = self._snapshot.windows.get(id(leaf))
        if tensor is not None:
            number = self._argument_objects.get(tensor)
            return Source("window", self._ref(tensor, self._snapshot.histories) if number is None else number)
        drawn = self._drawn.get(id(leaf.array))
        if drawn is None:
            drawn = self._equal_draw(leaf)
        if drawn is not None:
            return Source("draw", drawn, leaf.shape)
        if leaf.shape in self.watch.large:
            raise Refused("it makes a tensor of a large NumPy array, whose numbers may change")
        return Source("constant", leaf)

    def _equal_draw(self, leaf: Value) -> int | None:
        """The draw whose numbers these are in another shape, if there is one."""
        for number, array in enumerate(self._drawn_arrays):
            if (
                array.size == leaf.size
                and array.dtype == leaf.dtype
                and np.array_equal(np.asarray(array).ravel(), np.asarray(leaf.array).ravel())
            ):
                return number
        return None

    @functools.cached_property
    def _watched(self) -> set[int]:
        tensors = [tensor for reference in self.watch.tensors if (tensor := reference()) is not None]
        return {id(tensor._storage) for tensor in tensors} | {id(tensor._grad._storage) for tensor in tensors if tensor._grad is not None}

    def _is_watched(self, storage: int) -> bool:
        return storage in self._watched or storage in self._of_arguments or storage in self._snapshot.gradients

    def _number(self, storage: int) -> int:
        """The number of a storage that was there before."""
        number = self._numbers.get(storage)
        if number is None:
            number = self._numbers[storage] = len(self.roles)
            if storage in self._of_arguments:
                self.roles.append(("argument", self._of_arguments[storage]))
            elif storage in self._snapshot.gradients:
                self.roles.append(("grad", self._ref(self._snapshot.gradients[storage], self._snapshot.histories)))
            else:
                self.roles.append(("direct", self._ref(storage, self._snapshot.values)))
        return number

    def _ref(self, number: int, among: dict[int, Any]) -> Ref:
        found = among[number][0]()
        if found is None:
            raise Refused("a tensor that it uses is gone after the call")
        return Ref(found, self._died)

    def _source(self, value: Value) -> Source:
        """Where a value comes from that was put somewhere."""
        if id(value) in self._places:
            return Source("result", self._places[id(value)])
        if id(value) in self._of_leaves:
            return self._of_leaves[id(value)]
        for storage, before, _, _ in self._snapshot.storages():
            if before is value:
                return Source("storage", self._number(id(storage)))
        drawn = self._drawn.get(id(value.array))
        if drawn is not None:
            return Source("draw", drawn, value.shape)
        if value.array is None:
            raise Refused("another thread computed in between")
        return Source("constant", value)

    def _check(self, check: Any, seen: list[Any]) -> tuple[Any, list[tuple[Source, Any]]]:
        """A check of values, with the places in its arguments of the tensors that it reads."""
        sources: list[tuple[Source, Any]] = []
        found: dict[int, int] = {}

        def place(item: Any) -> Any:
            if not isinstance(item, Tensor):
                return item
            if all(item is not one for one in seen):
                made = Tensor._wrap(np.broadcast_to(np.zeros((), item.dtype.numpy), item._shape()))  # asked for its shape alone
                self._accounted.add(id(made._storage))
                return made
            if id(item) not in found:
                before = self._snapshot.values.get(id(item._storage))
                value = item._storage.value if before is None else before[1]
                found[id(item)] = len(sources)
                sources.append((self._source(value), item._window))
            return _Read(found[id(item)])

        function = check
        if isinstance(check, functools.partial):
            args = tuple([map_items(place, item) for item in check.args])
            function = check.func, args, {name: map_items(place, item) for name, item in check.keywords.items()}
        if len(found) < len({id(item) for item in seen}):
            raise Refused("the numbers of a tensor are read inside")
        return function, sources

    # -- where results go

    def _writes(self) -> None:
        self.writes: list[tuple[int, Source]] = []
        self.versions: list[tuple[int, int, int]] = []
        changed = [
            ((self._order(storage.value), id(storage)), storage, value, version, writes)
            for storage, value, version, writes in self._snapshot.storages()
            if storage.value is not value or storage.version != version or storage.writes != writes
        ]
        for _, storage, value, version, writes in sorted(changed, key=lambda found: found[0]):
            if isinstance(storage, SharedStorage):
                raise Refused("memory is written that is shared with NumPy")
            number = self._number(id(storage))
            if storage.value is not value:
                source = self._source(storage.value)
                if source.kind not in ("result", "storage"):
                    raise Refused("a tensor is written with numbers that were computed elsewhere")
                self.writes.append((number, source))
            self.versions.append((number, storage.version - version, storage.writes - writes))

    def _order(self, value: Value) -> tuple[int, int]:
        """Where a value comes in the call, so that what two calls did is listed in the same order."""
        return self._places.get(id(value), -1), id(value) if id(value) not in self._places else 0

    def _gradients(self) -> None:
        self.gradients: list[tuple[Any, int | None]] = []
        changed = []
        for tensor, storage, grad, node, needs in self._snapshot.tensors():
            if id(tensor._storage) != storage or tensor._grad_fn is not node or tensor._leaf_requires_grad is not needs:
                raise Refused("a tensor gets other memory or another history (set_, x.data = …, requires_grad_, in-place with gradients)")
            if id(tensor._grad) != grad:
                order = (-1, id(tensor)) if tensor._grad is None else self._order(tensor._grad._storage.value)
                changed.append((order, tensor))
        for _, tensor in sorted(changed, key=lambda found: found[0]):
            who = self._argument_objects.get(id(tensor))
            self.gradients.append((Ref(tensor, self._died) if who is None else who, self._tensor(tensor._grad)))

    def _tensor(self, tensor: Any) -> int | None:
        """The number of a new tensor."""
        if tensor is None:
            return None
        number = self._new_tensors.get(id(tensor))
        if number is not None:
            return number
        if id(tensor) in self._snapshot.histories:
            raise Refused("a gradient is set to a tensor that was there before")
        name = None
        if tensor._grad_fn is not None:
            name = self._released(tensor)
        if tensor._base is not None and tensor.requires_grad:
            raise Refused("it returns a view with gradients")
        made = NewTensor(
            type(tensor), self._storage(tensor._storage), tensor._window, tensor._tracked, tensor._leaf_requires_grad, name, tensor._output
        )
        self._keep.append(tensor)
        number = self._new_tensors[id(tensor)] = len(self.tensors)
        self.tensors.append(made)
        return number

    def _released(self, tensor: Tensor) -> str:
        """The name of the node of a tensor whose graph was freed."""
        nodes = list(reachable([tensor._grad_fn]))
        if not any(isinstance(node, Recording) and node.residuals and node.vjp is None for node in nodes):
            raise Refused("a result can still be differentiated (return it detached, call backward inside, or call it under no_grad)")
        for node in nodes:
            self._accounted.update(id(storage) for storage, *_ in getattr(node, "saved", None) or ())
        return type(tensor._grad_fn).__name__

    def _storage(self, storage: Storage) -> tuple[bool, int]:
        if id(storage) in self._snapshot.values:
            return False, self._number(id(storage))
        number = self._new_storages.get(id(storage))
        if number is None:
            number = self._new_storages[id(storage)] = len(self.storages)
            self._accounted.add(id(storage))
            self.storages.append((self._source(storage.value), storage.inference))
        return True, number

    def _result(self, value: Any) -> tuple[Any, ...]:
        """How what is returned is made."""
        kind = type(value)
        if isinstance(value, Tensor):
            if id(value) in self._argument_objects:
                return "argument", self._argument_objects[id(value)]
            if id(value) in self._snapshot.histories:
                return "old", Ref(value, self._died)
            return "new", self._tensor(value)
        if kind in SIMPLE or isinstance(value, (np.dtype, range)) or kind.__module__ == "funnn.engine.types.dtype":
            return "constant", kind, value
        if isinstance(value, tuple):
            return "named" if hasattr(value, "_fields") else "items", kind, tuple([self._result(item) for item in value])
        if kind is list:
            return "items", kind, tuple([self._result(item) for item in value])
        fields = getattr(value, "__dict__", {})
        inside = tuple([(name, self._result(item)) for name, item in fields.items()])
        if isinstance(value, dict):
            return "dict", kind, tuple([(key, self._result(item)) for key, item in dict.items(value)]), inside
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return "object", kind, inside
        raise Refused(f"it returns an object of type {kind.__name__}, of which a replay could not make another")

    # -- that nothing else was kept

    def _collect(self) -> None:
        """Let go of the recorded call, and see what of it is still held."""
        before = set(self._snapshot.values)
        accounted = self._accounted
        residuals = self._residuals
        del self._recorder, self._snapshot, self._given, self._of_arguments, self._argument_objects, self._places
        del (
            self._residuals,
            self._accounted,
            self._new_storages,
            self._new_tensors,
            self._keep,
            self._of_leaves,
            self._drawn,
            self._drawn_arrays,
        )
        self.__dict__.pop("_watched", None)
        self._leftover: Callable[[], str | None] = functools.partial(_leftover, before, accounted, residuals)

    def finish(self) -> None:
        """The last look, when the caller holds nothing of the call but its result."""
        reason = self._leftover()
        del self._leftover
        if reason is not None:
            raise Refused(reason)
        self.live = tuple(sorted({source.what for source in self.sources() if source.kind == "result"}))

    def sources(self) -> list[Source]:
        """Of all that goes somewhere."""
        return [
            *[source for _, source in self.writes],
            *[source for source, _ in self.storages],
            *[source for _, sources in self.checks for source, _ in sources],
        ]

    # -- two of them

    def differs(self, other: Plan) -> str | None:
        """Why what another call did is not the same, but for arguments and slots that may vary; None if it is."""
        if self.state is not other.state:
            return "the operations of two calls with arguments of the same kinds are not the same"
        for mine, theirs in zip(self.leaves, other.leaves, strict=True):
            if (reason := self._leaf_differs(mine, theirs, other)) is not None:
                return reason
        names = ("roles", "shares", "gradients", "tensors", "result", "needs", "versions", "writes")
        if any(getattr(self, name) != getattr(other, name) for name in names) or len(self.storages) != len(other.storages):
            return "what is returned, kept or written is not the same in two calls"
        for (mine, _), (theirs, _) in zip(self.storages, other.storages, strict=True):
            if mine != theirs and (mine.kind != "constant" or (reason := self._leaf_differs(mine, theirs, other)) is not None):
                return "what is returned, kept or written is not the same in two calls"
        return None

    def _leaf_differs(self, mine: Source, theirs: Source, other: Plan) -> str | None:
        if mine.kind == "number" and theirs.kind == "number":
            same = mine.more is theirs.more and (mine.what == theirs.what or mine.what != mine.what) and str(mine.what) == str(theirs.what)
            return None if same else f"a Python number changed from {mine.what!r} to {theirs.what!r}, and would be frozen"
        if mine.kind != theirs.kind:
            return "a number came from elsewhere in another call"
        if mine.kind == "constant":
            same = mine.what is theirs.what or (
                mine.what.shape == theirs.what.shape
                and mine.what.dtype == theirs.what.dtype
                and np.asarray(mine.what.known()).tobytes() == np.asarray(theirs.what.known()).tobytes()
            )
            return (
                None
                if same
                else f"a tensor of shape {list(mine.what.shape)} that is made inside by Python or NumPy changed, and would be frozen"
            )
        if mine.kind == "slot":
            a, b = self.slots[mine.what], other.slots[theirs.what]
            return None if (a.name, id(a.holder)) == (b.name, id(b.holder)) else "a number came from elsewhere in another call"
        return None if mine.what == theirs.what else "a number came from elsewhere in another call"


@dataclasses.dataclass
class _Read:
    """Stands for a tensor that a check reads, by its number."""

    number: int


def _leftover(before: set[int], accounted: set[int], residuals: list[Any]) -> str | None:
    """What a call left behind that nobody has accounted for, in words."""

    def find() -> str | None:
        if any(reference() is not None for reference in residuals):
            return "a result can still be differentiated (return it detached, call backward inside, or call it under no_grad)"
        for item in [item for item in gc.get_objects() if type(item) is Storage or type(item) is SharedStorage]:
            if id(item) not in before and id(item) not in accounted:
                return f"a tensor of shape {list(item.shape)} that it makes is kept somewhere (in a list, an attribute, a closure), and would not be"
        return None

    reason = find()
    if reason is not None:
        gc.collect()
        reason = find()
    return reason
