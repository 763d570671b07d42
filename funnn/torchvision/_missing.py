"""What is said of names that torchvision has and funnn.torchvision does not."""

from __future__ import annotations

from typing import NoReturn

from funnn.torch._unsupported import Unsupported


def missing(module: str, name: str, reasons: dict[str, str]) -> NoReturn:
    """Raise AttributeError; where the name is torchvision's, with the way round.

    Args:
      module: the module, by torchvision's name for it.
      name: what was asked for.
      reasons: the ways round, by name.
    """
    if name in reasons:
        raise Unsupported(f"{module}.{name} is not supported: {reasons[name]}")
    raise AttributeError(f"module {module!r} has no attribute {name!r}")
