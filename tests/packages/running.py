"""Running an example of a package on funnn and on PyTorch, and comparing what it prints."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
#: The numbers of a text, which may differ in their last digits; all else may not.
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?")
#: Relative to the largest number of the text's line, and to 1: what sums in another order leave of float32.
TOLERANCE = 2e-4


def examples() -> dict[str, Path]:
    """The examples by the names of their packages, as package indexes have them."""
    return {path.stem.removeprefix("try_").replace("_", "-"): path for path in sorted(HERE.glob("try_*.py"))}


def run(command: Sequence[str], path: Path, folder: Path, seconds: float = 300) -> subprocess.CompletedProcess[str]:
    """An example run by an interpreter and its options, in a folder."""
    return subprocess.run([*command, str(path)], capture_output=True, text=True, cwd=folder, timeout=seconds)


def difference(found: str, expected: str) -> str | None:
    """The first line in which two outputs differ by more than the last digits; None if there is none."""
    ours, theirs = found.splitlines(), expected.splitlines()
    for line, other in zip(ours, theirs, strict=False):
        # spaces are counted off, because tensors are aligned by their widest number
        if "".join(_NUMBER.sub("#", line).split()) != "".join(_NUMBER.sub("#", other).split()):
            return f"{line!r} instead of {other!r}"
        numbers, wanted = (list(map(float, _NUMBER.findall(text))) for text in (line, other))
        largest = max([1.0, *map(abs, wanted)])
        if any(abs(number - want) > TOLERANCE * largest for number, want in zip(numbers, wanted, strict=True)):
            return f"{line!r} instead of {other!r}"
    return None if len(ours) == len(theirs) else f"{len(ours)} lines instead of {len(theirs)}"


def reason(error: str) -> str:
    """What a failed program says last."""
    lines = [line for line in error.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it failed without a word"


ON_FUNNN = [sys.executable, "-m", "funnn", "run"]
