"""PyTorch itself in this process, beside funnn.torch: whether it is there, who holds it, and the error of a program that mixes the two."""

from __future__ import annotations

import sys
import types
from typing import Any

from funnn.errors import MixedTorchError

#: Modules of which nobody wants to know: PyTorch's own, this package, and those of Python, into which PyTorch puts functions.
_LEFT_OUT = {"torch", "torchgen", "functorch", "_remote_module_non_scriptable", "funnn", "__mp_main__", *sys.stdlib_module_names} - {
    "__main__"
}
_SHOWN_MODULES, _SHOWN_NAMES = 6, 3


def is_imported() -> bool:
    """Whether ``torch`` is PyTorch here. (funnn.torch, imported under that name, keeps its package.)"""
    module = sys.modules.get("torch")
    return module is not None and getattr(module, "__package__", None) != "funnn.torch"


def holders() -> str:
    """The modules that hold PyTorch and the names by which they do: ``"__main__ (nn), helpers (DataLoader, torch)"``."""
    found = []
    for name, module in sorted(sys.modules.items(), key=lambda item: item[0] != "__main__"):
        if name.partition(".")[0] not in _LEFT_OUT:
            names = sorted(key for key, value in list(getattr(module, "__dict__", {}).items()) if _is_torchs(value))
            if names:
                found.append(f"{name} ({', '.join([*names[:_SHOWN_NAMES], *['…'][: len(names) > _SHOWN_NAMES]])})")
    more = len(found) - _SHOWN_MODULES
    return ", ".join([*found[:_SHOWN_MODULES], *([f"and {more} more"] if more > 0 else [])]) or "no module's names any more"


def _is_torchs(value: Any) -> bool:
    if isinstance(value, types.ModuleType):
        return _top(value.__name__) == "torch" and _top(getattr(value, "__package__", None)) != "funnn"
    return isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)) and _top(value.__module__) == "torch"


def _top(name: Any) -> str:
    return name.partition(".")[0] if isinstance(name, str) else ""


def refuse_object(value: Any) -> None:
    """Raise if it is an object of PyTorch's own, where one of funnn.torch's was expected.

    Raises:
      MixedTorchError: it is; the text says who holds PyTorch.
    """
    if is_imported() and any(_top(kind.__module__) == "torch" for kind in type(value).__mro__):
        raise MixedTorchError(f"this {type(value).__name__} is PyTorch's, and funnn.torch got it: {_advice()}")


def refuse_function(function: Any) -> None:
    """Raise if it is a function of PyTorch's own, which was called with a tensor of funnn.torch.

    Raises:
      MixedTorchError: it is; the text says who holds PyTorch.
    """
    if is_imported():
        globals_ = getattr(function, "__globals__", None)
        built_in = (types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType)
        owner = getattr(function, "__self__", None)
        its_own = _top(globals_.get("__package__")) == "torch" if globals_ is not None else isinstance(function, built_in)
        if its_own or isinstance(owner, types.GetSetDescriptorType):
            raise MixedTorchError(f"{getattr(function, '__name__', function)} is PyTorch's, and got a tensor of funnn.torch: {_advice()}")


def _advice() -> str:
    return (
        f"this program mixes the two. PyTorch is held by {holders()}. Import all of it from funnn.torch (`python -m funnn port` changes the import "
        "lines), or let funnn.torch answer `import torch` from the start: `python -m funnn run`, or funnn.install() as the first line"
    )
