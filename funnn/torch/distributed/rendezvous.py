"""Where the processes of a group meet, as init_process_group is told it."""

from __future__ import annotations

import os
from datetime import timedelta
from urllib.parse import parse_qs, urlparse
from urllib.request import url2pathname

from funnn.torch.distributed.store import FileStore, HashStore, Store, TCPStore


def meeting_place(init_method: str | None, store: Store | None, world_size: int, rank: int, timeout: float) -> tuple[Store, int, int]:
    """The store, this process's rank, and how many processes there are.

    Raises:
      AssertionError: both a method and a store, or a store without rank and size.
      ValueError: rank or size are missing or out of range, or the method is none.
    """
    if store is not None:
        if init_method is not None:
            raise AssertionError("Cannot specify both init_method and store.")
        if world_size <= 0:
            raise AssertionError("world_size must be positive if using store")
        if rank < 0:
            raise AssertionError("rank must be non-negative if using store")
        return store, *_checked(rank, world_size)
    url = urlparse(init_method or "env://")
    query = {name: int(values[-1]) for name, values in parse_qs(url.query).items() if name in ("rank", "world_size")}
    rank, world_size = (given if given != -1 else query.get(name, -1) for name, given in (("rank", rank), ("world_size", world_size)))
    if url.scheme == "env":
        own, size = _checked(_from_environment("RANK", rank), _from_environment("WORLD_SIZE", world_size))
    elif url.scheme in ("tcp", "file"):
        for name, given in (("world_size", world_size), ("rank", rank)):
            if given == -1:
                raise ValueError(f"Error initializing torch.distributed using {url.scheme}:// rendezvous: {name} parameter missing")
        own, size = _checked(rank, world_size)
    else:
        raise RuntimeError(
            f"No rendezvous handler for {url.scheme}://; expected init_method to begin with env://, tcp:// or file://, got {init_method!r}"
        )
    if url.scheme == "file":
        return FileStore(url2pathname(url.netloc + url.path), size), own, size
    if size == 1:
        return HashStore(), own, size
    if url.scheme == "tcp":
        if url.hostname is None or url.port is None:
            raise ValueError(f"Error initializing torch.distributed using tcp:// rendezvous: port number missing in {init_method!r}")
        return _tcp(url.hostname, url.port, own, timeout), own, size
    host, port = _required("MASTER_ADDR"), int(_required("MASTER_PORT"))
    return _tcp(host, port, own if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True" else -1, timeout), own, size


def _tcp(host: str, port: int, rank: int, timeout: float) -> Store:
    return TCPStore(host, port, is_master=rank == 0, timeout=timedelta(seconds=timeout))


def _checked(rank: int, size: int) -> tuple[int, int]:
    if size < 1:
        raise ValueError(f"init_process_group: expected world_size to be 1 or more, got {size}")
    if not 0 <= rank < size:
        raise ValueError(f"init_process_group: expected rank to be from 0 to world_size - 1 = {size - 1}, got {rank}")
    return rank, size


def _from_environment(name: str, given: int) -> int:
    return given if given != -1 else int(_required(name))


def _required(name: str) -> str:
    if name not in os.environ:
        raise ValueError(
            f"Error initializing torch.distributed using env:// rendezvous: environment variable {name} expected, but not set; start the program by "
            "`python -m funnn launch --processes N SCRIPT`, or set it"
        )
    return os.environ[name]
