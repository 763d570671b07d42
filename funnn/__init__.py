"""funnn: neural networks on JAX, as pure init/apply pairs and, in ``funnn.torch``, as PyTorch programs know them.

What is in it is imported when it is asked for: ``python -m funnn`` can prepare its process before JAX starts, and says --help at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from funnn import checkpoint as checkpoint
    from funnn import data as data
    from funnn import distributed as distributed
    from funnn import errors as errors
    from funnn import functional as functional
    from funnn import generation as generation
    from funnn import init as init
    from funnn import layers as layers
    from funnn import optim as optim
    from funnn import sharding as sharding
    from funnn import train as train
    from funnn._compilation_cache import cache_compilations as cache_compilations
    from funnn._export import Exported as Exported
    from funnn._export import export as export
    from funnn._export import load_exported as load_exported
    from funnn._import_torch import install as install
    from funnn._import_torch import load_ipython_extension as load_ipython_extension
    from funnn._import_torch import uninstall as uninstall
    from funnn._import_torch import unload_ipython_extension as unload_ipython_extension
    from funnn._nans import find_nans as find_nans
    from funnn._summary import summary as summary
    from funnn.functional import public as public
    from funnn.layers import Layer as Layer
    from funnn.layers import Policy as Policy
    from funnn.train import LossScale as LossScale
    from funnn.train import MeanMetrics as MeanMetrics
    from funnn.train import TrainState as TrainState
    from funnn.train import train_step as train_step

__version__ = "0.1.0"

#: The modules, and by the module that has them the names, that the lines above tell type checkers of.
_CONTENT: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("checkpoint", "data", "distributed", "errors", "functional", "generation", "init", "layers", "optim", "sharding", "train"), ()
    ),
    "_compilation_cache": ("cache_compilations",),
    "_export": ("Exported", "export", "load_exported"),
    "_import_torch": ("install", "load_ipython_extension", "uninstall", "unload_ipython_extension"),
    "_nans": ("find_nans",),
    "_summary": ("summary",),
    "functional": ("public",),
    "layers": ("Layer", "Policy"),
    "train": ("LossScale", "MeanMetrics", "TrainState", "train_step"),
}
_HOMES = {name: module for module, names in _CONTENT.items() for name in names}
__all__ = [*(module for module in _CONTENT if module[0] != "_"), *_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    elif name in _CONTENT and name[0] != "_":
        value = importlib.import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
