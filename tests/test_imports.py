"""What ``import funnn`` brings along, in processes of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

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


def test_the_test_above_can_fail():
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
