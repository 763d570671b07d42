"""What is changed and defined under the main guard and in functions, lambdas among it."""

import argparse

import torch
import worker_module
from torch.utils.data import DataLoader, Dataset

SCALE = 1
args = None


class Scaled(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.ones(args.size) * index * SCALE


def main():
    class Local(Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return torch.tensor([index * SCALE])

    for batch in DataLoader(Local(), 2, num_workers=2, collate_fn=lambda samples: torch.cat(samples) + 1):
        print("local", batch)


if __name__ == "__main__":
    SCALE = 10
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=1)
    args = parser.parse_args(["--size", "3"])
    worker_module.FACTOR = 5

    class Guarded(Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return float(index * SCALE)

    for dataset in (Scaled(), Guarded(), worker_module.Multiples()):
        for batch in DataLoader(dataset, 2, num_workers=2):
            print(batch.tolist())
    main()
