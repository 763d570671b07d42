"""torch.compile's regions: what a function records becomes one program, compiled when it is first seen."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any

from funnn.engine.program.graph import flush, users_line
from funnn.engine.state import thread


class Region:
    """A context: Python runs inside as anywhere, and what it records is cut from what stands before and after.

    Args:
      name: of the function that is compiled.
      fullgraph: whether a value that is asked for inside is an error.
    """

    def __init__(self, name: str, fullgraph: bool):
        self.name, self.fullgraph = name, fullgraph
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
            return
        try:
            self.closing = True
            flush()
        finally:
            self.closing = False
            thread.region = None

    closing = False

    def run(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call of the function."""
        with self:
            return function(*args, **kwargs)

    def cut(self) -> None:
        """A value is asked for inside: the program ends here, and another begins."""
        if self.closing:
            return
        where = users_line()
        text = (
            f"torch.compile of {self.name!r}: a value is asked for at {where[0]}:{where[1]} (item(), bool(), print, numpy() and the like)"
        )
        if self.fullgraph:
            raise RuntimeError(
                f"{text}, and fullgraph=True asks for one program; return the tensor and look at it outside, or use torch.where"
            )
        if where not in self.warned:
            self.warned.add(where)
            warnings.warn(f"{text}, so that the function becomes several programs; the numbers are the same", stacklevel=2)


def compiled(function: Callable[..., Any], fullgraph: bool = False) -> Callable[..., Any]:
    """The function, whose calls are each one program where they can be."""
    name = getattr(function, "__name__", type(function).__name__)
    region_warned: set[tuple[str, int]] = set()

    @functools.wraps(function, updated=())
    def call_in_region(*args: Any, **kwargs: Any) -> Any:
        region = Region(name, fullgraph)
        region.warned = region_warned
        return region.run(function, args, kwargs)

    return call_in_region
