"""What classes say where they are from while ``import torch`` gives funnn.torch: ``<class 'torch.optim.adam.Adam'>``.

A class's ``__module__`` is what is printed, by ``type``, by the repr that objects have by default, and by tracebacks. It is also what pickles of the class
name; those keep funnn's name, under which every process finds it.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Callable
from typing import Any

_ROOT = "funnn.torch"
#: How the names of modules begin whose classes are renamed.
_ROOTS = f"{_ROOT}.", "funnn.torchvision."

#: Where torch has what is elsewhere here: a module, or one class of it -> torch's module.
_PLACES = {
    "funnn.engine.ops.linalg.matrix_checks:_LinAlgError": "torch._C",
    "funnn.engine.tape.grad_mode": "torch.autograd.grad_mode",
    "funnn.engine.tape.node:Node": "torch.autograd.graph",
    "funnn.engine.tape.node:RemovableHandle": "torch.utils.hooks",
    "funnn.engine.tensor.overrides": "torch.overrides",
    "funnn.engine.tensor.overrides:DisableTorchFunction": "torch._C",
    "funnn.engine.tensor.overrides:DisableTorchFunctionSubclass": "torch._C",
    "funnn.engine.transform.differentiate:GradientEdge": "torch.autograd.graph",
    "funnn.functional.linear_cross_entropy:LinearCrossEntropyOptions": "torch.nn.modules.linear_cross_entropy_options",
    f"{_ROOT}:Generator": "torch._C",
    f"{_ROOT}.cuda:AcceleratorError": "torch",
    f"{_ROOT}.cuda:OutOfMemoryError": "torch",
    **{f"{_ROOT}.{device}.amp:{name}": f"torch.{device}.amp.{file}" for device in ("cpu", "cuda")
       for name, file in (("GradScaler", "grad_scaler"), ("autocast", "autocast_mode"))},
    **{f"{_ROOT}.distributions.transforms.{file}": "torch.distributions.transforms" for file in ("base", "elementwise", "joined", "vectors")},
    f"{_ROOT}.fx._codegen": "torch.fx.graph",
    f"{_ROOT}.fx._patching": "torch.fx._symbolic_trace",
    f"{_ROOT}.distributed.errors": "torch.distributed",
    **{f"{_ROOT}.distributed.{file}": "torch._C._distributed_c10d" for file in ("reduce_op", "store", "work")},
    f"{_ROOT}.distributed.process_group": "torch._C._distributed_c10d",
    **{f"{_ROOT}.distributed.{name}": "torch.distributed.distributed_c10d" for name in ("group:Backend", "group:group", "p2p:P2POp")},
    **{f"{_ROOT}.multiprocessing:Process{name}": "torch.multiprocessing.spawn"
       for name in ("Context", "Exception", "ExitedException", "RaisedException")},
    f"{_ROOT}.nn._packed": "torch.nn.utils.rnn",
    f"{_ROOT}.optim._adafactor": "torch.optim",
    f"{_ROOT}.optim._muon": "torch.optim",
    **{f"funnn.torchvision.transforms.{file}": "torchvision.transforms.transforms"
       for file in ("_base", "_colour_classes", "_conversion_classes", "_crop_classes", "_movement_classes")},
}  # fmt: skip


class _Shown(str):
    """The name of torch's module, which a pickle has as that of funnn's, ``place``."""

    place: str

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (self.place,)


class OwnFinder(importlib.abc.MetaPathFinder):
    """Lets the classes of funnn.torch say that they are torch's, until ``restore``; those of modules that are imported later, too.

    Args:
      alias: lets a module of funnn.torch, by torch's name, be torch's.
    """

    def __init__(self, alias: Callable[[str], None]) -> None:
        self._alias = alias
        self._former: list[tuple[type, str]] = []
        self._begun = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if not self._begun or not name.startswith(_ROOTS):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(name, spec.origin)
            spec.loader.renamed = self.rename
        return spec

    def rename_all(self, name: str) -> None:
        """The classes of a module of funnn.torch and of all within it that were imported."""
        self._begun = True
        for known, module in list(sys.modules.items()):
            if f"{known}.".startswith(f"{name}."):
                self.rename(known, module)

    def rename(self, name: str, module: types.ModuleType) -> None:
        """A module and the classes that it holds."""
        if module.__name__ == name:
            self._alias(name.removeprefix("funnn."))
        for kind in list(vars(module).values()):
            if isinstance(kind, type) and type(kind.__module__) is str:
                torchs = _torchs_module(kind.__module__, kind.__qualname__)
                if torchs is not None:
                    self._former.append((kind, kind.__module__))
                    shown = _Shown(torchs)
                    shown.place = kind.__module__
                    kind.__module__ = shown

    def restore(self) -> None:
        """Give the classes their names back."""
        while self._former:
            kind, name = self._former.pop()
            kind.__module__ = name


class _Loader(importlib.machinery.SourceFileLoader):
    renamed: Callable[[str, types.ModuleType], None]

    def exec_module(self, module: types.ModuleType) -> None:
        super().exec_module(module)
        self.renamed(self.name, module)


def _torchs_module(module: str, name: str) -> str | None:
    found = _PLACES.get(f"{module}:{name}") or _PLACES.get(module)
    if found is None and f"{module}.".startswith(_ROOTS):
        found = module.removeprefix("funnn.")
    return found
