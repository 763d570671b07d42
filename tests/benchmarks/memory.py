"""How much memory the training steps of ``tests.benchmarks.training`` take, each in a process of its own: PyTorch eager, textbook JAX and funnn.

    python -m tests.benchmarks.memory [gpt] [lstm] [cnn] [unet] …

``process`` is the largest resident memory of the process in five steps, less what was resident when all was imported and one small operation done: data,
parameters, what a step needs, and what a library's allocator and compiler hold on to. The kernel counts it (``VmHWM`` in ``/proc``, set back before the
five steps), so that this runs on Linux alone. ``step`` is what XLA says that one call of the compiled step allocates (its temporary arrays and its outputs,
without arguments); eager PyTorch has no such number.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import jax

from tests.benchmarks import training

LIBRARIES = ("torch", "textbook", "funnn")
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident(field: str) -> float:
    """``VmRSS``, what is resident, or ``VmHWM``, the most that ever was, in MiB."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 2**10


def measure(row: str, library: str) -> dict[str, float]:
    """Of this process, which must have done nothing else."""
    training.module(row, library)
    jax.block_until_ready(jax.numpy.ones(2) + 1)
    before, programs = resident("VmRSS"), []
    jit = jax.jit

    def kept(function: Any, **options: Any) -> Any:
        compiled = jit(function, **options)

        def call(*arguments: Any) -> Any:
            if not programs:
                programs.append(compiled.lower(*arguments).compile().memory_analysis())
            return compiled(*arguments)

        return call

    with mock.patch.object(jax, "jit", kept if os.environ.get("ANALYSE") else jit):
        run, _ = training.step(row, library)
    for _ in range(3):
        training.wait(run())
    CLEAR.write_text("5")
    for _ in range(5):
        training.wait(run())
    found = {"process": resident("VmHWM") - before}
    if programs and programs[0] is not None:
        found["step"] = (programs[0].temp_size_in_bytes + programs[0].output_size_in_bytes) / 2**20
    return found


def in_process(row: str, library: str) -> dict[str, float]:
    """``measure`` in a fresh process; what XLA says in a second one, for compiling twice would count."""
    command = [sys.executable, "-m", "tests.benchmarks.memory", row, "--library", library]
    first, second = (
        json.loads(subprocess.run(command, env={**os.environ, **more}, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        for more in ({}, {"ANALYSE": "1"})
    )
    return {**second, **first}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help=f"of {', '.join(training.ROWS)}; default all")
    parser.add_argument("--library", choices=LIBRARIES, help="measure the one row in this process")
    options = parser.parse_args()
    if unknown := set(options.rows) - set(training.ROWS):
        parser.error(f"unknown rows {sorted(unknown)}; choose from {list(training.ROWS)}")
    if options.library:
        print(json.dumps(measure(options.rows[0], options.library)))
        return
    print(f"{training.machine()}; MiB")
    for row in options.rows or training.ROWS:
        found = {library: in_process(row, library) for library in LIBRARIES}
        print(
            f"{row:<9} "
            + "  ".join(f"{library} " + ", ".join(f"{what} {mib:.0f}" for what, mib in parts.items()) for library, parts in found.items()),
            flush=True,
        )


if __name__ == "__main__":
    main()
