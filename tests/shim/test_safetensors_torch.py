"""safetensors.torch on tensors of the shim, where ``python -m funnn run`` answers its ``import torch``: as with PyTorch, and the same bytes.

Programs run in processes of their own, because the library keeps the first ``torch`` that it meets in a process.
"""

import json
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
from twin import same, same_error

import funnn.torch as shim
from funnn.checkpoint import save_safetensors

PROGRAM = Path(__file__).with_name("safetensors_program.py")


def run(folder: Path, *command: str, program: Path = PROGRAM) -> str:
    folder.mkdir()
    done = subprocess.run([sys.executable, "-W", "ignore", *command, str(program)], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_whole_library(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(shim.__file__).parents[2]))
    monkeypatch.setenv("PYTHONHASHSEED", "0")  # messages print sets of names
    expected, got = run(tmp_path / "torch"), run(tmp_path / "shim", "-m", "funnn", "run")
    assert got.splitlines() == expected.splitlines()
    for name in ("tensors.safetensors", "net.safetensors"):
        theirs, ours = ((tmp_path / folder / name).read_bytes() for folder in ("torch", "shim"))
        assert header_and_data(ours) == header_and_data(theirs)


def test_numbers_of_8_bits(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(shim.__file__).parents[2]))
    good, path, program = tmp_path / "f8.safetensors", tmp_path / "e8m0.safetensors", tmp_path / "program.py"
    save_safetensors({"x": np.ones(3, ml_dtypes.float8_e4m3fn)}, good)
    save_safetensors({"x": np.ones(3, ml_dtypes.float8_e8m0fnu)}, path)
    program.write_text(f"from safetensors.torch import load_file\nprint(load_file({str(good)!r}))\nprint(load_file({str(path)!r}))")
    printed = run(tmp_path / "shim", "-m", "funnn", "run", program=program)
    assert "{'x': tensor([1., 1., 1.], dtype=torch.float8_e4m3fn)}" in printed and "dtype=torch.float8_e8m0fnu" in printed


def header_and_data(content: bytes) -> tuple[object, bytes]:
    """The header without the order of its keys, which differs from run to run where there is metadata."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def test_storages_of_files(tmp_path):
    path = tmp_path / "bytes"
    path.write_bytes(bytes(range(8)))

    def program(t):
        raw = t.UntypedStorage.from_file(str(path), nbytes=6)
        print(raw.nbytes(), raw[2:4].tolist(), raw[4:2].tolist(), raw[-1:].tolist(), t.UntypedStorage.from_file(str(path)).nbytes())
        raw[0] = 9
        numbers = t.asarray(raw, dtype=t.uint8)
        raw[1] = 8
        return numbers, numbers.view(t.int16), t.asarray(raw, dtype=t.int16)

    same(program)
    assert path.read_bytes() == bytes(range(8))
    same_error(
        lambda t: t.UntypedStorage.from_file(str(path), nbytes=99), RuntimeError, "size <8> is smaller than the required mapping size <99>"
    )
    same_error(
        lambda t: t.UntypedStorage.from_file(str(path) + "x", nbytes=1), RuntimeError, "unable to open file <.*> in read-only mode: No such"
    )
    same_error(lambda t: t.UntypedStorage(8)[0:8:2], RuntimeError, "Trying to slice with a step of 2, but only a step of 1 is supported")


def test_an_address_is_an_identity_while_there_are_no_values():
    seen = []

    def double(x):
        seen.append((x[1:].data_ptr() - x.data_ptr(), x.clone().data_ptr() != x.data_ptr()))
        return x * 2

    assert shim.vmap(double)(shim.ones(2, 3)).tolist() == [[2, 2, 2], [2, 2, 2]]
    assert shim.compile(double, fullgraph=True)(shim.ones(3)).tolist() == [2, 2, 2]
    assert set(seen) == {(4, True)}
