"""How a program of single statements is run in either library, what it notes, and how it is made shorter."""

from __future__ import annotations

import contextlib
import copy
import gc
import importlib
import io
import linecache
import math
import pickle
import random
import signal
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tests.programs._comparing import Leaf, leaves
from tests.programs._program import plain


@dataclass(frozen=True)
class Statements:
    """A program: statements that run one after the other, each in a ``try`` of its own, and how closely numbers must agree."""

    lines: tuple[str, ...]
    rtol: float = 1e-4
    atol: float = 1e-5

    def __str__(self) -> str:
        return "\n".join(self.lines)


class Note(NamedTuple):
    """What a statement noted, or raised: its index, and leaves, or a text and the names of its class and those above."""

    statement: int
    leaves: tuple[Leaf, ...]
    raised: str = ""
    classes: tuple[str, ...] = ()


def _noted(torch: Any, value: Any) -> Iterator[Leaf]:
    try:
        for leaf in leaves(torch, value):
            yield leaf._replace(kind=f"of {leaf.kind}")  # whose numbers may come from another dtype's: the program's tolerance holds
    except TypeError:
        yield Leaf("result", type(value).__name__, np.zeros(0))


def described(error: BaseException) -> str:
    """The class of an exception and the first line of its text."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def same_error(ours: Note, theirs: Note, texts: bool) -> bool:
    """Whether ours is of PyTorch's class or below and, with ``texts``, begins with PyTorch's text, behind which may stand what helps."""
    if texts:
        return ours.raised.startswith(theirs.raised.rstrip("."))
    return theirs.classes[0] in ours.classes if theirs.classes and ours.classes else theirs.classes == ours.classes


def notes(program: Statements, torch: Any, compiled: Callable = plain) -> list[Note]:
    """Runs a program, and gives what it noted and raised."""
    for name in ("nn.utils.prune", "optim.swa_utils", "utils.checkpoint", "nn.utils.parametrizations", "nn.utils.parametrize"):
        importlib.import_module(f"{torch.__name__}.{name}")
    found: list[Note] = []
    at = 0

    def note(*values: Any) -> None:
        found.append(Note(at, tuple(leaf for value in values for leaf in _noted(torch, value))))

    scope = {module.__name__: module for module in (random, copy, pickle, math, gc, weakref, io, contextlib)}
    scope |= {"torch": torch, "nn": torch.nn, "F": torch.nn.functional, "compiled": compiled, "note": note, "np": np}
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    try:
        for at, line in enumerate(program.lines):
            name = f"<statement {at} of {hash(program)}>"
            linecache.cache[name] = (len(line), None, line.splitlines(keepends=True), name)
            try:
                exec(compile(line, name, "exec"), scope)
            except Exception as error:
                found.append(Note(at, (), described(error), tuple(kind.__name__ for kind in type(error).__mro__)))
            finally:
                linecache.cache.pop(name, None)
    finally:
        torch.set_grad_enabled(True)
        torch.set_default_dtype(torch.float32)
        scope.clear()
    return found


def _differs(ours: Leaf, theirs: Leaf, program: Statements) -> str:
    """What is different of a leaf; numbers of 32 bits cannot agree more closely than they do by default."""
    least = Statements(()) if "float32" in theirs.kind else program
    return ours.differs(theirs, max(program.rtol, least.rtol), max(program.atol, least.atol))


def difference(program: Statements, got: list[Note], wanted: list[Note], texts: bool = False) -> str:
    """What is first different; nothing where two runs agree."""
    for ours, theirs in zip(got, wanted, strict=False):
        text = ""
        same = (ours.statement, len(ours.leaves)) == (theirs.statement, len(theirs.leaves))
        if not same or not same_error(ours, theirs, texts):
            text = (
                f"{ours.raised or 'noted'} (statement {ours.statement}), PyTorch {theirs.raised or 'noted'} (statement {theirs.statement})"
            )
        else:
            found = (_differs(a, b, program) for a, b in zip(ours.leaves, theirs.leaves, strict=True))
            text = next(filter(None, found), "")
        if text:
            return f"statement {min(ours.statement, theirs.statement)}: {text}"
    if len(got) == len(wanted):
        return ""
    whose, more = ("PyTorch", wanted[len(got)]) if len(got) < len(wanted) else ("we", got[len(wanted)])
    return f"statement {more.statement}: only {whose} noted {more.raised or more.leaves[:1]}"


def until_raised(raised: str, got: list[Note], wanted: list[Note]) -> Iterator[list[Note]]:
    """The notes of the statements before the first in which an exception with such a class or text was raised."""
    end = next((note.statement for note in (*got, *wanted) if raised in note.raised), None)
    return ([note for note in notes if end is None or note.statement < end] for notes in (got, wanted))


class TooLong(BaseException):
    """A program took too long; no ``except Exception`` in it may take this."""


@contextlib.contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raises TooLong in what takes longer."""

    def stop(*_: Any) -> None:
        raise TooLong(f"took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def shortened(program: Statements, differs: Callable[[Statements], bool], most: int = 200) -> Statements:
    """A program with as few statements as possible that still differs, after ``most`` runs."""
    size, runs = max(1, len(program.lines) // 2), 0
    while runs < most:
        at, changed = 0, False
        while at < len(program.lines) and runs < most:
            shorter = Statements(program.lines[:at] + program.lines[at + size :], program.rtol, program.atol)
            runs += 1
            whole = shorter.lines and not any(
                "set_default_dtype" in line for line in program.lines[at : at + size]
            )  # the tolerance is of it
            if whole and differs(shorter):
                program, changed = shorter, True
            else:
                at += size
        if size == 1 and not changed:
            break
        size = max(1, size // 2)
    return program
