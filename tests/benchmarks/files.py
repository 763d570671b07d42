"""Writing and reading a large .pt file: time, and how much memory more than before, here and in PyTorch.

    python -m tests.benchmarks.files [--megabytes N] [--folder DIR]

The contestants take turns, each in a process of its own; times are medians of the rounds, the file is in the system's cache. ``write`` makes a new file,
``replace`` writes over one; before each, the system is asked for as much memory and given it back, so that all of them find it as quick to get.
``mapped`` is the time until the file is open and one tensor was looked at. Writing here ends when the file is on the disk, in PyTorch when the system
has it; "torch, on disk" also waits for the disk, as whoever wants what funnn promises would write it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROUNDS, TENSORS = 5, 64
WORLDS = ["funnn", "funnn.torch", "torch"]
ON_DISK = "torch, on disk"


def tools(world: str) -> tuple[Any, Any, Any]:
    """save(tree, path), load(path, mmap), and what makes a tensor of an array."""
    if world == "funnn":
        from funnn.checkpoint import load_pt, save_pt

        return save_pt, lambda path, mmap: load_pt(path, mmap=mmap), np.asarray
    if world.startswith("torch"):
        import torch
    else:
        import funnn.torch as torch
    return torch.save if world != ON_DISK else save_to_disk, lambda path, mmap: torch.load(path, mmap=mmap), torch.from_numpy


def save_to_disk(tree: Any, path: Path) -> None:
    """torch.save, and a wait for the disk."""
    import torch

    with open(path, "wb") as file:
        torch.save(tree, file)
        file.flush()
        os.fsync(file.fileno())


def resident() -> float:
    """Megabytes of this process's own memory."""
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return int(fields["RssAnon"].split()[0]) / 1024


def measure(world: str, what: str, path: Path, megabytes: int) -> dict[str, float]:
    """Seconds, and megabytes of memory that were taken."""
    save, load, make = tools(world)
    save({"warm": make(np.ones(3, np.float32))}, path.with_suffix(".warm"))
    load(path.with_suffix(".warm"), what == "mapped")
    count = (megabytes << 20) // 4 // TENSORS
    writes = what in ("write", "replace")
    tree = {str(n): make(np.full(count, n, np.float32)) for n in range(TENSORS)} if writes else {}
    if what == "write":
        path.unlink(missing_ok=True)
    if writes:
        np.ones(3 * TENSORS * count, np.float32)  # given back at once
    before, start = resident(), time.perf_counter()
    if writes:
        save(tree, path)
    else:
        tree = load(path, what == "mapped")
    seconds = time.perf_counter() - start
    if what == "mapped":
        assert float(tree["7"][5]) == 7
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "megabytes": resident() - before}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--folder", help="where the file is written; default the system's folder for such")
    parser.add_argument("--json", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.json:
        world, what, path = options.json
        print(json.dumps(measure(world, what, Path(path), options.megabytes)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = os.path.join(folder, "model.pt")
        print(f"{options.megabytes} MB in {TENSORS} tensors; seconds (of torch), and MB of memory more than before")
        for what in ("write", "replace", "read", "mapped"):
            worlds = [*WORLDS, ON_DISK] if what in ("write", "replace") else WORLDS
            found: dict[str, list[dict[str, float]]] = {world: [] for world in worlds}
            for _ in range(ROUNDS):
                for world, rows in found.items():
                    command = [
                        sys.executable,
                        "-m",
                        "tests.benchmarks.files",
                        "--json",
                        world,
                        what,
                        path,
                        "--megabytes",
                        str(options.megabytes),
                    ]
                    rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
            usual = {world: statistics.median(row["seconds"] for row in rows) for world, rows in found.items()}
            texts = [
                f"{world} {usual[world]:.3f} ({usual[world] / usual['torch']:.2f}) {max(row['megabytes'] for row in rows):+.0f}"
                for world, rows in found.items()
            ]
            print(f"{what:8}", *(f"{text:32}" for text in texts), flush=True)


if __name__ == "__main__":
    main()
