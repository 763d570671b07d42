"""What the Python of a function can reach and may have read: that it is still what it was."""

from __future__ import annotations

import dis
import functools
import inspect
import itertools
import operator
import types
import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from funnn.engine.tensor.tensor import Tensor

#: Values that are what they are.
SIMPLE = (int, float, complex, bool, str, bytes, type(None))
_MISSING = object()
_DICTS, _LISTS = (dict, OrderedDict, defaultdict), (list, deque, set)
_LARGE, _MANY = 1024, 20_000  # items of a container that are watched, and items altogether
_BYTES = 1 << 14  # of a NumPy array whose numbers are watched
#: Whose objects are not looked into.
_FOREIGN = {
    "jax",
    "jaxlib",
    "numpy",
    "threading",
    "logging",
    "io",
    "_io",
    "builtins",
    "functools",
    "re",
    "abc",
    "typing",
    "weakref",
    "concurrent",
}
#: Of a Module, what no call reads; of an optimizer, its hooks, which are looked at by themselves.
_UNREAD = {
    *(
        "_forward_hooks",
        "_forward_hooks_with_kwargs",
        "_forward_hooks_always_called",
        "_forward_pre_hooks",
        "_forward_pre_hooks_with_kwargs",
    ),
    *("_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks", "_hooks"),
    *("_load_state_dict_post_hooks", "_is_full_backward_hook", "_layer_names", "_spent", "_assigned", "_non_persistent_buffers_set"),
}
_PARTS = ("_parameters", "_buffers", "_modules")
_CALL_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
#: Hooks of all modules and of all optimizers.
global_hooks: list[dict[Any, Any]] = []


class Slot:
    """A place of a float that a program may take as it is: an option of an optimizer's group, an item of one, a closure's variable.

    Attributes:
      name: of the variable or option; holder, key: the closure's cell, or the group and the option's name.
      value: the float that was there.
    """

    value: Any = None

    def __init__(self, name: str, holder: Any, key: Any, read: Callable[[], Any], write: Callable[[Any], None]):
        self.name, self.holder, self.key, self.read, self._write = name, holder, key, read, write

    def renew(self) -> None:
        """Put an equal float there that is an object of its own, so that it is known again where it is used."""
        value = self.read()
        if type(value) is float:
            self._write(float.fromhex(value.hex()))
        self.value = self.read()


