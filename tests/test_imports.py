"""What ``import funnn`` brings along, in processes of their own."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import funnn

LOADED = "import sys; {code}; print([name for name in {names!r} if name in sys.modules])"
FORBIDDEN = (
    "torch",
    "funnn.torch",
    "tqdm",
    "matplotlib",
    "flax",
    "orbax",
    "safetensors",
    "sklearn",
    "grain",
    "rich",
    "tensorboard",
    "tensorboardX",
)


def loaded(code: str, names: tuple[str, ...] = FORBIDDEN) -> str:
    return subprocess.run(
        [sys.executable, "-c", LOADED.format(code=code, names=names)], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_import_funnn_loads_neither_torch_nor_the_shim_nor_an_extra():
    assert loaded("import funnn") == "[]"


def test_import_funnn_loads_jax_when_it_is_asked_for_something():
    assert loaded("import funnn; dir(funnn); funnn.__version__", ("jax",)) == "[]"
    assert loaded("import funnn; funnn.Layer", ("jax",)) == "['jax']"


def test_type_checkers_are_told_of_what_is_there():
    tree = ast.parse(Path(funnn.__file__).read_text())
    (told,) = [node for node in tree.body if isinstance(node, ast.If)]
    assert sorted(alias.asname for node in told.body for alias in node.names) == sorted(funnn.__all__)
    for node in told.body:
        for alias in node.names:
            home = importlib.import_module(node.module)
            expected = importlib.import_module(f"funnn.{alias.name}") if node.module == "funnn" else getattr(home, alias.name)
            assert getattr(funnn, alias.name) is expected


def test_the_first_test_can_fail():
    assert loaded("import funnn.torch") == "['funnn.torch']"


def test_the_shim_does_not_load_torch():
    assert loaded("import funnn.torch", ("torch", "tensorboard", "tensorboardX")) == "[]"


@pytest.mark.parametrize("name", ["funnn", "funnn.torch"])
def test_import_changes_no_configuration(name):
    code = (
        f"import jax; before = dict(jax.config.values); import {name}; jax.numpy.zeros(1); "
        "assert dict(jax.config.values) == before; assert jax.numpy.zeros(1, float).dtype == 'float32'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


REACH_INTO_JAX = ["distributed.py", "engine/program/forked_jax.py", "torch/distributed/_cluster.py"]


def private_imports(source: str) -> list[int]:
    """The lines of a source that reach into ``jax._src``, which may change with any release of JAX."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{name}" for name in names]
        elif isinstance(node, ast.Attribute):
            names = [ast.unparse(node)]
        if any(f"{name}.".startswith("jax._src.") for name in names):
            lines.append(node.lineno)
    return sorted(set(lines))


def test_little_reaches_into_jax_src():
    """Forked workers do without JAX where a release has its internals otherwise (tests/shim/test_data_forks.py), and several processes say so;
    without them ``funnn.distributed`` joins processes that do not hear which of them has ended."""
    folder = Path(funnn.__file__).parent
    found = {str(file.relative_to(folder)): private_imports(file.read_text()) for file in sorted(folder.rglob("*.py"))}
    assert len(found) > 300 and [file for file, lines in found.items() if lines] == REACH_INTO_JAX


@pytest.mark.parametrize(
    "source",
    ["import jax._src", "import jax._src.core as c", "from jax import _src", "from jax._src import core", "import jax\njax._src.core"],
)
def test_the_test_above_finds_what_does(source):
    assert private_imports(source) == [source.count("\n") + 1]
    assert private_imports("import jax.core, jax.extend.core\nfrom jax.interpreters import ad\nad.jax_src") == []


def test_import_works_without_docstrings():
    subprocess.run([sys.executable, "-OO", "-c", "import funnn, funnn.torch"], check=True)


def test_files_that_are_no_python_are_in_the_package():
    """An installed package has only those that pyproject.toml names."""
    root = Path(__file__).parents[1] / "funnn"
    named = tomllib.loads((root.parent / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    packages = {
        ".".join(("funnn", *folder.relative_to(root).parts)): folder for folder in root.rglob("*") if (folder / "__init__.py").exists()
    }
    packages["funnn"] = root
    found = {path for name, folder in packages.items() for pattern in (*named["*"], *named.get(name, ())) for path in folder.glob(pattern)}
    there = {path for path in root.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert sorted(there - found) == [] and len(there) > 100
