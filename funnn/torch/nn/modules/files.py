"""Where users look for torch's classes: ``torch.nn.modules.conv.Conv2d`` and the like, one made module for each of torch's files.

The classes themselves are written in ``rows`` and its neighbours; a class is published under the name of its base's ``file``.
"""

from __future__ import annotations

import sys
import types
from typing import Any


def publish(item: Any, file: str) -> Any:
    """Make a class or function a member of the module ``file`` of this package, as it is in torch."""
    name = f"{__package__}.{file}"
    if name not in sys.modules:
        module = sys.modules[name] = types.ModuleType(name, f"torch.nn.modules.{file}: the classes of torch's file, from elsewhere here.")
        module.__file__ = sys.modules[item.__module__].__file__  # where inspect.getsource finds the text
        setattr(sys.modules[__package__], file, module)
    setattr(sys.modules[name], item.__name__, item)
    item.__module__ = name
    return item
