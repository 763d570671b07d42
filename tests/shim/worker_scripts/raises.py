"""Exceptions in workers, of a class of the script's own among them."""

from torch.utils.data import DataLoader, Dataset


class Bad(Exception):
    pass


class Failing(Dataset):
    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 8

    def __getitem__(self, index):
        if index == 5:
            raise self.error
        if self.error is None:
            return list(DataLoader([1, 2], num_workers=1))
        return index


def refuse(worker):
    raise RuntimeError(f"worker {worker} can't start")


for error, init in ((Bad("sample 5"), None), (KeyError("lost"), None), (ValueError("5"), refuse), (None, None)):
    try:
        for batch in DataLoader(Failing(error), 2, num_workers=2, worker_init_fn=init):
            print(batch)
    except Exception as caught:
        lines = str(caught).strip().splitlines()
        print(type(caught).__name__, *lines[:2], lines[-1], sep=" | ")
