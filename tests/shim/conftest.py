"""What PyTorch's own compiler leaves behind is undone after each test, so that no test depends on which ran before it."""

import sys

import pytest


@pytest.fixture(autouse=True)
def _distributions_check_arguments():
    yield
    if (torch := sys.modules.get("torch")) is not None:
        torch.distributions.Distribution.set_default_validate_args(True)  # which torch.compile switches off for good
