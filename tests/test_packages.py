"""Packages that others built on PyTorch: those of the examples that are installed print what they print on PyTorch."""

import importlib.metadata
import sys

import pytest
import torch  # noqa: F401 (what the examples are compared with)

from tests.packages import running

EXAMPLES = running.examples()


def is_installed(package):
    try:
        return bool(importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return False


@pytest.mark.parametrize("package", EXAMPLES)
def test_the_first_example(package, tmp_path):
    if not is_installed(package):
        pytest.skip(f"{package} is not installed here; .ci/packages.py runs all")
    found = running.run(running.ON_FUNNN, EXAMPLES[package], tmp_path)
    assert found.returncode == 0, found.stderr
    expected = running.run([sys.executable], EXAMPLES[package], tmp_path)
    assert expected.returncode == 0, expected.stderr
    assert running.difference(found.stdout, expected.stdout) is None


def test_differences_are_seen():
    text = "loss 1.2345\ntensor([ 1.0, -2.5e3])\n"
    assert running.difference(text, text) is None
    assert running.difference("loss 1.2345\ntensor([1.0000, -2.5001e3])\n", text) is None
    for other in (
        "loss 1.2445\ntensor([ 1.0, -2.5e3])\n",
        "loss 1.2345\n",
        "Loss 1.2345\ntensor([ 1.0, -2.5e3])\n",
        "loss 1.2345\ntensor([1.0])\n",
    ):
        assert running.difference(other, text) is not None
