"""Several processes as one JAX program: each sees the devices of all, computes with its own, and runs the same steps.

    import funnn.distributed
    funnn.distributed.initialize()          # before anything is computed
    mesh = funnn.sharding.make_mesh({"data": -1})

``python -m funnn launch --processes N script.py`` starts them on one machine.
"""

from __future__ import annotations

import os

import jax


def initialize(
    coordinator: str | None = None, processes: int | None = None, process: int | None = None, *, timeout: int = 300, heartbeat: int = 30
) -> None:
    """Join the processes, so that ``jax.devices()`` are those of all; to be called before anything is computed. A second call does nothing.

    Args:
      coordinator: "host:port", where process 0 listens and the others find it.
      processes: how many there are.
      process: the number of this one, from 0.
      timeout: seconds to wait for the others; default 300.
      heartbeat: seconds without a sign of life after which a process counts as dead and JAX ends the others; default 30.

    Without arguments they are taken from the environment: ``JAX_COORDINATOR_ADDRESS`` with torchrun's ``WORLD_SIZE`` and ``RANK`` (as
    ``python -m funnn launch`` sets them); of torchrun alone, ``MASTER_ADDR`` and the port after ``MASTER_PORT``, which is taken by torchrun itself; else
    JAX looks for SLURM, Open MPI, Kubernetes and Cloud TPUs. Where nothing says that there are several processes, this one goes on alone.

    Raises:
      ValueError: some of coordinator, processes and process are given and some not, or the environment has no number where one belongs.
      RuntimeError: JAX has computed already, or the others do not come in time.

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
    jax.distributed.initialize(
        coordinator_address=coordinator,
        num_processes=processes,
        process_id=process,
        initialization_timeout=timeout,
        heartbeat_timeout_seconds=heartbeat,
    )


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
