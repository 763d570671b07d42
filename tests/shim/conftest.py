"""What PyTorch leaves behind is undone after each test, so that no test depends on which ran before it."""

import sys

import pytest


@pytest.fixture(autouse=True)
def _torch_as_before():
    yield
    if (torch := sys.modules.get("torch")) is not None:
        torch.distributions.Distribution.set_default_validate_args(True)  # which torch.compile switches off for good
        torch.nn.modules.module._global_forward_hooks_with_kwargs.clear()  # of which removed hooks leave an entry
