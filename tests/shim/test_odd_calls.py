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
#: (operation, argument), or an operation, that is not refused with PyTorch's class, by reason.
OTHERWISE = {
    ("tile", 1): listed("functions and methods", "a method takes one size loose"),
    **dict.fromkeys(
        ((name, 1) for name in ("broadcast_to", "permute", "reshape")), listed("functions and methods", "a method takes one size loose")
    ),
    **dict.fromkeys(
        (
            *(("masked.mean", "dtype"), ("masked.std", "dtype"), ("masked.var", "dtype"), ("nn.functional.max_pool3d", 0)),
            *(("nn.functional.softmin", 0), ("nn.functional.linear_cross_entropy", "options")),
        ),
        listed("classes of errors", "what PyTorch asks a wrong argument for, an AttributeError there, is a TypeError"),
    ),
    **dict.fromkeys(
        (
            *((f"nn.functional.max_unpool{n}d", name) for n in (1, 2, 3) for name in ("kernel_size", "stride", "padding", "output_size")),
            *(
                ("masked.std", "correction"),
                ("masked.var", "correction"),
                ("norm", "dim"),
                ("unflatten", 2),
                ("where", 1),
                ("stft", "n_fft"),
            ),
            *(("nn.functional.ctc_loss", 2), ("nn.functional.ctc_loss", 3), ("nn.functional.local_response_norm", "beta")),
            *(("nn.functional.gaussian_nll_loss", 1), ("nn.functional.gaussian_nll_loss", "eps"), ("nn.functional.normalize", "eps")),
            *(("nn.functional.multi_head_attention_forward", name) for name in ("static_k", "static_v")),
            *(("nn.functional.linear_cross_entropy", name) for name in ("weight", "ignore_index", "reduction")),
            ("stft", "onesided"),
        ),
        listed("classes of errors", "what PyTorch computes with a wrong argument before it refuses it"),
    ),
    ("nn.functional.gaussian_nll_loss", 2): no_difference("a whole number is as good a variance as 2.0, which PyTorch takes"),
    ("_unsafe_masked_index", 3): no_difference("it is not in PyTorch's documentation"),
    "nn.functional.embedding": no_difference("the database gives the table for the indices"),
}


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
