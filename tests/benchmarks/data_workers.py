"""Time of an epoch of a DataLoader with worker processes, here and in torch: ``python -m tests.benchmarks.data_workers [workers]``.

1,000 samples of 3×32×32 floats with a small transform, in batches of 32; the time to the first batch of a fresh script and the rest of that epoch, the
median of epochs 2 to 6 with persistent workers, and an epoch with new workers, before and after a model has been trained. Each library runs in a process
of its own.
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


def epoch(loader) -> tuple[float, float]:
    """Seconds to the first batch, and to the end."""
    start = time.perf_counter()
    batches = iter(loader)
    seen = len(next(batches)[1])
    first = time.perf_counter() - start
    seen += sum(len(labels) for _, labels in batches)
    assert seen == 1000
    return first, time.perf_counter() - start


def train(library) -> None:
    """Some steps of a small network: what a program has compiled when it makes workers."""
    layers = [
        library.nn.Conv2d(3, 8, 3),
        library.nn.BatchNorm2d(8),
        library.nn.ReLU(),
        library.nn.Flatten(),
        library.nn.Linear(8 * 900, 10),
    ]
    model = library.nn.Sequential(*layers)
    optimizer = library.optim.AdamW(model.parameters())
    for _ in range(10):
        optimizer.zero_grad()
        model(library.randn(8, 3, 32, 32)).square().mean().backward()
        optimizer.step()


def measure(name: str, workers: int) -> None:
    library = importlib.import_module(name)

    def loader(**options):
        return library.utils.data.DataLoader(Images(), 32, shuffle=True, num_workers=workers, **options)

    kept = loader(persistent_workers=bool(workers))
    times = [epoch(kept) for _ in range(6)]
    again = epoch(loader())
    train(library)
    trained = statistics.median(epoch(loader())[0] for _ in range(5))
    print(
        f"{name}: first batch {times[0][0]:.3f} s, first epoch {times[0][1]:.3f} s, then {statistics.median(total for _, total in times[1:]):.3f} s; "
        f"new workers: first batch {again[0]:.3f} s, epoch {again[1]:.3f} s; after training: first batch {trained:.3f} s",
        flush=True,
    )


if __name__ == "__main__":
    if len(sys.argv) == 3:
        measure(sys.argv[1], int(sys.argv[2]))
    else:
        for name in ("torch", "funnn.torch"):
            subprocess.run([sys.executable, "-m", "tests.benchmarks.data_workers", name, *(sys.argv[1:] or ["2"])], check=True)
