"""Stores: keys and bytes that the processes of a group share before they can do anything else.

All of them are one table of bytes (``_Table``), and differ in where it lies: in this process, in a file, or in a process that others ask over TCP.
A message is a list in JSON: the table's method and its arguments, bytes being written as Latin-1 text. So nobody who reaches the port can run code.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

from funnn.torch.distributed.errors import DistNetworkError, DistStoreError

__all__ = ["FileStore", "HashStore", "PrefixStore", "Store", "TCPStore"]

_HELLO = "a store of funnn"


class _Table:
    """Keys with text; each method is done as a whole before another begins."""

    METHODS = ("hello", "set", "fetch", "add", "append", "compare_set", "delete", "check", "keys")

    def __init__(self, entries: dict[str, str] | None = None):
        self.entries = {} if entries is None else entries
        self._lock = threading.Lock()

    def call(self, method: str, *args: Any) -> Any:
        """Run one of ``METHODS``."""
        if method not in self.METHODS:
            raise ValueError(f"a store has the methods {', '.join(self.METHODS)}, got {method!r}")
        with self._lock:
            return getattr(self, method)(*args)

    def hello(self) -> str:
        return _HELLO

    def set(self, key: str, value: str) -> None:
        self.entries[key] = value

    def fetch(self, key: str) -> str | None:
        return self.entries.get(key)

    def add(self, key: str, amount: int) -> int:
        total = int(self.entries.get(key, "0")) + amount
        self.entries[key] = str(total)
        return total

    def append(self, key: str, value: str) -> None:
        self.entries[key] = self.entries.get(key, "") + value

    def compare_set(self, key: str, expected: str, desired: str) -> str:
        found = self.entries.get(key)
        if found == expected or (found is None and not expected):
            self.entries[key] = found = desired
        return expected if found is None else found

    def delete(self, key: str) -> bool:
        return self.entries.pop(key, None) is not None

    def check(self, keys: list[str]) -> bool:
        return all(key in self.entries for key in keys)

    def keys(self) -> list[str]:
        return list(self.entries)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else bytes(value).decode("latin-1")


def seconds_of(timeout: Any) -> float:
    """A timedelta, or a number of seconds, as seconds.

    Raises:
      TypeError: it is neither.
    """
    if isinstance(timeout, timedelta):
        return timeout.total_seconds()
    if isinstance(timeout, (int, float)) and not isinstance(timeout, bool):
        return float(timeout)
    raise TypeError(f"Expected timeout argument to be of type datetime.timedelta, got {timeout}")


class Store:
    """Keys and bytes that processes share. ``get`` and ``wait`` wait for a key until the store's timeout; the others answer at once."""

    def __init__(self) -> None:
        self._timeout = timedelta(seconds=300)

    def _call(self, method: str, *args: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} holds nothing; use HashStore, FileStore or TCPStore")

    @property
    def timeout(self) -> timedelta:
        """How long ``get`` and ``wait`` wait."""
        return self._timeout

    def set_timeout(self, timeout: timedelta) -> None:
        """Let ``get`` and ``wait`` wait that long."""
        seconds_of(timeout)
        self._timeout = timeout

    def set(self, key: str, value: str | bytes) -> None:
        """Give a key its value."""
        self._call("set", key, _text(value))

    def get(self, key: str) -> bytes:
        """The value of a key, once somebody has set it.

        Raises:
          DistStoreError: nobody has within the timeout.
        """
        self.wait([key])
        return (self._call("fetch", key) or "").encode("latin-1")

    def wait(self, keys: Sequence[str], timeout: Any = None) -> None:
        """Return when all keys are there.

        Raises:
          DistStoreError: one is not within ``timeout``, by default the store's.
        """
        limit = seconds_of(self._timeout if timeout is None else timeout)
        end, pause = time.monotonic() + limit, 0.002
        while not self._call("check", list(keys)):
            if time.monotonic() > end:
                missing = [key for key in keys if not self._call("check", [key])]
                raise DistStoreError(f"wait timeout after {limit * 1000:.0f}ms, keys: /{', /'.join(missing)}")
            time.sleep(pause)
            pause = min(2 * pause, 0.1)

    def add(self, key: str, amount: int) -> int:
        """Add to the number at a key, 0 at first; returns the sum."""
        return int(self._call("add", key, int(amount)))

    def append(self, key: str, value: str | bytes) -> None:
        """Put a value behind that of the key."""
        self._call("append", key, _text(value))

    def compare_set(self, key: str, expected_value: str | bytes, desired_value: str | bytes) -> bytes:
        """Set a key if it has the expected value, or if it isn't there and that is empty; returns what it has then."""
        return str(self._call("compare_set", key, _text(expected_value), _text(desired_value))).encode("latin-1")

    def check(self, keys: Sequence[str]) -> bool:
        """Whether all keys are there."""
        return bool(self._call("check", list(keys)))

    def delete_key(self, key: str) -> bool:
        """Take a key out; whether it was there."""
        return bool(self._call("delete", key))

    def list_keys(self) -> list[str]:
        """All keys."""
        return list(self._call("keys"))

    def num_keys(self) -> int:
        """How many keys there are."""
        return len(self.list_keys())

    def multi_get(self, keys: Sequence[str]) -> list[bytes]:
        """The values of several keys, once all are there."""
        return [self.get(key) for key in keys]

    def multi_set(self, keys: Sequence[str], values: Sequence[str | bytes]) -> None:
        """Give several keys their values."""
        for key, value in zip(keys, values, strict=True):
            self.set(key, value)

    def has_extended_api(self) -> bool:
        """True: ``append``, ``multi_get`` and ``multi_set`` are there."""
        return True


