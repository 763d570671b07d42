"""A module of a script's folder."""

import torch
from torch.utils.data import Dataset

FACTOR = 1


class Multiples(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.tensor([index]) * FACTOR
