"""Random numbers and what a worker knows of itself; streams, persistent workers, options."""

import math
import random

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info


class Draws(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        info = get_worker_info()
        draws = [random.random(), np.random.rand(), *torch.randn(2).tolist(), *torch.randint(0, 9, (2,)).tolist()]
        seeds = (info.id, info.num_workers, info.seed, torch.initial_seed(), torch.get_num_threads())
        return f"{index} {seeds} {' '.join(f'{draw:.6f}' for draw in draws)}"


class Counting(Dataset):
    def __init__(self):
        self.seen = 0

    def __len__(self):
        return 6

    def __getitem__(self, index):
        self.seen += 1
        return torch.tensor([index, self.seen])


class Range(IterableDataset):
    def __init__(self, start, end):
        self.start, self.end = start, end

    def __iter__(self):
        info = get_worker_info()
        share = math.ceil((self.end - self.start) / info.num_workers)
        begin = self.start + info.id * share
        return iter(range(begin, min(begin + share, self.end)))


def shift(worker):
    get_worker_info().dataset.start += worker


torch.manual_seed(7)
for _ in range(2):
    for batch in DataLoader(Draws(), 2, num_workers=2, shuffle=True):
        print(batch)
print(torch.rand(1), get_worker_info())
streams = DataLoader(Range(3, 13), 2, num_workers=2, persistent_workers=True)
for _ in range(2):
    print([batch.tolist() for batch in streams])
print(list(DataLoader(Range(0, 5), None, num_workers=2, worker_init_fn=shift)))
generator = torch.Generator().manual_seed(3)
options = {"persistent_workers": True, "prefetch_factor": 4, "timeout": 60, "pin_memory": False, "multiprocessing_context": "fork"}
kept = DataLoader(Counting(), 2, num_workers=2, shuffle=True, generator=generator, **options)
for _ in range(2):
    print([batch.tolist() for batch in kept])
