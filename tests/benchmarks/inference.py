"""Inference side by side: PyTorch eager and compiled, textbook JAX and funnn's functional world, for one input and for 32.

    python -m tests.benchmarks.inference [gpt] [lstm] [cnn] [unet] … [--rounds N]

The models are those of ``tests.benchmarks.training``, in evaluation mode and without gradients (PyTorch's in ``inference_mode``), jitted where the library
jits. The programs run in turns; only ratios are meant to be compared between machines. Where ``torch.compile`` cannot run, the row says so.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from tests.benchmarks import _measure, _models_funnn, _models_textbook, training

ROWS = [row for row in training.ROWS if training.ROWS[row].get("family") != "dcgan"]
BATCHES = (1, 32)


def inputs(row: str, batch: int) -> np.ndarray:
    """The first inputs of the row, again from the start where there are fewer."""
    x, _ = training.data(row)
    return np.resize(x, (batch, *x.shape[1:]))


def predictions(row: str, x: np.ndarray) -> dict[str, Callable]:
    """For each library a function of nothing that gives the model's outputs."""
    layer = training.module(row, "funnn").model(row)
    found = {
        "textbook": _models_textbook.predict_of(training.module(row, "textbook").MODELS[row], layer, x),
        "funnn": _models_funnn.predict_of(layer, x),
    }
    try:
        from tests.benchmarks import _models_torch
    except ModuleNotFoundError:
        return found
    models = training.module(row, "torch")
    compiled = _models_torch.predict_of(models.model(row), x, compiled=True)
    try:
        compiled()
    except Exception as error:
        print(f"{row:<9} torch.compile cannot run here: {training.first_line(error)}")
    else:
        found = {"compiled": compiled, **found}
    return {"torch": _models_torch.predict_of(models.model(row), x), **found}


def wait(outputs: Any) -> None:
    jax.block_until_ready(outputs)  # PyTorch's are there


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help=f"of {', '.join(ROWS)}; default all")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    if unknown := set(options.rows) - set(ROWS):
        parser.error(f"unknown rows {sorted(unknown)}; choose from {ROWS}")
    print(f"{training.machine()}; ms a call, median of {options.rounds} rounds")
    for row in options.rows or ROWS:
        for batch in BATCHES:
            times = _measure.in_turns(predictions(row, inputs(row, batch)), wait, rounds=options.rounds)
            print(f"{row:<9} batch {batch:<3} {training.shown(times)}", flush=True)


if __name__ == "__main__":
    main()
