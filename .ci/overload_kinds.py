"""What kinds of arguments PyTorch's functions in Python take, found out by calling them: their signatures do not say it, and the parsers below them do.

Each argument of a call from PyTorch's database is replaced by values of other kinds. What raises a TypeError in all of these calls is refused.
"""

from __future__ import annotations

import inspect
import itertools
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
}
_MOST = 6  # calls that are tried


def _calls(name: str) -> Iterator[tuple[tuple, dict[str, Any]]]:
    """Calls of a function from the database."""
    for op in op_db:
        if op.name in (name, f"nn.functional.{name}") and op.sample_inputs_func is not None:
            dtype = next((kind for kind in (torch.float32, torch.complex64, torch.int64) if kind in op.dtypes), None)
            if dtype is not None:
                samples = list(itertools.islice(op.sample_inputs("cpu", dtype), 40))
                for sample in samples[:: max(len(samples) // _MOST, 1)]:
                    yield (sample.input, *sample.args), dict(sample.kwargs)


def _refuses(function: Callable, values: dict[str, Any]) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            function(**values)
    except TypeError:
        return True
    except Exception:
        return False
    return False


class Kinds:
    """The kinds of arguments, as they were measured, or ``measured`` now."""

    def __init__(self, measure: bool):
        self.measure, self.known = measure, dict[str, dict[str, str]]()
        for line in [] if measure else TABLE.read_text().splitlines():
            name, argument, kind = line.split("\t")
            self.known.setdefault(name, {})[argument] = kind

    def of(self, name: str, function: Callable) -> dict[str, str]:
        """Of each argument of a function, ``name`` in PyTorch, of which the kind is known."""
        key = f"{function.__module__.removeprefix('torch.')}.{name}"
        if self.measure:
            self.known[key] = kinds_of(name, function)
        return self.known.get(key, {})

    def write(self) -> None:
        """Write what was measured into the table."""
        lines = [f"{name}\t{argument}\t{kind}" for name, kinds in sorted(self.known.items()) for argument, kind in kinds.items()]
        TABLE.write_text("".join(f"{line}\n" for line in lines))


def kinds_of(name: str, function: Callable) -> dict[str, str]:
    """The kind of each argument for which it is known: "bool", "int?", with a mark where None is taken, "tuple of ints[1]" where an int is, too."""
    signature = inspect.signature(function)
    refused: dict[str, set[str]] = {}
    torch.manual_seed(0)
    for args, kwargs in _calls(name):
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            continue
        if _refuses(function, dict(bound.arguments)):
            continue
        for argument, item in signature.parameters.items():
            if isinstance(bound.arguments.get(argument), torch.Tensor) or item.kind is item.VAR_KEYWORD:
                refused[argument] = set()
                continue
            found = {kind for kind, value in _VALUES.items() if _refuses(function, {**bound.arguments, argument: value})}
            refused[argument] = refused.get(argument, found) & found
    kinds = {}
    for argument, found in refused.items():
        for kind, (takes, refuses) in _KINDS.items():
            if refuses <= found and not takes & found:
                many = kind == "int" and "list" not in found
                kinds[argument] = ("tuple of ints[1]" if many else kind) + "?" * ("None" not in found)
                break
    return kinds
