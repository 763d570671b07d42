"""Several processes as one JAX program: each sees the devices of all, computes with its own, and runs the same steps.

    import funnn.distributed
    funnn.distributed.initialize()          # before anything is computed
    mesh = funnn.sharding.make_mesh({"data": -1})

``python -m funnn launch --processes N script.py`` starts them on one machine.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import time
from types import TracebackType
from typing import Any

import jax

from funnn._service import Service, Watch

#: Seconds from an exception to its being this process's own: it may come of another's end, of which the watch tells in that time, and ends this one.
_PATIENCE = 1.0
#: Seconds in which a launcher, which says itself who has ended, stops the processes of its machine.
_LAUNCHER = 4.0


def initialize(
    coordinator: str | None = None, processes: int | None = None, process: int | None = None, *, timeout: int = 300, heartbeat: int = 30
) -> None:
    """Join the processes, so that ``jax.devices()`` are those of all; to be called before anything is computed. A second call does nothing.

    Args:
      coordinator: "host:port", where process 0 listens and the others find it.
      processes: how many there are.
      process: the number of this one, from 0.
      timeout: seconds to wait for the others; default 300.
      heartbeat: seconds without a sign of life, as when a machine is lost, after which a process counts as dead and JAX ends the others; default 30.

    Without arguments they are taken from the environment: ``JAX_COORDINATOR_ADDRESS`` with torchrun's ``WORLD_SIZE`` and ``RANK`` (as
    ``python -m funnn launch`` sets them); of torchrun alone, ``MASTER_ADDR`` and the port after ``MASTER_PORT``, which is taken by torchrun itself; else
    JAX looks for SLURM, Open MPI, Kubernetes and Cloud TPUs. Where nothing says that there are several processes, this one goes on alone.

    A process that fails or is killed ends the others at once, with exit code 1 and a line that names it. For that JAX's service has a small process of its own,
    which process 0 starts. (Where JAX finds the processes itself, the service is in process 0, whose end JAX tells in its own words.)

    Raises:
      ValueError: some of coordinator, processes and process are given and some not, the coordinator has no port, or the environment has no number where
        one belongs.
      RuntimeError: JAX has computed already, the others do not come in time, or the service can't be started.

    Source: jax.distributed.initialize.
    """
    if jax.distributed.is_initialized():
        return
    given = [coordinator, processes, process]
    if any(value is not None for value in given):
        if None in given:
            raise ValueError(
                f"initialize takes coordinator, processes and process together, but got coordinator={coordinator!r}, processes={processes!r}, "
                f"process={process!r}"
            )
    elif "WORLD_SIZE" in os.environ and "RANK" in os.environ:
        processes, process = _number("WORLD_SIZE"), _number("RANK")
        if processes == 1:
            return
        coordinator = os.environ.get("JAX_COORDINATOR_ADDRESS")
        if coordinator is None:
            coordinator = f"{os.environ.get('MASTER_ADDR', '127.0.0.1')}:{_number('MASTER_PORT') + 1}"
    elif not _is_detected():
        return
    options: dict[str, Any] = {}
    service = None
    if coordinator is not None and process == 0 and processes is not None:
        service = _start_service(coordinator, processes, heartbeat)
        options["coordinator_bind_address"] = "127.0.0.1:0"  # of JAX's own service, to which nobody connects
    jax.distributed.initialize(
        coordinator_address=coordinator,
        num_processes=processes,
        process_id=process,
        initialization_timeout=timeout,
        heartbeat_timeout_seconds=heartbeat,
        **options,
    )
    _begin_watch(service, timeout)


def _start_service(coordinator: str, processes: int, heartbeat: int) -> Service:
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f'initialize: coordinator must be "host:port", but got {coordinator!r}')
    options = {"heartbeat_timeout": heartbeat, "shutdown_timeout": 300}
    return Service(host, int(port), processes, options, os.environ.get("JAX_COORDINATOR_BIND_ADDRESS"))


class _Ending:
    """How this process ends: it tells the others if it fails, and hears if one of them does.

    Args:
      rank: of this process.
      place: of the service.
      service: of which this process is the parent, if it is; it ends with the process, after JAX's own end.
    """

    def __init__(self, rank: int, place: str, service: Service | None):
        self._rank, self._service, self._has_failed, self._has_heard = rank, service, False, False
        self._watch = Watch(place, self._rank, self._end_with)
        self._before = sys.excepthook
        sys.excepthook = self._fail
        atexit.register(self._leave)

    def _end_with(self, rank: int, reason: str) -> None:
        """End this process, for another has ended."""
        if self._has_failed:  # as the first, of which it has told
            return
        self._has_heard = True
        self._watch.leave()
        if "TORCHELASTIC_RUN_ID" in os.environ:
            time.sleep(_LAUNCHER)
        what = (
            f"has failed of {reason}"
            if reason
            else "has ended without a word, as one does that is killed or crashes; see what it printed last"
        )
        sys.stdout.flush()
        print(f"funnn.distributed: the process of rank {rank} {what}. That of rank {self._rank} ends too", file=sys.stderr, flush=True)
        os._exit(1)

    def _fail(self, kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        """The hook of an exception that nobody catches."""
        time.sleep(_PATIENCE)
        if self._has_heard:
            time.sleep(2 * _LAUNCHER)  # in which this process is ended
        self._has_failed = True
        self._watch.fail(f"{kind.__name__}: {error}")
        self._before(kind, error, traceback)

    def _leave(self) -> None:
        """At the end of the process, before JAX waits for the others; of a failure they have heard, and will not come."""
        self._watch.leave()
        if self._has_failed:
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)


def _begin_watch(service: Service | None, timeout: int) -> None:
    """Tell the processes, by the keys of JAX's service, where the watch is, and connect to it."""
    try:
        from jax._src.distributed import global_state
    except ImportError:  # a release of JAX that has it elsewhere
        return
    client, rank = global_state.client, global_state.process_id  # jax.process_index would start the backends
    if client is None:
        return
    if rank == 0:
        host = (global_state.coordinator_address or "").rpartition(":")[0]
        service = service or Service(host, 0, global_state.num_processes, {})
        client.key_value_set("funnn/watch", service.place)
    _Ending(rank, client.blocking_key_value_get("funnn/watch", timeout * 1000), service)


def _number(name: str) -> int:
    text = os.environ.get(name, "")
    if not text.isdigit():
        raise ValueError(f"initialize: the environment variable {name} must be a number, but got {text!r}; set it, or give the arguments")
    return int(text)


def _is_detected() -> bool:
    """Whether the environment is one in which JAX knows that there are several processes."""
    names = (
        "JAX_COORDINATOR_ADDRESS",
        "SLURM_JOB_ID",
        "OMPI_MCA_orte_hnp_uri",
        "PMIX_RANK",
        "TPU_WORKER_HOSTNAMES",
        "MEGASCALE_COORDINATOR_ADDRESS",
    )
    if "SLURM_JOB_ID" in os.environ and os.environ.get("SLURM_NTASKS", "1") == "1":
        return False
    return any(name in os.environ for name in names)
