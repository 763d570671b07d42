"""Measuring several programs in turns, so that what else the machine does falls on all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def in_turns(runs: dict[str, Callable], wait: Callable, calls: int, rounds: int, warm: int) -> dict[str, float]:
    """Median seconds per call of each program; ``wait(result)`` returns when a result is there."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        for _ in range(warm):
            wait(run())
    for _ in range(rounds):
        for name, run in runs.items():
            begin = time.perf_counter()
            for _ in range(calls):
                result = run()
            wait(result)
            seconds[name].append((time.perf_counter() - begin) / calls)
    return {name: statistics.median(times) for name, times in seconds.items()}
