"""A pickle reader that can build data and nothing else.

Python's own unpickler imports and calls whatever the file names. This one is a loop over the opcodes with a fixed vocabulary: a file may name
what is in it, call only that, and fill only containers that it made itself.
"""

from __future__ import annotations

import pickle
import pickletools
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

_OLD_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}  # protocol 2 spells them as Python 2 did
_MARK = object()
_DICTS = (dict, OrderedDict, Counter)


def unpickle(
    data: bytes, names: Mapping[str, Any], persistent_load: Callable[[Any], Any], trusted: Mapping[str, Any] | None = None
) -> tuple[Any, int]:
    """The object of the pickle that ``data`` begins with, and the number of bytes that it took.

    Args:
      names: what "module.name" in the file stands for. Functions and classes among the values may be called.
      persistent_load: turns a persistent id into an object.
      trusted: further names; of these, instances may be made and given attributes (NEWOBJ and BUILD), as ordinary pickles do.

    Raises:
      pickle.UnpicklingError: for any other name, for an opcode that plain data does not need, and for a damaged pickle.
    """
    reader = _Reader(names, persistent_load, trusted or {})
    try:
        for opcode, argument, position in pickletools.genops(data):
            if opcode.name == "STOP":
                return reader.stack.pop(), (position or 0) + 1
            reader.step(opcode.name, argument)
    except (IndexError, KeyError, TypeError, ValueError, AttributeError, EOFError) as error:
        raise pickle.UnpicklingError(f"the pickle is damaged: {type(error).__name__}: {error}") from error
    raise pickle.UnpicklingError("the pickle is damaged: it has no end")


class _Reader:
    def __init__(self, names: Mapping[str, Any], persistent_load: Callable[[Any], Any], trusted: Mapping[str, Any]):
        self.names, self.trusted, self.persistent_load = names, trusted, persistent_load
        self.callable = {id(value) for group in (names, trusted) for value in group.values() if callable(value)}
        self.makers = {id(value) for value in trusted.values()}
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name]())
        elif name in _LITERALS:
            stack.append(argument)
        elif name in _TUPLES:
            size = _TUPLES[name]
            stack[-size:] = [tuple(stack[-size:])]
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)
        elif name not in ("PROTO", "FRAME"):
            raise pickle.UnpicklingError(f"Unsupported operand {name}")

    def since_mark(self) -> list[Any]:
        """The items above the last mark, taken off the stack with it."""
        start = len(self.stack) - 1
        while self.stack[start] is not _MARK:
            if start == 0:
                raise IndexError("no mark")
            start -= 1
        items = self.stack[start + 1 :]
        del self.stack[start:]
        return items

    def name(self, module: str, name: str) -> None:
        path = f"{_OLD_MODULES.get(module, module)}.{name}"
        for group in (self.names, self.trusted):
            if path in group:
                self.stack.append(group[path])
                return
        path = path.removeprefix("builtins.")
        raise pickle.UnpicklingError(
            f"Unsupported global: GLOBAL {path} was not an allowed global by default. Please use "
            f"`torch.serialization.add_safe_globals([{path}])` or the `torch.serialization.safe_globals([{path}])` context manager to "
            "allowlist this global if you trust this class/function."
        )

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise pickle.UnpicklingError(f"Can only append to lists, but got {type(target)}")
        target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) not in _DICTS:
            raise pickle.UnpicklingError(f"Can only SETITEM for dict, collections.OrderedDict, collections.Counter, but got {type(target)}")
        target.update(zip(items[::2], items[1::2], strict=True))

    def add_items(self, argument: Any) -> None:
        items = self.since_mark()
        if type(self.stack[-1]) is not set:
            raise pickle.UnpicklingError(f"Can only add to sets, but got {type(self.stack[-1])}")
        self.stack[-1].update(items)

    def two(self) -> list[Any]:
        items = self.stack[-2:]
        del self.stack[-2:]
        return items

    def reduce(self, argument: Any) -> None:
        function, arguments = self.two()
        if id(function) not in self.callable:
            raise pickle.UnpicklingError(f"Trying to call reduce for unrecognized function {function!r}")
        self.stack.append(function(*arguments))

    def new(self, argument: Any) -> None:
        kind, arguments = self.two()
        if id(kind) not in self.makers or not isinstance(kind, type):
            raise pickle.UnpicklingError(f"Can only create new object for classes allowlisted via `add_safe_globals` but got {kind!r}")
        self.stack.append(kind.__new__(kind, *arguments))

    def build(self, argument: Any) -> None:
        state, instance = self.stack.pop(), self.stack[-1]
        if type(instance) is OrderedDict:
            instance.__dict__.update(state)
        elif id(type(instance)) not in self.makers:
            raise pickle.UnpicklingError(
                f"Can only build OrderedDict or types allowlisted via `add_safe_globals`, but got {type(instance)}"
            )
        elif hasattr(instance, "__setstate__"):
            instance.__setstate__(state)
        else:
            state, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
            if state:
                instance.__dict__.update(state)
            for key, value in (slots or {}).items():
                setattr(instance, key, value)


_CONSTANTS: dict[str, Callable[[], Any]] = {
    **{"NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False, "MARK": lambda: _MARK},
    **{"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": set},
}
_LITERALS = frozenset(
    ("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
    + ("SHORT_BINSTRING", "BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8")
)
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_ACTIONS: dict[str, Callable[[_Reader, Any], Any]] = {
    "TUPLE": lambda reader, argument: reader.stack.append(tuple(reader.since_mark())),
    "FROZENSET": lambda reader, argument: reader.stack.append(frozenset(reader.since_mark())),
    "MEMOIZE": lambda reader, argument: reader.memo.__setitem__(len(reader.memo), reader.stack[-1]),
    "APPEND": lambda reader, argument: reader.append([reader.stack.pop()]),
    "APPENDS": lambda reader, argument: reader.append(reader.since_mark()),
    "SETITEM": lambda reader, argument: reader.set_items(reader.two()),
    "SETITEMS": lambda reader, argument: reader.set_items(reader.since_mark()),
    "ADDITEMS": _Reader.add_items,
    "GLOBAL": lambda reader, argument: reader.name(*argument.split(" ", 1)),
    "STACK_GLOBAL": lambda reader, argument: reader.name(*reader.two()),
    "BINPERSID": lambda reader, argument: reader.stack.append(reader.persistent_load(reader.stack.pop())),
    "REDUCE": _Reader.reduce,
    "NEWOBJ": _Reader.new,
    "BUILD": _Reader.build,
}
