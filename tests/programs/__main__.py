"""Runs programs and prints those whose numbers are not PyTorch's: ``python -m tests.programs [torch|plain|compiled] [NAME…]``.

``torch`` runs each twice with PyTorch and says how long they took and whether the two runs agree. NAME is a program or a topic.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path

import torch

import funnn.torch as shim
from tests.programs._program import Program, difference, outcome, plain
from tests.programs.catalog import all_programs


def result(program: Program, way: str, limit: int) -> str:
    """What is different from PyTorch, or went wrong; nothing where all is right."""
    signal.alarm(limit)
    try:
        wanted = outcome(program, torch)
        if way == "torch":
            return difference(program, outcome(program, torch), wanted)
        return difference(program, outcome(program, shim, plain if way == "plain" else shim.compile), wanted)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).parent == Path(__file__).parent][-1:]
        at = "".join(f" at {Path(f.filename).name}:{f.lineno}" for f in frames)
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}{at}"
    finally:
        signal.alarm(0)


def too_long(*_):
    raise TimeoutError("took too long")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "names", nargs="*", help="torch, plain or compiled (default: plain and compiled), and topics or programs (default: all)"
    )
    parser.add_argument("--limit", type=int, default=120, help="seconds that one may take")
    parser.add_argument("--all", action="store_true", help="print the time of each")
    options = parser.parse_args()
    ways = [name for name in options.names if name in ("torch", "plain", "compiled")] or ["plain", "compiled"]
    names = [name for name in options.names if name not in ("torch", "plain", "compiled")]
    programs = {k: v for k, v in all_programs().items() if not names or k in names or k.partition(".")[0] in names}
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)  # more only get in each other's way
    signal.signal(signal.SIGALRM, too_long)
    wrong, begin = 0, time.perf_counter()
    for name, program in programs.items():
        for way in ways:
            start = time.perf_counter()
            text = result(program, way, options.limit)
            wrong += bool(text)
            if text or options.all:
                print(f"{name:<44} {way:<8} {time.perf_counter() - start:6.2f} s  {text or 'right'}", flush=True)
    print(f"{len(programs)} programs, {' and '.join(ways)}: {wrong} wrong, {time.perf_counter() - begin:.1f} s")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
