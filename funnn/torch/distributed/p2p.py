"""From one process to another: messages under keys of JAX's coordination service, one key for each.

A sender does not wait. Messages between two processes with one tag come in the order in which they were sent.
"""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from funnn.engine.tensor.tensor import Tensor
from funnn.torch.distributed._operands import array_of, check_tensor, write
from funnn.torch.distributed.errors import DistBackendError
from funnn.torch.distributed.group import get_global_rank, joined, of_group, root_of
from funnn.torch.distributed.process_group import ProcessGroup
from funnn.torch.distributed.work import Work

_PAUSE = 0.002  # seconds between looks for a message of any sender


def _key(group: ProcessGroup, source: int, target: int, tag: int, number: int) -> str:
    return f"mail/{group.group_name}/{source}/{target}/{tag}/{number}"


def _packed(array: np.ndarray) -> bytes:
    """A line that says what it is, and the bytes of an array."""
    return json.dumps([str(array.dtype), array.shape]).encode() + b"\n" + array.tobytes()


def post(group: ProcessGroup, message: bytes, target: int, tag: int) -> None:
    """Send bytes to a process of a group, without waiting."""
    number = group.sent.get((target, tag), 0)
    group.sent[target, tag] = number + 1
    group.cluster.put(_key(group, group.rank(), target, tag, number), message)


class Expected:
    """A message that comes: its key is settled when it is asked for, unless any sender will do."""

    def __init__(self, group: ProcessGroup, source: int | None, tag: int, what: str):
        self._group, self._tag, self._what, self.source = group, tag, what, source
        self._number = None if source is None else self._take_number(source)

    def _take_number(self, source: int) -> int:
        received = self._group.received
        number = received.get((source, self._tag), 0)
        received[source, self._tag] = number + 1
        return number

    def read(self, timeout: float) -> bytes:
        """The message, when it is there."""
        cluster, own = self._group.cluster, self._group.rank()
        if self.source is None:
            self._find_source(timeout)
        assert self.source is not None and self._number is not None
        key = _key(self._group, self.source, own, self._tag, self._number)
        message = cluster.get(key, timeout, self._what, [self._group.ranks[self.source]])
        cluster.forget(key)
        return message

    def _find_source(self, timeout: float) -> None:
        group, end, looked = self._group, time.monotonic() + timeout, time.monotonic()
        others = [rank for rank in range(group.size()) if rank != group.rank()]
        while True:
            for source in others:
                number = group.received.get((source, self._tag), 0)
                if group.cluster.find(_key(group, source, group.rank(), self._tag, number)) is not None:
                    self.source, self._number = source, self._take_number(source)
                    return
            now = time.monotonic()
            if now > end:
                raise DistBackendError(f"{self._what} timed out after {timeout:g} s; see that a process sends to this one")
            if now - looked > 1:
                looked = now
                group.cluster.check_alive(self._what, [group.ranks[rank] for rank in others])
            time.sleep(_PAUSE)

    def is_there(self) -> bool:
        """Whether it can be read without waiting."""
        if self.source is None or self._number is None:
            return False
        key = _key(self._group, self.source, self._group.rank(), self._tag, self._number)
        return self._group.cluster.find(key) is not None


class _Receipt(Work):
    """A message that comes into a tensor."""

    def __init__(self, what: str, expected: Expected, finish: Callable[[Any], list[Any]], timeout: float):
        super().__init__(what, expected, finish, timeout)

    def _await(self, limit: float) -> Any:
        return self._future.read(limit)

    def is_completed(self) -> bool:
        if not self._is_finished and self._future.is_there():
            self.wait()
        return self._is_finished

    def source_rank(self) -> int:
        """The number in the group of the process that sent it."""
        self.wait()
        return int(self._future.source)

    _source_rank = source_rank


def _check_other(group: ProcessGroup, rank: int, role: str) -> None:
    if rank == group.rank():
        raise ValueError(f"Invalid {role} rank: {role} rank should not be the same as the rank of the current process.")


def isend(tensor: Tensor, dst: int | None = None, group: Any = None, tag: int = 0, group_dst: int | None = None) -> Work | None:
    """Send a tensor to the process ``dst``; the tensor may be changed afterwards.

    Raises:
      ValueError: ``dst`` is this process, or there is no such one.
    """
    check_tensor(tensor, "tensor")
    if (own := joined(group, "isend")) is None:
        return None
    target = root_of(own, "dst", dst, group_dst)
    _check_other(own, target, "destination")
    post(own, _packed(array_of(tensor)), target, tag)
    return Work("isend")


def send(tensor: Tensor, dst: int | None = None, group: Any = None, tag: int = 0, group_dst: int | None = None) -> None:
    """Send a tensor to the process ``dst``; see :func:`isend`."""
    isend(tensor, dst, group, tag, group_dst)


