"""How operations say what they do with sparse tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from funnn import functional as F
from funnn.engine.dispatch.inplace import assign
from funnn.engine.ops.kit.table import FUNCTIONS
from funnn.engine.state import thread
from funnn.engine.tensor.sparse import HANDLERS, SparseTensor
from funnn.engine.tensor.tensor import Tensor

_handlers: dict[str, Callable] = {}


def handles(*names: str) -> Callable[[Callable], Callable]:
    """The decorated function is what ``torch.name``, ``Tensor.name`` and torch.nn.functional.name do where an argument is sparse.

    It gives NotImplemented for what it does not cover. Where there is ``name_``, that writes the result in place.
    """

    def register(handler: Callable) -> Callable:
        for name in names:
            _handlers[name] = handler
        return handler

    return register


def _writing(handler: Callable) -> Callable:
    def write(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        result = handler(self, *args, **kwargs)
        return result if result is NotImplemented else write_into(self, result)

    return write


def write_into(self: Tensor, result: Tensor) -> Tensor:
    """``self`` with the values and history of ``result``."""
    if not isinstance(self, SparseTensor):
        return assign(self, result.to_dense(), None)
    if thread.grad and self.requires_grad and self.is_leaf:
        raise RuntimeError(
            "a leaf Variable that requires grad is being used in an in-place operation. Do it under torch.no_grad(), or on a copy."
        )
    self._become(result)
    self._set_history(result._grad_fn, result._output)
    return self


def register_handlers() -> None:
    """Enter the handlers, once all functions are what programs call."""
    for name, handler in _handlers.items():
        _enter(name, handler)
    same = {getattr(function, "__wrapped__", function): handler for function, handler in HANDLERS.items()}
    for name in [*dir(Tensor), *FUNCTIONS]:  # aliases are functions of their own
        function: Any = FUNCTIONS.get(name) or getattr(Tensor, name)
        found = same.get(getattr(function, "__wrapped__", None)) if callable(function) else None
        if found is not None and name not in _handlers:
            _enter(name, found)
    for name in dir(Tensor):
        function = getattr(Tensor, name)
        if callable(function) and function in HANDLERS and f"{name}_" not in _handlers:
            _enter(f"{name}_", _writing(HANDLERS[function]))


def _enter(name: str, handler: Callable) -> None:
    method = getattr(Tensor, name, None)
    for function in (FUNCTIONS.get(name), method.fget if isinstance(method, property) else method, getattr(F, name, None)):
        if callable(function):
            HANDLERS[function] = handler
