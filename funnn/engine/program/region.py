"""torch.compile's regions: what a function records becomes one program, compiled when it is first seen."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple

from funnn.engine.program.form import name_of
from funnn.engine.program.graph import Graph, flush, settle
from funnn.engine.program.report import users_line
from funnn.engine.state import thread


class TorchDynamoException(RuntimeError):
    """Base of the errors of torch.compile itself; torch has it in torch._dynamo.exc."""


class Unsupported(TorchDynamoException):
    """The function is not one program, and ``fullgraph=True`` asks for one; torch has it in torch._dynamo.exc.

    Attributes:
      msg: the message; gb_type: its first words, which torch knows the kind by.
    """

    def __init__(self, msg: str, gb_type: str = "", skip_frame: bool = False, *, case_name: str | None = None, real_stack: Any = None):
        super().__init__(msg)
        self.msg, self.gb_type, self.skip_frame, self.case_name, self.real_stack = msg, gb_type, skip_frame, case_name, real_stack


class Break(NamedTuple):
    """Why a region became several programs, and the user's line."""

    reason: str
    file: str
    line: int


class Region:
    """A context: Python runs inside as anywhere, and what it records is cut from what stands before and after.

    Args:
      name: of the function that is compiled.
      fullgraph: whether a value that is asked for inside is an error.
      watched: whether to list the operations of each program.

    Attributes:
      refuses_breaks: the same as ``fullgraph``, for a part of the function.
      breaks: where the program was cut; new_programs: how many programs were met for the first time.
      programs: of a watched region, the names of each program's operations.
      problem: why the call cannot be replayed, or None.
    """

    problem: str | None = None
    settles = True  # whether what it wrote into memory that others see goes there when it has run

    def __init__(self, name: str, fullgraph: bool, watched: bool = False):
        self.name, self.fullgraph, self.watched = name, fullgraph, watched
        self.refuses_breaks = self.closing = False
        self.breaks: list[Break] = []
        self.new_programs = 0
        self.programs: list[list[str]] = []
        self.warned: set[tuple[str, int]] = set()

    def __enter__(self) -> Region:
        self.outer = thread.region
        if self.outer is None:
            flush()
        thread.region = self
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.outer is not None or kind is not None:
            thread.region = self.outer
            if self.outer is None:
                with contextlib.suppress(Exception):  # beside that of the function
                    settle()
            return
        try:
            self._close()
        finally:
            thread.region = None

    def end_program(self, reason: str) -> None:
        """Run what is pending, because of something that torch.compile has to do so; what follows is another program."""
        self._close()

    def _close(self) -> None:
        """Run what is pending, as the end of a program."""
        try:
            self.closing = True
            flush()
            if self.settles:
                settle()
        finally:
            self.closing = False

    def run(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call of the function. Inside another region it is a part of that one."""
        outer = thread.region
        if outer is not None and (outer.fullgraph or not self.fullgraph):
            return function(*args, **kwargs)
        with self:
            return function(*args, **kwargs)

    def cut(self, graph: Graph) -> None:
        """A value of the graph is asked for inside: the program ends here, and another begins."""
        if not self.closing:
            file, line = users_line()
            text = f"torch.compile of {self.name!r}: a value is asked for at {file}:{line} (item(), bool(), print, numpy() and the like)"
            if self.fullgraph or self.refuses_breaks:
                raise Unsupported(
                    f"{text}, and fullgraph=True asks for one program; return the tensor and look at it outside, or use torch.where",
                    "Data-dependent value",
                )
            self.breaks.append(Break(text, file, line))
            if (file, line) not in self.warned:
                self.warned.add((file, line))
                warnings.warn_explicit(
                    f"{text}, so that the function becomes several programs; the numbers are the same", UserWarning, file, line
                )
        if self.watched and graph.records:
            self.programs.append([name_of(step.shaped.form) for step in graph.records[-1][0].next.steps()])

    # what a region that records a call for replays (see ``replay``) takes note of

    def refuse(self, reason: str) -> None:
        """Something that a replay could not do again."""

    def look(self, tensor: Any) -> None:
        """The numbers of a tensor are asked for."""

    def read(self, array: Any) -> None:
        """The array of a tensor is asked for."""

    def check(self, check: Callable[[], None]) -> None:
        """Run a check of values that are known."""
        check()

    def drew(self, generator: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], array: Any) -> None:
        """A generator gave random numbers."""

    def break_here(self, reason: str, gb_type: str) -> None:
        """End the program at a line that asks for it, and begin another."""
        file, line = users_line()
        if self.fullgraph or self.refuses_breaks:
            raise Unsupported(f"{gb_type}\n  Explanation: {reason}\n  at {file}:{line}, in torch.compile of {self.name!r}", gb_type)
        self.breaks.append(Break(f"{gb_type}\n  Explanation: {reason}", file, line))
        self._close()


class OutsideRegion:
    """A context whose operations belong to no region: what was recorded before runs first, and the region goes on afterwards."""

    def __init__(self, reason: str, gb_type: str):
        self.reason, self.gb_type = reason, gb_type

    def __enter__(self) -> None:
        self.region = thread.region
        if self.region is not None:
            self.region.break_here(self.reason, self.gb_type)
            thread.region = None

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if self.region is not None and kind is None:
                flush()
        finally:
            thread.region = self.region


def check_now(check: Callable[[], None]) -> None:
    """Run a check of values that are known."""
    if thread.region is None:
        check()
    else:
        thread.region.check(check)


def is_inside_region() -> bool:
    """Whether the line runs in a function that torch.compile compiles."""
    return thread.region is not None
