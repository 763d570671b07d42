"""What answers ``import torch`` with funnn.torch, for a while."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Answers ``import torch`` and ``import torch.x.y`` with the modules of funnn.torch, and nothing else."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(name, self) if name.partition(".")[0] == "torch" else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        name = f"funnn.{module.__name__}"
        try:
            sys.modules[module.__name__] = importlib.import_module(name)  # the import system takes what stands here afterwards
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            raise ModuleNotFoundError(f"No module named {module.__name__!r}", name=module.__name__) from None


@contextmanager
def torch_is_funnn(folder: Path | None = None) -> Iterator[None]:
    """Within the block, ``import torch`` gives funnn.torch; afterwards everything is as it was.

    Modules from ``folder`` that are imported within the block are forgotten at its end, because they hold on to funnn.torch.
    """
    before = _pop_torch()
    known = set(sys.modules)
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        _pop_torch()
        sys.modules.update(before)
        if folder is not None:
            for name in [name for name in sys.modules if name not in known and _lies_in(sys.modules[name], folder)]:
                del sys.modules[name]


def _pop_torch() -> dict[str, types.ModuleType]:
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "torch"}


def _lies_in(module: Any, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and not module.__name__.startswith("funnn.") and folder in Path(file).resolve().parents
