"""The process of a DataLoader's worker."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import os
import queue
import random
import signal
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import jax
import numpy as np

from funnn.engine.tensor.generator import manual_seed
from funnn.engine.tensor.tensor import Tensor
from funnn.torch.utils.data import _collate
from funnn.torch.utils.data._fetch import Fetcher
from funnn.torch.utils.data._transport import Parcel, Pending, pack

PATIENCE = 5.0  # seconds that a process gets to finish a sample when its loader is gone


class Signal(enum.Enum):
    """What is said beside batches: the process has started, begin an epoch (instead of a task's number); the stream has ended (instead of a
    batch).
    """

    STARTED = 0
    RESUME = 1
    ENDED = 2


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerInfo:
    """What a worker knows of itself.

    Attributes:
      id: 0 … num_workers − 1.
      num_workers: of this loader.
      seed: base seed of the epoch + id; the seed of ``random`` and of the default generator here.
      dataset: this process's copy.
      rng, worker_method: None and "multiprocessing".
    """

    id: int
    num_workers: int
    seed: int
    dataset: Any
    rng: Any = None
    worker_method: str | None = "multiprocessing"


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """The :class:`WorkerInfo` of this process; None outside a DataLoader's workers."""
    return _info


class _Message(str):
    """A text that KeyError shows as it is."""

    __repr__ = str.__str__


class Failure:
    """An exception on its way to the training process."""

    def __init__(self, error: Exception, worker: int):
        self.kind = type(error)
        self.text = (
            f"Caught {self.kind.__name__} in DataLoader worker process {worker}.\nOriginal {''.join(traceback.format_exception(error))}"
        )

    def reraise(self) -> None:
        """Raise the same class with the worker's traceback as its text; RuntimeError if the class can't be made of a text."""
        try:
            if getattr(self.kind, "message", None):
                error = self.kind(message=self.text)
            else:
                error = self.kind(_Message(self.text) if self.kind is KeyError else self.text)
        except Exception:
            error = RuntimeError(self.text)
        raise error


def seed_all(base_seed: int, worker: int) -> int:
    """Seed ``random``, the default generator and NumPy as torch's workers do; the seed of the first two."""
    seed = base_seed + worker
    random.seed(seed)
    manual_seed(seed)
    np.random.seed(np.random.SeedSequence([worker, base_seed % 2**32, base_seed >> 32, 0]).generate_state(4))
    return seed


def use_cpu() -> None:
    """What a worker calls first that imports the library itself: accelerators are the training process's."""
    jax.config.update("jax_platforms", "cpu")


def work(parcel: Parcel, connection: Connection, worker: int, num_workers: int, base_seed: int, begin: Callable[[], None]) -> None:
    """Answer tasks until the loader closes the connection; before all else call ``begin``.

    A task is (number, index, name for shared memory), and its answer (number, batch), (number, Failure) or (number, Signal.ENDED).
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the loader's ends the others
    begin()
    with contextlib.suppress(OSError):  # the loader may be gone
        connection.send_bytes(pack((Signal.STARTED, None), ""))
    tasks: queue.SimpleQueue = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, tasks, os.getppid()), daemon=True).start()
    try:
        fetchers = _fetchers(parcel, worker, num_workers, base_seed)
        fetch = next(fetchers)
    except Exception as error:
        fetch = Failure(error, worker)
    ended = False
    while (task := tasks.get()) is not None:
        number, index, name = task
        if number is Signal.RESUME:
            ended, answer = False, None
            try:
                fetch = fetch if isinstance(fetch, Failure) else next(fetchers)
            except Exception as error:
                fetch = Failure(error, worker)
        elif ended:
            continue
        else:
            answer = _answer(fetch, index, worker)
            ended = answer is Signal.ENDED
        try:
            connection.send_bytes(_packed(number, answer, name, worker))
        except OSError:  # the loader is gone
            return


def _listen(connection: Connection, tasks: queue.SimpleQueue, parent: int) -> None:
    """Hand on tasks. A thread of its own, so that the loader's sends never wait for a sample, and so that its end is noticed at once.

    A process that the user forked may hold the other end open when the loader's is gone, and so its number is looked at too.
    """
    try:
        while os.getppid() == parent:
            if connection.poll(PATIENCE):
                tasks.put(connection.recv())
        tasks.put(None)
    except (EOFError, OSError):
        tasks.put(None)
    time.sleep(PATIENCE)
    os._exit(1)


def _fetchers(parcel: Parcel, worker: int, num_workers: int, base_seed: int) -> Any:
    """A Fetcher for every epoch."""
    global _info
    dataset, collate, init, batched, drop_last = parcel.open()
    _info = WorkerInfo(worker, num_workers, seed_all(base_seed, worker), dataset)
    if init is not None:
        init(worker)
    gathers = collate is _collate.default_collate
    if gathers:
        collate = _collate_here
    elif collate is _collate.default_convert:
        collate = _convert_here
    while True:
        yield Fetcher(dataset, collate, batched, drop_last, gathers)


def _collate_here(batch: Any) -> Any:
    return _collate.collate(batch, Pending, _stack_here)


def _convert_here(data: Any) -> Any:
    return _collate.convert(data, Pending)


def _stack_here(tensors: list[Tensor]) -> Any:
    """Without XLA, which would compile a program for every shape in every worker."""
    if any(item.requires_grad or item.dtype != tensors[0].dtype for item in tensors):
        return _collate.stack(tensors)
    return Pending(np.stack([item._host() for item in tensors]))


def _answer(fetch: Fetcher | Failure, index: Any, worker: int) -> Any:
    if isinstance(fetch, Failure):
        return fetch
    try:
        return fetch(index)
    except Exception as error:
        return Signal.ENDED if isinstance(error, StopIteration) and fetch.streams else Failure(error, worker)


def _packed(number: Any, answer: Any, name: str, worker: int) -> bytes:
    """The message; what can't be pickled is a failure too."""
    try:
        return pack((number, answer), name)
    except Exception as error:
        failure = answer if isinstance(answer, Failure) else Failure(error, worker)
        try:
            return pack((number, failure), name)
        except Exception:  # the exception's class
            failure.kind = RuntimeError
            return pack((number, failure), name)
