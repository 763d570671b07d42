"""A sampler that gives each process its part of a dataset."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sized

from funnn.engine.ops.make.sampling import randperm
from funnn.engine.tensor.generator import Generator
from funnn.torch import distributed as dist
from funnn.torch.utils.data.sampler import Sampler

__all__ = ["DistributedSampler"]


class DistributedSampler(Sampler[int]):
    """Every ``num_replicas``-th index from ``rank`` on, of all in order or of a random permutation that all processes share.

    Args:
      dataset: anything with a length n.
      num_replicas, rank: of the processes; by default torch.distributed's.
      shuffle: whether to permute; the permutation depends on ``seed`` and on the epoch, which ``set_epoch`` sets.
      drop_last: whether to drop the end that does not give every process one; by default the beginning follows it again.
    """

    def __init__(
        self,
        dataset: Sized,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ):
        num_replicas = dist.get_world_size() if num_replicas is None else num_replicas
        rank = dist.get_rank() if rank is None else rank
        if not 0 <= rank < num_replicas:
            raise ValueError(f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]")
        self.dataset, self.num_replicas, self.rank, self.epoch = dataset, num_replicas, rank, 0
        self.shuffle, self.seed, self.drop_last = shuffle, seed, drop_last
        self.num_samples = len(dataset) // num_replicas if drop_last else math.ceil(len(dataset) / num_replicas)
        self.total_size = self.num_samples * num_replicas

    def __iter__(self) -> Iterator[int]:
        size = len(self.dataset)
        order = randperm(size, generator=Generator().manual_seed(self.seed + self.epoch)).tolist() if self.shuffle else list(range(size))
        repeated = order * math.ceil(self.total_size / max(size, 1))
        return iter(repeated[self.rank : self.total_size : self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Permute in another way from now on; call it at the start of every epoch."""
        self.epoch = epoch
