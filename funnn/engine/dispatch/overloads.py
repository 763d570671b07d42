"""torch's overloads: which calls torch takes, under which names of arguments, and what it says of others.

A function here is one Python function, and most calls bind to it as they are. Where one fails, :func:`call_as_torch_does` reads the call as torch's
parser would: an argument has another name there (``x.view(size=(2, 3))``), a number stands first in an older order (``x.add_(2, y)``), or no overload fits, which
is torch's TypeError. The overloads are in ``overloads.txt``, as torch prints them; ``.ci/overloads.py`` writes it.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from funnn.engine.tensor.overrides import PROTOCOL
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype

_FILE = Path(__file__).with_name("overloads.txt")
_LINE = re.compile(r"([\w.]+)\((.*)\)( deprecated)?$", re.MULTILINE)
_INPUT = ("input", "self")
#: NumPy's names, which torch's parser takes as well.
_NUMPYS_NAMES = {
    **dict.fromkeys(_INPUT, ("input", "self", "x", "a", "x1")),
    **{"other": ("x2",), "dim": ("axis",), "keepdim": ("keepdims",)},
}
#: Functions for which a number may stand where a Tensor is wanted.
_NUMBERS_FOR_TENSORS = re.compile(r"(add|sub|subtract|mul|multiply|div|divide|true_divide|floor_divide)_?|copy_?|to")
_REQUIRED = object()
_warned = False


class Refused(TypeError):
    """A call is none of an overload."""


class Parameter(NamedTuple):
    """An argument of an overload; ``many`` where it is a sequence, ``loose`` where one number stands for the sequence too, ``optional`` where None does."""

    name: str
    kind: str
    many: bool
    loose: bool
    optional: bool
    default: Any
    keyword_only: bool

    def takes(self, value: Any) -> bool:
        """Whether torch's parser takes the value here, or might."""
        accept = _ACCEPT.get(self.kind)
        if accept is None:
            return True
        if value is None:
            return self.optional or self.default is None
        if not self.many:
            return accept(value) or _overrides(value)
        if isinstance(value, (list, tuple)):
            return all([item is None or accept(item) or _overrides(item) for item in value])
        return (self.loose and accept(value)) or _overrides(value)

    @property
    def wanted(self) -> str:
        """The kind, in the words of torch's errors."""
        return f"tuple of {self.kind}s" if self.many else self.kind


