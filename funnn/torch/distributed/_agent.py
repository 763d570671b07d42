"""Starts the processes of a program on this machine, with the environment of torchrun, and ends them all when one fails."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from funnn.torch.distributed.errors import DistError
from funnn.torch.distributed.store import TCPStore

_GRACE = 5.0  # seconds between asking a process to end and ending it
_LAST_WORDS = 1.0  # seconds that the other processes have, after one has failed, to say what they were waiting for
_PAUSE = 0.05


@dataclasses.dataclass(frozen=True)
class Plan:
    """How many processes there are, and where they meet.

    Attributes:
      processes: on each machine.
      nodes, node_rank: how many machines, and which this is.
      address, port: where the processes meet, on the machine of node_rank 0; port 0 takes a free one, for one machine.
      run_id: a name of this start, which all its processes know.
      jax_port: where processes that ``funnn.distributed.initialize`` joins meet, on that machine.
    """

    processes: int
    nodes: int = 1
    node_rank: int = 0
    address: str = "127.0.0.1"
    port: int = 0
    run_id: str = "none"
    jax_port: int = 0

    def environment(self, local_rank: int, port: int) -> dict[str, str]:
        """What a process is told."""
        rank, size = self.node_rank * self.processes + local_rank, self.nodes * self.processes
        numbers = {
            "RANK": rank,
            "LOCAL_RANK": local_rank,
            "WORLD_SIZE": size,
            "LOCAL_WORLD_SIZE": self.processes,
            "GROUP_RANK": self.node_rank,
            "GROUP_WORLD_SIZE": self.nodes,
            "ROLE_RANK": rank,
            "ROLE_WORLD_SIZE": size,
            "MASTER_PORT": port,
            "TORCHELASTIC_RESTART_COUNT": 0,
            "TORCHELASTIC_MAX_RESTARTS": 0,
        }
        told = {name: str(number) for name, number in numbers.items()}
        told |= {
            "JAX_COORDINATOR_ADDRESS": f"{self.address}:{self.jax_port}",
            "MASTER_ADDR": self.address,
            "ROLE_NAME": "default",
            "TORCHELASTIC_RUN_ID": self.run_id,
            "TORCHELASTIC_USE_AGENT_STORE": "True",
        }
        gpus = _count_gpus()
        if gpus and "JAX_CUDA_VISIBLE_DEVICES" not in os.environ:
            told["JAX_CUDA_VISIBLE_DEVICES"] = str(local_rank % gpus)
        return told


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _count_gpus() -> int:
    """How many GPUs of Nvidia's this process may use, without starting any library."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        return len([name for name in allowed.split(",") if name.strip() and name.strip() != "-1"])
    try:
        return len(list(Path("/proc/driver/nvidia/gpus").iterdir()))
    except OSError:
        return 0


def launch(command: Sequence[str], plan: Plan, name: str) -> int:
    """Run a command in all processes of this machine, and wait for them.

    Args:
      command: the words of the command.
      plan: how many processes, and where they meet.
      name: what errors begin with.

    Returns:
      0; or what the first process that failed gave, 128 + n if signal n ended it. The others are ended then.
    """
    try:
        store = TCPStore(plan.address, plan.port, is_master=True) if plan.node_rank == 0 else None
    except DistError as error:
        print(f"{name}: error: {error}", file=sys.stderr)
        return 1
    port = plan.port if store is None else store.port
    plan = dataclasses.replace(plan, jax_port=plan.port + 1 if plan.nodes > 1 else _free_port())
    started: list[subprocess.Popen[Any]] = []
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        for local_rank in range(plan.processes):
            started.append(subprocess.Popen(command, env={**os.environ, **plan.environment(local_rank, port)}))
        return _wait(started, plan, name)
    except KeyboardInterrupt:
        return 130
    finally:
        _stop(started)
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _wait(started: list[subprocess.Popen[Any]], plan: Plan, name: str) -> int:
    while True:
        codes = [process.poll() for process in started]
        failed = [local_rank for local_rank, code in enumerate(codes) if code]
        if failed:
            local_rank = failed[0]
            code = codes[local_rank] or 0
            how = f"exit code {code}" if code > 0 else f"signal {signal.Signals(-code).name}"
            rank = plan.node_rank * plan.processes + local_rank
            others = f", and the other {plan.processes - 1} of this machine were stopped" if plan.processes > 1 else ""
            sys.stdout.flush()
            end = time.monotonic() + _LAST_WORDS
            while time.monotonic() < end and None in [process.poll() for process in started]:
                time.sleep(_PAUSE)
            print(f"{name}: the process of rank {rank} (pid {started[local_rank].pid}) ended with {how}{others}", file=sys.stderr)
            return code if code > 0 else 128 - code
        if None not in codes:
            return 0
        time.sleep(_PAUSE)


def _stop(started: list[subprocess.Popen[Any]]) -> None:
    """End the processes that run: by SIGTERM, and those that do not heed it by SIGKILL."""
    running = [process for process in started if process.poll() is None]
    for process in running:
        process.terminate()
    end = time.monotonic() + _GRACE
    for process in running:
        try:
            process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
