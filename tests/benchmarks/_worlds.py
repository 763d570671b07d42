"""The same PyTorch code in both libraries: its models, and waiting for what it computed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import torch

import funnn.torch as shim
from funnn._run import load_script
from tests.benchmarks import _models_torch

WORLDS = {"torch": torch, "funnn": shim}


def models(world: str) -> dict[str, Any]:
    """The names of the benchmark's PyTorch models, on either library."""
    return vars(_models_torch) if world == "torch" else load_script(_models_torch.__file__, "models_on_funnn")


def wait(tensors: Iterable[Any]) -> None:
    """Until the values are there: JAX runs ahead of Python. PyTorch on a CPU does not."""
    arrays = [tensor._operand().known() for tensor in tensors if isinstance(tensor, shim.Tensor)]
    jax.block_until_ready(arrays)


def resident_mb() -> float:
    """Memory of this process that lies in RAM."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def open_files() -> int:
    """File descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))
