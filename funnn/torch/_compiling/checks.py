"""The checks of a recorded call, made again on the values of another one."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

from funnn.engine.program.value import Value
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.tree import map_items
from funnn.torch._compiling.plan import Plan, Source, _Read
from funnn.torch._compiling.signature import Refused


class Checks:
    """What looks at values to refuse wrong ones.

    Args:
      plan: what was recorded.
      place_of: the number of a source in the list of all values: results, then those that were there, then others.
      results, olds: how many of the first and of the second there are.
      changing: the numbers of those that were there, which the call replaces.

    Attributes:
      known, later: whether some can be made before the program runs, and whether some ask for what it gives.
    """

    def __init__(self, plan: Plan, place_of: Callable[[Source], int], results: int, olds: int, changing: set[int]):
        self._results = results
        self._all: list[tuple[Any, list[tuple[int, Any]], bool]] = []
        for check, sources in plan.checks:
            if any(source.kind == "draw" for source, _ in sources):
                raise Refused("random numbers are checked")
            if all(source.kind == "constant" for source, _ in sources):  # which were looked at when the call was recorded
                continue
            found = [(place_of(source), window) for source, window in sources]
            self._all.append((check, found, any(place < results for place, _ in found)))
        self._looked: list[Any] = [None] * len(self._all)
        # values that stay, which need to be looked at once
        self._stay = {
            number
            for number, (_, found, later) in enumerate(self._all)
            if not later and all(results <= place < results + olds and place - results not in changing for place, _ in found)
        }
        self._single = [
            (number, found[0][0] - results) for number, (_, found, _) in enumerate(self._all) if number in self._stay and len(found) == 1
        ]
        self._all_single = len(self._single) == sum(not later for _, _, later in self._all)
        self.known = any(not later for _, _, later in self._all)
        self.later = any(later for _, _, later in self._all)

    def are_done(self, olds: list[Value]) -> bool:
        """Whether the values that are known before the program runs have been looked at."""
        for number, place in self._single:
            last = self._looked[number]
            if last is None or last[0]() is not olds[place]:
                return False
        return self._all_single

    def look(self, values: list[Any], later: bool) -> None:
        """Check what is known before the program runs, or what asks for its results, in the list of all values."""
        for number, (check, sources, needs_results) in enumerate(self._all):
            if needs_results is not later:
                continue
            seen = [values[place] for place, _ in sources]
            last = self._looked[number]
            if number in self._stay and last is not None and all(reference() is value for reference, value in zip(last, seen, strict=True)):
                continue
            tensors = []
            for value, (_, window) in zip(seen, sources, strict=True):
                tensor = Tensor._wrap(value)
                if window is not None:
                    tensor._window = window
                tensors.append(tensor)
            if type(check) is tuple:
                function, args, kwargs = check
                fill = functools.partial(_fill_in, tensors)
                function(*[map_items(fill, item) for item in args], **{name: map_items(fill, item) for name, item in kwargs.items()})
            else:
                check()
            self._looked[number] = None if later else [weakref.ref(value) for value in seen]


def _fill_in(tensors: list[Any], item: Any) -> Any:
    return tensors[item.number] if type(item) is _Read else item
