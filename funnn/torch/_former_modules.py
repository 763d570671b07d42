"""Where classes and functions were that pickles of earlier versions name."""

from __future__ import annotations

import importlib
import sys

#: Former module -> where its names are now.
MODULES = {
    "funnn.torch._dtype": "funnn.engine.types.dtype",
    "funnn.torch._layout": "funnn.engine.types.layout",
    "funnn.torch._pickling": "funnn.engine.tensor.pickling",
    "funnn.torch._random": "funnn.engine.tensor.generator",
    "funnn.torch._storage": "funnn.engine.memory.storage",
    "funnn.torch._tensor": "funnn.engine.tensor.tensor",
}
#: (former module, name) -> where that name alone is now.
NAMES = {("funnn.engine.types.dtype", "device"): "funnn.engine.types.device"}


def register() -> None:
    """Let the former names be imported, which unpickling does."""
    for former, present in MODULES.items():
        sys.modules[former] = importlib.import_module(present)
    for (former, name), present in NAMES.items():
        setattr(sys.modules[former], name, getattr(importlib.import_module(present), name))
