"""Where a program's time goes, by operation and by named part."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

from funnn.torch._profile.probes import Event, begin, end, record_into, stop_recording

_current: profile | None = None
_SORTED_BY = ("cpu_time_total", "self_cpu_time_total", "cpu_time", "count")


class profile:
    """Times what runs inside: operations, the backward pass and its nodes, compiled functions, steps of optimizers, batches of a DataLoader,
    and ``record_function`` parts; ``table()`` and ``print`` show them, iteration gives them.

    Each operation is waited for, so that its time is its own; the program as a whole may take longer than without. Operations are named as
    functions of this library, their gradients as their ``grad_fn``. The arguments are torch's, and all but ``enabled`` change nothing.

    Raises:
      RuntimeError: inside another profile.
    """

    def __init__(self, enabled: bool = True, **ignored: Any):
        self.enabled, self.nested = enabled, False
        self.events: dict[str, Event] = {}

    @classmethod
    def around(cls) -> profile:
        """A profile of a whole program, which may have its own."""
        made = cls()
        made.nested = True
        return made

    def __enter__(self) -> profile:
        global _current
        if self.enabled:
            if _current is not None and not self.nested:
                raise RuntimeError("Profiler context manager is not reentrant")
            _current = _current if self.nested else self
            record_into(self.events)
        self._start, self._stop = time.perf_counter(), None
        return self

    def __exit__(self, *exc: Any) -> None:
        global _current
        self._stop = time.perf_counter()
        if self.enabled:
            _current = _current if self.nested else None
            stop_recording(self.events)

    @property
    def self_cpu_time_total(self) -> float:
        """Microseconds from the beginning to the end, or to now."""
        return ((self._stop or time.perf_counter()) - self._start) * 1e6

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0) -> profile:
        """Itself: the events are kept by name."""
        return self

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events.values())

    def table(self, sort_by: str | None = None, row_limit: int = 100, **ignored: Any) -> str:
        """One line a name, in milliseconds: the time that is its own, all of it, what of that was compiling, the average, and the calls.

        Args:
          sort_by: cpu_time_total (the default), self_cpu_time_total, cpu_time or count.
          row_limit: how many lines; −1 for all.
        """
        sort_by = sort_by or _SORTED_BY[0]
        if sort_by not in _SORTED_BY:
            raise ValueError(f"sort_by must be one of {', '.join(_SORTED_BY)}, got {sort_by!r}")
        rows = sorted(self, key=lambda event: -getattr(event, sort_by))
        shown = rows if row_limit < 0 else rows[:row_limit]
        width = max([24, *(len(event.key) for event in shown)])
        lines = [f"{'Name':<{width}}{'Self CPU':>14}{'CPU total':>14}{'Compiling':>14}{'CPU time avg':>14}{'# of Calls':>12}"]
        for event in shown:
            times = (event.own, event.total, event.compiling, event.total / event.count)
            lines.append(f"{event.key:<{width}}{''.join(f'{seconds * 1e3:>12.3f}ms' for seconds in times)}{event.count:>12}")
        whole, known = self.self_cpu_time_total / 1e3, sum(event.own for event in rows) * 1e3
        lines.append(f"Self CPU time total: {whole:.3f}ms, of which Python and the rest: {max(whole - known, 0.0):.3f}ms")
        return "\n".join(lines)

    __str__ = table

    def export_chrome_trace(self, path: str) -> None:
        """Raises NotImplementedError: jax.profiler.trace(folder) writes such a file."""
        raise NotImplementedError("profile.export_chrome_trace is not supported; use jax.profiler.trace(folder), which writes such a file")


class record_function:
    """A named part of the program, as a context and as a decorator."""

    def __init__(self, name: str, args: str | None = None):
        self.name = name

    def __enter__(self) -> record_function:
        self._frame = begin(self.name)
        return self

    def __exit__(self, *exc: Any) -> None:
        end(self._frame)

    def __call__(self, function: Callable) -> Callable:
        @functools.wraps(function)
        def call_and_record(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name):
                return function(*args, **kwargs)

        return call_and_record


def emit_nvtx(*args: Any, **kwargs: Any) -> Any:
    """Raises NotImplementedError: jax.profiler.trace(folder) records what runs on a GPU."""
    raise NotImplementedError("emit_nvtx is not supported; jax.profiler.trace(folder) records what runs on a GPU")


def emit_itt(*args: Any, **kwargs: Any) -> Any:
    """Raises NotImplementedError: jax.profiler.trace(folder) records what runs."""
    raise NotImplementedError("emit_itt is not supported; use jax.profiler.trace(folder)")
