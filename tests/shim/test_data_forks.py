"""Scripts with DataLoader workers print what they print with PyTorch, which forks: with the import line changed, and by ``python -m funnn run``."""

import contextlib
import functools
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import funnn.torch as ftorch
from funnn.engine.program import forked_jax
from funnn.torch.utils.data import _workers
from funnn.torch.utils.data._reach import values_within

ROOT = pathlib.Path(__file__).parents[2]
SCRIPTS = pathlib.Path(__file__).parent / "worker_scripts"
SHARED = pathlib.Path("/dev/shm")
NAMES = sorted(path.stem for path in SCRIPTS.glob("*.py") if path.stem != "worker_module")


def lines(command, folder, home):
    """What the command prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(home), "PYTHONUNBUFFERED": "", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "leaked" not in done.stderr
    return done.stdout.splitlines()


@functools.cache
def of_torch(name):
    return lines([f"{name}.py"], SCRIPTS, SCRIPTS)


def with_import_changed(text):
    text = re.sub(r"^import torch\.(\S+) as", r"import funnn.torch.\1 as", text, flags=re.MULTILINE)
    text = re.sub(r"^import torch$", "import funnn.torch as torch", text, flags=re.MULTILINE)
    return re.sub(r"^from torch", "from funnn.torch", text, flags=re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["import", "run"])
def test_scripts_print_torchs_lines(name, form, tmp_path):
    before = {path.name for path in SHARED.glob("fn*")}
    folder = SCRIPTS
    if form == "import":
        folder = tmp_path
        for path in SCRIPTS.glob("*.py"):
            (tmp_path / path.name).write_text(with_import_changed(path.read_text()))
    assert lines([*(["-m", "funnn", "run"] if form == "run" else []), f"{name}.py"], folder, tmp_path) == of_torch(name)
    assert {path.name for path in SHARED.glob("fn*")} <= before


def epoch(function, size=2, **options):
    """What the function of an index gives in one worker."""
    kind = type("Dataset", (), {"__len__": lambda self: size, "__getitem__": lambda self, index: function(index)})
    return list(ftorch.utils.data.DataLoader(kind(), None, num_workers=1, timeout=60, **options))


former = jnp.arange(3.0)


def test_jax_in_a_worker_computes_also_with_arrays_of_the_training_process():
    jax.jit(jnp.sin)(former)
    wanted = np.sin(np.arange(3.0, dtype=np.float32)) + 1
    for function in (
        lambda index: np.asarray(jnp.sin(former) + index),
        lambda index: np.asarray(jax.jit(lambda x: jnp.sin(x) + index)(former)),
    ):
        np.testing.assert_allclose(epoch(function)[1].numpy(), wanted, rtol=1e-6)


def test_jax_in_a_worker_refuses_what_it_cannot_do():
    committed = jax.device_put(former, jax.devices()[0])
    with pytest.raises(RuntimeError, match=r"put on a device before this process was forked .* make it of np.asarray"):
        epoch(lambda index: np.asarray(committed + 1))
    shape = jax.ShapeDtypeStruct((3,), np.float32)
    with pytest.raises(RuntimeError, match="calls back to Python"):
        epoch(lambda index: np.asarray(jax.pure_callback(np.sin, shape, np.ones(3, np.float32))))


def test_a_release_of_jax_with_other_internals(monkeypatch):
    def internals():
        raise AttributeError("pjit has no _get_fastpath_data")

    monkeypatch.setattr(forked_jax, "_Internals", internals)
    assert epoch(lambda index: (ftorch.ones(2) * 3).exp().sum() > 40) == [True, True]
    for function in (lambda index: np.asarray(jnp.sin(former)), lambda index: ftorch.linalg.svdvals(ftorch.eye(3))):
        with pytest.raises(RuntimeError, match="JAX can't be used in a forked worker with this release of JAX"):
            epoch(function)


def test_what_was_recorded_or_compiled_before_the_fork():
    weight = ftorch.ones(3, requires_grad=True)
    pending = (weight * 3).sum()
    compiled = ftorch.compile(lambda x: (x * 2).sin().sum(), mode="reduce-overhead")
    expected = [compiled(ftorch.ones(3)).item() for _ in range(5)][-1]

    def sample(index):
        pending.backward(retain_graph=True)
        return weight.grad.clone(), compiled(ftorch.ones(3)).item()

    gradient, value = epoch(sample)[0]
    assert gradient.tolist() == [3, 3, 3] and abs(value - expected) < 1e-5
    assert weight.grad is None


def test_the_process_that_compiles_is_killed():
    def sample(index):
        ftorch.linalg.svdvals(ftorch.eye(3)).sum().item()
        (server,) = [kept for kept in forked_jax._kept_alive if isinstance(kept, subprocess.Popen)]
        server.kill()
        server.wait()
        return ftorch.linalg.svdvals(ftorch.eye(4))

    ftorch.eye(3).half().sum().item()  # JAX has threads here
    with pytest.raises(RuntimeError, match="the process that compiles for this one ended"):
        epoch(sample)


@pytest.mark.filterwarnings(r"ignore:.*multi-threaded, use of fork\(\):DeprecationWarning")  # of Python from 3.12 on
def test_a_worker_that_does_not_start(monkeypatch):
    monkeypatch.setattr(_workers, "_START", 0.5)
    monkeypatch.setattr(_workers, "PATIENCE", 0.1)
    monkeypatch.setattr(_workers, "_forking", lambda parcel: contextlib.nullcontext(functools.partial(time.sleep, 60)))
    with pytest.warns(RuntimeWarning, match="fork"), pytest.raises(RuntimeError, match=r"did not start .* held a lock when it was forked"):
        epoch(lambda index: index)


def test_another_thread_that_draws_and_computes():
    """A worker is forked while it does; locks are not left locked."""
    stop = threading.Event()

    def work():
        while not stop.is_set():
            (ftorch.randn(9) + np.random.rand()).sum().item()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(10):
            assert [value.shape for value in epoch(lambda index: ftorch.randn(2) + np.random.rand())] == [(2,)] * 2
    finally:
        stop.set()
        thread.join()


LEFT = """
import os, time
import funnn.torch as torch
batches = iter(torch.utils.data.DataLoader([1, 2, 3], num_workers=1, persistent_workers=True))
print(next(batches))
if os.fork() == 0:
    time.sleep(60)
