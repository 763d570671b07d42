"""A pickle reader that can build data and nothing else.

Python's own unpickler imports and calls whatever the file names. This one is a loop over the opcodes with a fixed vocabulary: a file may name
what is in it, call only what is meant to be called, and fill only containers that it made itself. What it builds is bounded by the length of the pickle.
"""

from __future__ import annotations

import io
import pickletools
import re
import sys
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import IO, Any, NamedTuple, cast

from funnn.checkpoint._errors import CheckpointError, shown
from funnn.checkpoint._keys import Keys

_MARK = object()
_DICTS = (dict, OrderedDict, Counter, defaultdict)
#: Bytes that the objects of a pickle may take: so many, and so many for each of its own bytes, of which an empty set needs one and takes 216.
_ALWAYS, _EACH = 32 << 20, 32
#: Types of numbers of which some are not supported, how numbers are quantized, and nested tensors.
SPECIAL = re.compile(r"torch\.(nested\..*|q?u?int\d\w*|bits\d\w*|float\d\w*|complex\d+|per_(tensor|channel)_\w+)")
_DEEPEST = 1000  # containers in containers; Python's own pickler writes no more


#: What a pickle is read from.
Stream = IO[bytes] | io.RawIOBase


class Passed(Exception):
    """An error of a function of the user's, which is not the file's."""

    def __init__(self, error: Exception):
        super().__init__(str(error))
        self.error = error


class Vocabulary(NamedTuple):
    """What "module.name" in a file stands for.

    Attributes:
      values: what may stand there and not be called: types, dtypes.
      functions: what may be called.
      trusted: classes and functions of the user's, which may be called; instances may be made and given attributes (NEWOBJ and BUILD), as ordinary
        pickles do.
    """

    values: Mapping[str, Any]
    functions: Mapping[str, Callable[..., Any]]
    trusted: Mapping[str, Any] = MappingProxyType({})


def unpickle(stream: Stream, length: int, names: Vocabulary, persistent_load: Callable[[Any], Any]) -> Any:
    """The object of the pickle that a stream holds next; the stream then stands behind it.

    Args:
      length: the bytes that the pickle has at most.
      persistent_load: turns a persistent id into an object.

    Raises:
      CheckpointError: for any other name, for an opcode that plain data does not need, for a damaged pickle, and where the objects would take far
        more memory than the pickle.
    """
    return run(Reader(names, persistent_load, length), stream)


def run(reader: Reader, stream: Stream) -> Any:
    """What a reader makes of the pickle that a stream holds next."""
    name, place = "beginning", 0
    try:
        for opcode, argument, position in pickletools.genops(cast("IO[bytes]", stream)):
            name, place = opcode.name, position or 0
            if name == "STOP":
                result = reader.pop()
                reader.check(result)
                return result
            reader.step(name, argument)
    except CheckpointError as error:
        raise error.at(f"byte {place} ({name})") from None
    except Passed:
        raise
    except Exception as error:
        text = f"{type(error).__name__}: {str(error)[:200]}"
        raise CheckpointError(f"byte {place} (after or in {name}): the pickle is damaged: {text}") from error
    raise CheckpointError(f"byte {place} ({name}): the pickle is damaged: it has no end")


