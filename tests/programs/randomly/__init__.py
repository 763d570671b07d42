"""Programs written at random, run with PyTorch and with ``funnn.torch``: what they note and raise must be equal.

``python -m tests.programs.randomly`` looks for differences as long as one likes, and makes programs that differ short.
"""

from __future__ import annotations

import functools
from typing import Any

from tests.programs._program import plain
from tests.programs.randomly._running import Statements, difference, limited, notes, shortened
from tests.programs.randomly._tensors import tensors
from tests.programs.randomly._training import training

__all__ = ["KINDS", "WAYS", "Statements", "differs", "limited", "notes", "shortened"]

#: What writes a program from a seed.
KINDS = {"tensors": tensors, "training": training}
#: The options of ``torch.compile`` that stand for ``compiled`` in a program; None for a plain run.
WAYS: dict[str, dict[str, Any] | None] = {
    "plain": None,
    "compiled": {},
    "dynamic": {"dynamic": True},
    "replayed": {"mode": "reduce-overhead"},
}


def differs(program: Statements, torch: Any, shim: Any, way: str, texts: bool = False) -> str:
    """What is first different from PyTorch; nothing where all agree."""
    options = WAYS[way]
    compiled = plain if options is None else functools.partial(shim.compile, **options)
    return difference(program, notes(program, shim, compiled), notes(program, torch), texts)
