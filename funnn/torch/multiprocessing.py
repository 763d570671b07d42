"""torch.multiprocessing: Python's, with ``spawn``. Tensors are sent as copies; start processes by "spawn", for JAX's threads do not survive a fork."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from multiprocessing import *  # noqa: F403
from multiprocessing import __all__ as _names
from typing import Any

from funnn.torch.distributed._cluster import announce_failure

__all__ = [
    *_names,
    "ProcessContext",
    "ProcessException",
    "ProcessExitedException",
    "ProcessRaisedException",
    "SpawnContext",
    "get_all_sharing_strategies",
    "get_sharing_strategy",
    "set_sharing_strategy",
    "spawn",
    "start_processes",
]


class ProcessException(Exception):
    """A process failed; ``error_index`` is its number, ``error_pid`` the operating system's."""

    def __init__(self, msg: str, error_index: int, pid: int | None):
        super().__init__(msg)
        self.msg, self.error_index, self.error_pid, self.pid = msg, error_index, pid, pid


class ProcessRaisedException(ProcessException):
    """A process raised an exception, whose traceback is the text."""


class ProcessExitedException(ProcessException):
    """A process ended by itself or by a signal; ``exit_code`` and ``signal_name`` say how."""

    def __init__(self, msg: str, error_index: int, pid: int | None, exit_code: int, signal_name: str | None = None):
        super().__init__(msg, error_index, pid)
        self.exit_code, self.signal_name = exit_code, signal_name


class ProcessContext:
    """Processes that :func:`spawn` started.

    Args:
      processes: these.
      errors: of each a queue with the traceback of what it raised.
    """

    def __init__(self, processes: list[Any], errors: Sequence[Any] = ()):
        self.processes, self._errors = processes, errors

    def pids(self) -> list[int]:
        """The numbers that the operating system gave the processes."""
        return [process.pid for process in self.processes]

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """Wait for one to end; whether all have ended. The others are stopped when one fails.

        Args:
          timeout: seconds to wait.
          grace_period: seconds that the others have to end by themselves.

        Raises:
          ProcessRaisedException: a process raised an exception.
          ProcessExitedException: a process ended with another exit code than 0.
        """
        running = {process.sentinel: process for process in self.processes if process.exitcode is None}
        for sentinel in multiprocessing.connection.wait(list(running), timeout) if running else ():
            running[sentinel].join()  # the sentinel may be ready a moment before the exit code is
        codes = [process.exitcode for process in self.processes]
        failed = [number for number, code in enumerate(codes) if code not in (None, 0)]
        if failed:
            self._stop(grace_period)
            raise self._failure(failed[0], codes[failed[0]])
        return None not in codes

    def _stop(self, grace_period: float | None) -> None:
        for process in self.processes:
            if grace_period is not None:
                process.join(grace_period)
            process.terminate()
        for process in self.processes:
            process.join(30)
            if process.exitcode is None:
                process.kill()

    def _failure(self, number: int, code: int) -> ProcessException:
        pid = getattr(self.processes[number], "pid", None)
        if self._errors and not self._errors[number].empty():
            text = f"\n\n-- Process {number} terminated with the following error:\n{self._errors[number].get()}"
            return ProcessRaisedException(text, number, pid)
        if code < 0:
            name = signal.Signals(-code).name
            return ProcessExitedException(f"process {number} terminated with signal {name}", number, pid, code, name)
        return ProcessExitedException(f"process {number} terminated with exit code {code}", number, pid, code)


SpawnContext = ProcessContext


def _call(fn: Callable[..., Any], number: int, args: tuple[Any, ...], errors: Any) -> None:
    """What a new process does."""
    try:
        fn(number, *args)
    except KeyboardInterrupt:
        pass
    except Exception as error:
        announce_failure(f"{type(error).__name__}: {error}")
        errors.put(traceback.format_exc()[-30000:])  # no more than a pipe holds, for nobody reads it yet
        sys.exit(1)


def start_processes(
    fn: Callable[..., Any],
    args: tuple[Any, ...] = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> Any:
    """Run ``fn(number, *args)`` in ``nprocs`` new processes.

    Args:
      fn: a function of a module's top level.
      args: passed behind the process's number.
      nprocs: how many.
      join: whether to wait for them, and raise what one raises; else a ProcessContext is returned.
      daemon: whether they end when this process does.
      start_method: ``"spawn"`` or ``"forkserver"``; JAX's threads do not survive ``"fork"``.

    Each process has a JAX of its own; torch.distributed joins them (``init_process_group("gloo", rank=number, world_size=nprocs)``).

    Raises:
      ProcessRaisedException, ProcessExitedException: a process failed; the others have been stopped.
    """
    context = multiprocessing.get_context(start_method)
    errors = [context.SimpleQueue() for _ in range(nprocs)]
    processes = [context.Process(target=_call, args=(fn, number, args, errors[number]), daemon=daemon) for number in range(nprocs)]
    for process in processes:
        process.start()
    started = ProcessContext(processes, errors)
    while join and not started.join():
        pass
    return None if join else started


def spawn(
    fn: Callable[..., Any],
    args: tuple[Any, ...] = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> Any:
    """``start_processes`` by "spawn"; see there."""
    return start_processes(fn, args, nprocs, join, daemon, start_method)


def get_all_sharing_strategies() -> set[str]:
    """How memory can be shared: not at all, under torch's usual name."""
    return {"file_system"}


def get_sharing_strategy() -> str:
    """See get_all_sharing_strategies."""
    return "file_system"


def set_sharing_strategy(new_strategy: str) -> None:
    """Nothing: tensors are sent as copies."""