class Overload(NamedTuple):
    """One way in which torch takes a call."""

    name: str
    text: str
    parameters: tuple[Parameter, ...]
    deprecated: bool

    @property
    def positional(self) -> list[Parameter]:
        return [item for item in self.parameters if not item.keyword_only]

    def is_method(self) -> bool:
        return bool(self.parameters) and self.parameters[0].name == "self" and self.parameters[0].kind == "Tensor"

    def takes_as_many(self, count: int) -> bool:
        """Whether the number of arguments is one with which it may be called."""
        return sum(item.default is _REQUIRED for item in self.parameters) <= count <= len(self.parameters)

    def bind(self, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The values of a call by torch's names.

        Raises:
          Refused: it is no call of this overload; the text is torch's.
        """
        positional = self.positional
        args = self._gathered(args, positional)
        if len(args) > len(positional):
            least = sum(item.default is _REQUIRED for item in positional)
            some = f"{least}" if least == len(positional) else f"from {least} to {len(positional)}"
            own = self.is_method()
            raise Refused(f"takes {some} positional argument{'s' * (len(positional) != 1)} but {len(args) - own} were given")
        values, rest = {item.name: value for item, value in zip(positional, args, strict=False)}, dict(kwargs)
        missing = []
        for position, item in enumerate(self.parameters):
            if item.name not in values:
                found = next((name for name in (item.name, *_NUMPYS_NAMES.get(item.name, ())) if name in rest), None)
                if found is not None:
                    values[item.name] = rest.pop(found)
                elif item.default is _REQUIRED:
                    missing.append(f'"{item.name}"')
                    continue
                else:
                    continue
            if not missing:
                self._check(item, values[item.name], f" (position {position + 1 - self.is_method()})" if position < len(args) else "")
        if missing:
            plural = "s" * (len(missing) == 1)  # so torch has it
            raise Refused(f"missing {len(missing)} required positional argument{plural}: {', '.join(missing)}")
        for name in rest:
            raise Refused(f"got multiple values for argument '{name}'" if name in values else f"got an unexpected keyword argument '{name}'")
        return values

    def _gathered(self, args: tuple, positional: list[Parameter]) -> tuple:
        """``(x, (2, 3))`` for ``(x, 2, 3)``, where the sizes are all that an overload takes by position."""
        first = 1 if positional and positional[0].name in _INPUT else 0
        loose = len(positional) == first + 1 and positional[first].many and positional[first].kind == "int"
        return (*args[:first], args[first:]) if loose and args[first:] and all(map(_is_integer, args[first:])) else args

    def _check(self, item: Parameter, value: Any, where: str) -> None:
        if item.takes(value) or (item.kind == "Tensor" and not item.many and self._takes_number(value)):
            return
        if item.many and isinstance(value, (list, tuple)):
            accept = _ACCEPT[item.kind]
            place, wrong = next((place, inner) for place, inner in enumerate(value) if not (inner is None or accept(inner)))
            if item.kind == "Tensor":
                raise Refused(f"expected Tensor as element {place} in argument {self.parameters.index(item)}, but got {_name_of(wrong)}")
            if place:
                raise Refused(
                    f": argument '{item.name}' failed to unpack the object at pos {place + 1} with error \"type must be {item.wanted},but got "
                    f'{_name_of(wrong)}"'
                )
            raise Refused(f": argument '{item.name}'{where} must be {item.wanted}, but found element of type {_name_of(wrong)} at pos {place}")
        raise Refused(f": argument '{item.name}'{where} must be {item.wanted}, not {_name_of(value)}")

    def _takes_number(self, value: Any) -> bool:
        """Whether a number stands for a tensor."""
        return isinstance(value, (int, float, complex, np.number)) and _NUMBERS_FOR_TENSORS.fullmatch(self.name) is not None

    def call(self, values: dict[str, Any], most: int = 99) -> tuple[tuple, dict[str, Any]]:
        """The arguments by position as far as torch takes them so (and at most so many), and the others by name."""
        last = max((i for i, item in enumerate(self.parameters[:most]) if item.name in values and not item.keyword_only), default=-1)
        args = tuple([values.get(item.name, item.default) for item in self.parameters[: last + 1]])
        return args, {item.name: values[item.name] for item in self.parameters[last + 1 :] if item.name in values}


def _overrides(value: Any) -> bool:
    return not isinstance(value, Tensor) and hasattr(type(value), PROTOCOL)


def _name_of(value: Any) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ in ("builtins", "__main__") or isinstance(value, Tensor) else f"{kind.__module__}.{kind.__name__}"


def _is_integer(value: Any) -> bool:
    return (isinstance(value, (int, np.integer)) and not isinstance(value, bool)) or (
        isinstance(value, Tensor) and value.numel() == 1 and value.dtype.category == 1
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, complex, np.number, np.bool_)) or (isinstance(value, Tensor) and value.dim() == 0)


#: What torch's parser takes for a kind of argument, where it does not take everything.
_ACCEPT: dict[str, Callable[[Any], bool]] = {
    "Tensor": lambda value: isinstance(value, Tensor),
    "Number": _is_number,
    "Scalar": _is_number,
    "float": lambda value: _is_number(value) and not isinstance(value, complex),
    "int": _is_integer,
    "bool": lambda value: isinstance(value, (bool, np.bool_)),
    "str": lambda value: isinstance(value, str),
    "torch.dtype": lambda value: isinstance(value, _dtype.dtype) or value in (bool, int, float, complex),
}


# -- the file


def _overload(name: str, arguments: str, deprecated: bool) -> Overload:
    before, _, behind = arguments.partition("*")
    parts = [(part, False) for part in before.split(", ") if part] + [(part, True) for part in behind.split(", ") if part]
    shown = re.sub(r"\[\d\]|\?", "", arguments.removeprefix("Tensor self").removeprefix(", "))
    return Overload(name.removeprefix("nn."), f"({shown})", tuple(_parameter(part, named) for part, named in parts), deprecated)


def _parameter(text: str, keyword_only: bool) -> Parameter:
    left, _, default = text.partition(" = ")
    kind, name = left.rsplit(" ", 1)
    plain, many = re.sub(r"\[\d\]|\?", "", kind), kind.startswith("tuple of ")
    return Parameter(
        name,
        plain.removeprefix("tuple of ").removesuffix("s") if many else plain,
        many,
        "[" in kind,
        kind.endswith("?"),
        _value(default) if default else _REQUIRED,
        keyword_only,
    )


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


@functools.cache
def _lines() -> dict[str, list[tuple[str, bool]]]:
    found: dict[str, list[tuple[str, bool]]] = {}
    for name, arguments, deprecated in _LINE.findall(_FILE.read_text()):
        found.setdefault(name, []).append((arguments, bool(deprecated)))
    return found


@functools.cache
def overloads(name: str) -> tuple[Overload, ...]:
    """Those of a function or method, by the name that torch's parser has for it; none where it is not torch's."""
    return tuple([_overload(name, *line) for line in _lines().get(name, ())])


# -- calls


def call_as_torch_does(run: Callable, names: Iterable[str], args: tuple, kwargs: dict[str, Any]) -> Any:
    """The result of a call that failed, read as torch would read it; NotImplemented where torch reads it as it stands.

    Raises:
      TypeError: no overload of the function takes the arguments.
    """
    candidates = [overload for name in names for overload in overloads(name)]
    for overload, values in _readings(candidates, args, kwargs):
        if overload.deprecated:
            overload, values = _newer(overload, candidates, values)
        read = overload.call(values, _positional_arguments(run))
        if len(read[0]) == len(args) and read[1].keys() == kwargs.keys():
            return NotImplemented
        return run(*read[0], **read[1])
    if candidates:
        raise TypeError(_refusal(candidates, args, kwargs))
    return NotImplemented


def _readings(candidates: list[Overload], args: tuple, kwargs: dict[str, Any]) -> Iterator[tuple[Overload, dict[str, Any]]]:
    """The overloads that take a call, with its values; last those for which a tensor of no dimensions stands for its number."""
    with_numbers = []
    for overload in candidates:
        try:
            values = overload.bind(args, kwargs)
        except Refused:
            continue
        tensors = [item.name for item in overload.parameters if item.kind == "Number" and isinstance(values.get(item.name), Tensor)]
        if tensors:
            with_numbers.append((overload, values, tensors))
        else:
            yield overload, values
    for overload, values, tensors in with_numbers:
        yield overload, values | {name: values[name].item() for name in tensors}


@functools.cache
def _positional_arguments(run: Callable) -> int:
    """How many arguments a function here takes by position."""
    kinds = [item.kind for item in inspect.signature(run).parameters.values()]
    return 99 if inspect.Parameter.VAR_POSITIONAL in kinds else sum(kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for kind in kinds)


def _newer(older: Overload, candidates: list[Overload], values: dict[str, Any]) -> tuple[Overload, dict[str, Any]]:
    """The overload that torch recommends in the place of one with the number first, and the values by its names; warns of that, once."""
    global _warned
    newer, renamed = [], {}
    for overload in candidates:
        names = {item.name for item in overload.parameters}
        first = "input" if "input" in names else "self"
        by_name = {first if name in _INPUT else name: value for name, value in values.items()}
        if not overload.deprecated and names >= by_name.keys():
            newer.append(overload)
            renamed = renamed or by_name
    if not _warned:
        _warned = True
        texts = "\n\t".join(f"{item.name}{item.text}" for item in newer)
        warnings.warn(
            f"This overload of {older.name} is deprecated:\n\t{older.name}{older.text}\nConsider using one of the following signatures instead:\n\t{texts}",
            UserWarning,
            stacklevel=_depth(),
        )
    return newer[0], renamed


def _depth() -> int:
    """How far up the stack the line of the user is, for a warning of the function that asks."""
    frame, depth = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "funnn":
        frame, depth = frame.f_back, depth + 1
    return depth


def _refusal(candidates: list[Overload], args: tuple, kwargs: dict[str, Any]) -> str:
    """What torch says of a call that none of the overloads takes: what is wrong, where one alone takes so many arguments, or else them all."""
    count = len(args) + len(kwargs)
    name = candidates[0].name
    candidates = [item for item in candidates if item.name == name]
    plausible = [item for item in candidates if item.takes_as_many(count)] if len(candidates) > 1 else candidates
    if len(plausible) == 1:
        try:
            plausible[0].bind(args, kwargs)
        except Refused as error:
            text = str(error)
            return text if text.startswith("expected") else f"{name}(){text}" if text[0] == ":" else f"{name}() {text}"
    given = [_name_of(value) for value in args] + [f"{key}={_name_of(value)}" for key, value in kwargs.items()]
    texts = list(dict.fromkeys(item.text for item in candidates if not item.deprecated))
    expected = texts[0] if len(texts) == 1 else "one of:\n" + "".join(f" * {text}\n" for text in texts)
    return f"{name}() received an invalid combination of arguments - got ({', '.join(given)}), but expected {expected}"
