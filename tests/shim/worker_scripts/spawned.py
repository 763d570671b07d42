"""Start methods that are asked for: a spawned process imports the main module, and has the module's globals as they are there."""

import torch
import worker_module
from torch.utils.data import DataLoader

print("imported as", "main" if __name__ == "__main__" else __name__, flush=True)
if __name__ == "__main__":
    torch.multiprocessing.set_start_method("spawn")
    worker_module.FACTOR = 5
    for context in (None, "fork", "spawn", torch.multiprocessing.get_context("fork")):
        for batch in DataLoader(worker_module.Multiples(), 4, num_workers=1, multiprocessing_context=context):
            print(batch.tolist(), flush=True)
