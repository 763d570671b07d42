"""Measuring several programs in turns, so that what else the machine does falls on all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def in_turns(runs: dict[str, Callable], wait: Callable, rounds: int, warm: int = 3, turn: float = 0.05) -> dict[str, float]:
    """Median seconds per call of each program; ``wait(result)`` returns when a result is there."""
    return {name: statistics.median(times) for name, times in turns(runs, wait, rounds, warm, turn).items()}


def turns(runs: dict[str, Callable], wait: Callable, rounds: int, warm: int = 3, turn: float = 0.05) -> dict[str, list[float]]:
    """Seconds per call of each program in each round.

    A turn has as many calls as fill ``turn`` seconds, three at least, after one that does not count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    calls = {}
    for name, run in runs.items():
        for _ in range(warm):
            begin = time.perf_counter()
            wait(run())
            calls[name] = max(3, round(turn / (time.perf_counter() - begin)))
    for _ in range(rounds):
        for name, run in runs.items():
            wait(run())
            begin = time.perf_counter()
            for _ in range(calls[name]):
                result = run()
            wait(result)
            seconds[name].append((time.perf_counter() - begin) / calls[name])
    return seconds
