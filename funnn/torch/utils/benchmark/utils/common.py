"""What was measured: times with their statistics, and what they are of."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Iterable
from typing import Any

import numpy as np

_UNITS = {"ns": ("nanosecond", 1e-9), "us": ("microsecond", 1e-6), "ms": ("millisecond", 1e-3), "s": ("second", 1)}
#: Below it a clock tells nothing.
_LEAST_INTERVAL = 25e-9


def select_unit(t: float) -> tuple[str, float]:
    """The unit in which a time of ``t`` seconds is a number of one to three digits, and its seconds."""
    names = list(_UNITS)
    unit = names[min(max(int(math.log10(t) // 3), -3), 0) + 3] if t > 0 else "s"
    return unit, _UNITS[unit][1]


def unit_to_english(u: str) -> str:
    """The name of a unit."""
    return _UNITS[u][0]


def trim_sigfig(x: float, n: int) -> float:
    """``x`` with ``n`` significant figures."""
    if x == 0:
        return 0.0
    scale = 10 ** (math.floor(math.log10(abs(x))) + 1 - n)
    return float(np.round(x / scale) * scale)


def ordered_unique(elements: Iterable[Any]) -> list[Any]:
    """The elements without those that come again."""
    return list(dict.fromkeys(elements))


@dataclasses.dataclass(init=True, repr=False, eq=True, frozen=True)
class TaskSpec:
    """What is timed, and how it is called in reports."""

    stmt: str
    setup: str
    global_setup: str = ""
    label: str | None = None
    sub_label: str | None = None
    description: str | None = None
    env: str | None = None
    num_threads: int = 1

    @property
    def title(self) -> str:
        """The label, or else the statement."""
        if self.label is not None:
            return self.label + (f": {self.sub_label}" if self.sub_label else "")
        if "\n" not in self.stmt:
            return self.stmt + (f": {self.sub_label}" if self.sub_label else "")
        return f"stmt:{f' ({self.sub_label})' if self.sub_label else ''}\n{textwrap.indent(self.stmt, '  ')}"

    def setup_str(self) -> str:
        """The setup as reports show it."""
        if self.setup in ("", "pass"):
            return ""
        return f"setup:\n{textwrap.indent(self.setup, '  ')}" if "\n" in self.setup else f"setup: {self.setup}"

    def summarize(self) -> str:
        """Title, description and setup, on lines of their own."""
        parts = [self.title, self.description or "", self.setup_str()]
        return "\n".join([f"{part}\n" if "\n" in part else part for part in parts if part])


@dataclasses.dataclass(init=True, repr=False)
class Measurement:
    """Times of a statement.

    Attributes:
      number_per_run: how often it ran for each of the times.
      raw_times: seconds of each such run.
      task_spec: what it is.
    """

    number_per_run: int
    raw_times: list[float]
    task_spec: TaskSpec
    metadata: dict[Any, Any] | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "task_spec":
            raise AttributeError(name)
        return getattr(self.task_spec, name)

    @property
    def times(self) -> list[float]:
        """Seconds of one execution, by run."""
        return [time / self.number_per_run for time in self.raw_times]

    @property
    def median(self) -> float:
        """Half of the times are below it."""
        return float(np.median(self._checked()))

    @property
    def mean(self) -> float:
        """Of the times."""
        return float(np.mean(self._checked()))

    @property
    def iqr(self) -> float:
        """The range of the middle half of the times."""
        low, high = np.quantile(self._checked(), (0.25, 0.75))
        return float(high - low)

    def _checked(self) -> list[float]:
        if not self.raw_times:
            raise ValueError("There are no times.")
        return sorted(self.times)

    @property
    def significant_figures(self) -> int:
        """How many figures of the median mean something, from the spread of the middle half; at least 1 and at most 4."""
        count = len(self.times)
        middle = self._checked()[count // 4 : math.ceil(3 * count / 4)]
        interval = max(1.645 * float(np.std(middle)) / math.sqrt(len(middle)), _LEAST_INTERVAL)
        return min(max(math.floor(math.log10(self.median / interval)), 1), 4)

    @property
    def has_warnings(self) -> bool:
        """Whether the middle half of the times spreads over more than a tenth of the median."""
        return self.iqr / self.median > 0.1

    def meets_confidence(self, threshold: float = 0.1) -> bool:
        """Whether the middle half of the times lies within this share of the median."""
        return self.iqr / self.median < threshold

    @property
    def title(self) -> str:
        """See TaskSpec."""
        return self.task_spec.title

    @property
    def as_row_name(self) -> str:
        """What a table's row is called."""
        return self.task_spec.sub_label or self.task_spec.stmt or "[Unknown]"

    def __repr__(self) -> str:
        kind = type(self)
        lines = [f"<{kind.__module__.removeprefix('funnn.')}.{kind.__name__} object at {id(self):#x}>", self.task_spec.summarize()]
        unit, scale = select_unit(self.median)
        threads = f"{self.task_spec.num_threads} thread{'s' * (self.task_spec.num_threads > 1)}"
        count, median = len(self.times), f"{self.median / scale:.2f} {unit}"
        if count == 1:
            return "\n".join([*lines, f"  {median}", f"  1 measurement, {self.number_per_run} runs , {threads}"])
        lines.append(f"  Median: {median}")
        if count >= 4:
            low, high = np.quantile(self.times, (0.25, 0.75)) / scale
            lines.append(f"  IQR:    {self.iqr / scale:.2f} {unit} ({low:.2f} to {high:.2f})")
        lines.append(f"  {count} measurements, {self.number_per_run} runs per measurement, {threads}")
        if self.has_warnings:
            share = self.iqr / self.median
            lines.append(f"  WARNING: Interquartile range is {share * 100:.1f}% of the median measurement.")
            lines.append(
                f"           This {'suggests significant environmental influence' if share > 0.25 else 'could indicate system fluctuation'}."
            )
        return "\n".join(lines)

    @staticmethod
    def merge(measurements: Iterable[Measurement]) -> list[Measurement]:
        """One measurement for all those of one task: the times of single executions."""
        groups: dict[TaskSpec, list[Measurement]] = {}
        for each in measurements:
            groups.setdefault(each.task_spec, []).append(each)
        return [Measurement(1, [time for each in found for time in each.times], spec, None) for spec, found in groups.items()]
