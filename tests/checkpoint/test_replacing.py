"""Writing never destroys what was there: kills, a full disk, errors in the middle."""

import os
import resource
import signal
import stat
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

import funnn.torch as shim
from funnn.checkpoint import load_pt, save_pt
from funnn.checkpoint._replacing import replacing

#: Forks writers, each of which goes on with the number after that of the file, and kills them; forking is safe, since JAX has not begun here.
KILLER = """
import os, random, signal, sys, time
import numpy as np
from funnn.checkpoint import load_pt, save_pt
path, draw = sys.argv[1], random.Random(0)
for _ in range(int(sys.argv[2])):
    pid = os.fork()
    if not pid:
        number = load_pt(path)["number"]
        while True:
            number += 1
            save_pt({"parts": [np.full(1 << 18, number, np.int32)] * 2 + [np.full(1 << 18, number, np.int32) for _ in range(14)], "number": number}, path)
    time.sleep(draw.uniform(0.01, 0.15))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    print("killed", flush=True)
    input()
"""
KILLS = 100


def whole(path):
    """The number of a file of a writer's, all of whose parts must be of one writing."""
    tree = load_pt(path, verify=True)
    assert all((part == tree["number"]).all() for part in tree["parts"])
    return tree["number"]


def test_a_killed_writer_leaves_a_whole_file(tmp_path):
    """Killed at a hundred random moments, many of them in the middle of a file."""
    path, number, unfinished = tmp_path / "x.pt", 0, 0
    save_pt({"parts": [np.zeros(1 << 18, np.int32)] * 16, "number": number}, path)
    command = [sys.executable, "-c", KILLER, str(path), str(KILLS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        for _ in range(KILLS):
            assert process.stdout.readline() == "killed\n"
            found = whole(path)
            assert found >= number
            number = found
            for left in tmp_path.glob(".x.pt.*.tmp"):
                unfinished += 1
                left.unlink()
            process.stdin.write("\n")
            process.stdin.flush()
    assert process.returncode == 0 and number > 0 and unfinished > KILLS // 10


def test_a_full_disk_leaves_the_old_file(tmp_path):
    """A limit on the size of files stands for the disk: what is written is refused in the middle."""
    for save, load in ((save_pt, load_pt), (shim.save, shim.load)):
        path = tmp_path / "x.pt"
        make = np.ones if save is save_pt else shim.ones
        save({"a": make(100)}, path)
        before = path.read_bytes()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
        try:
            with pytest.raises(OSError):
                save({"a": make(1 << 16)}, path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
        assert path.read_bytes() == before and [item.name for item in tmp_path.iterdir()] == ["x.pt"]
        assert load(path)["a"].shape == (100,)


def can_mount(folder, size="1m"):
    return subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True).returncode == 0


def test_a_full_file_system_leaves_the_old_file(tmp_path):
    if not can_mount(tmp_path):
        pytest.skip("only root can mount a small file system; the test above limits the size of files instead")
    try:
        path = tmp_path / "x.pt"
        save_pt({"a": np.ones(1 << 15)}, path)  # a quarter
        before = path.read_bytes()
        for count in (1 << 17, 110_000, 100_000):
            with pytest.raises(OSError, match="No space left on device"):
                save_pt({"a": np.ones(count)}, path)
            assert path.read_bytes() == before and [item.name for item in tmp_path.iterdir()] == ["x.pt"]
        save_pt({"a": np.zeros(1 << 15)}, path)
        assert not load_pt(path)["a"].any()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_large_file_asks_for_its_room_first(tmp_path):
    if not sys.platform.startswith("linux") or not can_mount(tmp_path, "64m"):
        pytest.skip("only root can mount a small file system, and only Linux can be asked for room in it")
    try:
        path = tmp_path / "x.pt"
        save_pt({"a": np.ones(4 << 20)}, path)  # half
        assert load_pt(path)["a"].sum() == 4 << 20 and os.stat(path).st_blocks * 512 < 33 << 20
        with pytest.raises(OSError, match=r"No space left on device: there is no room for 4194\d\d\d\d bytes"):
            save_pt({"a": np.ones(5 << 20)}, path)
        assert load_pt(path)["a"].shape == (4 << 20,) and [item.name for item in tmp_path.iterdir()] == ["x.pt"]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_an_error_in_the_middle(tmp_path):
    path = tmp_path / "x.pt"
    save_pt([1], path)
    with pytest.raises(TypeError), replacing(path) as file:
        file.write(b"half")
        raise TypeError
    with pytest.raises(TypeError, match="arrays of type <U1"):
        save_pt([np.ones(3), np.array(["a"])], path)
    assert load_pt(path) == [1] and [item.name for item in tmp_path.iterdir()] == ["x.pt"]


def test_what_a_path_may_be(tmp_path):
    real, link = tmp_path / "real.pt", tmp_path / "link.pt"
    save_pt([1], real)
    real.chmod(0o640)
    link.symlink_to(real)
    save_pt([2], link)
    assert link.is_symlink() and load_pt(real) == [2] and stat.S_IMODE(real.stat().st_mode) == 0o640
    umask = os.umask(0o027)
    try:
        save_pt([3], tmp_path / "new.pt")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "new.pt").stat().st_mode) == 0o640
    save_pt([4], "/dev/null")
    long = tmp_path / ("a" * 250)
    save_pt([5], long)
    assert load_pt(long) == [5]
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen([sys.executable, "-c", f"print(len(open({str(pipe)!r}, 'rb').read()))"], stdout=subprocess.PIPE, text=True)
    save_pt([6], pipe)
    assert int(reader.communicate(timeout=60)[0]) > 100 and stat.S_ISFIFO(pipe.stat().st_mode)
    with pytest.raises(FileNotFoundError, match=r"there is no folder '.*nowhere' to write 'x.pt' in"):
        save_pt([7], tmp_path / "nowhere" / "x.pt")
    for t in (torch, shim):
        with pytest.raises(RuntimeError, match=r"Parent directory .*nowhere does not exist\."):
            t.save([7], tmp_path / "nowhere" / "x.pt")


def test_two_writers(tmp_path):
    """The last one to end has written the file; none is half of each."""
    path = tmp_path / "x.pt"
    code = "import sys, numpy as np\nfrom funnn.checkpoint import save_pt\n"
    code += "for _ in range(20): save_pt(np.full(100_000, int(sys.argv[2])), sys.argv[1])"
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), str(number)]) for number in (1, 2)]
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            assert len(np.unique(load_pt(path, verify=True))) == 1
        time.sleep(0.01)
    assert [writer.returncode for writer in writers] == [0, 0] and [item.name for item in tmp_path.iterdir()] == ["x.pt"]
