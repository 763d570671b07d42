"""``python -m funnn run``: PyTorch scripts as they are, and everything restored afterwards; help and version."""

import contextlib
import importlib.metadata
import os
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import jax
import pytest
import torch

import funnn.torch
from funnn import __main__, _compilation_cache, _huge_pages, _run
from funnn.functional import _conv_onednn as onednn


@pytest.fixture(autouse=True)
def no_programs_are_kept(monkeypatch):
    """JAX's configuration is the whole process's."""
    monkeypatch.setattr(_run, "_keep_programs", lambda: None)


@pytest.fixture
def script(tmp_path):
    def write(text, name="script.py"):
        file = tmp_path / name
        file.write_text(textwrap.dedent(text))
        return file

    return write


def test_imports_are_the_modules_of_funnn(script):
    script("import torch\nanswer = 42\n", "helper.py")
    text = """
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
    import torch.utils.data.dataset
    from torch import optim, Tensor
    from torch.nn import Linear
    from torch.utils.data import DataLoader
    import torch.nn.modules.container as container
    from helper import answer, torch as helpers_torch

    def later():
        import torch
        return torch

    same = later() is torch is helpers_torch and torch.nn is nn
    loss = F.mse_loss(Linear(2, 1)(torch.ones(3, 2)), torch.zeros(3, 1))
    """
    names = _run.run_script(script(text))
    ours = funnn.torch
    assert names["torch"] is ours and names["nn"] is ours.nn and names["F"] is ours.nn.functional and names["optim"] is ours.optim
    assert names["DataLoader"] is ours.utils.data.DataLoader and names["container"].__name__ == "funnn.torch.nn.modules.container"
    assert names["same"] and names["answer"] == 42 and isinstance(names["loss"], ours.Tensor)
    assert "helper" not in sys.modules


def test_the_script_sees_itself_and_everything_is_restored(script, capsys):
    file = script(
        """
        import sys, torch
        print(__name__, __file__, sys.argv[1:], sys.path[0], sys.modules["__main__"].__dict__ is globals(), torch.__name__)
        """
    )
    before = list(sys.argv), list(sys.path), sys.modules["__main__"], list(sys.meta_path)
    theirs = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "torch"}
    _run.run_script(file, ["--lr", "3"])
    assert capsys.readouterr().out == f"__main__ {file} ['--lr', '3'] {file.parent} True torch\n"
    assert before == (list(sys.argv), list(sys.path), sys.modules["__main__"], list(sys.meta_path))
    assert theirs == {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "torch"}
    assert sys.modules["torch"] is torch is not funnn.torch


@pytest.mark.parametrize(
    "line, kind, name",
    [
        ("torch.no_such(2)", AttributeError, "torch.no_such"),
        ("torch.nn.NoSuch(2)", AttributeError, "torch.nn.NoSuch"),
        ("torch.ones(2).no_such()", AttributeError, "torch.Tensor.no_such"),
        ("from torch import no_such", ImportError, "torch.no_such"),
        ("from torch.nn.utils import no_such", ImportError, "torch.nn.utils.no_such"),
        ("import torch.no_such.deep as x", ModuleNotFoundError, "torch.no_such"),
        ("from torch.no_such import x", ModuleNotFoundError, "torch.no_such"),
    ],
)
def test_missing_names(script, line, kind, name):
    file = script(f"import torch\n\n{line}\n")
    with pytest.raises(kind) as caught:
        _run.run_script(file)
    assert caught.value.__notes__ == [f"{file}, line 3, uses {name}, which funnn.torch does not have"]
    assert sys.modules["torch"] is torch


def test_missing_names_can_be_asked_for(script):
    names = _run.run_script(
        script(
            """
            import torch
            has = hasattr(torch, "no_such")
            try:
                import torch.no_such
            except ImportError as error:
                text = str(error)
            """
        )
    )
    assert names["has"] is False and names["text"] == "No module named 'torch.no_such'"


