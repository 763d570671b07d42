"""Programs written at random, run with PyTorch and with ``funnn.torch``: what they note and raise must be equal.

``python -m tests.programs.randomly`` looks for differences as long as one likes, and makes programs that differ short.
"""

from __future__ import annotations

import functools
from typing import Any

from tests.programs._program import plain
from tests.programs.randomly._running import Statements, difference, limited, notes, shortened, until_raised
from tests.programs.randomly._tensors import tensors
from tests.programs.randomly._training import training

__all__ = ["KINDS", "WAYS", "Statements", "differs", "limited", "notes", "shortened"]


def as_it_is(graph: Any, example_inputs: Any) -> Any:
    """A backend."""
    return graph


#: What writes a program from a seed.
KINDS = {"tensors": tensors, "training": training}
#: The options of ``torch.compile`` that stand for ``compiled`` in a program; None for a plain run.
WAYS: dict[str, dict[str, Any] | None] = {
    "plain": None,
    "compiled": {},
    "dynamic": {"dynamic": True},
    "replayed": {"mode": "reduce-overhead"},
    "fullgraph": {"fullgraph": True},
    "tuned": {"mode": "max-autotune"},
    "eager": {"backend": "eager"},
    "aot_eager": {"backend": "aot_eager"},
    "backend": {"backend": as_it_is},
}


#: Errors of PyTorch that say what it cannot do, and is done here.
MISSING = ("don't yet support saved tensor hooks",)


def differs(program: Statements, torch: Any, shim: Any, way: str, texts: bool = False) -> str:
    """What is first different from PyTorch; nothing where all agree.

    A program with ``fullgraph`` that asks for a value in a compiled function is compared up to there: PyTorch, which runs it plainly, goes on. So is
    one that PyTorch refuses for what it has not got.
    """
    options = WAYS[way]
    compiled = plain if options is None else functools.partial(shim.compile, **options)
    ours, theirs = notes(program, shim, compiled), notes(program, torch)
    for text in (*MISSING, *(["Unsupported: "] if way == "fullgraph" else [])):
        ours, theirs = until_raised(text, ours, theirs)
    return difference(program, ours, theirs, texts)
