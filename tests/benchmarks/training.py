"""Whole training steps side by side: torch eager, textbook JAX, Flax NNX, Equinox, Haiku and funnn's functional world.

    python -m tests.benchmarks.training [gpt] [lstm] [cnn] [lenet] [resnet18] [mlp] [--rounds N]

A step is value_and_grad of the mean cross entropy and a plain SGD update, jitted where the library jits; nothing is donated. Models are written
as each library's users write them, with its own layers (but for attention in Equinox, whose layer has no causal mask of its own). The programs
run in turns; only ratios are meant to be compared between machines. A library that is not installed is left out.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
from collections.abc import Callable

import jax
import numpy as np

from tests.benchmarks import _measure

#: name -> (shape of x and of y, classes; None: x holds integers below ``classes``)
ROWS = {
    "gpt": {"x": (8, 128), "tokens": 1000},
    "lstm": {"x": (16, 64), "tokens": 1000},
    "cnn": {"x": (32, 3, 32, 32), "classes": 10},
    "lenet": {"x": (128, 1, 28, 28), "classes": 10},
    "resnet18": {"x": (32, 3, 32, 32), "classes": 10},
    "mlp": {"x": (32, 64), "classes": 64},
}
LIBRARIES = {
    "torch": "tests.benchmarks._models_torch",
    "textbook": "tests.benchmarks._models_textbook",
    "nnx": "tests.benchmarks._models_nnx",
    "equinox": "tests.benchmarks._models_equinox",
    "haiku": "tests.benchmarks._models_haiku",
    "funnn": "tests.benchmarks._models_funnn",
}


def data(row: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and target classes of a row, the same for all libraries."""
    rng, spec = np.random.default_rng(0), ROWS[row]
    if "tokens" in spec:
        tokens = rng.integers(0, spec["tokens"], (spec["x"][0], spec["x"][1] + 1))
        return tokens[:, :-1].astype(np.int32), tokens[:, 1:].astype(np.int32)
    return rng.standard_normal(spec["x"]).astype(np.float32), rng.integers(0, spec["classes"], spec["x"][0]).astype(np.int32)


def steps(row: str) -> dict[str, tuple[Callable, int]]:
    """The libraries' training steps, each of which takes nothing and gives its loss, and their numbers of parameters."""
    found = {}
    for name, module in LIBRARIES.items():
        try:
            models = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith(("tests", "funnn")):
                raise
            continue
        found[name] = models.step(row, *data(row))
    return found


def wait(loss) -> None:
    value = float(jax.block_until_ready(loss)) if isinstance(loss, jax.Array) else float(loss)
    assert np.isfinite(value), "the loss is not finite"


def versions() -> list[str]:
    """The libraries of the table and their versions, or that they are not installed."""
    found = []
    for package in ("jax", "torch", "flax", "equinox", "dm-haiku"):
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{package} is not installed")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help=f"of {', '.join(ROWS)}; default all")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    unknown = set(options.rows) - set(ROWS)
    if unknown:
        parser.error(f"unknown rows {sorted(unknown)}; choose from {list(ROWS)}")
    print(f"{os.cpu_count()} cores, {', '.join(versions())}, on {jax.default_backend()}; ms a step, median of {options.rounds} rounds")
    for row in options.rows or ROWS:
        found = steps(row)
        counts = {name: count for name, (_, count) in found.items()}
        if len(set(counts.values())) > 1:
            print(f"{row:<9} numbers of parameters differ: {counts}")
        times = _measure.in_turns({name: run for name, (run, _) in found.items()}, wait, rounds=options.rounds)
        shown = "  ".join(f"{name} {1e3 * seconds:7.2f}" for name, seconds in times.items())
        ratios = "  ".join(f"/{name} {times['funnn'] / times[name]:.2f}" for name in times if name != "funnn")
        print(f"{row:<9} {shown}   funnn {ratios}", flush=True)


if __name__ == "__main__":
    main()
