"""JAX in a process that was forked from one in which it runs.

The former client's threads are not here, and neither are those that XLA's compiler has for the whole process. So JAX gets a new client, for the CPU, and
what it would compile goes to a process that was not forked (``compile_server``), which gives the finished program back. JAX's internals are replaced at
three places for it: where it calls the compiler, where it takes the arrays of a call, and where it remembers how to make a call without Python, which would
take arrays of the former client as they are and wait for ever.
"""

from __future__ import annotations

import functools
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import jax
import jax.extend.backend
from jax._src import compiler, pjit, xla_bridge
from jax._src.array import ArrayImpl
from jax._src.interpreters import mlir, pxla

from funnn.engine.program import compile_server
from funnn.engine.program.value import as_numpy

_FORMER_DEVICE = (
    "a jax.Array that was put on a device before this process was forked can't be computed with here: make it of np.asarray(array), use NumPy, or give "
    "the DataLoader multiprocessing_context='forkserver'"
)
_NO_CALLBACKS = "a program that calls back to Python (jax.pure_callback and its kin) can't be compiled in a forked process"

#: What must not be freed here, because its end would wait for threads that only the former process has.
_kept_alive: list[Any] = []


def is_started() -> bool:
    """Whether JAX has a client."""
    return xla_bridge.backends_are_initialized()


def leave_former_client() -> None:
    """JAX starts anew when it is asked for, on the CPU."""
    started = is_started()
    if started:
        clients = list(jax.extend.backend.backends().values())
        _kept_alive.extend((clients, [client.live_executables() for client in clients], jax.live_arrays(), mlir.global_thread_pool))
    jax.config.update("jax_platforms", "cpu")
    jax.config.update(
        "jax_persistent_cache_min_compile_time_secs", float("inf")
    )  # what came from a compiler elsewhere can't be written for others
    if started:
        jax.extend.backend.clear_backends()
        _replace(mlir, "global_thread_pool", type(mlir.global_thread_pool)())
        _replace(compiler, "backend_compile_and_load", _compile_elsewhere)
        _replace(pjit, "_get_fastpath_data", lambda *args, **kwargs: None)
        pxla.shard_arg_handlers[ArrayImpl] = functools.partial(_take_arrays, pxla.shard_arg_handlers[ArrayImpl])


def _replace(module: Any, name: str, value: Any) -> None:
    getattr(module, name)  # AttributeError where a version of JAX has it otherwise
    setattr(module, name, value)


def _take_arrays(handler: Any, arrays: Sequence[Any], *details: Any) -> Any:
    """The arrays of a call, those of the former client by way of NumPy."""
    client = jax.extend.backend.get_backend()
    return handler([array if _is_of(client, array) else jax.device_put(as_numpy(array)) for array in arrays], *details)


def _is_of(client: Any, array: Any) -> bool:
    return all(device.client is client for device in array.devices())


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
    if client is not jax.extend.backend.get_backend():
        raise RuntimeError(_FORMER_DEVICE)
    if host_callbacks:
        raise RuntimeError(_NO_CALLBACKS)
    try:
        with _asking:
            requests, answers = _server()
            pickle.dump((mlir.module_to_bytecode(module), options.SerializeAsString()), requests)
            requests.flush()
            program, error = pickle.load(answers)
    except (EOFError, OSError):
        raise RuntimeError("the process that compiles for this one ended; what it wrote to stderr says why") from None
    if error is not None:
        raise RuntimeError(error)
    return client.deserialize_executable(program, executable_devices, options)
