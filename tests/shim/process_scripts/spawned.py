"""Processes that a program starts itself, which meet in several ways."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def meet(rank, folder, port):
    """What the processes say, by the way in which they met."""
    ways = {
        "tcp": {"init_method": f"tcp://127.0.0.1:{port}"},
        "file": {"init_method": f"file://{folder}/file"},
        "TCPStore": {"store": dist.TCPStore("127.0.0.1", port + 1, 2, rank == 0)},
        "FileStore": {"store": dist.FileStore(f"{folder}/store", 2)},
    }
    lines = []
    for name, way in ways.items():
        dist.init_process_group("gloo", rank=rank, world_size=2, **way)
        x = torch.ones(2) * (rank + 1)
        dist.all_reduce(x)
        lines.append(f"{name} {x.tolist()}")
        if store := way.get("store"):
            lines.append(f"{store.add('count', 2) in (2, 4)}")
            dist.barrier()
            store.set(f"key {rank}", f"of {rank}")
            lines.append(f"{store.get(f'key {1 - rank}')} {store.add('count', 0)} {store.check(['no'])}")
            lines.append(f"{dist.PrefixStore('in', store).add('count', 1) in (1, 2)}")
        dist.barrier()
        dist.destroy_process_group()
    Path(f"{folder}/out.{rank}").write_text("\n".join(lines))


def fail(rank):
    if rank == 1:
        raise ValueError("the process of rank 1 has had enough")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    mp.spawn(meet, (str(folder), int(sys.argv[2])), nprocs=2)
    try:
        mp.spawn(fail, nprocs=2)
    except mp.ProcessRaisedException as error:
        text = str(error)
        (folder / "out.2").write_text(f"{text.splitlines()[2]} {text.splitlines()[-1]} {error.error_index}")
