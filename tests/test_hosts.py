"""Several processes as one program, over the loopback: the numbers of one process, the end of all when one is killed, and going on from a checkpoint."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from funnn._service import Service, Watch

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
    assert "Traceback" not in killed.stderr, killed.stderr  # of the other, which could not go on
    assert "processes 2" in killed.stdout and losses(killed)[:2] == pytest.approx(losses(alone)[:2], abs=2e-6)
    again = launch(tmp_path, 2, "two")
    assert again.returncode == 0, again.stderr
    assert losses(again) == pytest.approx(losses(alone)[2:], abs=2e-6)  # two epochs more, with the numbers of a run that nothing stopped
    fewer = launch(tmp_path, 1, "two")  # nothing is left to do: the checkpoint of two is read by one
    assert fewer.returncode == 0 and losses(fewer) == [], fewer.stderr


ENDING = """
import os, signal, sys
import funnn.distributed
funnn.distributed.initialize()
import jax, jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec as P
from funnn import sharding

which, how = int(sys.argv[1]), sys.argv[2]
split = NamedSharding(sharding.make_mesh({"data": -1}), P("data"))
add = jax.jit(lambda x: x + x.sum())
x = add(jnp.ones(2, device=split))
print("sum", x.addressable_data(0)[0], flush=True)
if jax.process_index() == which:
    if how == "raise":
        raise ValueError("enough")
    os.kill(os.getpid(), signal.SIGKILL)
if how != "end":
    for _ in range(2000):
        x = jax.block_until_ready(add(x) / 3)
"""


@pytest.mark.parametrize(("which", "how"), [(0, "kill"), (1, "kill"), (1, "raise"), (2, "end")])
def test_who_ends_is_named_in_one_line_without_a_launcher(tmp_path, which, how):
    script = tmp_path / "program.py"
    script.write_text(ENDING)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(ROOT),
        "WORLD_SIZE": "2",
        "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
    }
    common.pop("XLA_FLAGS", None)
    started = [
        subprocess.Popen(
            [sys.executable, str(script), str(which), how],
            env={**common, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    printed = [process.communicate(timeout=60) for process in started]  # within a minute
    assert all("sum 3.0" in text for text, _ in printed), printed
    if how == "end":
        assert [process.returncode for process in started] == [0, 0] and printed[0][1] == printed[1][1] == "", printed
        return
    other = 1 - which
    assert started[which].returncode == (1 if how == "raise" else -signal.SIGKILL) and started[other].returncode == 1, printed
    what = (
        "has failed of ValueError: enough"
        if how == "raise"
        else "has ended without a word, as one does that is killed or crashes; see what it printed last"
    )
    assert printed[other][1] == f"funnn.distributed: the process of rank {which} {what}. That of rank {other} ends too\n"
    assert ("ValueError: enough" in printed[which][1]) == (how == "raise") and "funnn.distributed" not in printed[which][1]


def test_who_has_ended_is_told_to_the_others():
    service, watches = Service("127.0.0.1", 0, 4, {}), []
    heard = [queue.SimpleQueue() for _ in range(4)]
    try:
        watches = [Watch(service.place, rank, lambda *what, rank=rank: heard[rank].put(what)) for rank in range(3)]
        host, port, _ = json.loads(service.place)
        for strange in (b"GET / HTTP/1.1\r\n\r\n", b'["rank", ["0123", 3]]\n', b'["failed", "mine"]\n', b"[]\n", b"\xff\n"):
            with socket.create_connection((host, port)) as other:
                other.sendall(strange)
        watches[2].fail("ValueError: enough")
        watches[2].leave()
        assert [heard[rank].get(timeout=10) for rank in (0, 1)] == [(2, "ValueError: enough")] * 2
        watches.append(Watch(service.place, 3, lambda *what: heard[3].put(what)))  # who comes later hears it too
        assert heard[3].get(timeout=10) == (2, "ValueError: enough")
        watches[1].close()
        watches[3]._connection.shutdown(socket.SHUT_RDWR)
        assert [heard[rank].get(timeout=10) for rank in (0, 2)] == [(3, "")] * 2 and all(one.empty() for one in heard)
    finally:
        for watch in watches:
            watch.close()
        service.shutdown()
    assert service._process.poll() == 0
    with pytest.raises(RuntimeError, match=r"the service that joins processes can't be started at 192\.0\.2\.1:1: .*"):
        Service("192.0.2.1", 1, 2, {"heartbeat_timeout": 10}, bind="192.0.2.1:1")


FORKED = """
import os, queue, signal, time
from funnn._service import Service, Watch

service, heard = Service("127.0.0.1", 0, 2, {}), queue.SimpleQueue()
if os.fork() == 0:
    watch = Watch(service.place, 0, print)
    if os.fork() == 0:  # a worker, which outlives it
        os.close(1)
        os.close(2)
        time.sleep(30)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)
watch = Watch(service.place, 1, lambda *what: heard.put(what))
print(heard.get(timeout=15))
watch.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
def test_a_worker_that_outlives_its_process_does_not_hide_its_end():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "(0, '')\n"), done.stderr
