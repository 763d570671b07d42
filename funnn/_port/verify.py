"""A script on PyTorch and its port on funnn, each in a process of its own; what they print is compared."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from funnn._import_torch import ANSWERS

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?\b(?:nan|inf)\b")
#: Numbers are close where they differ by so much of themselves, or by one in the last digit that is printed.
RELATIVE = 1e-5


class Verdict(NamedTuple):
    """Whether the outputs agree, and the lines that say how."""

    agrees: bool
    lines: list[str]


def verify(file: Path, ported: bytes, args: Sequence[str] = ()) -> Verdict:
    """Run the script as it is and as it is ported, in its folder's view, and compare exit codes and standard output.

    The ported text stands in a file beside the script while it runs, so that both find the same modules and data.
    """
    theirs = _run(file, args)
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.stem}_", suffix=".py") as other:
        other.write(ported)
        other.flush()
        ours = _run(Path(other.name), args)
        errors = ours.stderr.replace(other.name, str(file))
    if theirs.returncode or ours.returncode:
        lines = [f"exit code {theirs.returncode} with PyTorch, {ours.returncode} with funnn"]
        for name, code, text in (("PyTorch", theirs.returncode, theirs.stderr), ("funnn", ours.returncode, errors)):
            lines += [f"{name}: {text.strip().splitlines()[-1]}"] if code and text.strip() else []
        if theirs.returncode != ours.returncode:
            return Verdict(False, lines)
    else:
        lines = []
    compared = compare(theirs.stdout, ours.stdout)
    return Verdict(compared.agrees, lines + compared.lines)


def _run(file: Path, args: Sequence[str]) -> subprocess.CompletedProcess[str]:
    root = str(Path(__file__).parents[2])  # where funnn lies
    path = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry and entry != ANSWERS]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*path, root])}
    return subprocess.run([sys.executable, str(file), *args], env=environment, capture_output=True, text=True)


def compare(theirs: str, ours: str) -> Verdict:
    """Two outputs by lines: equal, equal but for the last digits of numbers, or different."""
    equal = close = 0
    different = []
    for number, (a, b) in enumerate(itertools.zip_longest(theirs.splitlines(), ours.splitlines()), 1):
        if a == b:
            equal += 1
        elif a is not None and b is not None and _are_close(a, b):
            close += 1
        else:
            different += [f"line {number}:", f"  PyTorch: {_shown(a)}", f"  funnn:   {_shown(b)}"]
    head = f"of {equal + close + len(different) // 3} lines {equal} are equal"
    head += f", {close} but for the last digits" if close else ""
    if different:
        more = len(different) // 3 - 10
        return Verdict(False, [f"{head}, {len(different) // 3} differ:", *different[:30], *([f"and {more} more"] if more > 0 else [])])
    return Verdict(True, [head])


def _shown(line: str | None) -> str:
    return "(no such line)" if line is None else line


def _are_close(a: str, b: str) -> bool:
    if _NUMBER.sub("#", a).split() != _NUMBER.sub("#", b).split():
        return False
    for x, y in zip(_NUMBER.findall(a), _NUMBER.findall(b), strict=True):
        one = max(_last_place(x), _last_place(y))
        if x != y and not abs(float(x) - float(y)) <= max(RELATIVE * abs(float(x)), one * 1.001):
            return False
    return True


def _last_place(text: str) -> float:
    """One in the last digit that is printed; 0 for a whole number, which is a count."""
    digits, _, exponent = text.lower().partition("e")
    return 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2])) if "." in digits or exponent else 0.0
