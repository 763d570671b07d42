"""What ran: how often something was asked for at which line, how many programs that compiled, and how long it took."""

from __future__ import annotations

import sys
import threading
import time
import warnings
from typing import Any

from funnn._frames import is_within
from funnn.engine.state import thread

#: Compilations that one line asked for, and the seconds that they took, from which on a warning says what keeps changing.
_MANY, _LONG = 50, 5.0


def users_line() -> tuple[str, int]:
    """File and line of the innermost frame that is not the library's."""
    frame = sys._getframe(1)
    while frame.f_back is not None and is_within(frame, "funnn", "jax"):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


class CompilationWarning(UserWarning):
    """One line of a program compiles again and again."""


class Line:
    """What was asked for at one line of a program.

    Attributes:
      file, line: where.
      flushes: how often what was recorded before had to run there: a value was asked for, or a step ended.
      graphs: how many of these were graphs that had not come before.
      compilations: how many programs were compiled for them.
      running, compiling: seconds, until the results were on their way (a device may still compute them).
    """

    def __init__(self, file: str, line: int):
        self.file, self.line = file, line
        self.flushes = self.graphs = self.compilations = 0
        self.running = self.compiling = 0.0
        self.last: Any = None


class Report:
    """What ran, by line; ``print`` shows it as a table, the longest first.

    Attributes:
      lines: what each line asked for.
      flushes, graphs, compilations, running, compiling: their sums.
    """

    def __init__(self, lines: list[Line]):
        self.lines = sorted(lines, key=lambda line: -line.running - line.compiling)
        self.flushes = sum([line.flushes for line in lines])
        self.graphs = sum([line.graphs for line in lines])
        self.compilations = sum([line.compilations for line in lines])
        self.running = sum([line.running for line in lines])
        self.compiling = sum([line.compiling for line in lines])

    def __str__(self) -> str:
        rows = [f"{'flushes':>9}{'new graphs':>12}{'compiled':>10}{'compiling':>12}{'running':>12}  line"]
        shown = self.lines[:_SHOWN]
        rows += [_row(line, f"{line.file}:{line.line}") for line in shown]
        if len(self.lines) > len(shown):
            rows.append(f"{len(self.lines) - len(shown)} further lines")
        return "\n".join([*rows, _row(self, "all")])


_SHOWN = 30


def _row(counts: Line | Report, name: str) -> str:
    return f"{counts.flushes:>9}{counts.graphs:>12}{counts.compilations:>10}{1e3 * counts.compiling:>9.1f} ms{1e3 * counts.running:>9.1f} ms  {name}"


# Of the whole process, because a program asks what all of its threads did; nothing that is computed depends on it.
_lines: dict[tuple[str, int], Line] = {}
lock = threading.Lock()


def report() -> Report:
    """What ran since the process began, or since ``forget``."""
    with lock:
        return Report(list(_lines.values()))


def forget() -> None:
    """Begin to count anew."""
    with lock:
        _lines.clear()


class counting:
    """A context in which something runs that was recorded: it is counted, with the programs that are compiled for it.

    Args:
      where: file and line that asked for it.
      new: whether it had not come before.
    """

    __slots__ = ("_before", "_began", "_new", "_where")

    def __init__(self, where: tuple[str, int], new: bool):
        self._where, self._new = where, new

    def __enter__(self) -> None:
        self._before, self._began = len(thread.compiled), time.perf_counter()

    def __exit__(self, kind: type | None, *exc: Any) -> None:
        seconds = time.perf_counter() - self._began
        compiled = thread.compiled[self._before :]
        del thread.compiled[self._before :]
        if kind is None:
            _note(self._where, self._new, seconds, compiled)


def _note(where: tuple[str, int], new: bool, seconds: float, compiled: list[tuple[float, Any]]) -> None:
    """Count what ran; ``compiled`` has, of each program that was compiled, seconds and a description of what it computes."""
    with lock:
        line = _lines.get(where)
        if line is None:
            line = _lines[where] = Line(*where)
        line.flushes += 1
        line.graphs += new
        line.running += seconds
        if not compiled:
            return
        before = line.compilations
        took = sum([part for part, _ in compiled])
        line.compilations, line.compiling, line.running = before + len(compiled), line.compiling + took, line.running - took
        last, line.last = line.last, compiled[-1][1]
        warn = line.compiling > _LONG and before // _MANY != line.compilations // _MANY
    if warn:
        warnings.warn_explicit(
            f"{line.compilations} programs were compiled for what is asked for at this line, in {line.compiling:.0f} s; {_change(last, line.last)}. What "
            "changes from step to step should be the numbers of tensors, not their shapes, types or how they are computed: pad to few sizes, or keep "
            "the changing part small. torch.compiler.report() lists all lines",
            CompilationWarning,
            *where,
        )


#: What a program computes: of each step a name, its static sizes, and shape and dtype (or type) of each operand.
Description = tuple[tuple[str, tuple[int, ...], tuple[Any, ...]], ...]


def _change(before: Description | None, now: Description) -> str:
    """How the last program differs from the one before."""
    if before is None:
        return "all at once"
    for number, (old, new) in enumerate(zip(before, now, strict=False)):
        if old[0] != new[0]:
            return f"the last one had {new[0]} for its operation {number}, the one before {old[0]}"
        if old[1] != new[1]:
            return f"in the last one the static arguments of operation {number}, {new[0]}, were {list(new[1])}, in the one before {list(old[1])}"
        if old[2] != new[2]:
            return f"in the last one operation {number}, {new[0]}, had operands {_text(new[2])}, in the one before {_text(old[2])}"
    if len(before) != len(now):
        return f"the last one had {len(now)} operations, the one before {len(before)}"
    return "the last two differ in static arguments, or in which results are still held"


def _text(kinds: tuple[Any, ...]) -> str:
    return ", ".join([f"{kind[1]}{list(kind[0])}" if isinstance(kind, tuple) else kind for kind in kinds])
