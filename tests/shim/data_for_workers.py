"""Datasets that worker processes can import, and loaders of them; ``python -m tests.shim.data_for_workers`` prints what they give in torch."""

from __future__ import annotations

import collections
import gc
import hashlib
import importlib
import json
import os
import random
import signal
import sys
import time

import numpy as np

Sample = collections.namedtuple("Sample", ["image", "label"])


class Noise:
    """Samples with a draw of every generator, and what the worker knows of itself."""

    def __init__(self, library, size=7, shape=(2,)):
        self.library, self.size, self.shape, self.calls, self.offset = library, size, shape, 0, 0

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        t = importlib.import_module(self.library)
        info, self.calls = t.utils.data.get_worker_info(), self.calls + 1
        draws = {"random": random.random(), "numpy": np.random.rand(), "torch": t.rand(self.shape)}
        return {"index": index, "seed": info.seed, "worker": (info.id, info.num_workers), "calls": self.calls, "at": self.offset, **draws}


class Images:
    """NumPy samples, large enough for shared memory, in a named tuple."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return Sample(np.full((3, 32, 32), index, np.float32) + np.random.rand(3, 1, 1).astype(np.float32), index)


class Numbers:
    """A stream of 7 numbers for the first worker, 2 for the second."""

    library = "torch"

    def __iter__(self):
        info = importlib.import_module(self.library).utils.data.get_worker_info()
        return iter(range(7)) if info.id == 0 else iter((10.5, 11.5))


def __getattr__(name):
    """ShimNumbers, made when asked for: torch's process, which forks, should not import JAX."""
    if name != "ShimNumbers":
        raise AttributeError(name)
    import funnn.torch as ftorch

    kind = type(name, (Numbers, ftorch.utils.data.IterableDataset), {"library": "funnn.torch", "__module__": __name__})
    return globals().setdefault(name, kind)


class TwoArguments(Exception):
    def __init__(self, number, reason):
        super().__init__(number, reason)


class Failing:
    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 4

    def __getitem__(self, index):
        if index == 1:
            raise self.error
        return index


class Scene:
    """What happens to a worker at sample 2, in a dataset whose samples are large."""

    def __init__(self, act):
        self.act = act

    def __len__(self):
        return 40

    def __getitem__(self, index):
        if index == 2:
            self.act()
        import jax

        return np.full(10_000, index), jax._src.xla_bridge.backends_are_initialized()


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def leave():
    os._exit(3)


def sleep():
    time.sleep(1)


def nothing():
    pass


def sum_of_labels(batch):
    return {
        "images": np.stack([sample.image for sample in batch]).sum((1, 2, 3)),
        "labels": [str(sample.label) for sample in batch],
        "n": len(batch),
    }


def with_graph(batch):
    import funnn.torch as ftorch

    return ftorch.ones(2, requires_grad=True) * 2


def of_tensors(sample):
    import funnn.torch as ftorch

    return ftorch.nn.Parameter(ftorch.ones(2)), ftorch.ones(2, dtype=ftorch.bfloat16), ftorch.tensor(3), ftorch.arange(4).reshape(2, 2).T


def move(worker):
    """A worker_init_fn."""
    for library in {"torch", "funnn.torch"} & set(sys.modules):
        info = sys.modules[library].utils.data.get_worker_info()
        if info is not None:
            info.dataset.offset = 100 + worker


def refuse(worker):
    raise ValueError("no start")


def numbers(t):
    if t.__name__ == "funnn.torch":
        return importlib.import_module(__name__).ShimNumbers()
    return type("TorchNumbers", (Numbers, t.utils.data.IterableDataset), {})()


def noise(t, **options):
    return t.utils.data.DataLoader(Noise(t.__name__), num_workers=2, **options)


def tensors(t):
    return t.utils.data.TensorDataset(t.arange(10), t.arange(20.0).reshape(10, 2))


CASES = {
    "shuffle": lambda t: noise(t, batch_size=2, shuffle=True, worker_init_fn=move),
    "generator": lambda t: noise(t, batch_size=3, shuffle=True, generator=t.Generator().manual_seed(3), drop_last=True, timeout=60),
    "persistent": lambda t: noise(t, batch_size=2, persistent_workers=True, prefetch_factor=1),
    "single": lambda t: t.utils.data.DataLoader(Images(), batch_size=None, num_workers=2, sampler=[3, 1, 2]),
    "images": lambda t: t.utils.data.DataLoader(Images(), 4, num_workers=2, shuffle=True, pin_memory=False),
    "collate": lambda t: t.utils.data.DataLoader(Images(), num_workers=2, batch_sampler=[[1, 2], [3], [0, 9]], collate_fn=sum_of_labels),
    "stream": lambda t: t.utils.data.DataLoader(numbers(t), 2, num_workers=2),
    "stream, persistent": lambda t: t.utils.data.DataLoader(numbers(t), 3, num_workers=2, drop_last=True, persistent_workers=True),
    "tensors": lambda t: t.utils.data.DataLoader(t.utils.data.Subset(tensors(t), [5, 1, 8]), 2, num_workers=1, shuffle=True),
}
ERRORS = {
    "value": lambda t: t.utils.data.DataLoader(Failing(ValueError("bad 1")), num_workers=2),
    "key": lambda t: t.utils.data.DataLoader(Failing(KeyError("lost")), num_workers=2),
    "two arguments": lambda t: t.utils.data.DataLoader(Failing(TwoArguments(1, "why")), num_workers=1),
    "start": lambda t: t.utils.data.DataLoader(Failing(None), num_workers=1, worker_init_fn=refuse),
    "collate": lambda t: t.utils.data.DataLoader(["a", None], 2, num_workers=1),
}


def plain(value):
    """Nested Python data, with types, that is the same in JSON; of a large array a digest."""
    if hasattr(value, "tolist"):
        array = np.asarray(value)
        values = array.tolist() if array.size < 100 else hashlib.sha256(array.tobytes()).hexdigest()
        return [type(value).__name__, str(value.dtype), list(array.shape), values]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, *map(plain, value)]
    return value


def run(t, name):
    """Two epochs and the random numbers after each."""
    t.manual_seed(5)
    loader = CASES[name](t)
    return [[plain(list(loader)), t.rand(2).tolist()] for _ in range(2)]


def fail(t, name):
    """The batches before the error, its class, the first line of its text and the last, and whether the traceback names the dataset's line."""
    seen = []
    try:
        for batch in ERRORS[name](t):
            seen.append(plain(batch))
    except Exception as error:
        lines = str(error).strip().splitlines()
        return [seen, type(error).__name__, lines[:2], lines[-1].split(".")[-1], any("raise" in line for line in lines)]


def everything(t):
    results = {}
    for function, names, prefix in ((run, CASES, ""), (fail, ERRORS, "error: ")):
        for name in names:
            results[prefix + name] = function(t, name)
            gc.collect()  # loaders of torch that a later fork would copy, and that would wait for their workers there
    return results


if __name__ == "__main__":
    import torch

    torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL = 0.1  # seconds that torch waits for workers that it may have left without a signal
    print(json.dumps(everything(torch)))
