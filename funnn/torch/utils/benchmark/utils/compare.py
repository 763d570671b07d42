"""A table of measurements: a row for each sub-label, a column for each description, a block for each count of threads."""

from __future__ import annotations

import math
from collections.abc import Iterable

from funnn.torch.utils.benchmark.utils.common import Measurement, ordered_unique, select_unit, trim_sigfig, unit_to_english


class Compare:
    """Measurements side by side; ``print`` writes a table for each label."""

    def __init__(self, results: list[Measurement]):
        self._results: list[Measurement] = []
        self._trims = False
        self.extend_results(results)

    def extend_results(self, results: Iterable[Measurement]) -> None:
        """Take more measurements.

        Raises:
          ValueError: one is no measurement.
        """
        for result in results:
            if not isinstance(result, Measurement):
                raise ValueError(f"Expected an instance of `Measurement`, got {type(result)} instead.")
            self._results.append(result)

    def trim_significant_figures(self) -> None:
        """Show the figures that mean something, and no more."""
        self._trims = True

    def colorize(self, rowwise: bool = False) -> None:
        """Nothing: tables are in one colour."""

    def highlight_warnings(self) -> None:
        """Nothing: a measurement that spreads says so when it is printed."""

    def print(self) -> None:
        """Write the tables."""
        print(str(self))

    def __str__(self) -> str:
        merged = Measurement.merge(self._results)
        labels = ordered_unique(each.task_spec.label for each in merged)
        return "\n".join(self._table([each for each in merged if each.task_spec.label == label]) for label in labels)

    def _table(self, results: list[Measurement]) -> str:
        unit, scale = select_unit(min(each.median for each in results))
        columns = ordered_unique(each.task_spec.description for each in results)
        rows = ordered_unique((each.task_spec.num_threads, each.task_spec.env, each.as_row_name) for each in results)
        rows.sort(key=lambda row: row[0])
        found = {(each.task_spec.num_threads, each.task_spec.env, each.as_row_name, each.task_spec.description): each for each in results}
        names = [f"      {name}" if env is None else f"  ({env}) {name}" for _, env, name in rows]
        cells = [[row_name] for row_name in ["", *names]]
        for column in columns:
            items = [found.get((*row, column)) for row in rows]
            texts = self._texts(items, scale)
            width = max(len(column or ""), *map(len, texts))
            cells[0].append((column or "").center(width))
            for line, text in zip(cells[1:], texts, strict=True):
                line.append(text.rjust(width))
        first = max(map(len, [line[0] for line in cells]))
        lines = ["  |  ".join([line[0].ljust(first), *line[1:]]) for line in cells]
        total = max(map(len, lines))
        label = results[0].task_spec.label or ""
        text = [f"[{f' {label} '.center(total - 2, '-')}]", lines[0]]
        threads = None
        for (count, _, _), line in zip(rows, lines[1:], strict=True):
            if count != threads:
                threads = count
                text.append(f"{count} threads: ".ljust(total, "-"))
            text.append(line)
        return "\n".join([*text, "", f"Times are in {unit_to_english(unit)}s ({unit}).", ""])

    def _texts(self, items: list[Measurement | None], scale: float) -> list[str]:
        """A column's numbers, with as many decimals as the least exact of them has."""
        there = [item for item in items if item is not None]
        decimals = min(max(item.significant_figures - max(math.floor(math.log10(item.median / scale)) + 1, 1), 0) for item in there)
        decimals += not self._trims
        values = [None if item is None else item.median / scale for item in items]
        if self._trims:
            values = [
                value if item is None else trim_sigfig(value, item.significant_figures) for item, value in zip(items, values, strict=True)
            ]
        return ["" if value is None else f"{value:.{decimals}f}" for value in values]