class HashStore(Store):
    """A store within one process, for its threads."""

    def __init__(self) -> None:
        super().__init__()
        self._table = _Table()

    def _call(self, method: str, *args: Any) -> Any:
        return self._table.call(method, *args)


class FileStore(Store):
    """A store in a file that all processes can write.

    Args:
      file_name: the file; it is made where it isn't there.
      world_size: how many processes will use it; accepted and not needed.
    """

    def __init__(self, file_name: str, world_size: int = -1):
        super().__init__()
        self._path = Path(file_name)
        self._path.touch()

    @property
    def path(self) -> str:
        """The file."""
        return str(self._path)

    def _call(self, method: str, *args: Any) -> Any:
        with open(self._path, "r+b") as file, _locked(file):
            table = _Table(json.loads(file.read() or b"{}"))
            before = dict(table.entries)
            result = table.call(method, *args)
            if table.entries != before:
                file.seek(0)
                file.truncate()
                file.write(json.dumps(table.entries).encode())
                file.flush()
            return result


@contextlib.contextmanager
def _locked(file: Any) -> Iterator[None]:
    """While nobody else has the file."""
    if os.name == "nt":  # pragma: no cover
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        yield
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
        yield  # closing the file unlocks it


class TCPStore(Store):
    """A store in one process, which the others ask over TCP.

    Args:
      host_name, port: where it is; with ``is_master`` port 0 takes a free one, which :attr:`port` says.
      world_size: of how many processes the master waits to have come, with ``wait_for_workers``; None for no waiting.
      is_master: whether this process holds the table.
      timeout: how long to wait for the connection, for the others, and in ``get`` and ``wait``.

    Raises:
      DistNetworkError: the port is taken, or nobody answers there in time.
      DistStoreError: the others did not come in time.
    """

    def __init__(
        self,
        host_name: str,
        port: int,
        world_size: int | None = None,
        is_master: bool = False,
        timeout: timedelta = timedelta(seconds=300),
        wait_for_workers: bool = True,
        multi_tenant: bool = False,
        **options: Any,
    ):
        super().__init__()
        self.set_timeout(timeout)
        self.host, self.port, self._lock = host_name, port, threading.Lock()
        self._connection: Connection | None = None
        self._table: _Table | None = None
        if is_master:
            self._table, self.port = _serve(host_name, port)
        else:
            self._connect()
        if wait_for_workers and world_size is not None and world_size > 0:
            self._gather(world_size, is_master)

    def _gather(self, size: int, is_master: bool) -> None:
        count, end = self.add("/funnn/workers", 1), time.monotonic() + seconds_of(self.timeout)
        while is_master and count < size:
            if time.monotonic() > end:
                limit = seconds_of(self.timeout)
                raise DistStoreError(f"Timed out after {limit:.0f} seconds waiting for clients. {count}/{size} clients joined.")
            time.sleep(0.01)
            count = self.add("/funnn/workers", 0)

    def _connect(self) -> None:
        limit = seconds_of(self.timeout)
        end, pause = time.monotonic() + limit, 0.01
        while True:
            try:
                self._connection = Client((self.host, self.port), family="AF_INET")
                break
            except OSError as error:
                if time.monotonic() > end:
                    raise DistNetworkError(
                        f"The client socket has timed out after {limit * 1000:.0f}ms while trying to connect to ({self.host}, {self.port}): {error}; "
                        "see that the process of rank 0 runs, and that MASTER_ADDR and MASTER_PORT are its own"
                    ) from None
                time.sleep(pause)
                pause = min(2 * pause, 0.5)
        self._connection.send_bytes(json.dumps(["hello"]).encode())
        try:
            greeted = self._connection.poll(min(limit, 10)) and json.loads(self._connection.recv_bytes(1000)) == [_HELLO]
        except (EOFError, OSError, ValueError):
            greeted = False
        if not greeted:
            raise DistNetworkError(
                f"what answers at ({self.host}, {self.port}) is no store of funnn; start all processes with funnn (python -m funnn launch, in the place "
                "of torchrun), or take another MASTER_PORT"
            )

    def _call(self, method: str, *args: Any) -> Any:
        if self._table is not None:
            return self._table.call(method, *args)
        connection = self._connection
        assert connection is not None
        with self._lock:
            try:
                connection.send_bytes(json.dumps([method, *args]).encode())
                return json.loads(connection.recv_bytes())[0]
            except (EOFError, OSError) as error:
                raise DistNetworkError(f"the store at ({self.host}, {self.port}) has gone: its process has ended ({error})") from None


