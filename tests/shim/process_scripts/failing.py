"""A process of two that fails while the other waits for it; ``sys.argv[1]`` says how, ``sys.argv[2]`` which."""

import os
import signal
import sys

import torch
import torch.distributed as dist

dist.init_process_group("gloo")
dist.all_reduce(torch.ones(2))
if dist.get_rank() == int(sys.argv[2]):
    if sys.argv[1] == "raise":
        raise ValueError("rank 1 has had enough")
    os.kill(os.getpid(), signal.SIGKILL)
dist.all_reduce(torch.ones(2))