print(batches._workers._pool.processes[0].pid, flush=True)
time.sleep(60)
"""


def test_workers_end_though_a_process_that_the_user_forked_holds_their_connections():
    program = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", LEFT], cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert program.stdout.readline() == "tensor([1])\n"
        worker = pathlib.Path("/proc", program.stdout.readline().strip())
        assert worker.exists()
        program.kill()
        program.wait()
        deadline = time.monotonic() + 60
        while worker.exists() and "State:\tZ" not in (worker / "status").read_text() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert time.monotonic() < deadline
    finally:
        os.killpg(program.pid, signal.SIGKILL)
        program.stdout.close()


GLOBAL = ftorch.arange(3)


def test_tensors_within_reach():
    """By attributes, containers, closures, defaults and globals, but nothing else."""
    attribute, closed, default, other = (ftorch.full((2,), number) for number in range(4))

    class Data:
        def __init__(self):
            self.table = {"x": [attribute]}
            self.function = lambda index, default=default: closed[index] + default + GLOBAL

    found = values_within((Data(), len, np.sum))
    wanted = [tensor._storage.value for tensor in (attribute, closed, default, GLOBAL)]
    assert set(map(id, found)) == set(map(id, wanted)) and id(other._storage.value) not in map(id, found)


def test_tensors_of_an_accelerator_are_copied_before_the_fork(monkeypatch):
    monkeypatch.setattr(_workers, "is_on_cpu", lambda: False)
    held = ftorch.arange(4)
    assert [value.item() for value in epoch(lambda index: held[index])] == [0, 1]
