"""A plugin for pytest: ``pytest -p funnn.torch.pytest`` runs tests of PyTorch programs on funnn.torch, with pytest-xdist's workers too."""

from __future__ import annotations

import pytest

from funnn._import_torch import install, uninstall
from funnn.errors import MixedTorchError


def _install() -> None:
    try:
        install()
    except MixedTorchError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Before any conftest.py is imported, which may import torch."""
    _install()


def pytest_configure() -> None:
    """Where the plugin is named in a conftest.py (``pytest_plugins``), which must be before its own import of torch."""
    _install()


def pytest_unconfigure() -> None:
    """When the run is over."""
    uninstall()


def pytest_report_header() -> str:
    """One line in the head of the report."""
    return "torch: answered by funnn.torch"
