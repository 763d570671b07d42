"""A call that failed, read as torch's parser reads it.

A function here is one Python function, and most calls bind to it as they are. Where one fails, :func:`call_as_torch_does` looks for the overload of
torch that takes the call: an argument has another name there (``x.view(size=(2, 3))``), or a number stands first in an older order
(``x.add_(2, y)``). If no overload takes it, that is torch's TypeError.
"""

from __future__ import annotations

import functools
import inspect
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np

from funnn._frames import is_within
from funnn.engine.dispatch.overloads import ANYTHING, INPUT, Asked, Overload, Refused, name_of, overloads
from funnn.engine.program.value import Value
from funnn.engine.tensor.tensor import Tensor

_warned = False


def call_as_torch_does(run: Callable, names: Iterable[str], args: tuple, kwargs: dict[str, Any], unbound: bool) -> Any:
    """The result of a call that failed, read as torch would read it; NotImplemented where torch reads it as it stands.

    Unless it may have been ``unbound``, it is not called again: what it raised may have been said of something else, which is said once.

    Raises:
      TypeError: no overload of the function takes the arguments.
    """
    candidates = [overload for name in names for overload in overloads(name)]
    for overload, values in _readings(candidates, args, kwargs):
        if not unbound:
            return NotImplemented
        if overload.deprecated:
            overload, values = _newer(overload, candidates, values)
        read = overload.call(values, _positional_arguments(run))
        if len(read[0]) == len(args) and read[1].keys() == kwargs.keys():
            _check_real(overload, values)
            return NotImplemented
        return run(*read[0], **read[1])
    if candidates:
        raise _refusal(candidates, args, kwargs)
    return NotImplemented


def check_call(names: Iterable[str], args: tuple, kwargs: dict[str, Any]) -> None:
    """Raise torch's TypeError where no overload of the functions takes a call; arrays may be anything, and arguments of other names are not torch's."""
    candidates = [overload for name in names for overload in overloads(name)]
    if not candidates:
        return
    known = {name for overload in candidates for name in overload.names()}
    args, kwargs = tuple(map(_plain, args)), {name: _plain(value) for name, value in kwargs.items() if name in known}
    for overload in candidates:
        try:
            values = overload.bind(args, kwargs)
        except Refused:
            continue
        if candidates[0].in_nn:
            _check_real(overload, values)
        return
    raise _refusal(candidates, args, kwargs)


def _check_real(overload: Overload, values: dict[str, Any]) -> None:
    """Raise torch's RuntimeError for a complex number where one is wanted that is not."""
    for item in overload.parameters:
        if item.kind in ("Number", "Scalar") and isinstance(values.get(item.name), complex):
            raise RuntimeError(
                f"value cannot be converted to type double without overflow: {overload.name}() takes a real number as {item.name!r}, got "
                f"{values[item.name]}"
            )


def _plain(value: Any) -> Any:
    """The value as torch's parser knows it, or ANYTHING."""
    if isinstance(value, (Value, jax.Array, np.ndarray, np.generic, np.dtype)) or callable(value):
        return ANYTHING
    return type(value)(map(_plain, value)) if type(value) in (tuple, list) else value


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
    newer: list[Overload] = []
    renamed: dict[str, Any] = {}
    for overload in candidates:
        names = {item.name for item in overload.parameters}
        first = "input" if "input" in names else "self"
        by_name = {first if name in INPUT else name: value for name, value in values.items()}
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
    while frame.f_back is not None and is_within(frame, "funnn"):
        frame, depth = frame.f_back, depth + 1
    return depth


def _refused(overload: Overload, args: tuple, kwargs: dict[str, Any]) -> Refused | None:
    """Why it is no call of the overload, or None."""
    try:
        overload.bind(args, kwargs)
    except Refused as error:
        return error
    return None


def _refusal(candidates: list[Overload], args: tuple, kwargs: dict[str, Any]) -> TypeError | AttributeError:
    """What torch raises of a call that none of the overloads takes; it says what is wrong, where one alone takes so many arguments, or else them all."""
    count = len(args) + len(kwargs)
    name = candidates[0].name
    candidates = [item for item in candidates if item.name == name]
    plausible = [item for item in candidates if item.takes_as_many(count)] if len(candidates) > 1 else candidates
    refusals = [_refused(item, args, kwargs) for item in plausible]
    asked = next((error for error in refusals if isinstance(error, Asked)), None)
    if asked is not None:
        return AttributeError(str(asked))
    if len(refusals) == 1 and refusals[0] is not None:
        text = str(refusals[0])
        return TypeError(text if text.startswith("expected") else f"{name}(){text}" if text[0] == ":" else f"{name}() {text}")
    given = [name_of(value) for value in args] + [f"{key}={name_of(value)}" for key, value in kwargs.items()]
    texts = list(dict.fromkeys(item.text for item in candidates if not item.deprecated))
    expected = texts[0] if len(texts) == 1 else "one of:\n" + "".join(f" * {text}\n" for text in texts)
    return TypeError(f"{name}() received an invalid combination of arguments - got ({', '.join(given)}), but expected {expected}")