def test_own_errors_get_no_note(script):
    for line in ("''.no_such", "torch.nn.Linear(1, 2).no_such", "from collections import no_such", "import no_such_module"):
        with pytest.raises((AttributeError, ImportError)) as caught:
            _run.run_script(script(f"import torch\n{line}\n"))
        assert not hasattr(caught.value, "__notes__")


def test_traceback_has_the_scripts_lines_only(script, capsys):
    file = script("import torch\n\ndef f():\n    return torch.nothing\n\nf()\n")
    assert __main__.main(["run", str(file)]) == 1
    printed = capsys.readouterr().err
    assert f'File "{file}", line 6, in <module>\n    f()' in printed and f'File "{file}", line 4, in f' in printed
    assert "_run.py" not in printed and "importlib" not in printed
    assert printed.rstrip().endswith(f"{file}, line 4, uses torch.nothing, which funnn.torch does not have")


def test_exit_codes(script, capsys):
    for call in ("sys.exit(7)", "raise SystemExit('bye')"):
        with pytest.raises(SystemExit) as caught:
            __main__.main(["run", str(script(f"import sys\n{call}\n"))])
        assert caught.value.code in (7, "bye")
    assert __main__.main(["run", str(script("x = 1\n"))]) == 0
    assert __main__.main(["run", str(script("raise KeyboardInterrupt\n"))]) == 130
    assert __main__.main(["run", str(script("x = = 1\n"))]) == 1
    assert "SyntaxError" in capsys.readouterr().err
    assert __main__.main(["run", "nonexistent.py"]) == 2
    assert "no such script: 'nonexistent.py'" in capsys.readouterr().err


def test_real_torch_is_never_imported(script):
    text = """
    import sys, torch
    files = [file for name, module in sys.modules.items() if name.split(".")[0] == "torch" and (file := getattr(module, "__file__", None))]
    """
    names = _run.run_script(script(text))
    assert names["files"] and all("funnn" in file for file in names["files"])


PROFILED = """
import sys, torch
from torch.autograd.profiler import profile
with profile() as times:
    loss = (torch.ones(2, requires_grad=True) * 2).sum()
loss.backward()
print({event.key: event.count for event in times}["mul"], sys.argv[1:])
"""


@pytest.mark.parametrize(
    "end, code", [("", 0), ("sys.exit(3)", 3), ("torch.ones(2) @ torch.ones(3)", 1)], ids=["returns", "exits", "raises"]
)
def test_operations(script, capsys, end, code):
    file = script(PROFILED + end)
    try:
        assert __main__.main(["run", "--operations", str(file), "--profile", "x"]) == code
    except SystemExit as error:
        assert error.code == code == 3
    printed = capsys.readouterr()
    assert printed.out == "1 ['--profile', 'x']\n"
    table = [line.split() for line in printed.err.splitlines()]
    names = [line[0] for line in table]
    assert names[0] == "Name" and {"mul", "sum", "backward", "MulBackward0"} <= set(names) and "Self" in names
    assert [line[-1] for line in table if line[0] in ("mul", "backward")] == ["1", "1"]
    assert ("Traceback" in names) == (code == 1) and "_run.py" not in printed.err
    if code == 1:  # the error comes last
        assert names.index("Traceback") > names.index("Self") and f'File "{file}", line 8' in printed.err


def test_profile_lists_the_lines_that_asked(script, capsys):
    file = script("""
import torch
total = torch.zeros(3000)
for n in range(4):
    total = total + n
    value = total.sum().item()
print(value)
""")
    assert __main__.main(["run", "--profile", str(file)]) == 0
    printed = capsys.readouterr()
    assert printed.out == "18000.0\n"
    head, *rows = [line.split() for line in printed.err.splitlines()]
    assert head == ["flushes", "new", "graphs", "compiled", "compiling", "running", "line"]
    assert [(row[0], row[1], row[2], row[-1]) for row in rows] == [("4", "1", "0", f"{file}:6"), ("4", "1", "0", "all")]