class Watch:
    """What can be reached from some objects: variables of closures and globals that functions name, attributes, items of containers, tensors.

    Objects are held weakly: when one is gone, ``died`` is called. Containers are held.

    Attributes:
      tensors: weak references to the tensors; missing: of those that collect gradients, whether they had none.
      slots: the floats of closures and optimizers' groups.
      large: the shapes of NumPy arrays of which only the identity is watched; opaque: what cannot be watched at all, in words.
    """

    def __init__(self, roots: list[tuple[str, Any]], died: Callable[[Any], None]):
        self._died = died
        self._cells: list[tuple[str, Any]] = []
        self._globals: list[tuple[dict[str, Any], str]] = []
        self._dicts: list[tuple[str, dict[Any, Any], tuple[Any, ...], Any]] = []
        self._mappings: list[tuple[str, dict[Any, Any]]] = []
        self._sized: list[tuple[str, Any]] = []
        self._lists: list[tuple[str, Any]] = []
        self._hooks: list[Any] = list(global_hooks)
        self._arrays: list[tuple[Any, np.ndarray]] = []
        self.slots: list[Slot] = []
        self.opaque: str | None = None
        self.large: set[tuple[int, ...]] = set()
        self._references: list[Any] = []
        self._held: list[Any] = []
        self._of_optimizers: set[int] = set()
        self._seen: dict[int, Any] = {}
        self._count = 0
        found: list[Tensor] = []
        waiting = deque(roots)
        while waiting:
            name, value = waiting.popleft()
            if id(value) in self._seen or isinstance(value, SIMPLE):
                continue
            self._seen[id(value)] = value
            if isinstance(value, Tensor):
                found.append(value)
            else:
                waiting.extend(self._inside(name, value))
        self._seen = {}
        found.sort(key=lambda tensor: id(tensor) in self._of_optimizers)
        self._asked = len(found) - sum(id(tensor) in self._of_optimizers for tensor in found)
        self.tensors = [weakref.ref(tensor, died) for tensor in found]
        for slot in self.slots:
            slot.renew()
        self._remember()

    # -- finding

    def _inside(self, name: str, value: Any) -> list[tuple[str, Any]]:
        """What an object holds."""
        kind = type(value)
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, types.MethodType):
            return [(name, value.__func__), (name, value.__self__)]
        if isinstance(value, functools.partial):
            return [(name, value.func), *((name, item) for item in value.args), *((name, item) for item in value.keywords.values())]
        if isinstance(value, (staticmethod, classmethod)):
            return [(name, value.__func__)]
        if isinstance(value, property):
            return [(name, item) for item in (value.fget,) if item is not None]
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, (types.ModuleType, types.BuiltinFunctionType)):
            return []
        if kind in _DICTS:
            return self._dict(name, value)
        if kind in _LISTS:
            if len(value) > _LARGE or self._count > _MANY:
                self._sized.append((name, value))
                return []
            self._count += len(value)
            self._lists.append((name, value))
            return [(f"{name}[{number}]", item) for number, item in enumerate(value)]
        if isinstance(value, tuple):
            return [(f"{name}[{number}]", item) for number, item in enumerate(value)]
        if isinstance(value, np.ndarray):
            if value.nbytes <= _BYTES:
                self._arrays.append((value, value.copy()))
            else:
                self.large.add(value.shape)
            return []
        if isinstance(value, Iterator):
            self.opaque = f"{name!r} is an iterator, whose place cannot be looked at"
            return []
        return self._instance(name, value)

    def _function(self, function: Any) -> list[tuple[str, Any]]:
        if _is_librarys(function.__globals__.get("__name__", "")):
            return [(function.__name__, function.__wrapped__)] if hasattr(function, "__wrapped__") else []
        found = [(function.__name__, item) for item in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())]
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                found.append((name, cell.cell_contents))
            except ValueError:  # not assigned yet
                continue
            self._cells.append((name, cell))
            read, write = functools.partial(getattr, cell, "cell_contents"), functools.partial(setattr, cell, "cell_contents")
            self.slots.append(Slot(name, cell, None, read, write))
        for name in _globals_of(function.__code__):
            value = function.__globals__.get(name, _MISSING)
            if value is not _MISSING and not isinstance(value, types.ModuleType):
                self._globals.append((function.__globals__, name))
                found.append((name, value))
        return found

    def _class(self, kind: type) -> list[tuple[str, Any]]:
        """The functions of a program's class; its simple attributes are watched."""
        if _is_librarys(kind.__module__):
            return []
        attributes: Any = vars(kind)
        self._note(
            kind.__name__, attributes, tuple([key for key, item in attributes.items() if isinstance(item, SIMPLE) and key[:2] != "__"])
        )
        functions = (types.FunctionType, staticmethod, classmethod, property)
        return [(f"{kind.__name__}.{key}", item) for key, item in attributes.items() if isinstance(item, functions)]

    def _dict(self, name: str, value: dict[Any, Any]) -> list[tuple[str, Any]]:
        if len(value) > _LARGE or self._count > _MANY:
            self._sized.append((name, value))
            return []
        keys = tuple(value)
        self._count += len(keys)
        self._mappings.append((name, value))
        if "params" in value:
            self._group(value)
        labels = [key if isinstance(key, str) else f"{name}[{key!r}]" if isinstance(key, SIMPLE) else name for key in keys]
        return [*zip(labels, value.values(), strict=True), *((name, key) for key in keys if isinstance(key, Tensor))]

    def _group(self, group: dict[str, Any]) -> None:
        """The floats of an optimizer's group."""
        for key, value in group.items():
            if type(value) is float:
                read, write = functools.partial(group.get, key), functools.partial(group.__setitem__, key)
                self.slots.append(Slot(key, group, key, read, write))
            elif type(value) is tuple:
                self.slots += [_slot_of_item(group, key, number) for number, item in enumerate(value) if type(item) is float]

    def _note(self, name: str, value: dict[Any, Any], keys: tuple[Any, ...]) -> None:
        if keys:
            self._count += len(keys)
            get: Any = operator.itemgetter(*keys) if len(keys) > 1 else functools.partial(_only, keys[0])
            self._dicts.append((name, value, keys, get))

    def _instance(self, name: str, value: Any) -> list[tuple[str, Any]]:
        kind = type(value)
        fields = getattr(value, "__dict__", None)
        root = kind.__module__.partition(".")[0]
        if not isinstance(fields, dict) or root in _FOREIGN or kind.__module__.startswith("funnn.engine."):
            return []
        try:
            self._references.append(weakref.ref(value, self._died))
        except TypeError:
            self._held.append(value)
        label = kind.__name__
        keys = tuple([key for key in fields if key not in _UNREAD and key not in _PARTS])
        self._note(label, fields, keys)
        self._hooks += [fields[key] for key in _CALL_HOOKS if key in fields]
        self._hooks += (
            [hooks for key, hooks in fields.get("_hooks", {}).items() if key.startswith("step_")] if "param_groups" in fields else []
        )
        # that a Module which has none gets parameters or modules changes nothing that it does
        found = [(f"{label}.{key}", fields[key]) for key in keys] + [(f"{label}.{key}", fields[key]) for key in _PARTS if fields.get(key)]
        if "param_groups" in fields and isinstance(fields.get("state"), dict):
            states = [item for entries in fields["state"].values() if isinstance(entries, dict) for item in entries.values()]
            self._of_optimizers.update(id(item) for item in states if isinstance(item, Tensor))
        found += [(parent.__name__, parent) for parent in kind.__mro__]
        return found

    # -- looking

    def _values(self) -> Iterator[Any]:
        return itertools.chain(
            [cell.cell_contents for cell in self._only_cells],
            [names.get(name) for names, name in self._globals],
            itertools.chain.from_iterable([get(fields) for fields, get in self._getters]),
            itertools.chain.from_iterable(map(dict.values, self._only_mappings)),
            itertools.chain.from_iterable(self._only_lists),
        )

    def _remember(self) -> None:
        self._only_cells = [cell for _, cell in self._cells]
        self._only_lists = [items for _, items in self._lists]
        self._only_mappings = [fields for _, fields in self._mappings]
        self._getters = [(fields, get) for _, fields, _, get in self._dicts]
        self._containers = [container for _, container in self._sized]
        values = list(self._values())
        self._before = [value if isinstance(value, SIMPLE) else _MISSING for value in values]
        for value in values:
            if not isinstance(value, (Tensor, *SIMPLE)):
                self._keep(value)
        self._ids = list(map(id, values))
        self._counts = [len(container) for _, container in (*self._mappings, *self._lists)]
        self._lengths = list(map(len, self._containers))
        tensors = self._alive()
        self._storages = list(map(id, map(_storage_of, tensors)))
        self._needs = list(map(_need, tensors[: self._asked]))
        self._trained = [weakref.ref(tensor) for tensor in tensors if tensor._leaf_requires_grad]
        self.missing = self.without_gradient()

    def _keep(self, value: Any) -> None:
        """Be told when an object is gone, whose number another one may then have; hold it if nobody can tell."""
        try:
            self._references.append(weakref.ref(value, self._died))
        except TypeError:
            self._held.append(value)

    def _alive(self) -> list[Any]:
        return [tensor for reference in self.tensors if (tensor := reference()) is not None]

    def changed(self) -> list[int] | None:
        """The numbers of the variables, attributes and items that are other objects than they were; None if anything else is not what it was.

        The values and gradients of tensors may be any.
        """
        try:
            found = list(map(id, self._values()))
        except (KeyError, ValueError, RuntimeError):
            return None
        if len(found) != len(self._ids) or any(self._hooks) or (self._containers and list(map(len, self._containers)) != self._lengths):
            return None
        try:
            tensors = list(map(operator.call, self.tensors))
            if list(map(id, map(_storage_of, tensors))) != self._storages or list(map(_need, tensors[: self._asked])) != self._needs:
                return None
            trained = list(map(operator.call, self._trained))
            if any(map(_hooks_of, trained)) or any(map(_later_hooks_of, trained)):
                return None
        except AttributeError:  # one is gone
            return None
        for array, copy in self._arrays:
            if not np.array_equal(array, copy, equal_nan=array.dtype.kind in "fc"):
                return None
        return [] if found == self._ids else [number for number, (a, b) in enumerate(zip(found, self._ids, strict=True)) if a != b]

    def is_equal(self, numbers: list[int]) -> bool:
        """Whether those variables, attributes and items, which are other objects, are equal numbers or text; from then on they are known."""
        values = list(self._values())
        for number in numbers:
            value, before = values[number], self._before[number]
            if (
                type(value) is not type(before)
                or not (value == before or (value != value and before != before))
                or str(value) != str(before)
            ):
                return False
        for number in numbers:
            self._before[number], self._ids[number] = values[number], id(values[number])
        return True

    def without_gradient(self) -> list[bool]:
        """Of each tensor that collects gradients, whether it has none."""
        return [tensor is None or tensor._grad is None for tensor in map(operator.call, self._trained)]

    def numbers_of(self, slots: list[Slot]) -> dict[int, list[Slot]]:
        """The slots, by the numbers of what holds them among what ``changed`` gives."""
        places: dict[Any, int] = {(id(cell), None): number for number, (_, cell) in enumerate(self._cells)}
        number = len(self._cells) + len(self._globals)
        for fields, keys in [*((fields, keys) for _, fields, keys, _ in self._dicts), *((fields, fields) for _, fields in self._mappings)]:
            for key in keys:
                places.setdefault((id(fields), key), number)
                number += 1
        found: dict[int, list[Slot]] = {}
        for slot in slots:
            found.setdefault(places[id(slot.holder), slot.key], []).append(slot)
        return found

    def memory(self) -> set[int]:
        """The numbers of the storages of all tensors."""
        return set(self._storages)

    def has_hooks(self) -> bool:
        """Whether functions of the user's run at what a call does."""
        return any(self._hooks) or any(tensor._hooks or tensor._after_accumulate for tensor in self._alive())

    def difference(self) -> str | None:
        """What is no longer what it was, in words; None if nothing is. Equal numbers are the same."""
        try:
            values = list(self._values())
        except (KeyError, ValueError, RuntimeError):
            return "a variable or an attribute is gone"
        if len(values) != len(self._ids):
            return self._grown() or "a container has another number of items"
        for (name, container), length in zip(self._sized, self._lengths, strict=True):
            if len(container) != length:
                return f"{name!r} had {length} items and has {len(container)}"
        for name, value, number, before in zip(self._names(), values, self._ids, self._before, strict=True):
            if id(value) == number:
                continue
            if before is _MISSING:
                return f"{name!r} became another {type(value).__name__}"
            if type(value) is not type(before) or not (value == before or (value != value and before != before)):
                return (
                    f"{name!r} changed from {before!r} to {value!r}" if isinstance(value, SIMPLE) else f"{name!r} is no longer {before!r}"
                )
        if list(map(id, map(_storage_of, self._alive()))) != self._storages:
            return "a tensor got other memory"
        return None if self.changed() is not None else "requires_grad of a tensor changed"

    def _grown(self) -> str | None:
        """Which container has more or fewer items than it had."""
        for (name, container), length in zip((*self._mappings, *self._lists), self._counts, strict=True):
            if len(container) != length:
                return f"{name!r} had {length} items and has {len(container)}"
        return None

    def _names(self) -> Iterator[str]:
        return itertools.chain(
            [name for name, _ in self._cells],
            [name for _, name in self._globals],
            itertools.chain.from_iterable([_labels(name, keys) for name, _, keys, _ in self._dicts]),
            itertools.chain.from_iterable([_labels(name, fields) for name, fields in self._mappings]),
            itertools.chain.from_iterable([[f"{name}[{number}]" for number in range(len(items))] for name, items in self._lists]),
        )


