"""What a program is, and how it is run in either library."""

from __future__ import annotations

import functools
import importlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.programs._comparing import Leaf, leaves


@dataclass(frozen=True)
class Program:
    """A function of ``(torch, nn, F, compiled)``, and how closely its numbers must agree.

    ``raises`` is the name of the exception that ends it in PyTorch. ``because`` says why a tolerance is wider than the others'.
    """

    function: Callable
    rtol: float = 1e-4
    atol: float = 1e-5
    raises: str = ""
    because: str = ""


def program(function: Callable | None = None, **options: Any) -> Any:
    """Makes a function a :class:`Program`; ``@program`` or ``@program(rtol=…, because=…)``."""
    if function is None:
        return functools.partial(program, **options)
    found = Program(function, **options)
    assert found.because or (found.rtol, found.atol) == (1e-4, 1e-5), f"{function.__name__}: say why its tolerance is its own"
    return found


def plain(function: Callable | None = None, **_options: Any) -> Callable:
    """Stands where ``torch.compile`` would, with its arguments, and leaves the function as it is."""
    return plain if function is None else function


def outcome(of: Program, torch: Any, compiled: Callable = plain) -> tuple[list[Leaf], tuple[str, ...]]:
    """What the program returns, as leaves, and the names of the classes of what it raised (its class first), of which one is enough."""
    for name in ("nn.utils.prune", "optim.swa_utils", "utils.checkpoint"):  # which the library's own import may leave out
        importlib.import_module(f"{torch.__name__}.{name}")
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    try:
        result = of.function(torch, torch.nn, torch.nn.functional, compiled)
    except Exception as error:
        if not of.raises:
            raise
        return [], tuple(base.__name__ for base in type(error).__mro__)
    return list(leaves(torch, result)), ()


def difference(of: Program, got: tuple, expected: tuple) -> str:
    """What is first different in what two runs did; nothing where they agree."""
    (found, raised), (wanted, should_raise) = got, expected
    if of.raises or raised or should_raise:
        assert should_raise[:1] == (of.raises,), f"PyTorch raises {should_raise[:1]}, the program says {of.raises!r}"
        return "" if of.raises in raised else f"raised {raised[:1] or 'nothing'}, PyTorch {of.raises}"
    for ours, theirs in zip(found, wanted, strict=False):
        if text := ours.differs(theirs, of.rtol, of.atol):
            return text
    return "" if len(found) == len(wanted) else f"{len(found)} results, PyTorch has {len(wanted)}"
