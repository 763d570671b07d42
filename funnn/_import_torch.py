"""What answers ``import torch`` with funnn.torch: in this process, and in those that it starts.

Here a finder stands before Python's own. Other processes find ``funnn/_answers/torch`` on their path, by the environment or by what multiprocessing
tells them; it puts the finder into their process as soon as they import torch, and costs nothing where they do not. Beside it lies what
``importlib.metadata`` reads. While torch is answered, the modules of funnn.torch go by torch's names.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from funnn import _other_torch
from funnn._torch_names import OwnFinder
from funnn.errors import MixedTorchError

#: What stands on the path of other processes.
ANSWERS = str(Path(__file__).parent / "_answers")
#: The packages that are answered, and whether only where the real one is not installed.
_PACKAGES = {"torch": False, "torchvision": True}


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads ``torch.x`` by importing ``funnn.torch.x``, which stands for it from then on."""

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        name = f"funnn.{module.__name__}"
        own = importlib.import_module(name)
        _give_name(own, module.__name__, module.__spec__)
        sys.modules[module.__name__] = own  # the import system takes what stands here afterwards
        _own.rename_all(name)


class _Finder(importlib.abc.MetaPathFinder):
    """Answers ``import torch`` and ``import torch.x.y`` with the modules of funnn.torch, and nothing else."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        package = name.partition(".")[0]
        if package not in _PACKAGES:
            return None
        if _PACKAGES[package] and (real := installed(package)) is not None:
            return real if name == package else None
        return _spec(name)


def installed(package: str) -> importlib.machinery.ModuleSpec | None:
    """The spec of the package itself, where it is installed."""
    return importlib.machinery.PathFinder.find_spec(package, [entry for entry in sys.path if entry != ANSWERS])


def _spec(name: str) -> importlib.machinery.ModuleSpec | None:
    """How ``torch.x`` is loaded; None where there is no ``funnn.torch.x``."""
    own = f"funnn.{name}"
    module = sys.modules.get(own)
    if module is not None:  # which may be a made one, without a spec
        file, folders = getattr(module, "__file__", None), getattr(module, "__path__", None)
    else:
        found = importlib.util.find_spec(own)
        if found is None:
            return None
        file, folders = found.origin, found.submodule_search_locations
    folders = None if folders is None else list(folders)
    if file is None:
        return importlib.machinery.ModuleSpec(name, _Loader(name, ""), is_package=folders is not None)
    return importlib.util.spec_from_file_location(name, file, loader=_Loader(name, file), submodule_search_locations=folders)


# -- names

#: The modules that go by torch's names, with their own names and specs.
_renamed: list[tuple[types.ModuleType, str, Any]] = []


def _give_name(module: types.ModuleType, name: str, spec: Any) -> None:
    """Let a module of funnn.torch say that it is torch's; what stands there under a name of its own (an engine's) keeps it."""
    if module.__name__ == f"funnn.{name}":
        _renamed.append((module, module.__name__, module.__spec__))
        module.__name__, module.__spec__ = name, spec


def _alias(name: str) -> None:
    """What has been imported as ``funnn.torch.x`` is ``torch.x`` too."""
    if name not in sys.modules:
        module = sys.modules[f"funnn.{name}"]
        sys.modules[name] = module
        _give_name(module, name, _spec(name))


def _restore_names() -> None:
    while _renamed:
        module, name, spec = _renamed.pop()
        module.__name__, module.__spec__ = name, spec


# -- answering

_finder, _own = _Finder(), OwnFinder(_alias)


def is_answered() -> bool:
    """Whether ``import torch`` gives funnn.torch here."""
    return _finder in sys.meta_path


def answer(name: str) -> None:
    """For ``funnn/_answers/torch``, which has been imported as ``name``: from now on the finder answers in this process, this import too."""
    if not is_answered():
        _enter()
    sys.modules.pop(name, None)
    importlib.import_module(name)


def _enter() -> None:
    sys.meta_path[:0] = [_finder, _own]
    if ANSWERS not in sys.path:
        sys.path.insert(1, ANSWERS)  # after the script's folder, as what stands in PYTHONPATH
    entries = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry and entry != ANSWERS]
    os.environ["PYTHONPATH"] = os.pathsep.join([ANSWERS, *entries])
    importlib.invalidate_caches()


def _leave() -> None:
    sys.meta_path.remove(_finder)
    sys.meta_path.remove(_own)
    _own.restore()
    sys.path[:] = [entry for entry in sys.path if entry != ANSWERS]
    entries = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry and entry != ANSWERS]
    if entries:
        os.environ["PYTHONPATH"] = os.pathsep.join(entries)
    else:
        os.environ.pop("PYTHONPATH", None)
    _restore_names()


class Installed:
    """What :func:`install` returns: a context, at whose end :func:`uninstall` is called if it was this call that installed."""

    def __init__(self, is_first: bool):
        self._is_first = is_first

    def __enter__(self) -> Installed:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._is_first:
            uninstall()

    def __repr__(self) -> str:
        return "<import torch is answered by funnn.torch>" if is_answered() else "<import torch is not answered by funnn.torch>"


def install() -> Installed:
    """From now on ``import torch`` gives ``funnn.torch``: in this process, in notebooks, and in the processes that it starts.

    Call it before the first import of torch. Subprocesses (by ``PYTHONPATH``), processes of multiprocessing, however they are started, and workers of
    loaders are answered too, and the modules go by torch's names (``torch.nn.__name__ == "torch.nn"``). A second call does nothing more. As a context
    manager, ``with funnn.install():`` ends with :func:`uninstall`.

    Returns:
      a context manager; what it does may be ignored.

    Raises:
      MixedTorchError: PyTorch itself has been imported; the text names the modules that hold it.

    Example:
      >>> import funnn
      >>> with funnn.install():  # doctest: +SKIP
      ...     import torch
      ...     print(torch.__name__, torch.__version__)
      torch 2.13.0+funnn
    """
    if is_answered():
        return Installed(False)
    if _other_torch.is_imported():
        raise MixedTorchError(
            f"PyTorch itself has been imported before funnn.install(), and is held by {_other_torch.holders()}: call install() before the first import of "
            "torch, or run the program by `python -m funnn run`"
        )
    _enter()
    return Installed(True)


def uninstall() -> None:
    """``import torch`` is no longer answered here; modules that were imported meanwhile keep what they have. Nothing where it was not answered."""
    if is_answered():
        _pop_answered()
        _leave()


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext funnn`` in a notebook: :func:`install`."""
    install()