#: The tables that this process answers for, by port: a group that begins where another did takes the same.
_served: dict[int, _Table] = {}


def _serve(host: str, port: int) -> tuple[_Table, int]:
    """Answer for a table at a port, in threads of their own; returns both. Other machines reach it, but where the host is this one by a name for itself."""
    if port in _served:
        return _served[port], port
    table = _Table()
    try:
        listener = Listener((host if host in ("127.0.0.1", "localhost") else "", port), family="AF_INET", backlog=1024)
    except OSError as error:
        raise DistNetworkError(
            f"The server socket has failed to listen on ({host}, {port}): {error}; take another port (MASTER_PORT), or end the process that has it"
        ) from None
    port = int(listener.address[1])
    _served[port] = table

    def accept() -> None:
        while True:
            with contextlib.suppress(OSError, EOFError):
                threading.Thread(target=_answer, args=(table, listener.accept()), daemon=True, name="funnn-store").start()

    threading.Thread(target=accept, daemon=True, name="funnn-store").start()
    return table, port


def _answer(table: _Table, connection: Connection) -> None:
    with contextlib.suppress(EOFError, OSError, ValueError), connection:
        while True:
            connection.send_bytes(json.dumps([table.call(*json.loads(connection.recv_bytes()))]).encode())


class PrefixStore(Store):
    """Another store, with a prefix before its keys.

    Args:
      prefix: what stands before each key, with a slash.
      store: the other one.
    """

    def __init__(self, prefix: str, store: Store):
        super().__init__()
        self._prefix, self._store, self._timeout = f"{prefix}/", store, store.timeout

    @property
    def underlying_store(self) -> Store:
        """The other store."""
        return self._store

    @property
    def host(self) -> str | None:
        """The host of the other store, if it has one."""
        return getattr(self._store, "host", None)

    def _call(self, method: str, *args: Any) -> Any:
        if method == "check":
            return self._store._call(method, [self._prefix + key for key in args[0]])
        if method == "keys":
            return [key.removeprefix(self._prefix) for key in self._store._call(method) if key.startswith(self._prefix)]
        return self._store._call(method, self._prefix + args[0], *args[1:])
