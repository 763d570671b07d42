"""What answers ``import torch`` with funnn.torch, for a while, here and in processes that are started meanwhile."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import multiprocessing.spawn
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: The packages that are answered with those of funnn of the same name.
_ANSWERED = ("torch", "torchvision")


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Answers ``import torch`` and ``import torch.x.y`` with the modules of funnn.torch, torchvision likewise, and nothing else."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(name, self) if name.partition(".")[0] in _ANSWERED else None

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


def answer_torch() -> None:
    """From now on ``import torch`` gives funnn.torch in this process."""
    _pop_torch()
    sys.meta_path.insert(0, _Finder())


class _Answer:
    """What a process that multiprocessing starts unpickles before it imports the main module: then ``import torch`` is answered there too."""

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return answer_torch, ()


@contextmanager
def _in_new_processes() -> Iterator[None]:
    """Within the block, multiprocessing's "spawn" and "forkserver" start processes in which ``import torch`` gives funnn.torch."""
    former = multiprocessing.spawn.get_preparation_data

    def get_preparation_data(name: str) -> dict[str, Any]:
        return {"torch": _Answer(), **former(name)}

    multiprocessing.spawn.get_preparation_data = get_preparation_data
    try:
        yield
    finally:
        multiprocessing.spawn.get_preparation_data = former


@contextmanager
def torch_is_funnn(folder: Path | None = None) -> Iterator[None]:
    """Within the block, ``import torch`` gives funnn.torch, also in processes that it starts; afterwards everything is as it was.

    Modules from ``folder`` that are imported within the block are forgotten at its end, because they hold on to funnn.torch.
    """
    before = _pop_torch()
    known = set(sys.modules)
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        with _in_new_processes():
            yield
    finally:
        sys.meta_path.remove(finder)
        _pop_torch()
        sys.modules.update(before)
        if folder is not None:
            for name in [name for name in sys.modules if name not in known and _lies_in(sys.modules[name], folder)]:
                del sys.modules[name]


def _pop_torch() -> dict[str, types.ModuleType]:
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in _ANSWERED}


def _lies_in(module: Any, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and not module.__name__.startswith("funnn.") and folder in Path(file).resolve().parents
