"""torch._dynamo.backends.debugging: what explain gives."""

from __future__ import annotations

from dataclasses import dataclass
from traceback import FrameSummary
from typing import Any


@dataclass
class GraphCompileReason:
    """Why a program ended, and the user's line."""

    reason: str
    user_stack: list[FrameSummary]
    graph_break: bool = True


def frame_of(file: str, line: int) -> FrameSummary:
    """A line of the user's as an entry of a traceback."""
    return FrameSummary(file, line, "", lookup_line=False)


@dataclass
class ExplainOutput:
    """Into how many programs a call falls.

    Attributes:
      graphs: the operations' names of each program (torch has graphs of torch.fx here); ops_per_graph: the same.
      graph_count, graph_break_count, op_count: how many there are.
      break_reasons: where and why the function was cut.
      out_guards: none; compile_times: None.
    """

    graphs: list[Any]
    graph_count: int
    graph_break_count: int
    break_reasons: list[GraphCompileReason]
    op_count: int
    ops_per_graph: list[list[str]] | None = None
    out_guards: list[Any] | None = None
    compile_times: str | None = None

    def __str__(self) -> str:
        lines = [f"Graph Count: {self.graph_count}", f"Graph Break Count: {self.graph_break_count}", f"Op Count: {self.op_count}"]
        lines.append("Break Reasons:")
        for number, found in enumerate(self.break_reasons, 1):
            lines += [f"  Break Reason {number}:", f"    Reason: {found.reason}", "    User Stack:"]
            lines += [f"      {frame}" for frame in found.user_stack]
        if self.ops_per_graph is not None:
            lines.append("Ops per Graph:")
            for number, names in enumerate(self.ops_per_graph, 1):
                lines += [f"  Ops {number}:", *(f"    {name}" for name in names)]
        if self.out_guards is not None:
            lines.append("Out Guards:")
        if self.compile_times is not None:
            lines.append(f"Compile Times: {self.compile_times}")
        return "\n".join(lines) + "\n"
