"""Calls of PyTorch's database with one argument of another kind: what PyTorch refuses is refused here, with an error of the same class.

``None`` for a flag, a truth value for a size, a float for a dimension, text, a list, a stranger, in the place of each argument in turn.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from allowed import listed, no_difference
from opinfo import dtype_of, every, forms, op_db, op_id, to_shim

import funnn.torch as shim
from funnn.engine.dispatch.overloads import overloads


class Stranger:
    """An argument of no kind that PyTorch knows."""


ODD = (None, True, 1.5, 2, "a", 1j, [1.5], (None,), Stranger())
#: (operation, argument), or an operation, of which not all is refused with PyTorch's class, by reason.
OTHERWISE: dict = {}


def _parser_names(name: str, form: str) -> str:
    if form.startswith("Tensor."):
        return form.removeprefix("Tensor.")
    return f"nn.{name.removeprefix('nn.functional.')}" if name.startswith("nn.functional.") else name.replace(".", "_")


def odd_calls(args: tuple, kwargs: dict[str, Any], name: str, is_method: bool) -> Iterator[tuple[Any, tuple, dict[str, Any]]]:
    """The argument, by its position or name, and the call with something else there."""
    named = {
        item.name: None
        for overload in overloads(name)
        for item in overload.parameters[len(args) :]
        if item.name not in ("out", "generator")
    }
    for odd in ODD:
        for place in range(int(is_method), len(args)):
            yield place, (*args[:place], odd, *args[place + 1 :]), kwargs
        for key in {**named, **kwargs}:
            yield key, args, {**kwargs, key: odd}


def refusal(function: Any, args: tuple, kwargs: dict[str, Any]) -> Exception | None:
    """What a call raises; None where it is taken."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            function(*args, **kwargs)
    except Exception as error:
        return error
    return None


def copied(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.clone()
    if type(value) in (list, tuple):
        return type(value)(map(copied, value))
    return {name: copied(item) for name, item in value.items()} if isinstance(value, dict) else value


KINDS = {torch.float32, torch.int64, torch.complex64, torch.bool}
OPS = {
    op_id(op): (op, dtype_of(op))
    for op in op_db
    if not op.name.startswith(("_refs", "ops", "sparse", "to_sparse")) and KINDS & set(op.dtypes)
}


@every(OPS)
def test_what_parsers_refuse(op, dtype):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first, *_ = op.sample_inputs("cpu", dtype)
    wrong = set()
    for form, (theirs, ours) in forms(op).items():
        if theirs is None or ours is None or form == "as in op_db":
            continue
        name, is_method = _parser_names(op.name, form), form.startswith("Tensor.")
        for place, args, kwargs in odd_calls((first.input, *first.args), dict(first.kwargs), name, is_method):
            if op.name in OTHERWISE or (op.name, place) in OTHERWISE:
                continue
            wanted = refusal(theirs, *copied((args, kwargs)))
            if wanted is not None:
                got = refusal(ours, *to_shim(copied((args, kwargs))))
                if not isinstance(got, type(wanted)):
                    odd = args[place] if isinstance(place, int) else kwargs[place]
                    wrong.add(f"{form}: {place}={odd!r} gives {type(got).__name__}, not {type(wanted).__name__}: {wanted}"[:200])
    assert not wrong


def test_a_call_that_comes_again_is_looked_at_once(monkeypatch):
    """And one of the same kinds with another in a sequence is looked at."""
    x = shim.ones(2, 2)
    assert x.flatten(0, 1).shape == (4,) and shim.cat([x, x]).shape == (4, 2)
    with monkeypatch.context() as patch:
        patch.setattr("funnn.engine.dispatch.public.check_call", None)
        x.flatten(0, 1), shim.cat([x, x]), x.sum(0, keepdim=True)
    with pytest.raises(TypeError):
        shim.cat([x, "a"])
    with pytest.raises(TypeError):
        x.flatten(True)
