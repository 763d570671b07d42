"""Computing in a process that was forked from one in which JAX runs: a DataLoader's worker.

A fork copies the memory and one thread. Of JAX it copies a client whose threads are gone, and XLA's compiler, which waits for threads of its own.
So such a process leaves both alone:

- NumPy computes everything for which it has rules (``is_on_cpu`` and ``is_forked`` of ``value``);
- the rest (16-bit floats, factorisations, what calls JAX itself) runs on a new client of JAX's, for the CPU, whose programs another process compiles
  (``compile_server``);
- arrays of the former client are read and never computed with. Those of an accelerator can't be read, as in PyTorch.

The forking process does its part too: nothing is pending and no array is being computed when it forks.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import pickle
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import jax
import jax.extend.backend
from jax._src import compiler as _compiler
from jax._src import xla_bridge as _bridge
from jax._src.interpreters import mlir as _mlir

from funnn.engine.program import compile_server
from funnn.engine.program.graph import flush
from funnn.engine.program.interpret.blas_threads import one_thread
from funnn.engine.program.value import Value, enter_forked_process
from funnn.engine.state import thread
from funnn.engine.types.settings import set_num_threads

_FORMER_ARRAY = (
    "a jax.Array that was made before this process was forked can't be computed with here: make it of np.asarray(array), use NumPy, or give the "
    "DataLoader multiprocessing_context='forkserver'"
)
_NO_CALLBACKS = "a program that calls back to Python (jax.pure_callback and its kin) can't be compiled in a forked process"

#: What must not be freed here, because its end would wait for threads that only the former process has.
_kept_alive: list[Any] = []


@contextlib.contextmanager
def before_fork() -> Iterator[None]:
    """A context in which this process may fork, in which its garbage is not collected, for the fork's collector would free it again."""
    flush()
    if _bridge.backends_are_initialized():
        jax.effects_barrier()
        jax.block_until_ready([array for array in jax.live_arrays() if not array.is_deleted()])
    collects = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():  # of JAX, and of Python from 3.12 on, that a process with threads forks
            warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
            warnings.filterwarnings("ignore", r".*multi-threaded.*fork\(\) may lead to deadlocks", DeprecationWarning)
            yield
    finally:
        if collects:
            gc.enable()


def after_fork(copies: list[tuple[Value, Any]]) -> None:
    """Called first of all in the process that was forked.

    Args:
      copies: values on an accelerator, with arrays of NumPy that take their place.
    """
    gc.freeze()
    gc.enable()
    for value, array in copies:
        value.array = array
    thread.graph = thread.region = None
    set_num_threads(1)
    one_thread.stay()
    enter_forked_process()
    _leave_former_client()


def _leave_former_client() -> None:
    """JAX starts anew when it is asked for, on the CPU."""
    started = _bridge.backends_are_initialized()
    if started:
        _kept_alive.extend((jax.extend.backend.backends(), jax.live_arrays(), _mlir.global_thread_pool))
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_persistent_cache_min_compile_time_secs", float("inf"))  # what came from a compiler elsewhere can't be written for others
    if started:
        jax.extend.backend.clear_backends()
        _mlir.global_thread_pool = type(_mlir.global_thread_pool)()
        _compiler.backend_compile_and_load = _compile_elsewhere


_asking = threading.Lock()  # one thread after the other


@functools.cache
def _server() -> tuple[IO[bytes], IO[bytes]]:
    """Where requests to the process that compiles are written, and answers read."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "JAX_PLATFORMS": "cpu"}
    requests, answers = os.pipe(), os.pipe()
    command = [sys.executable, "-P", str(Path(compile_server.__file__))]
    _kept_alive.append(subprocess.Popen(command, env=environment, stdin=requests[0], stdout=answers[1]))
    os.close(requests[0])
    os.close(answers[1])
    return open(requests[1], "wb"), open(answers[0], "rb")


def _compile_elsewhere(client: Any, module: Any, executable_devices: Any, options: Any, host_callbacks: Any) -> Any:
    """A program for the new client, compiled by another process; what JAX calls in place of XLA's compiler."""
    if not set(executable_devices) <= set(client.devices()):
        raise RuntimeError(_FORMER_ARRAY)
    if host_callbacks:
        raise RuntimeError(_NO_CALLBACKS)
    try:
        with _asking:
            requests, answers = _server()
            pickle.dump((_mlir.module_to_bytecode(module), options.SerializeAsString()), requests)
            requests.flush()
            program, error = pickle.load(answers)
    except (EOFError, OSError):
        raise RuntimeError("the process that compiles for this one ended; what it wrote to stderr says why") from None
    if error is not None:
        raise RuntimeError(error)
    return client.deserialize_executable(program, executable_devices, options)
