"""Time of an epoch of a DataLoader with worker processes, here and in torch: ``python -m tests.benchmarks.data_workers [workers]``.

1,000 samples of 3×32×32 floats with a small transform, in batches of 32; the median of epochs 2 to 6 with persistent workers, and the first
epoch, which starts them. Each library runs in a process of its own.
"""

from __future__ import annotations

import importlib
import statistics
import subprocess
import sys
import time

import numpy as np


class Images:
    """Images normalised, flipped and shifted at random."""

    def __init__(self):
        self.images = np.random.default_rng(0).integers(0, 256, (1000, 3, 32, 32), np.uint8)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image = (self.images[index].astype(np.float32) / 255 - 0.45) / 0.25
        if np.random.rand() < 0.5:
            image = image[:, :, ::-1]
        image = np.pad(image, ((0, 0), (4, 4), (4, 4)))
        top, left = np.random.randint(0, 9, 2)
        return np.ascontiguousarray(image[:, top : top + 32, left : left + 32]), index % 10


def epoch(loader) -> float:
    start = time.perf_counter()
    seen = sum(len(labels) for _, labels in loader)
    assert seen == 1000
    return time.perf_counter() - start


def measure(library: str, workers: int) -> None:
    data = importlib.import_module(library).utils.data
    options = {"persistent_workers": True} if workers else {}
    loader = data.DataLoader(Images(), 32, shuffle=True, num_workers=workers, **options)
    times = [epoch(loader) for _ in range(6)]
    again = epoch(data.DataLoader(Images(), 32, shuffle=True, num_workers=workers))
    print(
        f"{library}: first epoch {times[0]:.3f} s, then {statistics.median(times[1:]):.3f} s; new workers once more {again:.3f} s",
        flush=True,
    )


if __name__ == "__main__":
    if len(sys.argv) == 3:
        measure(sys.argv[1], int(sys.argv[2]))
    else:
        for name in ("torch", "funnn.torch"):
            subprocess.run([sys.executable, "-m", "tests.benchmarks.data_workers", name, *(sys.argv[1:] or ["2"])], check=True)
