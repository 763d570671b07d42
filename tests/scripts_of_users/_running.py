"""Running a script on PyTorch and under ``python -m funnn run``, and comparing what it prints."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
ON_FUNNN, ON_TORCH = ("-m", "funnn", "run"), ()


class Printed(NamedTuple):
    """What a script printed, in how many seconds."""

    text: str
    seconds: float


def scripts() -> dict[str, Path]:
    """The scripts by their names."""
    return {path.stem: path for path in sorted((HERE / "scripts").glob("*.py"))}


def run(path: Path, way: tuple[str, ...], folder: Path) -> Printed:
    """Run a script in a folder; PyTorch's compiler, which takes minutes and gives the same numbers, is off.

    Raises:
      AssertionError: it fails; with its last words.
    """
    root = str(HERE.parents[1])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": root if way else ""}
    if way == ON_TORCH and not record_of(path).exists():
        environment["TORCHDYNAMO_DISABLE"] = "1"
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, *way, str(path)], capture_output=True, text=True, cwd=folder, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return Printed(done.stdout, time.perf_counter() - begin)


def record_of(path: Path) -> Path:
    """The file with what a script printed once, where it is not run on PyTorch again: it needs torchvision (0.28) or PyTorch's compiler."""
    return HERE / "recorded" / f"{path.stem}.txt"


def expected(path: Path, folder: Path) -> Printed:
    """What it prints on PyTorch 2.13, or what was recorded of that."""
    record = record_of(path)
    return Printed(record.read_text(), 0.0) if record.exists() else run(path, ON_TORCH, folder)


def difference(ours: Printed, theirs: Printed) -> list[str]:
    """The lines that differ; nothing where none does."""
    from funnn._port.verify import compare  # here, because scripts are recorded where there is no JAX

    agrees, lines = compare(theirs.text, ours.text)
    return [] if agrees else lines
