"""torch.distributed with several processes: one script under PyTorch and under funnn, what it writes compared; and what happens when a process fails."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent / "process_scripts"
ROOT = Path(__file__).parents[2]


def free_port():
    """One that is free, as is the next one."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


def environment(**more):
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


def run(command, **more):
    return subprocess.run(command, env=environment(**more), capture_output=True, text=True, timeout=200)


def with_torch(script, processes, *args):
    """The script in processes with torchrun's environment, on PyTorch; what they print. How they end is not asked: now and then one of them aborts in
    the destructors of its process groups, when all is done."""
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(processes)}
    started = [
        subprocess.Popen(
            [sys.executable, script, *args],
            env=environment(**common, RANK=str(rank), LOCAL_RANK=str(rank)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(processes)
    ]
    try:
        return [process.communicate(timeout=200)[0] for process in started]
    finally:
        for process in started:
            process.kill()


def with_funnn(script, processes, *args):
    """The script by ``python -m funnn launch``."""
    done = run([sys.executable, "-m", "funnn", "launch", "--processes", str(processes), script, *args])
    assert done.returncode == 0, done.stdout + done.stderr


def same_in_both(names, processes, folder):
    """Scripts write the same in both libraries, in each process."""
    script = str(SCRIPTS / "in_turn.py")
    printed = with_torch(script, processes, str(folder / "torch"), *names)
    assert all((folder / f"torch.{name}.{rank}").is_file() for name in names for rank in range(processes)), printed
    with_funnn(script, processes, str(folder / "funnn"), *names)
    for name in names:
        for rank in range(processes):
            got, expected = ((folder / f"{library}.{name}.{rank}").read_text().splitlines() for library in ("funnn", "torch"))
            assert got == expected and len(got) >= 3


def test_four_processes_do_as_pytorchs(tmp_path):
    pytest.importorskip("torch", reason="PyTorch runs the scripts, too")
    same_in_both(["collectives", "grid"], 4, tmp_path)


def test_two_processes_train_as_pytorchs(tmp_path):
    pytest.importorskip("torch", reason="PyTorch runs the scripts, too")
    same_in_both(["ddp", "dtensor", "sharded", "saved", "fsdp1", "joined", "pipes"], 2, tmp_path)


@pytest.mark.parametrize("name", ["own", "own_sharded", "own_whole", "own_fsdp1", "own_pipes", "own_jax"])
def test_what_is_right_or_refused_here_alone(name, tmp_path):
    with_funnn(str(SCRIPTS / f"{name}.py"), 2, str(tmp_path / name))
    assert [(tmp_path / f"{name}.{rank}").read_text() for rank in range(2)] == ["done", "done"]


def on_devices(script, devices, *args):
    """The script in one process with that many devices."""
    flags = f"--xla_force_host_platform_device_count={devices}"
    done = run([sys.executable, "-m", "funnn", "run", str(SCRIPTS / script), *args], XLA_FLAGS=flags, JAX_PLATFORMS="cpu")
    assert done.returncode == 0, done.stdout + done.stderr


def test_devices_of_one_process_do_as_pytorchs_processes(tmp_path):
    pytest.importorskip("torch", reason="PyTorch runs the script, too")
    printed = with_torch(str(SCRIPTS / "devices.py"), 2, str(tmp_path / "torch"))
    assert (tmp_path / "torch.0").is_file(), printed
    on_devices("devices.py", 2, str(tmp_path / "funnn"))
    got, expected = ((tmp_path / f"{library}.0").read_text().splitlines() for library in ("funnn", "torch"))
    assert got == expected and len(got) > 40


def test_arrays_of_devices_of_one_process(tmp_path):
    on_devices("own_devices.py", 8, str(tmp_path / "own"))
    assert (tmp_path / "own.0").read_text() == "done"


def test_processes_that_a_program_starts(tmp_path):
    done = run([sys.executable, "-m", "funnn", "run", str(SCRIPTS / "spawned.py"), str(tmp_path), str(free_port())])
    assert done.returncode == 0, done.stdout + done.stderr
    written = [(tmp_path / f"out.{rank}").read_text().splitlines() for rank in range(3)]
    for rank in range(2):
        of_store = ["True", f"b'of {1 - rank}' 4 False", "True"]
        sums = [f"{name} [3.0, 3.0]" for name in ("tcp", "file", "TCPStore", "FileStore")]
        assert written[rank] == [sums[0], sums[1], sums[2], *of_store, sums[3], *of_store]
    assert written[2] == ["-- Process 1 terminated with the following error: ValueError: the process of rank 1 has had enough 1"]


@pytest.mark.parametrize(
    ("how", "code", "ends"),
    [("raise", 1, "exit code 1"), ("kill", 137, "signal SIGKILL")],
)
def test_a_process_that_fails_ends_the_others(how, code, ends):
    command = (
        ["-m", "funnn", "launch", "--processes", "2"]
        if how == "raise"
        else ["-m", "funnn", "run", "-m", "torch.distributed.run", "--nproc_per_node=2"]
    )
    done = run([sys.executable, *command, str(SCRIPTS / "failing.py"), how, "1"])
    assert done.returncode == code, done.stderr
    assert (
        "the process of rank 1 (pid " in done.stderr and f"ended with {ends}, and the other 1 of this machine were stopped" in done.stderr
    )
    if how == "raise":
        assert "all_reduce (operation 1 of group 0) on rank 0" in done.stderr and "ValueError: rank 1 has had enough" in done.stderr


@pytest.mark.parametrize("killed", [0, 1])
def test_a_process_that_is_killed_is_named_without_a_launcher(killed):
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    command = [sys.executable, "-m", "funnn", "run", str(SCRIPTS / "failing.py"), "kill", str(killed)]
    started = [
        subprocess.Popen(command, env=environment(**common, RANK=str(rank)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for rank in range(2)
    ]
    printed = [process.communicate(timeout=200)[0] for process in started]
    other = 1 - killed
    assert started[killed].returncode == -9 and started[other].returncode == 1, printed
    assert f"on rank {other} failed: the process of rank {killed} has closed its connection without a word" in printed[other], printed[
        other
    ]
    assert "Check failure stack trace" not in printed[other]  # which JAX's own end of a process prints


def test_a_process_alone_says_who_is_missing():
    program = "import datetime, torch.distributed as d; d.init_process_group(timeout=datetime.timedelta(seconds=1))"
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    for rank, text in ((0, "waited 1 s for 2 processes, of which 1 came"), (1, "while trying to connect to (127.0.0.1")):
        done = run([sys.executable, "-m", "funnn", "run", "-c", program], **common, RANK=str(rank))
        assert done.returncode == 1 and text in done.stderr, done.stderr


def test_what_the_launcher_tells_processes(monkeypatch):
    from funnn.torch.distributed._agent import Plan

    monkeypatch.delenv("JAX_CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    told = Plan(processes=2, nodes=2, node_rank=1, address="host", run_id="7").environment(1, 29500)
    expected = {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "1", "MASTER_ADDR": "host"}
    expected |= {"MASTER_PORT": "29500", "TORCHELASTIC_RUN_ID": "7", "JAX_CUDA_VISIBLE_DEVICES": "1"}
    assert expected.items() <= told.items()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "JAX_CUDA_VISIBLE_DEVICES" not in Plan(1).environment(0, 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("JAX_CUDA_VISIBLE_DEVICES", "3")
    assert "JAX_CUDA_VISIBLE_DEVICES" not in Plan(1).environment(0, 1)


def test_torchruns_options(monkeypatch, capsys):
    from funnn.torch.distributed import run

    started = []
    monkeypatch.setattr(run, "launch", lambda command, plan, name: started.append((command[1:], plan)) or 0)
    run.main(
        [
            "--nproc-per-node=4",
            "--nnodes=1:2",
            "--node_rank=1",
            "--rdzv-endpoint=host:29400",
            "--rdzv_backend",
            "c10d",
            "-m",
            "pkg",
            "--x",
            "1",
        ]
    )
    run.main(["--standalone", "script.py"])
    run.main(["--nproc_per_node=2", "--master-port=1234", "--no-python", "program", "-a"])
    (words, plan), (alone, first), (_, last) = started
    assert words == ["-u", "-m", "pkg", "--x", "1"] and alone == ["-u", "script.py"]
    assert (plan.processes, plan.nodes, plan.node_rank, plan.address, plan.port) == (4, 2, 1, "host", 29400)
    assert (first.processes, first.nodes, first.address, first.port) == (1, 1, "127.0.0.1", 0) and last.port == 1234
    with pytest.raises(SystemExit):
        run.main(["--nproc-per-node=none", "script.py"])
    assert "expected a number of at least 1, auto, cpu or gpu, got 'none'" in capsys.readouterr().err


def test_what_the_launcher_refuses(capsys):
    from funnn.__main__ import main

    for words, text in (
        (["launch"], "give a script or -m MODULE"),
        (["launch", "no/such.py"], "no such script: 'no/such.py'"),
        (["launch", "--nodes", "2", __file__], "--port: several machines need one"),
        (["launch", "--nodes", "2", "--node-rank", "2", __file__], "expected a number from 0 to 1"),
        (["launch", "--processes", "0", __file__], "expected a whole number of at least 1"),
    ):
        with pytest.raises(SystemExit):
            main(words)
        assert text in capsys.readouterr().err
