"""Types of numbers that torch's operations refuse: they are in ``refused_types.txt``, which ``.ci/refused_types.py`` reads from PyTorch.

Operations look at them when they are traced, so a call that comes again costs nothing.
"""

from __future__ import annotations

import builtins
import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from funnn.engine.dispatch.overloads import overloads
from funnn.engine.types.dtype import dtype

_FILE = Path(__file__).with_name("refused_types.txt")
_KINDS = "bifc"  # by the category of a dtype
#: What a plain number counts as in the place of a tensor.
_NUMBERS = {int: np.int64, float: np.float32, complex: np.complex64}

Refused = dict[int, tuple[type[Exception], str]]


@functools.cache
def _lines() -> dict[str, Refused]:
    found: dict[str, Refused] = {}
    for line in _FILE.read_text().splitlines():
        name, kinds, error, text = line.split("\t")
        found.setdefault(name, {}).update({_KINDS.index(kind): (getattr(builtins, error), text) for kind in kinds})
    return found


@functools.cache
def refused_types(names: tuple[str, ...]) -> Refused:
    """What an operation refuses, by the category of the type, that has one of those names in torch: the error's class, and its text."""
    lines = _lines()
    return next((lines[name] for name in names if name in lines), {})


def check_types(refused: Refused, operands: Iterable[Any]) -> None:
    """Raise torch's error for arrays or Tensors of a type that is refused; the widest one counts, and of numbers those among the first two."""
    widest = None
    for position, value in enumerate(operands):
        kind: Any = getattr(value, "dtype", None)
        if isinstance(kind, np.dtype):
            kind = None if position > 1 and getattr(value, "weak_type", False) else dtype.of(kind)
        if kind is None:
            continue
        if widest is None or kind.category > widest.category:
            widest = kind
    if widest is not None and widest.category in refused:
        error, text = refused[widest.category]
        raise error(f"{text.format(widest.legacy)}; convert the tensor with .to(dtype)")


@functools.cache
def _operands(names: tuple[str, ...]) -> int:
    """How many of the first two arguments may be tensors, in whose place a number may stand."""
    items = [overload.parameters[1:2] for name in names for overload in overloads(name)]
    return 2 if any(item.kind == "Tensor" for second in items for item in second) else 1


@functools.cache
def checking_types(run: Callable, names: tuple[str, ...]) -> Callable:
    """A function on Tensors of those names in torch, after a look at the types of those that it is given by position; as it is, if it takes all."""
    refused = refused_types(names)
    if not refused:
        return run

    @functools.wraps(run)
    def checked(*args: Any, **kwargs: Any) -> Any:
        operands = [_NUMBERS[type(value)](value) if type(value) in _NUMBERS else value for value in args[: _operands(names)]]
        if args and (hasattr(args[0], "dtype") or type(args[0]) is complex):  # else it is refused as no tensor
            check_types(refused, (*operands, *args[len(operands) :]))
        return run(*args, **kwargs)

    return checked
