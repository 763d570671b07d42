"""Other scripts, one after the other in one group of processes: ``in_turn.py OUT NAME…`` writes OUT.NAME.RANK."""

import datetime
import runpy
import sys
from pathlib import Path

import torch
import torch.distributed as dist

before = torch.ones(2) @ torch.ones(2)  # something is computed before the processes are joined
out, *names = sys.argv[1:]
dist.init_process_group("gloo", timeout=datetime.timedelta(seconds=60))
assert before.item() == 2 and dist.is_initialized()
for name in names:
    sys.argv = [name, f"{out}.{name}"]
    runpy.run_path(str(Path(__file__).parent / f"{name}.py"))
    dist.barrier()
dist.destroy_process_group()
assert not dist.is_initialized()