_hooks_of, _later_hooks_of = operator.attrgetter("_hooks"), operator.attrgetter("_after_accumulate")
_storage_of, _need = operator.attrgetter("_storage"), operator.attrgetter("_leaf_requires_grad")


def _only(key: Any, fields: dict[Any, Any]) -> tuple[Any]:
    return (fields[key],)


def _labels(name: str, keys: Iterable[Any]) -> list[str]:
    return [f"{name}.{key}" if isinstance(key, str) and name[:1].isupper() else str(key) if isinstance(key, str) else name for key in keys]


def _slot_of_item(group: dict[str, Any], key: str, number: int) -> Slot:
    def read() -> Any:
        value = group.get(key)
        return value[number] if type(value) is tuple and number < len(value) else None

    def write(item: Any) -> None:
        group[key] = (*group[key][:number], item, *group[key][number + 1 :])

    return Slot(f"{key}[{number}]", group, key, read, write)


def _is_librarys(module: Any) -> bool:
    """Whether a module is no program's: this library, or what it is made of."""
    return str(module).partition(".")[0] in ("funnn", "torch", *_FOREIGN)


@functools.lru_cache
def _globals_of(code: types.CodeType) -> tuple[str, ...]:
    """The global names that a function's code reads, those of functions inside it too."""
    names = {str(step.argval) for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    for constant in code.co_consts:
        if inspect.iscode(constant):
            names.update(_globals_of(constant))
    return tuple(sorted(names))
