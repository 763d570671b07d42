"""Gradients that an optimizer has used. Few programs read them afterwards, so no graph gives them; it runs again if somebody asks."""

from __future__ import annotations

import operator
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from typing import Any

from funnn.engine.program.programs import find_program, picked
from funnn.engine.program.report import counting, users_line
from funnn.engine.program.value import Value
from funnn.engine.state import thread
from funnn.engine.types import settings as _settings

#: Bytes of a leaf that is worth being overwritten, and so is not kept for gradients; bytes of all leaves that may be.
_LARGE, _MOST = 1 << 16, 1 << 22


def is_worth(leaves: list[Any], gradients: list[Value]) -> bool:
    """Whether a graph should leave out gradients that were used: they are many, what they are computed from is small, and none was ever asked for."""
    return (
        not thread.reads_gradients
        and len(gradients) > 1
        and are_small([leaf.size * leaf.dtype.itemsize for leaf in leaves if type(leaf) is Value])
    )


def are_small(sizes: list[int]) -> bool:
    """Whether arrays of so many bytes may be kept for gradients that nobody may ask for, and none is worth being overwritten."""
    return max(sizes, default=0) < _LARGE and sum(sizes) < _MOST


class Unread:
    """What such gradients wait for, in the place of a graph: the one that would have given them runs again, for them alone, if somebody asks.

    Args:
      state, leaves: the graph; values: the gradients.
    """

    __slots__ = ("_leaves", "_lock", "_outputs", "_runner", "_state", "_values")

    def __init__(self, state: Any, leaves: list[Any], values: Sequence[Value]):
        self._state, self._leaves = state, leaves
        self._values = sorted([(value.place, weakref.ref(value)) for value in values], key=operator.itemgetter(0))
        self._lock, self._outputs = threading.RLock(), deque[Any]()
        for value in values:
            value.graph = self

    def flush(self) -> None:
        """Compute them. From now on this thread leaves out none in graphs that are new, nor in this one."""
        with self._lock:
            if self._leaves:
                thread.reads_gradients, self._state.unread = True, False
                places = tuple([place for place, _ in self._values])
                if not self._outputs:
                    with _settings.kept(), counting(users_line(), False):
                        self._runner = find_program(self._state, places, self._leaves)
                        self._runner.run(self._outputs, self._leaves)
                results = self._outputs[0]
                if len(results) != len(places):
                    results = picked(self._runner, results, places)
                for (_, reference), array in zip(self._values, results, strict=True):
                    value = reference()
                    if value is not None:
                        value.numbers, value.array = None, array
                        value.graph = None
                self._leaves, self._values = [], []
