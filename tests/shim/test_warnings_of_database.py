"""Every operation and every module of PyTorch's databases warns as PyTorch does: of the same, in the same words, and of nothing else."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from opinfo import dtype_of, every, forms, op_db, op_id, to_shim
from test_modules_of_database import convert

import funnn.torch as shim
from funnn.engine.program.report import CompilationWarning
from tests.module_samples import module_db, name_of, samples


@pytest.fixture(autouse=True)
def always():
    """What PyTorch says once, it says each time."""
    for library in (torch, shim):
        library.set_warn_always(True)
    yield
    for library in (torch, shim):
        library.set_warn_always(False)


def said(library: Any, function: Callable, args: tuple, kwargs: dict[str, Any]) -> list[tuple[str, str]] | None:
    """Category and text of each warning of a call; None where it raises. That programs are compiled again and again is about speed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        library.manual_seed(0)
        try:
            function(*args, **kwargs)
        except Exception:
            return None
    texts = [re.sub(r" \(Triggered internally.*", "", str(item.message), flags=re.DOTALL).strip() for item in caught]
    return [(item.category.__name__, text) for item, text in zip(caught, texts, strict=True) if item.category is not CompilationWarning]


def copied(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) and value.layout is torch.strided else value


KINDS = {torch.float32, torch.int64, torch.complex64, torch.bool}
OPS = {op_id(op): (op, dtype_of(op)) for op in op_db if KINDS & set(op.dtypes) and not op.name.startswith(("_refs", "ops", "sparse"))}


@every(OPS)
def test_operations(op, dtype):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = list(op.sample_inputs("cpu", dtype))
    for sample in (found[0], found[len(found) // 2], found[-1]):
        args, kwargs = (sample.input, *sample.args), dict(sample.kwargs)
        for form, (theirs, ours) in forms(op).items():
            if theirs is None or ours is None:
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    own = to_shim(tuple(map(copied, args))), to_shim(kwargs)
                except RuntimeError:  # another layout
                    continue
            expected, got = said(torch, theirs, tuple(map(copied, args)), kwargs), said(shim, ours, *own)
            assert None in (expected, got) or got == expected, form


@pytest.mark.parametrize("info", module_db, ids=name_of)
def test_modules(info):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (sample,) = samples(info, True, 1)
        inputs, constructor = sample.forward_input, sample.constructor_input
        own, settings = convert((inputs.args, inputs.kwargs)), convert((constructor.args, constructor.kwargs))
    kind = getattr(shim.nn, name_of(info))
    expected = said(torch, lambda: info.module_cls(*constructor.args, **constructor.kwargs)(*inputs.args, **inputs.kwargs), (), {})
    assert expected is not None and said(shim, lambda: kind(*settings[0], **settings[1])(*own[0], **own[1]), (), {}) == expected
