"""DataParallel where there is one device or none, a process group of one, DistributedDataParallel and its sampler, the spawn idiom."""

import os
import socket
import tempfile

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn as nn
from torch.nn.parallel import DistributedDataParallel as DDP
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler


class RandomDataset(Dataset):
    def __init__(self, size, length):
        self.len = length
        self.data = torch.randn(length, size)

    def __getitem__(self, index):
        return self.data[index]

    def __len__(self):
        return self.len


class Model(nn.Module):
    def __init__(self, input_size, output_size):
        super(Model, self).__init__()
        self.fc = nn.Linear(input_size, output_size)

    def forward(self, input):
        output = self.fc(input)
        print("\tIn Model: input size", input.size(), "output size", output.size())
        return output


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def setup(rank, world_size):
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    os.environ.setdefault("MASTER_PORT", str(free_port()))
    dist.init_process_group("gloo", rank=rank, world_size=world_size)


def reduce_tensor(tensor):
    rt = tensor.clone()
    dist.all_reduce(rt, op=dist.ReduceOp.SUM)
    rt /= dist.get_world_size()
    return rt


def main(rank, world_size):
    setup(rank, world_size)
    print(dist.is_available(), dist.is_initialized(), dist.get_rank(), dist.get_world_size(), dist.get_backend())
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 1))
    ddp = DDP(model)
    dataset = RandomDataset(5, 22)
    sampler = DistributedSampler(dataset, num_replicas=world_size, rank=rank, shuffle=True)
    loader = DataLoader(dataset, batch_size=8, sampler=sampler, shuffle=(sampler is None))
    optimizer = torch.optim.SGD(ddp.parameters(), lr=0.05, weight_decay=1e-4)
    for epoch in range(2):
        sampler.set_epoch(epoch)
        for step, x in enumerate(loader):
            optimizer.zero_grad()
            if step == 0:
                with ddp.no_sync():
                    (ddp(x) ** 2).mean().backward()
                continue
            loss = ((ddp(x) - 1) ** 2).mean()
            loss.backward()
            optimizer.step()
        print(f"rank {rank} epoch {epoch} loss {reduce_tensor(loss.detach()).item():.5f}")
        dist.barrier()
    if rank == 0:
        with tempfile.TemporaryDirectory() as folder:
            torch.save(ddp.module.state_dict(), os.path.join(folder, "ddp.pt"))
            print(list(torch.load(os.path.join(folder, "ddp.pt"))), list(ddp.state_dict())[0])
    gathered = [torch.zeros(2) for _ in range(world_size)]
    dist.all_gather(gathered, torch.tensor([1.0, 2.0]))
    objects = [None]
    dist.all_gather_object(objects, {"rank": rank})
    print(gathered, objects, dist.broadcast(torch.ones(1), src=0))
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.manual_seed(1)
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    rand_loader = DataLoader(dataset=RandomDataset(5, 30), batch_size=12, shuffle=True)
    model = Model(5, 2)
    if torch.cuda.device_count() > 1:
        print("Let's use", torch.cuda.device_count(), "GPUs!")
    model = nn.DataParallel(model)
    model.to(device)
    print(model, list(model.state_dict()))
    for data in rand_loader:
        output = model(data.to(device))
        print("Outside: input size", data.size(), "output_size", output.size(), f"{output.sum().item():.4f}")
    torch.nn.parallel.DataParallel(nn.Linear(2, 1), device_ids=None)
    world_size = max(1, torch.cuda.device_count())
    print(mp.get_start_method(allow_none=True) in (None, "fork", "spawn", "forkserver"))
    main(0, world_size)
