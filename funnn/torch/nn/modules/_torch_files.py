"""Where users look for torch's classes: ``torch.nn.modules.conv.Conv2d`` and the like, one made module for each of torch's files.

The classes themselves are written in ``_layer_classes`` and its neighbours; a class is published under the name of its base's ``file``. What torch's file
only imports, such as ``F`` or ``_pair``, programs import from it too; it is found when it is asked for.
"""

from __future__ import annotations

import functools
import importlib
import sys
import types
from typing import Any

_ROOT = "funnn.torch"
#: Names under which torch's files import whole modules, and those modules whose names they import.
_MODULES = {"F": f"{_ROOT}.nn.functional", "init": f"{_ROOT}.nn.init"}
_SOURCES = (
    *(
        f"{_ROOT}.{name}"
        for name in ("nn", "nn.modules.utils", "nn.common_types", "nn.parameter", "nn.init", "nn.utils.rnn", "nn.modules.lazy")
    ),
    *("funnn.engine.tensor.tensor", "funnn.engine.types.dtype"),
)


def publish(item: Any, file: str) -> Any:
    """Make a class or function a member of the module ``file`` of this package, as it is in torch."""
    name = f"{__package__}.{file}"
    if name not in sys.modules:
        module = sys.modules[name] = types.ModuleType(name, f"torch.nn.modules.{file}: the classes of torch's file, from elsewhere here.")
        module.__getattr__ = functools.partial(_imported, name)
        setattr(sys.modules[__package__], file, module)
    if sys.modules[name].__spec__ is None:  # a made one, whose text inspect.getsource looks for where its last class is from
        sys.modules[name].__file__ = sys.modules[item.__module__].__file__
    setattr(sys.modules[name], item.__name__, item)
    item.__module__ = name
    return item


def _imported(file: str, name: str) -> Any:
    """What torch's file of this name imports from another one."""
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if not name.startswith("__"):
        for source in map(importlib.import_module, _SOURCES):
            if name in vars(source):
                return vars(source)[name]
    raise AttributeError(f"module {file!r} has no attribute {name!r}", name=name, obj=sys.modules[file])
