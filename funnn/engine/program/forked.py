"""Computing in a process that was forked from one in which JAX runs: a DataLoader's worker.

Scripts are written for torch's workers, which are forked: only a fork has module globals as they are, classes and functions defined anywhere, open files,
locks and generators. Pickles lack these, by value as by name, and threads share random numbers of the process, which would be others.

A fork copies the memory and one thread. Of JAX it copies a client whose threads are gone, and XLA's compiler, which waits for threads of its own.
So such a process leaves both alone:

- NumPy computes everything for which it has rules (``is_on_cpu`` and ``is_forked`` of ``value``);
- the rest (16-bit floats, factorisations, what calls JAX itself) runs on a new client of JAX's, for the CPU, whose programs another process compiles
  (``forked_jax``, ``compile_server``);
- arrays of the former client are read through NumPy. Those of an accelerator can't be read, as in PyTorch.

The forking process does its part too: nothing is pending and no array is being computed when it forks, and no other thread draws random numbers.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import jax

from funnn.engine.program import report
from funnn.engine.program.forked_jax import is_started, leave_former_client
from funnn.engine.program.graph import flush
from funnn.engine.program.interpret.blas_threads import one_thread
from funnn.engine.program.value import Value, enter_forked_process
from funnn.engine.state import thread
from funnn.engine.types.settings import set_num_threads


@contextlib.contextmanager
def forking(locks: Sequence[AbstractContextManager[Any]]) -> Iterator[Callable[[list[tuple[Value, Any]]], None]]:
    """A context in which this process may fork, and in which its garbage is not collected, which the fork would free again.

    Args:
      locks: what another thread may be using, and the fork would find locked for ever.

    Returns:
      What the process that was forked calls first of all, with values that lie on an accelerator, and for each the array of NumPy that takes its place.
    """
    flush()
    if is_started():
        jax.effects_barrier()
        jax.block_until_ready([array for array in jax.live_arrays() if not array.is_deleted()])
    collects = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings(), contextlib.ExitStack() as held:
            # of JAX, and of Python from 3.12 on, that a process with threads forks
            warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
            warnings.filterwarnings("ignore", r".*multi-threaded.*fork\(\) may lead to deadlocks", DeprecationWarning)
            for lock in (*locks, report.lock):
                held.enter_context(lock)
            yield functools.partial(_begin, locks, collects)
    finally:
        if collects:
            gc.enable()


def _begin(locks: Sequence[AbstractContextManager[Any]], collects: bool, copies: list[tuple[Value, Any]]) -> None:
    gc.freeze()
    if collects:
        gc.enable()
    for lock in (*locks, report.lock):
        lock.__exit__(None, None, None)
    for value, array in copies:
        value.array = array
    thread.graph = thread.region = None
    set_num_threads(1)
    one_thread.stay()
    enter_forked_process()
    leave_former_client()