def irecv(tensor: Tensor, src: int | None = None, group: Any = None, tag: int = 0, group_src: int | None = None) -> Any:
    """A Work, after whose ``wait`` the tensor has what the process ``src`` sent, or any process where that is None.

    Raises:
      ValueError: ``src`` is this process, or there is no such one.
      RuntimeError: from ``wait``: what came has another dtype or count of numbers.
    """
    check_tensor(tensor, "tensor")
    if (own := joined(group, "irecv")) is None:
        return None
    any_source = src is None and group_src is None
    source = None if any_source else root_of(own, "src", src, group_src)
    if source is not None:
        _check_other(own, source, "source")
    what = f"recv on rank {own.rank()} from {'any process' if source is None else f'rank {source}'}"

    def finish(message: bytes) -> list[Any]:
        head, _, data = message.partition(b"\n")
        dtype, shape = json.loads(head)
        if dtype != str(tensor.dtype.numpy) or int(np.prod(shape)) != tensor.numel():
            raise RuntimeError(
                f"{what}: expected a tensor of {tensor.dtype} and shape {list(tensor.shape)}, but {dtype} of shape {shape} was sent"
            )
        return [write(tensor, np.frombuffer(data, tensor.dtype.numpy))]

    return _Receipt(what, Expected(own, source, tag, what), finish, own.timeout)


def recv(tensor: Tensor, src: int | None = None, group: Any = None, tag: int = 0, group_src: int | None = None) -> int:
    """Wait for what the process ``src`` sent, or any process where that is None; returns the number of the process that sent it."""
    work = irecv(tensor, src, group, tag, group_src)
    if work is None:
        return -1
    return get_global_rank(of_group(group), work.source_rank())


class P2POp:
    """One message, for batch_isend_irecv.

    Args:
      op: ``isend`` or ``irecv``.
      tensor: what is sent, or is written.
      peer: the number of the other process; group_peer: that in the group.

    Raises:
      ValueError: ``op`` is another function.
    """

    def __init__(
        self,
        op: Callable[..., Any],
        tensor: Tensor,
        peer: int | None = None,
        group: Any = None,
        tag: int = 0,
        group_peer: int | None = None,
    ):
        if op not in (isend, irecv):
            raise ValueError("Invalid ``op``. Expected ``op`` to be of type ``torch.distributed.isend`` or ``torch.distributed.irecv``.")
        check_tensor(tensor, "tensor")
        self.op, self.tensor, self.group, self.tag = op, tensor, of_group(group), tag
        self.group_peer = root_of(self.group, "peer", peer, group_peer)
        self.peer = get_global_rank(self.group, self.group_peer)


def batch_isend_irecv(p2p_op_list: list[P2POp]) -> list[Any]:
    """Begin several messages; returns a Work for each.

    Raises:
      ValueError: an entry is no P2POp, or they are of different groups.
    """
    if not p2p_op_list or not all(isinstance(op, P2POp) for op in p2p_op_list):
        raise ValueError("Invalid ``p2p_op_list``. Each op is expected to to be of type ``torch.distributed.P2POp``.")
    if any(op.group is not p2p_op_list[0].group for op in p2p_op_list):
        raise ValueError("All ops need to use the same group.")
    return [op.op(op.tensor, op.peer, op.group, op.tag) for op in p2p_op_list]


def send_object_list(
    object_list: list[Any],
    dst: int | None = None,
    group: Any = None,
    device: Any = None,
    group_dst: int | None = None,
    use_batch: bool = False,
) -> None:
    """Send Python objects to the process ``dst``, as pickles."""
    if (own := joined(group, "send_object_list")) is not None:
        target = root_of(own, "dst", dst, group_dst)
        _check_other(own, target, "destination")
        post(own, pickle.dumps(list(object_list)), target, -1)


def recv_object_list(
    object_list: list[Any],
    src: int | None = None,
    group: Any = None,
    device: Any = None,
    group_src: int | None = None,
    use_batch: bool = False,
) -> int:
    """Replace the objects of the list by those that the process ``src`` sent, or any process; returns its number. A pickle runs code."""
    if (own := joined(group, "recv_object_list")) is None:
        return -1
    source = None if src is None and group_src is None else root_of(own, "src", src, group_src)
    expected = Expected(own, source, -1, f"recv_object_list on rank {own.rank()}")
    object_list[:] = pickle.loads(expected.read(own.timeout))
    return get_global_rank(own, expected.source or 0)


def monitored_barrier(group: Any = None, timeout: Any = None, wait_all_ranks: bool = False) -> None:
    """A barrier that says which processes did not come: rank 0 waits for each, and lets them go on.

    Args:
      timeout: a timedelta; by default the group's.
      wait_all_ranks: whether to name all that did not come, and not the first alone.

    Raises:
      RuntimeError: one did not come in time.
    """
    if (own := joined(group, "monitored_barrier")) is None:
        return
    from_now = own.timeout if timeout is None else timeout.total_seconds()
    end = time.monotonic() + from_now
    if own.rank() != 0:
        post(own, b"here", 0, -2)
        Expected(own, 0, -2, f"monitored_barrier on rank {own.rank()}").read(from_now)
        return
    missing = []
    for rank in range(1, own.size()):
        try:
            Expected(own, rank, -2, f"monitored_barrier on rank {own.rank()}").read(max(0.0, end - time.monotonic()))
        except DistBackendError:
            missing.append(rank)
            if not wait_all_ranks:
                break
    if missing:
        names = ", ".join(map(str, missing))
        raise RuntimeError(f"Rank{'s' if len(missing) > 1 else ''} {names} failed to pass monitoredBarrier in {from_now * 1000:.0f} ms")
    for rank in range(1, own.size()):
        post(own, b"go", rank, -2)
