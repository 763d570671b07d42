"""Workers that are killed, leave and hang, and loaders that are left early; another loader works afterwards."""

import os
import re
import signal
import time

import torch
from torch.utils.data import DataLoader, Dataset


class Faulty(Dataset):
    def __init__(self, act):
        self.act = act

    def __len__(self):
        return 30

    def __getitem__(self, index):
        if index == 5:
            self.act()
        return torch.full((100, 100), index)


for act in (lambda: os.kill(os.getpid(), signal.SIGKILL), lambda: os._exit(3), lambda: time.sleep(60)):
    try:
        print(len(list(DataLoader(Faulty(act), 1, num_workers=2, timeout=6, collate_fn=len))))
    except RuntimeError as error:
        print(
            re.match(r"DataLoader worker \(pid\(s\) \d+\) exited unexpectedly|DataLoader timed out after 6 seconds", str(error)) is not None
        )
print(next(iter(DataLoader(Faulty(None), 2, num_workers=2))).sum().item())
print(sum(batch.sum().item() for batch in DataLoader(Faulty(lambda: None), 3, num_workers=2)))
