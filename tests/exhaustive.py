"""Which tests run every time, and which are too long for that.

Where no test is named (by a node id, ``-k`` or ``-m``), a function of tests with many or long cases runs some of them: ``tests/costs.tsv`` says how
long a case takes, and the more a function costs in all, the smaller the share that runs (:func:`affordable`). Which ones is fixed: the first, and a
choice by a checksum of their names. A case with the mark ``exhaustive``, and the further samples that :func:`most` asks for, are left out too.

``--exhaustive`` runs all, and compiles programs as users' are, with all of XLA's optimisations; ``--exhaustive 3/12`` is the fourth of twelve parts
of all tests, so that all are seen over time where each run has room for one part. ``--write-costs`` measures ``tests/costs.tsv`` anew.
"""

from __future__ import annotations

import math
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

mark = pytest.mark.exhaustive
#: Seconds of all cases of a function up to which all run, and of a single case beyond which none does.
FREE, LONGEST = 0.15, 1.5
#: At least so large a share of a function's cases runs.
SMALLEST_SHARE = 1 / 32
COSTS = Path(__file__).with_name("costs.tsv")


class Part(NamedTuple):
    """One of ``count`` parts of all tests; ``Part(0, 1)`` is all of them."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Part:
        """From ``number/count``; the number is taken modulo the count, so that any (a commit's hash) will do."""
        number, slash, count = text.partition("/")
        if not (slash and number.isdecimal() and count.isdecimal() and int(count)):
            raise pytest.UsageError(f"--exhaustive: expected a part such as 3/12, got {text!r}")
        return cls(int(number) % int(count), int(count))

    def __contains__(self, nodeid: object) -> bool:
        return _checksum(str(nodeid)) % self.count == self.number


_part: list[Part] = []  # set by conftest.py before a file of tests is read


def choose(part: Part) -> None:
    """All that follows is for this part of the exhaustive tests."""
    _part.append(part)


def chosen() -> Part | None:
    """The part of the exhaustive tests that runs; None where they do not."""
    return _part[-1] if _part else None


def most(always: int, exhaustive: int) -> int:
    """How many samples to take."""
    return exhaustive if _part else always


def one_each(items: Iterable[Any], group: Callable[[Any], object], ids: Callable[[Any], str] | None = None) -> list:
    """Parameters, of which all but the first of each group carry the mark ``exhaustive``."""
    seen: set[object] = set()
    params = []
    for item in items:
        values: Sequence[Any] = item if isinstance(item, tuple) else (item,)
        marks = [mark] if group(item) in seen else []
        seen.add(group(item))
        params.append(pytest.param(*values, marks=marks, id=ids(item) if ids else None))
    return params


def of_every_run(nodeids: Sequence[str], costs: dict[str, float]) -> set[str]:
    """Those of the tests that run every time; ``costs`` are seconds a case, by function."""
    functions = defaultdict(list)
    for nodeid in nodeids:
        functions[function_of(nodeid)].append(nodeid)
    return {nodeid for name, cases in functions.items() for nodeid in _share(cases, affordable(len(cases), costs.get(name, 0.0)))}


def affordable(count: int, cost: float) -> int:
    """How many of ``count`` cases of ``cost`` seconds run: all up to FREE seconds; beyond, the seconds grow as the square root of what all would take."""
    if cost > LONGEST:
        return 0
    total = count * cost
    if total <= FREE:
        return count
    return min(count, max(1, math.ceil(SMALLEST_SHARE * count), round(math.sqrt(total * FREE) / cost)))


def _share(cases: list[str], count: int) -> list[str]:
    """The first, and others by a checksum."""
    return [*cases[:1], *sorted(cases[1:], key=_checksum)][:count]


def function_of(nodeid: str) -> str:
    """The name of a test without its parameters."""
    return nodeid.partition("[")[0]


def read_costs() -> dict[str, float]:
    """Seconds a case, by function."""
    lines = COSTS.read_text().splitlines()
    return {name: float(seconds) for seconds, name in (line.split("\t") for line in lines)}


def write_costs(durations: dict[str, list[float]]) -> None:
    """Write the mean of each function's cases; what did not run keeps its line, and functions of very short cases need none."""
    rows = read_costs() | {name: sum(cases) / len(cases) for name, cases in durations.items()}
    COSTS.write_text("".join(f"{rows[name]:.2f}\t{name}\n" for name in sorted(rows) if rows[name] >= 0.02))


def _checksum(text: str) -> int:
    return zlib.crc32(text.encode())
