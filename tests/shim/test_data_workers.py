"""DataLoader with worker processes: torch's batches and random numbers, and an end without leftovers whatever happens."""

import gc
import json
import multiprocessing
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import funnn.torch as ftorch
from funnn.torch.utils.data import _workers
from tests.shim import data_for_workers as samples

ROOT = pathlib.Path(__file__).parents[2]
SHARED = pathlib.Path("/dev/shm")


def shared_memory():
    return {path.name for path in SHARED.glob(f"fn{os.getpid()}_*")} if SHARED.exists() else set()


@pytest.fixture(scope="module")
def torch_gives():
    """What torch gives, in a process of its own: it forks its workers, which must not happen where JAX runs."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.shim.data_for_workers"]
    return json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


@pytest.fixture(autouse=True)
def nothing_is_left():
    before = shared_memory()
    yield
    gc.collect()
    assert not multiprocessing.active_children()
    assert shared_memory() <= before


def test_importing_the_library_starts_no_jax():
    """The server of "forkserver" has imported it, and forks: where JAX has threads, workers would wait for them for ever."""
    program = "import funnn.torch, funnn, jax; import sys; sys.exit(jax._src.xla_bridge.backends_are_initialized())"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=120)


@pytest.mark.parametrize("name", samples.CASES)
def test_epochs_as_in_torch(name, torch_gives):
    assert json.loads(json.dumps(samples.run(ftorch, name))) == torch_gives[name]


@pytest.mark.parametrize("name", samples.ERRORS)
def test_exceptions_as_in_torch(name, torch_gives):
    assert json.loads(json.dumps(samples.fail(ftorch, name))) == torch_gives[f"error: {name}"]


def scene(act, **options):
    return ftorch.utils.data.DataLoader(samples.Scene(act), 2, **{"num_workers": 2, **options})


def test_arrays_need_no_jax_in_workers_and_may_come_out_of_order():
    batches = list(scene(samples.sleep, in_order=False))
    first = [values[0, 0].item() for values, _ in batches]
    assert sorted(first) == list(range(0, 40, 2)) and first.index(2) > 3
    assert not any(started.any() for _, started in batches)


def test_a_loader_that_is_left_early_leaves_nothing():
    iterator = iter(scene(samples.nothing))
    assert next(iterator)[0].shape == (2, 10_000)
    assert len(multiprocessing.active_children()) == 2
    time.sleep(0.2)  # more batches are made than are taken
    del iterator  # and nothing_is_left


@pytest.mark.parametrize(("act", "reason"), [(samples.die, "killed by signal: SIGKILL"), (samples.leave, "with code 3")])
def test_a_worker_that_dies(act, reason):
    with pytest.raises(RuntimeError, match=rf"DataLoader worker \(pid\(s\) \d+\) exited unexpectedly.*{reason}"):
        list(scene(act))


def test_timeout():
    start = time.monotonic()
    with pytest.raises(RuntimeError, match=r"DataLoader timed out after 0\.3 seconds"):
        list(scene(samples.sleep, timeout=0.3))
    assert time.monotonic() - start < 20


def test_the_start_of_a_process_is_no_part_of_the_timeout():
    assert (
        len(list(scene(samples.nothing, timeout=0.6, multiprocessing_context="spawn", num_workers=1))) == 20
    )  # a process takes a second or more to start


def test_a_process_that_the_user_forks_leaves_the_workers_alone():
    iterator = iter(scene(samples.nothing))
    pool = iterator._workers._pool
    _workers._end(os.getpid() + 1, pool.processes, pool.connections, pool._unanswered)  # what its end would do
    assert len(list(iterator)) == 20


def test_persistent_workers_after_an_epoch_left_early():
    loader = scene(samples.nothing, persistent_workers=True)
    next(iter(loader))
    children = multiprocessing.active_children()
    assert len(list(loader)) == 20 and multiprocessing.active_children() == children


def test_a_lambda_that_is_not_forked_needs_cloudpickle(monkeypatch):
    loader = ftorch.utils.data.DataLoader([1, 2, 3], 2, num_workers=1, collate_fn=lambda batch: sum(batch), multiprocessing_context="spawn")
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises((AttributeError, TypeError, Exception), match=r"(?s)lambda.*install cloudpickle, or use num_workers=0"):
        list(loader)
    monkeypatch.delitem(sys.modules, "cloudpickle")
    assert list(loader) == [3, 3]


def test_a_tensor_with_a_graph_is_refused():
    loader = ftorch.utils.data.DataLoader([1], num_workers=1, collate_fn=samples.with_graph)
    with pytest.raises(RuntimeError, match="Caught RuntimeError in DataLoader worker process 0"):
        list(loader)


@pytest.mark.parametrize("method", ["fork", "forkserver", multiprocessing.get_context("forkserver")])
def test_start_methods(method):
    assert len(list(scene(samples.nothing, num_workers=1, multiprocessing_context=method))) == 20


def test_a_worker_keeps_what_a_sample_carries():
    (batch,) = ftorch.utils.data.DataLoader([0], None, num_workers=1, collate_fn=samples.of_tensors)
    weight, half, scalar, transposed = batch
    assert weight.requires_grad and weight.is_leaf and type(weight) is ftorch.nn.Parameter
    assert (half.dtype, scalar.shape, transposed.tolist()) == (ftorch.bfloat16, (), [[0, 2], [1, 3]])


PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background process would ignore it
from tests.shim import data_for_workers as samples
import funnn.torch as torch
for batch in torch.utils.data.DataLoader(samples.Scene(samples.sleep), 1, num_workers=2, sampler=[0, 1, 0] + [2] * 90):
    print("batch", flush=True)
"""


@pytest.mark.parametrize("form", ["import", "run"])
@pytest.mark.parametrize("how", ["interrupt", "kill"])
def test_the_end_of_the_program(how, form, tmp_path):
    """Ctrl-C, which reaches all processes of a terminal, and a killed training process."""
    script = tmp_path / "script.py"
    script.write_text(PROGRAM if form == "import" else PROGRAM.replace("import funnn.torch as torch", "import torch"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, *(["-m", "funnn", "run"] if form == "run" else []), str(script)]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    for _ in range(3):
        assert process.stdout.readline() == "batch\n"
    if how == "interrupt":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.kill()
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    if how == "interrupt":
        assert "KeyboardInterrupt" in errors and errors.count("Traceback") == 1
    deadline = time.monotonic() + 30
    while (left := group(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left
    assert not list(SHARED.glob(f"fn{process.pid}_*"))


def group(leader):
    """The processes of a process group."""
    lines = subprocess.run(["ps", "-e", "-o", "pgid=,stat=,args="], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in lines if re.match(rf"\s*{leader}\s+[^Z]", line)]


def test_numpy_seeds():
    """The rule by which torch's workers seed NumPy, in one line of NumPy's own."""
    from torch.utils.data._utils.worker import _generate_state

    for base, worker in [(0, 0), (2**40 + 77, 3), (2**63 - 5, 1)]:
        ours = np.random.SeedSequence([worker, base % 2**32, base >> 32, 0]).generate_state(4)
        assert ours.tolist() == _generate_state(base, worker)
