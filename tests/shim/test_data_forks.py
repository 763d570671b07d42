"""Scripts with DataLoader workers print what they print with PyTorch, which forks: with the import line changed, and by ``python -m funnn run``."""

import functools
import os
import pathlib
import re
import subprocess
import sys

import pytest

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
