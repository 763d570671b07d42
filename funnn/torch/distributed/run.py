"""``python -m torch.distributed.run``, which is torchrun: starts the processes of a program on this machine."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from funnn.torch.distributed._agent import Plan, launch

#: Options of torchrun that are accepted and not needed: there are no restarts, and no other rendezvous than MASTER_ADDR and MASTER_PORT.
_ACCEPTED = (
    "rdzv_backend rdzv_id rdzv_conf max_restarts monitor_interval start_method role log_dir redirects tee local_ranks_filter local_addr logs_specs "
    "numa_binding event_log_handler signals_to_handle"
)


def parser() -> argparse.ArgumentParser:
    """torchrun's options, as far as they matter for processes that are started once."""
    main = argparse.ArgumentParser(prog="torchrun", description="Start the processes of a PyTorch program on this machine.")

    def option(name: str, **kwargs: object) -> None:
        main.add_argument(f"--{name}", f"--{name.replace('_', '-')}", **kwargs)  # type: ignore[arg-type]

    option("nproc_per_node", default="1", help="processes on each machine: a number; auto, cpu and gpu mean one for each device of JAX's")
    option("nnodes", default="1", help="machines: a number, or MIN:MAX, of which MAX counts")
    option("node_rank", type=int, default=0, help="which machine this is")
    option("master_addr", default="127.0.0.1", help="the machine of node_rank 0")
    option("master_port", type=int, default=None, help="a port there")
    option("rdzv_endpoint", default="", help="HOST:PORT, another way to say master_addr and master_port")
    main.add_argument("--standalone", action="store_true", help="one machine, at a free port")
    main.add_argument("-m", "--module", action="store_true", help="the program is a module's name")
    option("no_python", action="store_true", help="the program is a command by itself")
    option("run_path", action="store_true", help=argparse.SUPPRESS)
    for name in _ACCEPTED.split():
        option(name, default=None, help=argparse.SUPPRESS)
    main.add_argument("training_script", help="the program")
    main.add_argument("training_script_args", nargs=argparse.REMAINDER, help="its arguments")
    return main


def _count(text: str, error: argparse.ArgumentParser) -> int:
    if text in ("auto", "cpu", "gpu"):
        return max(1, os.cpu_count() or 1) if text == "cpu" else _devices()
    if not text.isdigit() or int(text) < 1:
        error.error(f"argument --nproc-per-node: expected a number of at least 1, auto, cpu or gpu, got {text!r}")
    return int(text)


def _devices() -> int:
    from jax import local_device_count

    return local_device_count()


def main(args: Sequence[str] | None = None) -> None:
    """Start the processes and wait for them; ends this process with an exit code that is not 0 if one fails."""
    options_of = parser()
    options = options_of.parse_args(args)
    host, _, port = options.rdzv_endpoint.rpartition(":") if ":" in options.rdzv_endpoint else (options.rdzv_endpoint, "", "")
    nodes = int(options.nnodes.rpartition(":")[2])
    given = options.master_port if options.master_port is not None else int(port or (0 if nodes == 1 else 29500))
    plan = Plan(
        processes=_count(options.nproc_per_node, options_of),
        nodes=1 if options.standalone else nodes,
        node_rank=options.node_rank,
        address="127.0.0.1" if options.standalone else host or options.master_addr,
        port=0 if options.standalone else given,
        run_id=options.rdzv_id or "none",
    )
    python = [] if options.no_python else [sys.executable, "-u", *(["-m"] if options.module else [])]
    code = launch([*python, options.training_script, *options.training_script_args], plan, "torchrun")
    if code:
        sys.exit(code)


if __name__ == "__main__":
    main()