def unload_ipython_extension(shell: Any) -> None:
    """``%unload_ext funnn``: :func:`uninstall`."""
    uninstall()


@contextmanager
def torch_is_funnn(folder: Path | None = None) -> Iterator[None]:
    """Within the block, ``import torch`` gives funnn.torch, whatever was imported before; afterwards everything is as it was.

    Modules from ``folder`` that are imported within the block are forgotten at its end, because they hold on to funnn.torch.
    """
    if is_answered():
        yield
        return
    before, known, path, environment = _pop_answered(), set(sys.modules), sys.path[:], os.environ.get("PYTHONPATH")
    _enter()
    try:
        yield
    finally:
        if is_answered():  # the program may have called uninstall
            _pop_answered()
            _leave()
        sys.path[:] = path
        if environment is not None:
            os.environ["PYTHONPATH"] = environment
        sys.modules.update(before)
        if folder is not None:
            for name in [name for name in sys.modules if name not in known and _lies_in(sys.modules[name], folder)]:
                del sys.modules[name]


def _pop_answered() -> dict[str, types.ModuleType]:
    """Take the modules of the answered packages out of ``sys.modules``."""
    answered = [package for package, only_if_absent in _PACKAGES.items() if not (only_if_absent and installed(package))]
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in answered}


def _lies_in(module: Any, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    package = (getattr(module, "__package__", None) or "").partition(".")[0]
    return isinstance(file, str) and package != "funnn" and folder in Path(file).resolve().parents
