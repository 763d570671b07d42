"""Which types of numbers PyTorch's operations refuse on a CPU, found out by calling them, into ``funnn/engine/dispatch/refused_types.txt``.

    python .ci/refused_types.py          writes the file
    python .ci/refused_types.py --check  exits with 1 if it is not current

A line has the operation's name, the kinds of numbers (b for truth values, i for integers, c for complex numbers), the error's class, and its text with ``{}``
for the type's name. A kind counts where every type of it is refused in all calls of PyTorch's database. Floats of 16 bits are left out: accelerators take them.
"""

from __future__ import annotations

import itertools
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_methods_invocations import op_db

FILE = Path(__file__).resolve().parent.parent / "funnn/engine/dispatch/refused_types.txt"
KINDS = {
    "b": (torch.bool,),
    "i": (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
    "c": (torch.complex64, torch.complex128),
}
#: What PyTorch calls them in errors.
NAMES = ("Bool", "Byte", "Char", "Short", "Int", "Long", "ComplexFloat", "ComplexDouble", "complex64", "complex128")
_OF_TYPES = re.compile(rf"\b({'|'.join(NAMES)})\b")
_OF_ANOTHER = re.compile(r"same dtype|!=|unsigned char")  # than the type of all operands alone
_SAYS_WHY = re.compile(r"not implemented for|not support|complex|floating|boolean|[Ii]nteger|dtype|scalar type|types other than")
_MOST = 8  # calls that are tried
#: Operations that the database has by another name than the documentation.
PUBLIC = {"_segment_reduce": "segment_reduce"}
#: Kinds that an operation refuses in the calls of the database, and takes in others: with a number for the probability.
TAKEN_OTHERWISE = {("bernoulli", "b"), ("bernoulli", "i")}
_LEFT_OUT = ("_refs", "ops", "sparse", "to_sparse", "masked.")


def converted(value: Any, from_type: torch.dtype, to_type: torch.dtype) -> Any:
    """The value with its tensors of one type as tensors of another."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone().to(to_type) if value.dtype == from_type else value.clone()
    if isinstance(value, dict):
        return {key: converted(item, from_type, to_type) for key, item in value.items()}
    return type(value)(converted(item, from_type, to_type) for item in value) if type(value) in (list, tuple) else value


def is_empty(value: Any) -> bool:
    """Whether a tensor in the value has no elements."""
    if isinstance(value, torch.Tensor):
        return value.numel() == 0
    return any(map(is_empty, value.values() if isinstance(value, dict) else value)) if isinstance(value, (list, tuple, dict)) else False


def samples(op: Any, dtype: torch.dtype) -> list[tuple[tuple, dict]]:
    """Calls of the operation that PyTorch takes."""
    torch.manual_seed(0)
    found = []
    for sample in itertools.islice(op.sample_inputs("cpu", dtype), _MOST):
        call = (sample.input, *sample.args), dict(sample.kwargs)
        if is_empty(call):
            continue  # which no kernel looks at
        if refusal(op.op, *converted(call, dtype, dtype)) is None:
            found.append(call)
    return found


def refusal(function: Any, args: tuple, kwargs: dict) -> Exception | None:
    """What a call raises."""
    try:
        function(*args, **kwargs)
    except Exception as error:
        return error
    return None


def refused(op: Any) -> Iterator[tuple[str, str, str]]:
    """The kinds that an operation refuses in all its calls, each with the error's class and text."""
    dtype = next((each for each in (torch.float32, torch.int64, torch.complex64, torch.bool) if each in op.dtypes), None)
    calls = [] if dtype is None else samples(op, dtype)
    for kind, types in KINDS.items():
        if not calls or dtype in types or any(each in op.dtypes for each in types) or (op.name, kind) in TAKEN_OTHERWISE:
            continue
        errors = [refusal(op.op, *converted(call, dtype, each)) for call in calls for each in types]
        first = errors[0]
        if first is None or _OF_ANOTHER.search(str(first)):
            continue
        if all(type(error) is type(first) and _SAYS_WHY.search(str(error)) for error in errors):
            text = _OF_TYPES.sub("{}", str(first).splitlines()[0].partition(" (Triggered")[0])
            yield kind, type(first).__name__, text


def table() -> str:
    """The text of the file."""
    warnings.simplefilter("ignore")
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for op in op_db:
        if op.name.startswith(_LEFT_OUT) or op.sample_inputs_func is None:
            continue
        kinds = {kind: said for kind, *said in refused(op)}
        known = found.setdefault(op.name, kinds)
        found[op.name] = {kind: said for kind, said in known.items() if kinds.get(kind, [""])[0] == said[0]}
    lines = []
    for name, kinds in sorted(found.items()):
        own = name.replace("nn.functional.", "nn.") if name.startswith("nn.") else PUBLIC.get(name, name.replace(".", "_"))
        for (error, text), group in itertools.groupby(kinds.items(), lambda item: tuple(item[1])):
            lines.append(f"{own}\t{''.join(kind for kind, _ in group)}\t{error}\t{text}\n")
    return "".join(lines)


if __name__ == "__main__":
    text = table()
    if sys.argv[1:] == ["--check"]:
        sys.exit(0 if FILE.read_text() == text else "refused_types.txt is not current: run python .ci/refused_types.py")
    FILE.write_text(text)
