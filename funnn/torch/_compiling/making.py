"""The tensors that a recorded call made, made again, and its result out of them."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from funnn.engine.memory.storage import Storage
from funnn.engine.tape.node import node_type
from funnn.engine.tensor.tensor import Tensor
from funnn.torch._compiling.plan import Plan, Released, Source

_new: Any = object.__new__


def picker(numbers: list[int]) -> Callable[[Any], Any]:
    """What takes the items of these numbers from a list, as a list or tuple."""
    if len(numbers) > 1:
        return operator.itemgetter(*numbers)
    return lambda items: [items[number] for number in numbers]


class Making:
    """New storages and tensors; those that only become gradients stand last, in the order of the gradients, and need not be made.

    Args:
      plan: what was recorded.
      place_of: the number of a source in the list of all values.
      renumber: of each storage that was there, its number in the list of those.
      optional: whether the gradients are all new tensors that nothing else sees.

    Attributes:
      gradient_numbers: of each gradient, the number of its tensor in what ``make`` gives, or None.
    """

    def __init__(self, plan: Plan, place_of: Callable[[Source], int], renumber: dict[int, int], optional: bool):
        self._result = plan.result
        last = [number for _, number in plan.gradients] if optional else []
        tensors = [number for number in range(len(plan.tensors)) if number not in last] + last
        last_storages = [plan.tensors[number].storage[1] for number in last]
        storages = [number for number in range(len(plan.storages)) if number not in last_storages] + last_storages
        self._numbers = {number: place for place, number in enumerate(tensors)}
        self.gradient_numbers = [None if number is None else self._numbers[number] for _, number in plan.gradients]
        numbers = {number: place for place, number in enumerate(storages)}
        sources = [place_of(plan.storages[number][0]) for number in storages]
        self._inference = [plan.storages[number][1] for number in storages]
        self._kinds = [plan.tensors[number].kind for number in tensors]
        fields = [_fields(plan.tensors[number]) for number in tensors]
        self._fields = [(place, found) for place, found in enumerate(fields) if found]
        self._sees_old = any(not plan.tensors[number].storage[0] for number in tensors)
        few_storages = len(storages) - len(last)
        self._all, self._few = len(tensors), len(tensors) - len(last)

        def memory(count: int, fresh: int) -> Callable[[Any], Any]:
            seen = [plan.tensors[number].storage for number in tensors[:count]]
            return picker([numbers[number] if new else fresh + renumber[number] for new, number in seen])

        self._all_values, self._few_values = picker(sources), picker(sources[:few_storages])
        self._all_memory, self._few_memory = memory(self._all, len(storages)), memory(self._few, few_storages)

    def make(self, values: list[Any], storages: list[Storage], few: bool) -> list[Any]:
        """The new tensors, or but those that must be made, of the list of all values and the storages that were there."""
        count, values_of, memory_of = (
            (self._few, self._few_values, self._few_memory) if few else (self._all, self._all_values, self._all_memory)
        )
        if not count:
            return []
        made: list[Any] = []
        for value, inference in zip(values_of(values), self._inference, strict=False):
            storage = _new(Storage)
            storage.value, storage.version, storage.writes, storage.inference, storage.level = value, 0, 0, inference, 0
            made.append(storage)
        tensors: list[Any] = list(map(_new, self._kinds[:count]))
        for tensor, storage in zip(tensors, memory_of([*made, *storages] if self._sees_old else made), strict=True):
            tensor._storage = storage
        for number, fields in self._fields:
            tensors[number].__dict__.update(fields)
        return tensors

    def result(self, tensors: list[Any], leaves: list[Any]) -> Any:
        """What the call returns, of the new tensors and the leaves of its arguments."""
        return self._build(self._result, tensors, leaves)

    def _build(self, made: tuple[Any, ...], tensors: list[Any], leaves: list[Any]) -> Any:
        kind = made[0]
        if kind == "new":
            return tensors[self._numbers[made[1]]]
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


def only_gradients(plan: Plan) -> dict[int, int]:
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


def _mentions(made: Any, number: int | None) -> bool:
    """Whether a tensor is in a result."""
    return isinstance(made, tuple) and (made[:2] == ("new", number) or any(_mentions(item, number) for item in made))


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
