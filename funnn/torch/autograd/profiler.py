"""Timing of named parts of a program. What single operations cost is jax.profiler's to tell."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

_current: profile | None = None


class profile:
    """Times the ``record_function`` parts inside; ``table()`` and ``print`` show them. The arguments are torch's and change nothing."""

    def __init__(self, enabled: bool = True, **ignored: Any):
        self.enabled = enabled
        self.times: dict[str, list[float]] = {}

    def __enter__(self) -> profile:
        global _current
        if self.enabled:
            if _current is not None:
                raise RuntimeError("Profiler context manager is not reentrant")
            _current = self
        self._start = time.perf_counter()
        return self

    def __exit__(self, *exc: Any) -> None:
        global _current
        self.self_cpu_time_total = (time.perf_counter() - self._start) * 1e6
        if self.enabled:
            _current = None

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0) -> profile:
        """Itself: the parts are kept by name."""
        return self

    def table(self, sort_by: str | None = None, row_limit: int = 100, **ignored: Any) -> str:
        """One line a name: the calls, their time in all and on average, in milliseconds."""
        rows = sorted(self.times.items(), key=lambda item: -sum(item[1]))[:row_limit]
        lines = [f"{'Name':<32}{'CPU total':>12}{'CPU time avg':>14}{'# of Calls':>12}"]
        lines += [f"{name:<32}{sum(t) * 1e3:>10.3f}ms{sum(t) / len(t) * 1e3:>12.3f}ms{len(t):>12}" for name, t in rows]
        return "\n".join(lines)

    __str__ = table

    def export_chrome_trace(self, path: str) -> None:
        """Not supported."""
        raise NotImplementedError("profile.export_chrome_trace is not supported; use jax.profiler.trace(folder), which writes such a file")


class record_function:
    """A named part of the program, as a context and as a decorator."""

    def __init__(self, name: str, args: str | None = None):
        self.name = name

    def __enter__(self) -> record_function:
        self._start = time.perf_counter()
        return self

    def __exit__(self, *exc: Any) -> None:
        if _current is not None:
            _current.times.setdefault(self.name, []).append(time.perf_counter() - self._start)

    def __call__(self, function: Callable) -> Callable:
        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name):
                return function(*args, **kwargs)

        return run


def emit_nvtx(*args: Any, **kwargs: Any) -> Any:
    """Not supported."""
    raise NotImplementedError("emit_nvtx is not supported; jax.profiler.trace(folder) records what runs on a GPU")


def emit_itt(*args: Any, **kwargs: Any) -> Any:
    """Not supported."""
    raise NotImplementedError("emit_itt is not supported; use jax.profiler.trace(folder)")
