"""torch's overloads: the ways in which its parser takes a call, under which names of arguments, and what it says of a call that is none of them.

They are in ``overloads.txt``, as torch prints them; ``.ci/overloads.py`` writes it. ``torch_reading`` makes use of them.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from funnn.engine.tensor.overrides import PROTOCOL
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import device as _device
from funnn.engine.types import dtype as _dtype
from funnn.engine.types import layout as _layout

_FILE = Path(__file__).with_name("overloads.txt")
_LINE = re.compile(r"([\w.]+)\((.*)\)( deprecated)?$", re.MULTILINE)
INPUT = ("input", "self")
#: NumPy's names, which torch's parser takes as well.
_NUMPYS_NAMES = {
    **dict.fromkeys(INPUT, ("input", "self", "x", "a", "x1")),
    **{"other": ("x2",), "dim": ("axis",), "keepdim": ("keepdims",)},
}
#: Functions for which a number may stand where a Tensor is wanted.
_NUMBERS_FOR_TENSORS = re.compile(r"(add|sub|subtract|mul|multiply|div|divide|true_divide|floor_divide)_?|copy_?|to")
_REQUIRED = object()
#: Stands for a value that may be of any kind.
ANYTHING = object()


class Refused(TypeError):
    """A call is none of an overload."""


class Asked(Refused):
    """As ``Refused``, where torch's function asks the argument for what only a tensor has: an AttributeError there."""


class Parameter(NamedTuple):
    """An argument of an overload.

    Attributes:
      many: whether it is a sequence; loose: whether one number stands for the sequence, too.
      optional: whether None may stand for it.
      asked: of a tensor, what torch's function, written in Python, asks it for first; "" where a parser looks at it.
    """

    name: str
    kind: str
    many: bool
    loose: bool
    optional: bool
    default: Any
    keyword_only: bool
    asked: str = ""

    def takes(self, value: Any) -> bool:
        """Whether torch's parser takes the value here, or might."""
        accept = _ACCEPT.get(self.kind)
        if accept is None or value is ANYTHING:
            return True
        if value is None:
            return self.optional or self.default is None
        if not self.many:
            return accept(value) or _overrides(value)
        if isinstance(value, (list, tuple)):
            return all([item is ANYTHING or accept(item) or _overrides(item) for item in value])
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
    in_nn: bool  # of torch.nn.functional

    @property
    def positional(self) -> list[Parameter]:
        return [item for item in self.parameters if not item.keyword_only]

    def names(self) -> Iterator[str]:
        """All names under which an argument may be given."""
        for item in self.parameters:
            yield from (item.name, *_NUMPYS_NAMES.get(item.name, ()))

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
        missing, asked = [], None
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
                try:
                    self._check(item, values[item.name], f" (position {position + 1 - self.is_method()})" if position < len(args) else "")
                except Asked as error:
                    asked = asked or error  # where nothing else is wrong
        if missing:
            plural = "s" * (len(missing) == 1)  # so torch has it
            raise Refused(f"missing {len(missing)} required positional argument{plural}: {', '.join(missing)}")
        for name in rest:
            raise Refused(
                f"got multiple values for argument '{name}'" if name in values else f"got an unexpected keyword argument '{name}'"
            )
        if asked is not None:
            raise asked
        return values

    def _gathered(self, args: tuple, positional: list[Parameter]) -> tuple:
        """``(x, (2, 3))`` for ``(x, 2, 3)``, where the sizes are all that an overload takes by position."""
        first = 1 if positional and positional[0].name in INPUT else 0
        loose = (
            len(positional) == first + 1
            and (first == 0 or hasattr(Tensor, self.name))
            and positional[first].many
            and positional[first].kind == "int"
        )
        return (*args[:first], args[first:]) if loose and args[first:] and all(map(_is_integer, args[first:])) else args

    def _check(self, item: Parameter, value: Any, where: str) -> None:
        if item.takes(value) or (item.kind == "Tensor" and not item.many and self._takes_number(value)):
            return
        if item.many and isinstance(value, (list, tuple)):
            accept = _ACCEPT[item.kind]
            place, wrong = next((place, inner) for place, inner in enumerate(value) if not (accept(inner) or inner is ANYTHING))
            if item.kind == "Tensor":
                raise Refused(f"expected Tensor as element {place} in argument {self.parameters.index(item)}, but got {name_of(wrong)}")
            if place:
                raise Refused(
                    f": argument '{item.name}' failed to unpack the object at pos {place + 1} with error \"type must be {item.wanted},but got "
                    f'{name_of(wrong)}"'
                )
            raise Refused(
                f": argument '{item.name}'{where} must be {item.wanted}, but found element of type {name_of(wrong)} at pos {place}"
            )
        text = f": argument '{item.name}'{where} must be {item.wanted}, not {name_of(value)}"
        if item.asked and not hasattr(value, item.asked):
            raise Asked(f"'{type(value).__name__}' object has no attribute '{item.asked}': {self.name}(){text}")
        raise Refused(text)

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


def name_of(value: Any) -> str:
    kind = type(value)
    return (
        kind.__name__ if kind.__module__ in ("builtins", "__main__") or isinstance(value, Tensor) else f"{kind.__module__}.{kind.__name__}"
    )


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
    "torch.layout": lambda value: isinstance(value, _layout.layout),
    "torch.Storage": lambda value: hasattr(value, "__funnn_memory__"),
    "torch.memory_format": lambda value: isinstance(value, _layout.memory_format),
    "torch.device": lambda value: isinstance(value, (_device.device, str, int)) and not isinstance(value, bool),
}


# -- the file


def _overload(name: str, arguments: str, deprecated: bool) -> Overload:
    before, _, behind = arguments.partition("*")
    parts = [(part, False) for part in before.split(", ") if part] + [(part, True) for part in behind.split(", ") if part]
    shown = re.sub(r"\[\d\]|\?|(?<=Tensor)\.\w+", "", arguments.removeprefix("Tensor self").removeprefix(", "))
    return Overload(
        name.removeprefix("nn."), f"({shown})", tuple(_parameter(part, named) for part, named in parts), deprecated, name.startswith("nn.")
    )


def _parameter(text: str, keyword_only: bool) -> Parameter:
    left, _, default = text.partition(" = ")
    kind, name = left.rsplit(" ", 1)
    plain, many = re.sub(r"\[\d\]|\?", "", kind), kind.startswith("tuple of ")
    asked = plain.removeprefix("Tensor.") if plain.startswith("Tensor.") else ""
    return Parameter(
        name,
        plain.removeprefix("tuple of ").removesuffix("s") if many else "Tensor" if asked else plain,
        many,
        "[" in kind,
        kind.endswith("?"),
        _value(default) if default else _REQUIRED,
        keyword_only,
        asked,
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
