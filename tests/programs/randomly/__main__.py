"""Writes programs at random, runs them in both libraries, and prints those that differ, made short.

python -m tests.programs.randomly --seconds 600
python -m tests.programs.randomly --kind tensors --way compiled --seed 17
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings

import torch

import funnn.torch as shim
from tests.programs.randomly import KINDS, WAYS, differs, limited, shortened


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=KINDS, action="append", help="what is written (default: all)")
    parser.add_argument("--way", choices=WAYS, action="append", help="how it is run (default: all)")
    parser.add_argument("--seed", type=int, help="one program")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=1 << 30, help="how many seeds")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--limit", type=int, default=30, help="seconds that one may take")
    parser.add_argument("--texts", action="store_true", help="compare the texts of exceptions too, not their classes alone")
    parser.add_argument("--whole", action="store_true", help="do not make them short")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    begin, count, wrong = time.perf_counter(), 0, 0
    seeds = [options.seed] if options.seed is not None else range(options.first, options.first + options.count)
    for seed in seeds:
        for kind in options.kind or KINDS:
            program = KINDS[kind](seed)
            for way in options.way or WAYS:
                if time.perf_counter() - begin > options.seconds:
                    break
                count += 1

                def wrongly(program, way=way):
                    try:
                        with limited(options.limit):
                            return differs(program, torch, shim, way, options.texts)
                    except BaseException as error:
                        if isinstance(error, KeyboardInterrupt):
                            raise
                        return f"{type(error).__name__}: {error}"

                if text := wrongly(program):
                    wrong += 1
                    short = program if options.whole else shortened(program, wrongly)
                    print(f"==== {kind} {seed} {way}: {wrongly(short) or text}\n{short}\n", flush=True)
                    if way == "plain":  # the others would say the same
                        break
    print(f"{count} programs, {wrong} wrong, {time.perf_counter() - begin:.0f} s")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
