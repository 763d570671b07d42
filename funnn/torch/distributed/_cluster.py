"""Processes joined by JAX: its coordination service, and a CPU client of XLA which has devices in each process.

The client is one beside that in which the program computes. So it can be made after the program has computed, and again after it was closed; jax.devices()
stays what the process sees by itself; and a collective operation is a program of XLA over Gloo, on the host's memory, whatever device computes.

How processes end: one that ends says so under the key ``left/RANK``, with what made it fail if something did. Whoever waits for it looks there once a second.
One that is killed can't; the service, which has a process of its own, tells the others. Rank 0, which starts that process, ends after the others.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
import sys
import threading
import time
from types import TracebackType
from typing import Any

from funnn._service import Service, Watch
from funnn.torch.distributed.errors import DistBackendError, DistNetworkError, ProcessGoneError, killed
from funnn.torch.distributed.store import Store, seconds_of

#: After how many seconds without a sign of life a process counts as dead; JAX then ends the others.
_HEARTBEAT = 40
#: The devices that the client has in each process: programs on the same ones share a connection, whose messages must not get mixed up between groups.
_DEVICES = 64
#: How long the service's process waits for others to hear that it fails.
_LINGER = 3.0

_clusters: list[Cluster] = []
_failure: list[str] = []
_lock = threading.Lock()
#: The threads that are within an operation.
busy: set[threading.Thread] = set()


class Cluster:
    """The processes that one call of init_process_group joins; a cluster of one has neither service nor devices.

    Args:
      store: where the processes meet.
      rank, size: of this process among them.
      timeout: seconds to wait for the others.

    Raises:
      DistNetworkError: they do not come in time, or the service can't be started.
    """

    def __init__(self, store: Store, rank: int, size: int, timeout: float):
        self.rank, self.size = rank, size
        self._service = self._client = self._watch = None
        self._killed: dict[int, str] = {}  # those that have ended without a word, with what errors say of them
        self._devices: list[list[Any]] = []
        self._groups: dict[tuple[int, ...], int] = {}  # how many of the same processes there have been
        self._locks: dict[tuple[int, ...], threading.Lock] = {}  # by which of their devices, and processes
        self._is_open = size > 1
        self._is_second = False  # whether it fails because another process has failed
        if size > 1:
            self._join(store, timeout)
            with _lock:
                if not _clusters:
                    atexit.register(_leave_all)
                    _watch_failures()
                _clusters.append(self)

    def _join(self, store: Store, timeout: float) -> None:
        jax, client = _jax_parts()
        if self.rank == 0:
            host = getattr(store, "host", None) or os.environ.get("MASTER_ADDR", "127.0.0.1")
            self._service, port = _start_service(host, self.size)
            store.set("/funnn/coordinator", f"{host}:{port} {self._service.place}")
        end = time.monotonic() + timeout
        store.wait(["/funnn/coordinator"], timeout)
        address, _, place = store.get("/funnn/coordinator").decode().partition(" ")
        store.add("/funnn/joined", 1)
        while (joined := store.add("/funnn/joined", 0)) < self.size:
            if time.monotonic() > end:
                raise DistNetworkError(
                    f"init_process_group on rank {self.rank} waited {timeout:.0f} s for {self.size} processes, of which {joined} came; start as many as "
                    "world_size says, each with a rank of its own"
                )
            time.sleep(0.005)
        self._client = jax.get_distributed_runtime_client(
            address,
            self.rank,
            init_timeout=max(10, int(timeout)),
            heartbeat_timeout=_HEARTBEAT,
            shutdown_timeout=86400,
            shutdown_on_destruction=False,
        )
        self._client.connect()
        self._watch = Watch(place, self.rank, lambda rank, reason: self._killed.update({rank: killed(rank)}))
        interface = os.environ.get("GLOO_SOCKET_IFNAME")
        options = {"interface": interface} if interface else {}
        made = client.make_cpu_client(
            distributed_client=self._client,
            node_id=self.rank,
            num_nodes=self.size,
            collectives=jax.make_gloo_tcp_collectives(distributed_client=self._client, **options),
            num_devices=_DEVICES,
            asynchronous=False,
        )
        self._devices = [[device for device in made.devices() if device.process_index == rank] for rank in range(self.size)]

    def devices(self, ranks: list[int]) -> tuple[list[Any], threading.Lock]:
        """One device of each of some processes, none where there is one process, and a lock for their programs.

        Groups of the same processes get devices of their own, until there are none left; those that share some take turns.
        """
        if not self._devices:
            return [], threading.Lock()
        number = self._groups.get(tuple(ranks), 0)
        self._groups[tuple(ranks)] = number + 1
        place = number % _DEVICES
        return [self._devices[rank][place] for rank in ranks], self._locks.setdefault((place, *ranks), threading.Lock())

    # -- keys

    def put(self, key: str, value: bytes) -> None:
        """Give a key its value, for all processes."""
        self._client.key_value_set_bytes(key, value)

    def find(self, key: str) -> bytes | None:
        """The value of a key, if it is there."""
        with contextlib.suppress(Exception):  # JAX has one class for all that may be, not being there above all
            return self._client.key_value_try_get_bytes(key)
        return None

    def forget(self, key: str) -> None:
        """Take a key out."""
        self._client.key_value_delete(key)

    def get(self, key: str, timeout: float, what: str, ranks: list[int]) -> bytes:
        """The value of a key, when it is there; ``what`` and ``ranks`` are those that an error names.

        Raises:
          DistBackendError: it is not in time, or one of the processes has ended.
        """
        end = time.monotonic() + timeout
        while True:
            left = end - time.monotonic()
            try:
                return self._client.blocking_key_value_get_bytes(key, max(1, int(min(left, 1.0) * 1000)))
            except Exception as error:
                if "DEADLINE_EXCEEDED" not in str(error) and "NOT_FOUND" not in str(error):
                    raise DistBackendError(f"{what} failed: {error}") from None
            found = self.find(key)
            if found is not None:
                return found
            self.check_alive(what, ranks)
            if time.monotonic() > end:
                raise DistBackendError(f"{what} timed out after {timeout:g} s; see that the other side has the call too")

    def meet(self, name: str, ranks: list[int], timeout: float) -> None:
        """Wait until all these processes have come to this point."""
        self._client.wait_at_barrier(name, max(1, int(timeout * 1000)), ranks)

    # -- the end

    def gone(self) -> dict[int, str]:
        """The processes that have ended or left, with what made them fail, or nothing."""
        with contextlib.suppress(Exception):
            entries = self._client.key_value_dir_get_bytes("left")
            return {int(key.rpartition("/")[2]): value[1:].decode() for key, value in entries}
        return {}

    def check_alive(self, what: str, ranks: list[int]) -> None:
        """Raise where one of these processes has ended.

        Raises:
          ProcessGoneError: with its rank, and what made it fail.
        """
        gone = self.gone()
        for rank, reason in gone.items():
            if rank in ranks and rank != self.rank:
                how = f"has failed: {reason}" if reason else "has left the group"
                raise ProcessGoneError(f"{what} can't be done, for the process of rank {rank} {how}", bool(reason))
        for rank, text in list(self._killed.items()):
            if rank in ranks and rank not in gone:
                raise ProcessGoneError(f"{what} failed: {text}", True)

    def fail(self, reason: str) -> None:
        """Say that this process fails, after others or as the first."""
        self._is_second = any(why for rank, why in self.gone().items() if rank != self.rank)
        self.leave(reason)

    def leave(self, reason: str = "") -> None:
        """Say that this process takes part no longer."""
        if self._is_open:
            self._is_open = False
            with contextlib.suppress(Exception):  # the service may have gone
                self.put(f"left/{self.rank}", f"={reason}".encode())
            if self._watch is not None:
                self._watch.leave()

    def close(self) -> None:
        """Wait for the others, and disconnect; without waiting where one has failed.

        A process that fails because another one did gives a launcher the time to see that one end, which it then names, and stops this one.
        """
        end = time.monotonic() + _LINGER if _failure else float("inf")
        is_second = self._is_second and "TORCHELASTIC_RUN_ID" in os.environ
        while self.size > 1:
            gone = {**self._killed, **self.gone()}
            everybody = len(gone) == self.size or not gone  # none: the service has gone
            if time.monotonic() > end or (not is_second and (everybody or (self.rank and any(gone.values())))):
                if len(gone) == self.size and not any(gone.values()):
                    self._client.shutdown()
                    if self._service is not None:
                        self._service.shutdown()
                return
            time.sleep(0.02)


def _jax_parts() -> tuple[Any, Any]:
    """JAX's modules for several processes.

    Raises:
      NotImplementedError: this release of JAX has them elsewhere.
    """
    try:
        from jax._src.lib import _jax, xla_client
    except ImportError as error:
        raise NotImplementedError(
            f"torch.distributed with several processes needs internals of JAX that this release has elsewhere ({error}); install jax 0.10, or use "
            "funnn.sharding"
        ) from None
    return _jax, xla_client


def _start_service(host: str, size: int) -> tuple[Service, int]:
    """The coordination service, at a free port."""
    problem: Exception | None = None
    for _ in range(5):
        with socket.socket() as probe:
            probe.bind(("", 0))
            port = probe.getsockname()[1]
        try:
            return Service(host, port, size, {"heartbeat_timeout": _HEARTBEAT, "shutdown_timeout": 86400}), port
        except RuntimeError as error:  # somebody else took the port meanwhile
            problem = error
    raise DistNetworkError(f"JAX's coordination service can't be started on {host}: {problem}")


# -- what this process fails with


def _watch_failures() -> None:
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        announce_failure(f"{kind.__name__}: {error}")
        before(kind, error, traceback)

    sys.excepthook = hook


def announce_failure(reason: str) -> None:
    """Tell the other processes that this one fails, and of what."""
    _failure.append(reason[:2000])
    for cluster in _clusters:
        cluster.fail(_failure[0])


def _leave_all() -> None:
    """At the end of this process."""
    for cluster in _clusters:
        cluster.leave(_failure[0] if _failure else "")
    for cluster in _clusters:
        cluster.close()
    for thread in list(busy):  # in an operation that others never came to; it ends when their processes do
        thread.join(_LINGER)
    if busy:  # to end as Python does would be the end of C++'s patience with such a thread
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


def timeout_of(timeout: Any, default: float) -> float:
    """Seconds of what was passed as a timeout, or the default."""
    return default if timeout is None else seconds_of(timeout)
