"""Whole training steps side by side: PyTorch eager and compiled, textbook JAX, Flax NNX, Equinox, Haiku and funnn's functional world.

    python -m tests.benchmarks.training [gpt] [lstm] [cnn] [unet] … [--libraries torch,funnn] [--rounds N]

A step is value_and_grad of the mean cross entropy and a plain SGD update, jitted where the library jits; nothing is donated. DCGAN's is one of each of its
two networks. Models are written as each library's users write them, with its own layers (but for attention in Equinox, whose layer has no causal mask of its
own). The programs run in turns; only ratios are meant to be compared between machines. A library that is not installed is left out, and so are Flax NNX,
Equinox and Haiku in the rows that are not written in them. ``compiled`` is the model of the column torch under ``torch.compile``; its first step, which
compiles, is not timed. Where that cannot run (it needs a C++ compiler), the row says so.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from tests.benchmarks import _measure

#: name -> the shapes of x and of y (default one a row), how many classes or tokens there are, and in which file the model is
ROWS = {
    "gpt": {"x": (8, 128), "tokens": 1000},
    "lstm": {"x": (16, 64), "tokens": 1000},
    "cnn": {"x": (32, 3, 32, 32), "classes": 10},
    "lenet": {"x": (128, 1, 28, 28), "classes": 10},
    "resnet18": {"x": (32, 3, 32, 32), "classes": 10},
    "mlp": {"x": (32, 64), "classes": 64},
    "unet": {"x": (8, 3, 64, 64), "y": (8, 64, 64), "classes": 4, "family": "networks"},
    "mobilenet": {"x": (16, 3, 32, 32), "classes": 10, "family": "networks"},
    "vit": {"x": (32, 3, 32, 32), "classes": 10, "family": "networks"},
    "gru": {"x": (16, 64), "y": (16, 64), "tokens": 1000, "classes": 20, "family": "networks"},
    "conv1d": {"x": (32, 8, 1024), "classes": 10, "family": "networks"},
    "conv3d": {"x": (8, 1, 16, 32, 32), "classes": 10, "family": "networks"},
    "dcgan": {"x": (32, 3, 32, 32), "y": (32, 64, 1, 1), "family": "dcgan"},
}
#: in which libraries a family of models is written
FAMILIES = {
    "models": ("torch", "compiled", "textbook", "nnx", "equinox", "haiku", "funnn"),
    "networks": ("torch", "compiled", "textbook", "funnn"),
    "dcgan": ("torch", "compiled", "textbook", "funnn"),
}


def libraries(row: str) -> tuple[str, ...]:
    """Those in which a row's model is written."""
    return FAMILIES[ROWS[row].get("family", "models")]


def module(row: str, library: str) -> Any:
    """The module with the row's model in a library; raises ModuleNotFoundError where that is not installed."""
    return importlib.import_module(f"tests.benchmarks._{ROWS[row].get('family', 'models')}_{'torch' if library == 'compiled' else library}")


def data(row: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and target classes of a row, the same for all libraries."""
    rng, spec = np.random.default_rng(0), ROWS[row]
    if "classes" not in spec:
        if "tokens" not in spec:
            return tuple(rng.standard_normal(spec[name]).astype(np.float32) for name in "xy")
        tokens = rng.integers(0, spec["tokens"], (spec["x"][0], spec["x"][1] + 1))
        return tokens[:, :-1].astype(np.int32), tokens[:, 1:].astype(np.int32)
    x = (
        rng.integers(0, spec["tokens"], spec["x"]).astype(np.int32)
        if "tokens" in spec
        else rng.standard_normal(spec["x"]).astype(np.float32)
    )
    return x, rng.integers(0, spec["classes"], spec.get("y", spec["x"][:1])).astype(np.int32)


def step(row: str, library: str) -> tuple[Callable, int]:
    """A library's training step, which takes nothing and gives its loss, and its number of parameters."""
    options = {"compiled": True} if library == "compiled" else {}
    return module(row, library).step(row, *data(row), **options)


def steps(row: str, chosen: Sequence[str]) -> dict[str, tuple[Callable, int]]:
    """The steps of the chosen libraries that are installed."""
    found = {}
    for library in libraries(row):
        if library not in chosen:
            continue
        try:
            found[library] = step(row, library)
            if library == "compiled":
                wait(found[library][0]())
        except ModuleNotFoundError as error:
            if (error.name or "").startswith(("tests", "funnn")):
                raise
        except Exception as error:
            if library != "compiled":
                raise
            del found[library]
            print(f"{row:<9} torch.compile cannot run here: {first_line(error)}")
    return found


def first_line(error: Exception) -> str:
    """What an error says, in short."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


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


def machine() -> str:
    return f"{os.cpu_count()} cores, {', '.join(versions())}, on {jax.default_backend()}"


def shown(times: dict[str, float]) -> str:
    """Milliseconds of each library, and funnn's in relation to each."""
    ratios = [f"/{name} {times['funnn'] / times[name]:.2f}" for name in times if "funnn" in times and name != "funnn"]
    every = [*(f"{name} {1e3 * seconds:7.2f}" for name, seconds in times.items()), *(["  funnn", *ratios] if ratios else [])]
    return "  ".join(every)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help=f"of {', '.join(ROWS)}; default all")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--libraries", default=",".join(FAMILIES["models"]), help="by commas; default %(default)s")
    options = parser.parse_args()
    chosen = options.libraries.split(",")
    for what, named, known in (("rows", options.rows, ROWS), ("libraries", chosen, FAMILIES["models"])):
        if unknown := set(named) - set(known):
            parser.error(f"unknown {what} {sorted(unknown)}; choose from {list(known)}")
    print(f"{machine()}; ms a step, median of {options.rounds} rounds")
    for row in options.rows or ROWS:
        found = steps(row, chosen)
        counts = {name: count for name, (_, count) in found.items()}
        if len(set(counts.values())) > 1:
            print(f"{row:<9} numbers of parameters differ: {counts}")
        times = _measure.in_turns({name: run for name, (run, _) in found.items()}, wait, rounds=options.rounds)
        print(f"{row:<9} {shown(times)}", flush=True)


if __name__ == "__main__":
    main()
