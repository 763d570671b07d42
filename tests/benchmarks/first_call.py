"""The first call of a training step: seconds of tracing, lowering and compiling, for textbook JAX and for funnn's layers.

    python -m tests.benchmarks.first_call [gpt] [lstm] [cnn] … [--rounds N]

The steps are those of ``tests.benchmarks.training``. Seconds are the processor's, of all threads together, and the least of the rounds, so that what else
the machine does counts little; every round starts with JAX's caches empty.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import jax

from tests.benchmarks import _models_funnn, _models_textbook, training

WORLDS = {"textbook": _models_textbook, "funnn": _models_funnn}


class Called(Exception):
    """A step was called, with these arguments."""


#: the rows whose step those modules jit
ROWS = [row for row in training.ROWS if training.ROWS[row].get("family") != "dcgan"]


def step_and_arguments(name: str, row: str) -> tuple[Callable, tuple]:
    """The jitted step of a library's model, and what it is called with, without a call."""
    jitted = []

    def jit(function: Callable) -> Callable:
        jitted.append(jax.jit(function))

        def call(*arguments: Any) -> None:
            raise Called(*arguments)

        return call

    with mock.patch.object(WORLDS[name], "jax", mock.Mock(wraps=jax, jit=jit)):
        run, _ = training.step(row, name)
    try:
        run()
    except Called as called:
        return jitted[-1], called.args
    raise AssertionError("the step was not called")


def seconds_of(step: Any, arguments: tuple) -> tuple[float, float, float]:
    """Of tracing, lowering and compiling."""
    jax.clear_caches()
    times = [time.process_time()]
    traced = step.trace(*arguments)
    times.append(time.process_time())
    lowered = traced.lower()
    times.append(time.process_time())
    lowered.compile()
    times.append(time.process_time())
    return times[1] - times[0], times[2] - times[1], times[3] - times[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help=f"of {', '.join(ROWS)}; default all")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if unknown := set(options.rows) - set(ROWS):
        parser.error(f"unknown rows {sorted(unknown)}; choose from {ROWS}")
    print(
        f"{', '.join(training.versions()[:1])}, on {jax.default_backend()}; seconds of the processor, the least of {options.rounds} rounds"
    )
    for row in options.rows or ROWS:
        programs = {name: step_and_arguments(name, row) for name in WORLDS}
        found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in programs}
        for _ in range(options.rounds):
            for name, program in programs.items():
                found[name].append(seconds_of(*program))
        least = {name: [min(part) for part in zip(*rounds, strict=True)] for name, rounds in found.items()}
        for name, (trace, lower, compiling) in least.items():
            print(f"{row:<9} {name:<9} trace {trace:6.3f}  lower {lower:6.3f}  compile {compiling:6.3f}")
        print(f"{row:<9} funnn / textbook {sum(least['funnn']) / sum(least['textbook']):.2f}", flush=True)


if __name__ == "__main__":
    main()
