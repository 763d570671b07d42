"""torch.multiprocessing: Python's, with ``spawn``. Tensors are sent as copies; start processes by "spawn", for JAX's threads do not survive a fork."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
from collections.abc import Callable
from multiprocessing import *  # noqa: F403
from multiprocessing import __all__ as _names
from typing import Any

__all__ = [*_names, "get_all_sharing_strategies", "get_sharing_strategy", "set_sharing_strategy", "spawn"]


class ProcessContext:
    """Processes that :func:`spawn` started."""

    def __init__(self, processes: list):
        self.processes = processes

    def pids(self) -> list[int]:
        """The numbers that the operating system gave the processes."""
        return [process.pid for process in self.processes]

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """Wait; whether all have ended. The others are stopped when one fails.

        Raises:
          RuntimeError: a process failed; its traceback is on stderr.
        """
        running = {process.sentinel: process for process in self.processes if process.exitcode is None}
        for sentinel in multiprocessing.connection.wait(list(running), timeout) if running else ():
            running[sentinel].join()  # the sentinel may be ready a moment before the exit code is
        codes = [process.exitcode for process in self.processes]
        failed = [number for number, code in enumerate(codes) if code not in (None, 0)]
        if failed:
            for process in self.processes:
                process.terminate()
                process.join(grace_period)
            raise RuntimeError(f"process {failed[0]} terminated with exit code {codes[failed[0]]}")
        return None not in codes


def spawn(fn: Callable, args: tuple = (), nprocs: int = 1, join: bool = True, daemon: bool = False, start_method: str = "spawn") -> Any:
    """Run ``fn(number, *args)`` in ``nprocs`` new processes; with ``join`` wait for them, else return a ProcessContext.

    A process has a JAX of its own: processes that share an accelerator do not see each other, and torch.distributed joins none.
    """
    context = multiprocessing.get_context(start_method)
    processes = [context.Process(target=fn, args=(number, *args), daemon=daemon) for number in range(nprocs)]
    for process in processes:
        process.start()
    started = ProcessContext(processes)
    while join and not started.join():
        pass
    return None if join else started


def get_all_sharing_strategies() -> set[str]:
    """How memory can be shared: not at all, under torch's usual name."""
    return {"file_system"}


def get_sharing_strategy() -> str:
    """See get_all_sharing_strategies."""
    return "file_system"


def set_sharing_strategy(new_strategy: str) -> None:
    """Nothing: tensors are sent as copies."""