class Reader:
    """The stack of a pickle and its memo.

    Args:
      length: of the pickle.
    """

    def __init__(self, names: Vocabulary, persistent_load: Callable[[Any], Any], length: int):
        self.names, self.persistent_load = names, persistent_load
        self.callable = {id(value) for group in (names.functions, names.trusted) for value in group.values() if callable(value)}
        self.makers = {id(value) for value in names.trusted.values()}
        self.stack: list[Any] = []
        self.memo: list[Any] = []
        self.later: dict[int, Any] = {}  # what is put elsewhere than at the memo's end
        self.budget = _ALWAYS + _EACH * length
        self.keys = Keys(self.spend)

    def spend(self, size: int) -> None:
        """Take note of what an object costs, in bytes of memory or in about as many nanoseconds."""
        self.budget -= size
        if self.budget < 0:
            raise CheckpointError("the objects would take far more memory, or time, than the file; no file that torch.save wrote does that")

    def check(self, result: Any) -> None:
        """Look at what is the whole pickle's object."""
        check_depth(result)

    def push(self, value: Any) -> None:
        self.spend(sys.getsizeof(value))
        self.stack.append(value)

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise CheckpointError("a mark stands where an object is expected")
        return value

    def step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.push(_EMPTY[name]())
        elif name in _LITERALS:
            self.push(argument)
        elif name in _TUPLES:
            items = [self.pop() for _ in range(_TUPLES[name])]
            self.push(tuple(items[::-1]))
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.put(argument)
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument] if argument < len(self.memo) else self.later[argument])
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)
        elif name not in ("PROTO", "FRAME"):
            raise CheckpointError(f"Unsupported operand {name}; plain data does not need it")

    def put(self, number: int) -> None:
        """Remember the top of the stack."""
        value = self.pop()
        self.stack.append(value)
        if number == len(self.memo):
            self.memo.append(value)
        elif number < len(self.memo):
            self.memo[number] = value
        else:
            self.spend(100)
            self.later[number] = value

    def since_mark(self) -> list[Any]:
        """The items above the last mark, taken off the stack with it."""
        start = len(self.stack) - 1
        while start >= 0 and self.stack[start] is not _MARK:
            start -= 1
        if start < 0:
            raise CheckpointError("there is no mark on the stack")
        items = self.stack[start + 1 :]
        del self.stack[start:]
        return items

    def name(self, module: str, name: str) -> None:
        # protocol 2 spells names as Python 2 did
        module, name = NAME_MAPPING.get((module, name)) or (IMPORT_MAPPING.get(module, module), name)
        path = f"{module}.{name}"
        for group in self.names:
            if path in group:
                self.stack.append(group[path])
                return
        if SPECIAL.fullmatch(path):
            fix = "convert them to plain ones and save again"
            raise CheckpointError(f"the file names {path}: such tensors are not supported", "unsupported", fix)
        path = path.removeprefix("builtins.")[:300]
        raise CheckpointError(
            f"Unsupported global: GLOBAL {path} was not an allowed global by default. Please use "
            f"`torch.serialization.add_safe_globals([{path}])` or the `torch.serialization.safe_globals([{path}])` context manager to "
            "allowlist this global if you trust this class/function.",
            fix="",
        )

    def append(self, items: list[Any]) -> None:
        target = self.top()
        if type(target) is not list:
            raise CheckpointError(f"Can only append to lists, but got {type(target)}")
        target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.top()
        if type(target) not in _DICTS:
            raise CheckpointError(f"Can only SETITEM for dict, collections.OrderedDict, collections.Counter, but got {type(target)}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            self.keys.check(target, key)
            target[key] = value

    def add_items(self) -> None:
        items = self.since_mark()
        target = self.top()
        if type(target) is not set:
            raise CheckpointError(f"Can only add to sets, but got {type(target)}")
        for item in items:
            self.keys.check(target, item)
            target.add(item)

    def freeze(self) -> None:
        self.push(frozenset(set_of(self.keys, self.since_mark())))

    def top(self) -> Any:
        value = self.pop()
        self.stack.append(value)
        return value

    def two(self) -> list[Any]:
        second = self.pop()
        return [self.pop(), second]

    def reduce(self) -> None:
        function, arguments = self.two()
        if id(function) not in self.callable:
            raise CheckpointError(f"Trying to call reduce for unrecognized function {shown(function)}")
        if type(arguments) is not tuple:
            raise CheckpointError(f"the arguments of a call must be a tuple, but got {type(arguments)}")
        if function is ordered or function is set_of:
            arguments = self.keys, *arguments
        self.push(function(*arguments))

    def new(self) -> None:
        kind, arguments = self.two()
        if id(kind) not in self.makers or not isinstance(kind, type):
            raise CheckpointError(f"Can only create new object for classes allowlisted via `add_safe_globals` but got {shown(kind)}")
        self.push(kind.__new__(kind, *arguments))

    def build(self) -> None:
        state, instance = self.two()[::-1]
        self.stack.append(instance)
        if type(instance) is OrderedDict:
            _set_attributes(instance, state)
        elif id(type(instance)) not in self.makers:
            raise CheckpointError(f"Can only build OrderedDict or types allowlisted via `add_safe_globals`, but got {type(instance)}")
        elif hasattr(instance, "__setstate__"):
            instance.__setstate__(state)
        else:
            state, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
            if state:
                instance.__dict__.update(state)
            for key, value in (slots or {}).items():
                setattr(instance, key, value)


def _set_attributes(instance: OrderedDict[Any, Any], state: Any) -> None:
    """What torch keeps beside a state_dict's entries, ``_metadata``."""
    if type(state) is not dict or not all(type(name) is str and not hasattr(OrderedDict, name) for name in state):
        raise CheckpointError("the attributes of an OrderedDict must have names, and none of its own")
    vars(instance).update(state)


def ordered(keys: Keys, items: Any = ()) -> OrderedDict[Any, Any]:
    """The OrderedDict of a list of pairs."""
    made: OrderedDict[Any, Any] = OrderedDict()
    for pair in _sequence(items):
        if len(_sequence(pair)) != 2:
            raise CheckpointError(f"{shown(pair)} is no pair of a key and a value")
        keys.check(made, pair[0])
        made[pair[0]] = pair[1]
    return made


def set_of(keys: Keys, items: Any = ()) -> set[Any]:
    """The set of a list's items."""
    made: set[Any] = set()
    for item in _sequence(items):
        keys.check(made, item)
        made.add(item)
    return made


def _sequence(value: Any) -> Any:
    if type(value) not in (list, tuple):
        raise CheckpointError(f"{shown(value)} stands where list or tuple is expected")
    return value


def check_depth(tree: Any) -> None:
    """Refuse containers in containers in containers, that no program could walk.

    Raises:
      CheckpointError: for more than a thousand.
    """
    seen: set[int] = set()
    path = [iter((tree,))]
    while path:
        for item in path[-1]:
            if isinstance(item, (list, tuple, dict, set, frozenset)) and id(item) not in seen:
                seen.add(id(item))
                path.append(iter((*item.keys(), *item.values()) if isinstance(item, dict) else item))
                break
        else:
            path.pop()
        if len(path) > _DEEPEST:
            raise CheckpointError(f"containers lie in containers, more than {_DEEPEST} deep")


_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "MARK": _MARK, "EMPTY_TUPLE": ()}
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_SET": set}
_LITERALS = frozenset(
    ("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
    + ("SHORT_BINSTRING", "BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8")
)
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_ACTIONS: dict[str, Callable[[Reader, Any], Any]] = {
    "TUPLE": lambda reader, argument: reader.push(tuple(reader.since_mark())),
    "FROZENSET": lambda reader, argument: reader.freeze(),
    "MEMOIZE": lambda reader, argument: reader.put(len(reader.memo)),
    "APPEND": lambda reader, argument: reader.append([reader.pop()]),
    "APPENDS": lambda reader, argument: reader.append(reader.since_mark()),
    "SETITEM": lambda reader, argument: reader.set_items(reader.two()),
    "SETITEMS": lambda reader, argument: reader.set_items(reader.since_mark()),
    "ADDITEMS": lambda reader, argument: reader.add_items(),
    "GLOBAL": lambda reader, argument: reader.name(*argument.split(" ", 1)),
    "STACK_GLOBAL": lambda reader, argument: reader.name(*reader.two()),
    "BINPERSID": lambda reader, argument: reader.stack.append(reader.persistent_load(reader.pop())),
    "REDUCE": lambda reader, argument: reader.reduce(),
    "NEWOBJ": lambda reader, argument: reader.new(),
    "BUILD": lambda reader, argument: reader.build(),
}
