"""A group of processes, and how an operation of all of them is done: what each calls is compared before anything is computed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funnn.torch.distributed._cluster import Cluster
from funnn.torch.distributed._communicator import Communicator
from funnn.torch.distributed._programs import LONGEST_WAIT, Programs
from funnn.torch.distributed.errors import DistBackendError, MismatchError
from funnn.torch.distributed.store import Store
from funnn.torch.distributed.work import Work, Worker


@dataclasses.dataclass(frozen=True)
class Heading:
    """What processes tell each other before an operation, so that one that differs is an error and no wrong number.

    Attributes:
      name: of the operation.
      detail: what else must be the same: the reduction, the root.
      dtype: of the numbers, by NumPy's name.
      shape: of the array.
      varies: whether the shape may differ.
      numbers: others that may differ.
    """

    name: str
    detail: str = ""
    dtype: str = ""
    shape: tuple[int, ...] = ()
    varies: bool = False
    numbers: tuple[int, ...] = ()

    def common(self) -> str:
        """What must be the same in all processes."""
        return f"{self.name}({', '.join(filter(None, (self.detail, self.dtype, '' if self.varies else f'shape={list(self.shape)}')))})"


def _packed(heading: Heading, place: str) -> bytes:
    numbers = (*heading.shape, -1, *heading.numbers)
    return f"{place}|{heading.common()}|{','.join(map(str, numbers))}".encode()


class ProcessGroup:
    """Some processes, in an order. Its operations run one after the other, in a thread of the group's.

    Args:
      cluster: the processes that init_process_group joined.
      ranks: their numbers there.
      backend: its name.
      timeout: seconds that an operation may wait for the other processes.
      group_name: the same in all processes.
    """

    def __init__(self, cluster: Cluster, ranks: Sequence[int], backend: str, timeout: float, group_name: str, store: Store | None = None):
        self.cluster, self.ranks, self.backend, self.timeout, self.group_name, self.store = (
            cluster,
            list(ranks),
            backend,
            timeout,
            group_name,
            store,
        )
        self.group_desc = "default_pg" if group_name == "0" else "undefined"
        self._rank = self.ranks.index(cluster.rank) if cluster.rank in self.ranks else -1
        self._worker, self._sequence, self._broken = Worker(f"funnn-group-{group_name}"), 0, ""
        self._under_way: list[Work] = []
        self.sent: dict[tuple[int, int], int] = {}  # counts of messages, by the other process and tag
        self.received: dict[tuple[int, int], int] = {}
        if self._rank >= 0:
            devices, lock = cluster.devices(self.ranks)
            self._programs = Programs(devices, self._rank, lock)

    def rank(self) -> int:
        """The number of this process in the group, -1 if it isn't there."""
        return self._rank

    def size(self) -> int:
        """The number of processes."""
        return len(self.ranks)

    def name(self) -> str:
        """The name of the backend."""
        return self.backend

    def _get_backend_name(self) -> str:
        return self.backend

    def __repr__(self) -> str:
        return f"<torch.distributed.ProcessGroup {self.group_name} of ranks {self.ranks}>"

    # -- operations

    def start(
        self,
        heading: Heading,
        array: np.ndarray | None,
        compute: Callable[[Communicator, list[Heading]], Any],
        finish: Callable[[Any], list[Any]],
        timeout: float | None = None,
    ) -> Work:
        """Begin an operation in which all processes take part.

        Args:
          heading: what it is.
          array: the numbers that this process sends, if any.
          compute: what is computed in the group's thread, of the communicator, whose methods take that array, and the headings of all processes.
          finish: see Work.
          timeout: seconds; by default the group's.
        """
        what = f"{heading.name} (operation {self._sequence} of group {self.group_name}) on rank {self._rank}"
        if self._broken:
            raise DistBackendError(f"{what} can't be done, for the group is broken: {self._broken}")
        limit, sequence = self.timeout if timeout is None else timeout, self._sequence
        self._sequence += 1
        if self.size() == 1:
            return Work(what, None, lambda _: finish(compute(Communicator(self._programs), [heading])))
        packed = _packed(heading, f"operation {sequence} of group {self.group_name}")

        def run() -> Any:
            if self._broken:
                raise DistBackendError(f"{what} can't be done, for the group is broken: {self._broken}")
            try:
                with self._programs.lock:
                    if sequence == 0 or limit > LONGEST_WAIT:
                        self.cluster.meet(f"group/{self.group_name}/{sequence}", self.ranks, limit)
                    headings, sent = self._programs.gather_blocks(packed, array)
                    return compute(Communicator(self._programs, sent), self._compare(headings, heading))
            except MismatchError:
                raise
            except Exception as error:
                self._broken = f"{what} failed"
                raise DistBackendError(f"{what} failed: {error}") from None

        work = Work(what, self._worker.submit(run), finish, limit, lambda: self.cluster.check_alive(what, self.ranks), self._break)
        self._under_way = [earlier for earlier in self._under_way if not earlier._is_finished]
        self._under_way.append(work)
        return work

    def _compare(self, packed: list[bytes], own: Heading) -> list[Heading]:
        """The headings of all processes; raises where one has another operation."""
        texts = [text.decode().split("|") for text in packed]
        mine = texts[self._rank]
        for rank, text in enumerate(texts):
            if text[:2] != mine[:2]:
                raise MismatchError(
                    f"Detected mismatch between collectives on ranks. Rank {self._rank} is running collective: {own.common()}, but Rank {rank} is running "
                    f"collective: {text[1]} ({mine[0]}, {text[0]}); all processes of a group must call the same "
                    "operations in the same order, with tensors of the same shape and dtype"
                )
        found = []
        for text in texts:
            numbers = [int(number) for number in text[2].split(",")]
            end = numbers.index(-1)
            found.append(dataclasses.replace(own, shape=tuple(numbers[:end]), numbers=tuple(numbers[end + 1 :])))
        return found

    def _break(self, error: Exception) -> None:
        self._broken = self._broken or str(error)

    def settle(self, work: Work) -> None:
        """Wait for an operation, and for those that began before."""
        begun, self._under_way = self._under_way, []
        for earlier in begun:
            if earlier is not work:
                earlier.wait()
        work.wait()

    def close(self) -> None:
        """No more operations."""
        self._worker.stop()
        self._broken = "it was destroyed"
