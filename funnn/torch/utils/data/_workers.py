"""A DataLoader's worker processes as the training process sees them: started, asked, watched and ended."""

from __future__ import annotations

import contextlib
import functools
import itertools
import multiprocessing
import os
import signal
import sys
import time
import uuid
import weakref
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.util import register_after_fork
from typing import Any

import numpy as np

from funnn.engine.program.forked import forking
from funnn.engine.program.value import is_on_cpu
from funnn.engine.tensor.generator import default_generator
from funnn.torch.utils.data._reach import values_within
from funnn.torch.utils.data._transport import Parcel, remove, unpack
from funnn.torch.utils.data._worker import PATIENCE, Failure, Signal, use_cpu, work
from funnn.torch.utils.data.sampler import draw_seed

#: What a worker's environment differs in: accelerators are the training process's, and the workers share the cores.
_ENVIRONMENT = {"JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

_START = 60.0  # seconds in which a process that was forked must have started: it takes a tenth of one
_NO_START = (
    f"a DataLoader worker did not start in {_START:.0f} seconds: another thread of this program may have held a lock when it was forked; make the "
    "workers before such threads start (persistent_workers=True keeps them), or use multiprocessing_context='forkserver' or 'spawn'"
)


class Pool:
    """Worker processes, which end when the pool is closed, collected, or the program ends.

    Where torch forks they are forked from this process, and so have all that the program has: what it defines anywhere, module globals as they are
    now, open files, locks, generators, and the dataset's memory without a copy. JAX's threads are not copied, so workers do without them
    (``funnn.engine.program.forked``). By "spawn" and "forkserver" they are processes of their own, which get the dataset by pickle, and import the main
    module.
    """

    def __init__(self, loader: Any, base_seed: int):
        batched = loader.batch_sampler is not None
        parcel = Parcel((loader.dataset, loader.collate_fn, loader.worker_init_fn, batched, loader.drop_last))
        context = _context_of(loader)
        self.connections: list[Connection] = []
        self.processes: list[Any] = []
        forks = context.get_start_method() == "fork"
        self._starting = set(range(loader.num_workers))
        self._patience = _START if forks else None
        self._unanswered: dict[str, None] = {}  # names that answers may have in shared memory
        self._prefix, self._names = f"fn{os.getpid()}_{uuid.uuid4().hex[:8]}_", itertools.count()
        self.close = weakref.finalize(self, _end, os.getpid(), self.processes, self.connections, self._unanswered)
        register_after_fork(self, Pool._leave_to_parent)
        try:
            with _forking(parcel) if forks else _environment(_ENVIRONMENT) as begin:
                for number in range(loader.num_workers):
                    ours, theirs = context.Pipe()
                    self.connections.append(ours)
                    task = parcel, theirs, number, loader.num_workers, base_seed, begin
                    process = context.Process(target=work, args=task, daemon=True)
                    try:
                        process.start()
                    finally:
                        theirs.close()
                    self.processes.append(process)
        except BaseException:
            self.close()
            raise

    def _leave_to_parent(self) -> None:
        """In a process that was forked from the one that has the workers: they end when all copies of its connections are closed."""
        for connection in self.connections:
            connection.close()

    def send(self, worker: int, number: Any, index: Any = None) -> None:
        """A task for a worker; see work."""
        name = f"{self._prefix}{next(self._names)}"
        self._unanswered[name] = None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # receive tells of a worker that died
            self.connections[worker].send((number, index, name))

    def forget(self) -> None:
        """Every task so far was answered, or needs no answer."""
        self._unanswered.clear()

    def dismiss(self, worker: int) -> None:
        """Let a worker end, which has no more to do."""
        self.connections[worker].close()

    def receive(self, timeout: float) -> tuple[int, Any, Any]:
        """Wait for an answer: worker, number, answer.

        Raises:
          RuntimeError: a worker died, or ``timeout`` (seconds; 0 for none) went by, not counting the time in which processes start.
        """
        while True:
            working = {connection: number for number, connection in enumerate(self.connections) if not connection.closed}
            ready = wait(working, self._patience if self._starting else timeout or None)
            if not ready and self._starting:
                self.close()
                raise RuntimeError(_NO_START)
            if not ready:
                raise RuntimeError(f"DataLoader timed out after {timeout} seconds")
            worker = working[ready[0]]
            try:
                name, (number, answer) = unpack(self.connections[worker].recv_bytes())
            except (EOFError, OSError):
                raise RuntimeError(self._obituary(worker)) from None
            if number is not Signal.STARTED:
                self._unanswered.pop(name, None)
                return worker, number, answer
            self._starting.discard(worker)

    def _obituary(self, worker: int) -> str:
        process = self.processes[worker]
        process.join(PATIENCE)
        pid, code = process.pid, process.exitcode
        self.close()
        if code is not None and code < 0:
            return (
                f"DataLoader worker (pid(s) {pid}) exited unexpectedly: it is killed by signal: {signal.Signals(-code).name}. "
                "SIGKILL often means that memory ran out: use fewer workers or smaller batches"
            )
        return (
            f"DataLoader worker (pid(s) {pid}) exited unexpectedly with code {code}; what it wrote to stderr says why. A script that starts "
            'workers by "spawn" or "forkserver" needs its main part under `if __name__ == "__main__":`, for they import it; num_workers=0 shows '
            "errors at their place"
        )


def _end(owner: int, processes: list[Any], connections: list[Connection], unanswered: dict[str, None]) -> None:
    """Close the connections, at which workers end; stop those that do not; remove what they left in shared memory."""
    if os.getpid() != owner:  # a process that a user forked from the one that has the workers
        return
    for connection in connections:
        connection.close()
    deadline = time.monotonic() + PATIENCE
    for process in processes:
        process.join(max(deadline - time.monotonic(), 0))
        if process.exitcode is None:
            process.kill()
            process.join()
    for name in unanswered:
        remove(name)


def _context_of(loader: Any) -> Any:
    """The loader's choice, or Python's where the program made one there, or "fork" where torch forks."""
    method = multiprocessing.get_start_method(allow_none=True) or ("fork" if sys.platform == "linux" else "spawn")
    context = loader.multiprocessing_context or multiprocessing.get_context(method)
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload([__name__])  # not the main module, Python's default, which may start JAX in the server
    return context


@contextlib.contextmanager
def _forking(parcel: Parcel) -> Iterator[Callable[[], None]]:
    """A context in which workers are forked; what they call first."""
    resource_tracker.ensure_running()  # one for all, which removes what they leave in shared memory should all be killed
    locks = default_generator.lock, np.random.get_bit_generator().lock
    with forking(locks) as begin:
        yield functools.partial(
            begin, [] if is_on_cpu() else [(value, np.asarray(value.known())) for value in values_within(parcel.values)]
        )


@contextlib.contextmanager
def _environment(changes: dict[str, str]) -> Iterator[Callable[[], None]]:
    """A context in which workers are started with a changed environment; what they call first."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield use_cpu
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class WorkersEpoch:
    """One pass over a dataset by workers: task k goes to worker k mod n (of those whose stream has not ended), and batches come in the order
    of tasks, or with ``in_order=False`` as they arrive. ``prefetch_factor`` tasks per worker are under way.
    """

    def __init__(self, loader: Any):
        self._loader = loader
        self._indices = iter(loader._index_sampler)
        self._pool = Pool(loader, draw_seed(loader.generator))
        self._prime()

    def restart(self) -> None:
        """Another epoch with the same processes, whose generators go on."""
        self._indices = iter(self._loader._index_sampler)
        workers = range(self._loader.num_workers)
        for worker in workers:
            self._pool.send(worker, Signal.RESUME)
        waiting = set(workers)
        while waiting:
            worker, number, _ = self._pool.receive(self._loader.timeout)
            if number is Signal.RESUME:
                waiting.discard(worker)
        self._pool.forget()
        self._prime()

    def _prime(self) -> None:
        count = self._loader.num_workers
        self._sent = self._wanted = 0
        self._worker_of: dict[int, int] = {}  # tasks not yet given
        self._arrived: dict[int, Any] = {}
        self._active, self._load, self._turns = [True] * count, [0] * count, itertools.cycle(range(count))
        for _ in range(self._loader.prefetch_factor * count):
            self._send()

    def _send(self) -> None:
        try:
            index = next(self._indices)
        except StopIteration:
            return
        count = self._loader.num_workers
        for worker in itertools.islice(self._turns, count):
            share = self._loader.prefetch_factor * count // max(sum(self._active), 1)
            if self._active[worker] and (self._loader.in_order or self._load[worker] < share):
                break
        else:
            return
        self._pool.send(worker, self._sent, index)
        self._worker_of[self._sent] = worker
        self._load[worker] += 1
        self._sent += 1

    def __next__(self) -> Any:
        while True:
            while self._wanted < self._sent and not self._is_due(self._wanted):
                self._worker_of.pop(self._wanted, None)
                self._wanted += 1
            if self._wanted == self._sent:
                if not self._loader.persistent_workers:
                    self._pool.close()
                raise StopIteration
            if self._wanted in self._arrived:
                return self._give(self._wanted)
            if not self._pool.close.alive:
                raise RuntimeError("this pass over the DataLoader ended when a worker died; start another one")
            worker, number, answer = self._pool.receive(self._loader.timeout)
            if answer is Signal.ENDED:
                self._active[worker] = False
                if not self._loader.persistent_workers:
                    self._pool.dismiss(worker)
                self._send()
                continue
            self._arrived[number] = answer
            if not self._loader.in_order:
                return self._give(number)

    def _is_due(self, number: int) -> bool:
        """Whether a batch of that number is there or may yet come."""
        worker = self._worker_of.get(number)
        return worker is not None and (number in self._arrived or self._active[worker])

    def _give(self, number: int) -> Any:
        self._load[self._worker_of.pop(number)] -= 1
        answer = self._arrived.pop(number)
        self._wanted += number == self._wanted
        self._send()
        if isinstance(answer, Failure):
            answer.reraise()
        return answer