def test_compiled_programs_are_kept_for_the_next_run(script, tmp_path):
    file = script("""
import torch
step = torch.compile(lambda x: (x @ x).sum())
print(step(torch.ones(4, 4)).item())
""")
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(Path(funnn.__file__).parent.parent)}

    def run(*options):
        command = [sys.executable, "-m", "funnn", "run", *options, str(file)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert (done.stdout, done.stderr) == ("64.0\n", "")
        return sorted(path.name for path in (tmp_path / "funnn" / "programs").glob("*-cache"))

    assert not run("--no-cache")
    first = run()
    assert first and run() == first


def test_a_program_with_convolutions_that_runs_often_gets_those_that_cannot_be_kept(script, tmp_path):
    """XLA's calls of oneDNN, which prints them, can't be written to a disk; all that is kept is read in the second run, without a warning."""
    file = script("""
import torch
conv = torch.nn.Conv2d(16, 16, 3)
with torch.no_grad():
    conv.weight.copy_(torch.linspace(-0.1, 0.1, 2304).reshape(16, 16, 3, 3))
optimizer = torch.optim.SGD(conv.parameters(), 0.01)
x = torch.linspace(0, 1, 65536).reshape(16, 16, 16, 16)
for step in range(400):
    loss = (conv(x) - 1).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print("loss", loss.item())
""")
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(tmp_path),
        "PYTHONPATH": str(Path(funnn.__file__).parent.parent),
        "ONEDNN_VERBOSE": "1",
    }

    def run(*options):
        command = [sys.executable, "-W", "error", "-m", "funnn", "run", *options, str(file)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        kept = sorted(path.name for path in (tmp_path / "funnn" / "programs").glob("*-cache"))
        return float(done.stdout.rpartition("loss ")[2]), done.stdout.count("exec,cpu,convolution"), kept

    expected, always, _ = run("--no-cache")
    (loss, often, kept), again = run(), run()
    assert again == (loss, often, kept) and loss == pytest.approx(expected, rel=1e-5)
    expects = onednn.is_there()
    assert (0 < often < always, often == always == 0) == (expects, not expects), (often, always)


def test_the_default_cache_stays_below_its_limit(tmp_path):
    for number in range(5):
        file = tmp_path / f"{number}-cache"
        file.write_bytes(bytes(100))
        os.utime(file, (1000 + number, 1000 + number))
    _compilation_cache._keep_below(tmp_path, 250)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3-cache", "4-cache"]


def test_without_profile_nothing_is_printed(script, capsys):
    assert __main__.main(["run", str(script(PROFILED)), "--profile"]) == 0
    assert capsys.readouterr().err == ""


def test_trace_is_written_to_its_folder(script, capsys, tmp_path, monkeypatch):
    folders = []

    @contextlib.contextmanager
    def trace(folder):
        folders.append(folder)
        yield
        folders.append("stopped")

    monkeypatch.setattr(jax.profiler, "trace", trace)  # the real one takes seconds to stop
    assert __main__.main(["run", "--trace", str(tmp_path), str(script(PROFILED))]) == 0
    assert folders == [str(tmp_path), "stopped"] and "new graphs" in capsys.readouterr().err


def test_without_a_command_there_is_help(capsys):
    assert __main__.main([]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("usage: python -m funnn") and "digits" in printed.out and printed.err == ""


def test_version(capsys, monkeypatch):
    with pytest.raises(SystemExit) as caught:
        __main__.main(["--version"])
    assert caught.value.code == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"funnn {funnn.__version__} (JAX {jax.__version__}, jaxlib ")
    assert line.endswith(f"devices: {len(jax.devices())} × {jax.devices()[0].device_kind})")

    def no_devices():
        raise RuntimeError("Unable to initialize backend 'cuda'\n  more")

    monkeypatch.setattr(jax, "devices", no_devices)
    assert __main__.version().endswith("; devices: none (Unable to initialize backend 'cuda'))")


def test_the_version_stands_in_one_place():
    text = (Path(funnn.__file__).parents[1] / "pyproject.toml").read_text()
    project = tomllib.loads(text)
    assert project["project"].get("version", funnn.__version__) == funnn.__version__
    assert importlib.metadata.version("funnn") == funnn.__version__


def test_a_programs_log_is_its_own(script):
    """With the root logger at DEBUG, JAX's messages of backends and compilations would stand among the program's."""
    file = script(
        """
        import logging, sys
        logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
        import torch
        x = torch.ones(3, requires_grad=True)
        torch.compile(lambda x: (x * 2).sum())(x).backward()
        logging.debug(x.grad)
        logging.getLogger("torch.of_mine").info("no")
        """
    )
    done = subprocess.run([sys.executable, "-m", "funnn", "run", str(file)], capture_output=True, text=True, check=True)
    assert done.stdout == "DEBUG:root:tensor([2., 2., 2.])\n"


def test_annotations_are_what_the_script_wrote(script):
    """The runner's own ``from __future__ import annotations`` is not the script's."""
    text = """
    from dataclasses import dataclass, fields
    @dataclass
    class Config:
        lr: float = 0.1
    def f(x: int): ...
    types = [fields(Config)[0].type, f.__annotations__["x"]]
    """
    assert _run.run_script(script(text))["types"] == [float, int]
    assert _run.run_code(textwrap.dedent(text))["types"] == [float, int]
    assert _run.run_script(script("from __future__ import annotations\n" + textwrap.dedent(text)))["types"] == ["float", "int"]


def test_huge_pages_begin_the_process_again_once(tmp_path):
    """The program sees its own command line, and glibc the setting; one that the user gave stays."""
    script = tmp_path / "show.py"
    script.write_text("import os, sys\nprint(os.environ.get('GLIBC_TUNABLES'), sys.argv[1:])\n")
    command = [sys.executable, "-m", "funnn", "run", "--no-cache"]
    given = {key: value for key, value in os.environ.items() if key != "GLIBC_TUNABLES"}
    possible = _huge_pages.obstacle() is None
    large, small = "glibc.malloc.hugetlb=1", "glibc.malloc.hugetlb=0"
    for option, before, after in ([], None, large), (["--huge-pages"], None, large), ([], small, small), (["--no-huge-pages"], None, None):
        environment = given if before is None else {**given, "GLIBC_TUNABLES": before}
        done = subprocess.run([*command, *option, str(script), "-x"], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout == f"{after if possible else before} ['-x']\n"
        assert bool(done.stderr) is (option == ["--huge-pages"] and not possible)


def test_huge_pages_leave_processes_of_other_programs_alone(monkeypatch):
    for command, own in {
        ("python", "-m", "funnn", "run", "x.py"): True,
        ("python", "-u", "-m", "funnn", "run", "-m", "x"): True,
        ("python", "-m", "pdb", "-m", "funnn", "run", "x.py"): False,
        ("python", "tool.py", "-m", "funnn"): False,
        ("python", "tool.py"): False,
    }.items():
        monkeypatch.setattr(sys, "orig_argv", list(command))
        assert _huge_pages._is_own() is own


def test_huge_pages_that_cannot_be_had_are_said(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(_huge_pages.platform, "libc_ver", lambda: ("glibc", "2.31"))
    monkeypatch.setattr(_huge_pages.sys, "platform", "linux")
    _huge_pages.restart(asked=False)
    assert capsys.readouterr().err == ""
    _huge_pages.restart(asked=True)
    assert capsys.readouterr().err == "--huge-pages: they need glibc 2.35, and this is 2.31; going on without\n"
    monkeypatch.setattr(_huge_pages.platform, "libc_ver", lambda: ("glibc", "2.36"))
    pages = tmp_path / "enabled"
    monkeypatch.setattr(_huge_pages, "_PAGES", pages)
    pages.write_text("always madvise [never]\n")
    assert _huge_pages.obstacle().startswith("Linux gives none here")
    pages.write_text("always [madvise] never\n")
    assert _huge_pages.obstacle() is None


def test_settings_of_the_user_stay_beside_that_of_huge_pages(monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.arena_max=2")
    assert _huge_pages.environment()["GLIBC_TUNABLES"] == "glibc.malloc.arena_max=2:glibc.malloc.hugetlb=1"
