"""JAX in a process that was forked from one in which it runs.

The former client's threads are not here, and neither are those that XLA's compiler has for the whole process. So JAX gets a new client, for the CPU, and
what it would compile goes to a process that was not forked (``compile_server``), which gives the finished program back.

JAX has no public way to any of this, and this is the only file that reaches into ``jax._src``: for where JAX calls the compiler, where it takes the arrays of
a call, and where it remembers how to make a call without Python, which would take arrays of the former client as they are and wait for ever. In a release that
has them otherwise, JAX is refused in forked processes, and only NumPy computes there.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import jax
import jax.extend.backend

from funnn.engine.program import compile_server
from funnn.engine.program.value import as_numpy

_FORMER_DEVICE = (
    "a jax.Array that was put on a device before this process was forked can't be computed with here: make it of np.asarray(array), use NumPy, or give "
    "the DataLoader multiprocessing_context='forkserver'"
)
_REFUSED = "JAX can't be used in a forked worker with this release of JAX; use NumPy or multiprocessing_context='forkserver'"
_NO_CALLBACKS = "a program that calls back to Python (jax.pure_callback and its kin) can't be compiled in a forked process"

#: JAX's caches that know of no client, or by which client they know: of traces, of jitted functions, of what is lowered. To clear them takes longer than
#: all else that a worker does to start.
_KEPT_CACHES = (
    "_infer_params_cached",
    "_cached_abstract_eval",
    "trace_to_jaxpr",
    "_dce_jaxpr",
    "_cached_lowering_to_hlo",
    "xla_primitive_callable",
)
#: What must not be freed here, because its end would wait for threads that only the former process has.
_kept_alive: list[Any] = []


def is_started() -> bool:
    """Whether JAX has a client, or may have."""
    try:
        from jax._src.xla_bridge import backends_are_initialized
    except ImportError:
        return True
    return bool(backends_are_initialized())


def leave_former_client() -> None:
    """JAX starts anew when it is asked for, on the CPU."""
    if not is_started():
        jax.config.update("jax_platforms", "cpu")
        return
    clients = list(jax.extend.backend.backends().values())
    _kept_alive.extend((clients, [client.live_executables() for client in clients], jax.live_arrays()))
    try:
        internals = _Internals()
    except (ImportError, AttributeError):
        jax.config.update("jax_platforms", _REFUSED)  # no platform; JAX's error tells the name
        jax.extend.backend.clear_backends()
        return
    jax.config.update("jax_platforms", "cpu")
    # what came from a compiler elsewhere can't be written for others
    jax.config.update("jax_persistent_cache_min_compile_time_secs", float("inf"))
    with internals.caches_kept():
        jax.extend.backend.clear_backends()
    internals.replace()


class _Internals:
    """What is replaced in JAX.

    Raises:
      ImportError, AttributeError: this release has it otherwise.
    """

    def __init__(self) -> None:
        from jax._src import array, compiler, pjit, util
        from jax._src.interpreters import mlir, pxla

        self.caches = util._caches
        self.take_arrays = pxla.shard_arg_handlers[array.ArrayImpl]
        self.places: list[tuple[Any, str, Any]] = [
            (compiler, "backend_compile_and_load", functools.partial(_compile_elsewhere, mlir.module_to_bytecode)),
            (pjit, "_get_fastpath_data", lambda *args, **kwargs: None),
            (mlir, "global_thread_pool", type(mlir.global_thread_pool)()),
        ]
        self.former = [getattr(module, name) for module, name, _ in self.places]
        self.handlers, self.kind = pxla.shard_arg_handlers, array.ArrayImpl

    @contextlib.contextmanager
    def caches_kept(self) -> Iterator[None]:
        """A context in which JAX's caches can be cleared but for ``_KEPT_CACHES``."""
        kept = {cache: what for cache, what in self.caches.items() if any(name in what for name in _KEPT_CACHES)}
        for cache in kept:
            del self.caches[cache]
        yield
        self.caches.update(kept)

    def replace(self) -> None:
        """Put ours in place; JAX's own stay alive."""
        _kept_alive.append(self)
        for module, name, value in self.places:
            setattr(module, name, value)
        self.handlers[self.kind] = functools.partial(_take_arrays, self.take_arrays)


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


def _compile_elsewhere(to_bytes: Any, client: Any, module: Any, executable_devices: Any, options: Any, host_callbacks: Any) -> Any:
    """A program for the new client, compiled by another process; what JAX calls in place of XLA's compiler."""
    if client is not jax.extend.backend.get_backend():
        raise RuntimeError(_FORMER_DEVICE)
    if host_callbacks:
        raise RuntimeError(_NO_CALLBACKS)
    try:
        with _asking:
            requests, answers = _server()
            pickle.dump((to_bytes(module), options.SerializeAsString()), requests)
            requests.flush()
            program, error = pickle.load(answers)
    except (EOFError, OSError):
        raise RuntimeError("the process that compiles for this one ended; what it wrote to stderr says why") from None
    if error is not None:
        raise RuntimeError(error)
    return client.deserialize_executable(program, executable_devices, options)
