"""Datasets that hold what no pickle carries: locks, open files, generators."""

import os
import sys
import tempfile
import threading

from torch.utils.data import DataLoader, Dataset, IterableDataset

parent = os.getpid()


class Text(Dataset):
    def __init__(self, file):
        self.lock = threading.Lock()
        self.condition = threading.Condition()
        self.file = file

    def __len__(self):
        return 4

    def __getitem__(self, index):
        with self.lock, self.condition:
            self.file.seek(index)
            return self.file.read(2)


class Stream(IterableDataset):
    def __init__(self):
        self.numbers = (number * number for number in range(5))

    def __iter__(self):
        return self.numbers


class Processes(Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        print("in the worker:", os.getpid() != parent, os.getppid() == parent, repr(sys.stdin.read()))
        return index


with tempfile.TemporaryFile("w+") as opened:
    opened.write("abcdefgh")
    opened.flush()
    for dataset, workers in ((Text(opened), 1), (Stream(), 2), (Processes(), 1)):
        for batch in DataLoader(dataset, 2, num_workers=workers):
            print(batch)
