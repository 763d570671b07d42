"""Ways in: ``import torch`` answered by install() and by ``run``, in other processes, notebooks and pytest; PyTorch beside funnn.torch is an error."""

import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from torch import nn

import funnn
import funnn.torch
from funnn import __main__, _import_torch, _run
from funnn.errors import MixedTorchError

ROOT = Path(funnn.__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture(autouse=True)
def no_programs_are_kept(monkeypatch):
    """JAX's configuration is the whole process's."""
    monkeypatch.setattr(_run, "_keep_programs", lambda: None)


def python(*arguments, cwd=None, check=True, environment=ENVIRONMENT):
    done = subprocess.run([sys.executable, *arguments], env=environment, cwd=cwd, capture_output=True, text=True, timeout=300)
    assert not check or done.returncode == 0, done.stderr
    return done


# -- other processes

FACTS = """
import importlib.metadata, json, multiprocessing, subprocess, sys
CHILD = "import torch.nn as nn, torch, json; print(json.dumps([torch.__file__, nn.__name__, torch.manual_seed(0) and torch.rand(2).tolist()]))"


def facts(_=0):
    import torch
    from torch import nn

    return [torch.__file__, nn.__name__, torch.manual_seed(0) and torch.rand(2).tolist()]


class Data:
    def __len__(self):
        return 4

    def __getitem__(self, index):
        import torch

        return torch.rand(1).item(), float(torch.__name__ == "torch")


def draws(method):
    import torch

    torch.manual_seed(0)
    loader = torch.utils.data.DataLoader(Data(), 2, num_workers=1, multiprocessing_context=method)
    return [[column.tolist() for column in batch] for batch in loader]


def main():
    found = {"here": facts()}
    found["subprocess"] = json.loads(subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True).stdout)
    with multiprocessing.get_context("forkserver").Pool(1) as pool:
        found["forkserver"] = pool.apply(facts)
    found["draws"] = [draws(method) for method in ("fork", "spawn")]
    print(json.dumps(found))
"""


@pytest.mark.parametrize("way", ["run", "install"])
def test_other_processes_get_the_same_torch(way, tmp_path):
    file = tmp_path / "facts.py"
    beginning = "import funnn\nfunnn.install()\n" if way == "install" else ""
    file.write_text(f'{beginning}{FACTS}\n\nif __name__ == "__main__":\n    main()\n')
    found = json.loads(python(*(["-m", "funnn", "run"] if way == "run" else []), str(file)).stdout)
    (fork, spawn), here = found.pop("draws"), found["here"]
    assert here == [funnn.torch.__file__, "torch.nn", torch.manual_seed(0) and torch.rand(2).tolist()]
    assert all(facts == here for facts in found.values()) and len(found) == 3
    assert fork == spawn and all(answered == [1.0, 1.0] for _, answered in fork)
    loader = torch.utils.data.DataLoader(range(4), 2)  # a loader draws one number for its workers' seeds before they start
    torch.manual_seed(0)
    seed = iter(loader)._base_seed
    torch.manual_seed(seed)
    assert [x for column, _ in fork for x in column] == torch.rand(4).double().tolist()


def test_what_is_found_without_an_import_of_torch():
    """In a process that inherits the path, before it imports torch."""
    program = "import sys, importlib.metadata as m, importlib.util as u; print(m.version('torch'), u.find_spec('torch').origin, 'jax' in sys.modules)"
    code = f"import funnn, subprocess, sys; funnn.install(); print(subprocess.check_output([sys.executable, '-c', {program!r}], text=True))"
    version, origin, started = python("-c", code).stdout.split()
    assert (version, started) == (funnn.torch.__version__, "False") and Path(origin).is_relative_to(Path(funnn.__file__).parent)


def test_the_stand_in_has_the_version_of_the_shim():
    (folder,) = Path(_import_torch.ANSWERS).glob("torch-*.dist-info")
    assert folder.name == f"torch-{funnn.torch.__version__}.dist-info"
    assert importlib.metadata.Distribution.at(folder).version == funnn.torch.__version__


# -- this process


def test_names_specs_and_their_restoration():
    ours = funnn.torch
    before = (
        dict(os.environ),
        list(sys.path),
        list(sys.meta_path),
        {name: module.__spec__ for name, module in sys.modules.items() if hasattr(module, "__spec__")},
    )
    with _import_torch.torch_is_funnn():
        import torch as inside
        import torch.nn.functional as F

        assert inside is ours and F is ours.nn.functional
        assert (inside.__name__, inside.nn.__name__, F.__name__) == ("torch", "torch.nn", "torch.nn.functional")
        assert repr(inside.optim) == f"<module 'torch.optim' from {ours.optim.__file__!r}>"
        assert importlib.metadata.version("torch") == inside.__version__ == "2.13.0+funnn"
        there = ["torch", "torch.nn", "torch.utils.data", "torch.utils.tensorboard", "torch.nn.modules.conv", "torch.distributions.normal"]
        assert [importlib.util.find_spec(name).name for name in there] == there
        assert [importlib.util.find_spec(name) for name in ("torch.no_such", "torch.nested", "torch.nn.no_such")] == [None] * 3
        import funnn.torch.nn as own

        assert own is inside.nn and own.Linear.__module__ == "torch.nn.modules.linear"
    after = dict(os.environ), list(sys.path), list(sys.meta_path), {name: sys.modules[name].__spec__ for name in before[3]}
    assert after == before
    assert (ours.__name__, ours.nn.__name__, ours.nn.functional.__name__) == ("funnn.torch", "funnn.torch.nn", "funnn.torch.nn.functional")
    assert sys.modules["torch"] is torch


def test_missing_names_say_torch():
    with _import_torch.torch_is_funnn():
        import torch as inside

        with pytest.raises(AttributeError, match=r"^module 'torch' has no attribute 'no_such'$"):
            inside.no_such  # noqa: B018
        for statement in ("import torch.nested", "from torch import nested", "import funnn.torch.nested", "from funnn.torch import nested"):
            with pytest.raises(NotImplementedError, match=r"^torch\.nested is not supported: ") as caught:
                exec(statement)
            assert isinstance(caught.value, ModuleNotFoundError)


def test_install_and_uninstall(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    code = """
    import os, sys, funnn
    path = list(sys.path)
    with funnn.install():
        import torch
        with funnn.torch.install():  # the second is part of the first
            pass
        assert torch is funnn.torch and torch.__name__ == "torch" and sys.modules["torch"] is torch
        assert os.environ["PYTHONPATH"].split(os.pathsep)[1:] == [sys.argv[1]]
    assert "torch" not in sys.modules and torch.__name__ == "funnn.torch"
    assert os.environ["PYTHONPATH"] == sys.argv[1] and sys.path == path
    funnn.uninstall()
    funnn.install()
    import torch.nn as nn
    print(nn.__name__, repr(funnn.install()))
    """
    assert python("-c", textwrap.dedent(code), str(ROOT)).stdout == "torch.nn <import torch is answered by funnn.torch>\n"


def test_install_beside_pytorch_names_who_holds_it():
    for install in (funnn.install, funnn.torch.install, lambda: funnn.load_ipython_extension(None)):
        with pytest.raises(MixedTorchError, match=rf"imported before funnn\.install.*{re.escape(__name__)} \(nn, torch\)|and \d+ more"):
            install()
    assert sys.modules["torch"] is torch and isinstance(MixedTorchError(), ImportError)


MIXED = {
    "a module of PyTorch's": lambda: nn.Linear(2, 1)(funnn.torch.ones(3, 2)),
    "a function of PyTorch's": lambda: torch.stack([funnn.torch.ones(2)]),
    "a function of PyTorch's in Python": lambda: nn.functional.mse_loss(funnn.torch.ones(2), torch.ones(2)),
    "an operator": lambda: torch.ones(2) + funnn.torch.ones(2),
    "a tensor of PyTorch's": lambda: funnn.torch.ones(2) + torch.ones(2),
    "a layer on it": lambda: funnn.torch.nn.Linear(2, 1)(torch.ones(2)),
    "a child of PyTorch's": lambda: funnn.torch.nn.Sequential(nn.Linear(2, 1)),
    "parameters of PyTorch's": lambda: funnn.torch.optim.SGD(nn.Linear(2, 1).parameters(), lr=1.0),
}


@pytest.mark.parametrize("name", MIXED)
def test_a_program_that_mixes_the_two_gets_that_error(name):
    with pytest.raises(MixedTorchError, match=r"mixes the two\. PyTorch is held by .*import lines.*funnn\.install\(\)"):
        MIXED[name]()


# -- the command


def test_run_module_and_code(tmp_path, monkeypatch, capsys):
    (tmp_path / "parts").mkdir()
    for name, text in (
        ("__init__", ""),
        ("helper", "import torch"),
        ("__main__", "import sys\nfrom .helper import torch\nprint(__name__, __package__, __spec__.name, sys.argv, torch.nn.__name__)"),
    ):
        (tmp_path / "parts" / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert __main__.main(["run", "-m", "parts", "-m", "--profile"]) == 0
    assert (
        capsys.readouterr().out
        == f"__main__ parts parts.__main__ {[str(tmp_path / 'parts' / '__main__.py'), '-m', '--profile']} torch.nn\n"
    )
    assert "parts" not in sys.modules
    assert __main__.main(["run", "--no-cache", "-c", "import sys, torch; print(torch.__name__, sys.argv, sys.path[0])", "-c"]) == 0
    assert capsys.readouterr().out == "torch ['-c', '-c'] \n"
    for name, text in (
        ("no_such", "No module named no_such"),
        ("no.such", "No module named no.such"),
        ("json", "No module named json.__main__"),
    ):
        assert __main__.main(["run", "-m", name]) == 1
        assert text in capsys.readouterr().err


@pytest.mark.parametrize(
    "line", [["run"], ["run", "-m"], ["run", "--output", "x", "a.py"], ["run", "--profile", "a.ipynb"], ["run", "a.ipynb", "x"]]
)
def test_wrong_command_lines(line, capsys):
    with pytest.raises(SystemExit) as caught:
        __main__.main(line)
    assert caught.value.code == 2 and "usage: python -m funnn run" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["funnn", "run", "-m", "pytest"], ["pytest", "-p", "funnn.torch.pytest"]], ids=["run", "plugin"])
def test_pytest(command, tmp_path):
    (tmp_path / "conftest.py").write_text("import torch\n")
    (tmp_path / "test_it.py").write_text(
        "import torch\n\ndef test_it():\n    assert torch.nn.__name__ == 'torch.nn' and torch.__version__.endswith('funnn')\n"
    )
    done = python("-m", *command, "-q", "-p", "no:cacheprovider", cwd=tmp_path)
    assert done.stdout.splitlines()[-1].startswith("1 passed")


# -- notebooks


def notebook(path, *cells):
    cells = [
        {"cell_type": "code", "id": str(n), "metadata": {}, "outputs": [], "execution_count": None, "source": cell}
        for n, cell in enumerate(cells)
    ]
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return str(path)


def test_a_notebook(tmp_path, capfd):
    pytest.importorskip("nbclient", reason="an extra")
    pytest.importorskip("ipykernel", reason="an extra")
    child = "print(__import__('subprocess').check_output([__import__('sys').executable, '-c', 'import torch; print(torch.__name__)'], text=True))"
    file = notebook(
        tmp_path / "a.ipynb", f"import torch\n{child}", "torch.manual_seed(0); torch.rand(2)", "torch.no_such", "print('not run')"
    )
    assert __main__.main(["run", "--output", str(tmp_path / "b.ipynb"), file]) == 1
    out, err = capfd.readouterr()
    assert (
        out == f"torch\n\n{torch.manual_seed(0) and torch.rand(2)}\n" and "AttributeError: module 'torch' has no attribute 'no_such'" in err
    )
    assert json.loads((tmp_path / "b.ipynb").read_text())["cells"][1]["outputs"]


def test_a_notebook_says_what_it_needs(tmp_path, capsys, monkeypatch):
    file = notebook(tmp_path / "a.ipynb", "1")
    monkeypatch.setitem(sys.modules, "nbclient", None)
    assert __main__.main(["run", file]) == 2
    assert "pip install 'funnn[jupyter]'" in capsys.readouterr().err


def test_load_ext():
    pytest.importorskip("IPython", reason="an extra")
    code = "%load_ext funnn\nimport torch\nprint(torch.__name__)\n%unload_ext funnn\nprint(torch.__name__)"
    assert python("-m", "IPython", "--no-banner", "--colors=NoColor", "-c", code).stdout.split() == ["torch", "funnn.torch"]
