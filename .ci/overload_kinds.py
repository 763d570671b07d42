"""What kinds of arguments PyTorch's functions in Python take, found out by calling them: their signatures do not say it, and the parsers below them do.

Each argument of a call from PyTorch's database is replaced by values of other kinds. What raises a TypeError in all of these calls is refused; so is what
raises an AttributeError, since the function asks the argument for what only a tensor has: ``Tensor.size`` is an argument that is asked for ``size``.
"""

from __future__ import annotations

import inspect
import itertools
import re
import typing
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_methods_invocations import op_db

#: What was measured: the function's name, one of its arguments, its kind.
TABLE = Path(__file__).with_suffix(".tsv")
_VALUES: dict[str, Any] = {
    "bool": True,
    "int": 1,
    "float": 1.5,
    "complex": 1j,
    "str": "a",
    "list": [1],
    "holes": [None],
    "object": object(),
    "None": None,
}
_VALUES["Tensor"] = torch.ones(2)
#: kind: what it takes and what it refuses
_KINDS = {
    "bool": ({"bool"}, {"int", "float", "complex", "str", "list", "object", "Tensor"}),
    "int": ({"int"}, {"bool", "float", "complex", "str", "object", "holes", "Tensor"}),
    "float": ({"bool", "int", "float"}, {"complex", "str", "list", "object", "Tensor"}),
    "Number": ({"bool", "int", "float", "complex"}, {"str", "list", "object", "Tensor"}),
    "str": ({"str"}, {"bool", "int", "float", "complex", "list", "object", "Tensor"}),
    "tuple of ints": ({"list"}, {"bool", "int", "float", "complex", "str", "object", "holes", "Tensor"}),
}
_NO_TENSORS = frozenset(("bool", "int", "float", "complex", "list", "holes", "object"))
#: Kinds that arguments of these names alone have, and what they refuse.
_BY_NAME = {
    "device": ("torch.device", {"bool", "float", "complex", "list", "object", "Tensor"}),
    "dtype": ("torch.dtype", {"bool", "int", "float", "complex", "str", "list", "object", "Tensor"}),
    "layout": ("torch.layout", {"bool", "int", "float", "complex", "str", "list", "object", "Tensor"}),
}
_OTHER = "another error"
_ASKED = re.compile(r"object has no attribute '(\w+)'")
_MOST = 6  # calls that are tried


def _calls(name: str) -> Iterator[tuple[tuple, dict[str, Any]]]:
    """Calls of the database's operation of that name."""
    for op in op_db:
        if op.name == name and op.sample_inputs_func is not None:
            dtype = next((kind for kind in (torch.float32, torch.complex64, torch.int64) if kind in op.dtypes), None)
            if dtype is not None:
                samples = list(itertools.islice(op.sample_inputs("cpu", dtype), 40))
                for sample in samples[:: max(len(samples) // _MOST, 1)]:
                    yield (sample.input, *sample.args), dict(sample.kwargs)


def _refusal(function: Callable, values: dict[str, Any]) -> str | None:
    """The class's name for a TypeError, the attribute that a value does not have, or ``_OTHER`` for another refusal; None where the call is taken."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            function(**values)
    except TypeError:
        return "TypeError"
    except AttributeError as error:
        asked = _ASKED.search(str(error))
        return _OTHER if asked is None else asked[1]
    except Exception:
        return _OTHER
    return None


class Kinds:
    """The kinds of arguments, as they were measured, or ``measured`` now."""

    def __init__(self, measure: bool):
        self.measure, self.known = measure, dict[str, dict[str, str]]()
        for line in [] if measure else TABLE.read_text().splitlines():
            name, argument, kind = line.split("\t")
            self.known.setdefault(name, {})[argument] = kind

    def of(self, function: Callable, name: str, operations: tuple[str, ...]) -> dict[str, str]:
        """Of each argument of a function, ``name`` in its module, of which the kind is known, by calls of the ``operations`` of the database."""
        key = f"{function.__module__.removeprefix('torch.')}.{name}"
        if self.measure:
            self.known[key] = kinds_of(function, operations)
        return self.known.get(key, {})

    def write(self) -> None:
        """Write what was measured into the table."""
        lines = [f"{name}\t{argument}\t{kind}" for name, kinds in sorted(self.known.items()) for argument, kind in kinds.items()]
        TABLE.write_text("".join(f"{line}\n" for line in lines))


def kinds_of(function: Callable, operations: tuple[str, ...]) -> dict[str, str]:
    """The kind of each argument for which it is known: "bool", "int?", with a mark where None is taken, "tuple of ints[1]" where an int is, too."""
    signature = inspect.signature(function)
    refused: dict[str, dict[str, str]] = {}
    tensors = set()
    torch.manual_seed(0)
    for args, kwargs in itertools.chain.from_iterable(map(_calls, operations)):
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            continue
        if _refusal(function, dict(bound.arguments)) == "TypeError":
            continue
        for argument, item in signature.parameters.items():
            if item.kind in (item.VAR_KEYWORD, item.VAR_POSITIONAL):
                continue
            if isinstance(bound.arguments.get(argument), torch.Tensor) or typing.get_args(item.annotation)[:1] == (torch.Tensor,):
                tensors.add(argument)
            tensor = argument in tensors
            answers = {kind: _refusal(function, {**bound.arguments, argument: value}) for kind, value in _VALUES.items()}
            found = {kind: answer for kind, answer in answers.items() if answer is not None and (answer != _OTHER or kind == "str")}
            if tensor and not any(answers[kind] not in (None, _OTHER) for kind in _NO_TENSORS) and any(answers.values()):
                continue  # another argument is looked at first
            before = refused.get(argument, found)
            refused[argument] = {kind: before[kind] for kind in found if kind in before}
    kinds = {}
    for argument, found in refused.items():
        kind = _tensor_kind(found) if argument in tensors else _plain_kind(argument, found)
        if kind is not None:
            said = argument in tensors and signature.parameters[argument].default is None
            kinds[argument] = kind + "?" * ("None" not in found and not said)
    return kinds


def _tensor_kind(refused: dict[str, str]) -> str | None:
    """The kind of an argument that was a tensor in some call: "Tensor", or "Tensor.size" where it is asked for its ``size``."""
    if not refused.keys() >= _NO_TENSORS:
        return None
    asked = {refused[kind] for kind in _NO_TENSORS}
    attribute = asked.pop()
    return None if asked else "Tensor" if attribute == "TypeError" else f"Tensor.{attribute}"


def _plain_kind(argument: str, answers: dict[str, str]) -> str | None:
    """The kind of an argument that was no tensor in any call, by what it refuses."""
    refused = {kind for kind, answer in answers.items() if answer == "TypeError"}
    if _KINDS["bool"][1] - refused == {"str"} and "bool" not in refused and answers.get("str") == _OTHER:
        return "bool"  # another overload has a text there
    for kind, (takes, refuses) in _KINDS.items():
        if refuses <= refused and not takes & refused:
            return "tuple of ints[1]" if kind == "int" and "list" not in refused else kind
    kind, refuses = _BY_NAME.get(argument, ("", set()))
    return kind if kind and refuses <= refused else None
