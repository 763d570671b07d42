"""Several processes as one program, over the loopback: the numbers of one process, the end of all when one is killed, and going on from a checkpoint."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PROGRAM = """
import os, signal, sys
import funnn.distributed
funnn.distributed.initialize()
import jax, numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P
import funnn
from funnn import checkpoint, data, functional as F, optim, sharding
from funnn.layers import Linear, ReLU, Sequential

folder, die_at = sys.argv[1], int(sys.argv[2])
mesh = sharding.make_mesh({"data": -1})
net = Sequential(Linear(8, 32), ReLU(), Linear(32, 4))
init, step, _ = funnn.train_step(net, F.cross_entropy, optim.adamw(lr=1e-2))
rules = sharding.fsdp("data", min_size=64)
make = sharding.sharded(init, mesh, rules)
generator = np.random.default_rng(0)
x, y = generator.standard_normal((64, 8)).astype(np.float32), generator.integers(0, 4, 64).astype(np.int32)
key, first, state = jax.random.key(0), 0, None
with checkpoint.Checkpointer(folder) as checkpointer:
    if checkpointer.latest_step() is None:
        state = make(key)
    else:
        shapes = jax.eval_shape(init, key)
        placed = jax.tree.map(lambda leaf, where: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where), shapes,
                              sharding.named_shardings(shapes, mesh, rules))
        state, _, extra, _ = checkpointer.restore(placed)
        first = extra["epoch"]
    for epoch in range(first, 4):
        order = data.process_indices(64, seed=1, epoch=epoch)
        share = 16 // jax.process_count()
        batches = [(x[order[i : i + share]], y[order[i : i + share]]) for i in range(0, len(order), share)]
        for batch in data.prefetch(batches, NamedSharding(mesh, P("data"))):
            state, metrics = step(state, batch)
        checkpointer.save(state, extra={"epoch": epoch + 1})
        checkpointer.wait()
        if jax.process_index() == 0:
            print(f"processes {jax.process_count()} epoch {epoch} loss {float(metrics['loss']):.6f}", flush=True)
        if epoch == die_at and jax.process_index() == jax.process_count() - 1:
            os.kill(os.getpid(), signal.SIGKILL)
"""


def launch(tmp_path, processes, folder, die_at=-1):
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    environment.pop("XLA_FLAGS", None)
    command = [sys.executable, "-m", "funnn", "launch", "--processes", str(processes), str(script), str(tmp_path / folder), str(die_at)]
    return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)


def losses(result):
    return [float(loss) for loss in re.findall(r"loss ([\d.]+)", result.stdout)]


def test_two_processes_train_as_one_and_go_on_when_one_was_killed(tmp_path):
    alone = launch(tmp_path, 1, "alone")
    assert alone.returncode == 0 and "processes 1" in alone.stdout, alone.stderr
    killed = launch(tmp_path, 2, "two", die_at=1)
    assert killed.returncode == 137, killed.stderr
    assert re.search(
        r"the process of rank 1 \(pid \d+\) ended with signal SIGKILL, and the other 1 of this machine were stopped", killed.stderr
    )
    assert "processes 2" in killed.stdout and losses(killed)[:2] == pytest.approx(losses(alone)[:2], abs=2e-6)
    again = launch(tmp_path, 2, "two")
    assert again.returncode == 0, again.stderr
    assert losses(again) == pytest.approx(losses(alone)[2:], abs=2e-6)  # two epochs more, with the numbers of a run that nothing stopped
    fewer = launch(tmp_path, 1, "two")  # nothing is left to do: the checkpoint of two is read by one
    assert fewer.returncode == 0 and losses(fewer) == [], fewer.stderr
