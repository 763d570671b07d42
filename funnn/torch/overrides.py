"""torch.overrides: what classes with ``__torch_function__`` and modes need.

Every function of torch and of torch.nn.functional, every operator, method and property of a tensor asks first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from funnn.engine.ops.kit.table import FUNCTIONS
from funnn.engine.state import thread
from funnn.engine.tensor.overrides import PROTOCOL, TorchFunctionMode, ask, candidates_in
from funnn.engine.tensor.questions import nowrap
from funnn.engine.tensor.tensor import Tensor
from funnn.torch.nn import functional


class BaseTorchFunctionMode(TorchFunctionMode):
    """A mode that changes nothing."""

    def __torch_function__(self, func: Callable, types: tuple, args: tuple = (), kwargs: dict | None = None) -> Any:
        return func(*args, **(kwargs or {}))


@contextmanager
def enable_reentrant_dispatch() -> Iterator[None]:
    """Within the block, the classes of arguments are asked again."""
    before, thread.ask_classes = thread.ask_classes, True
    try:
        yield
    finally:
        thread.ask_classes = before


def has_torch_function(relevant_args: Iterable[Any]) -> bool:
    """Whether a mode is on or one of the arguments is of a class that overrides functions."""
    return bool(thread.function_modes) or (thread.ask_classes and bool(candidates_in(relevant_args)))


def has_torch_function_unary(argument: Any) -> bool:
    """``has_torch_function`` of one argument."""
    return has_torch_function((argument,))


def has_torch_function_variadic(*arguments: Any) -> bool:
    """``has_torch_function`` of some."""
    return has_torch_function(arguments)


def handle_torch_function(public_api: Callable, relevant_args: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
    """The answer of the mode or class that overrides ``public_api`` for these arguments; TypeError if nobody does."""
    result = ask(public_api, args, kwargs, tuple(relevant_args))
    if result is NotImplemented:
        raise TypeError(
            f"no implementation found for {resolve_name(public_api)}: no argument of a class with {PROTOCOL} and no mode answers"
        )
    return result


def wrap_torch_function(dispatcher: Callable) -> Callable[[Callable], Callable]:
    """Make a function one that classes may override; ``dispatcher(*args, **kwargs)`` gives the arguments to ask."""

    def decorate(function: Callable) -> Callable:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            relevant = dispatcher(*args, **kwargs)
            if has_torch_function(relevant):
                return handle_torch_function(wrapped, relevant, *args, **kwargs)
            return function(*args, **kwargs)

        wrapped.__name__, wrapped.__doc__ = function.__name__, function.__doc__
        return wrapped

    return decorate


def _assert(condition: Any, message: str) -> None:
    """``assert condition, message`` as a function, which classes may override, so that tracers see it: ``torch._assert``."""
    if type(condition) is not Tensor and has_torch_function((condition,)):
        return handle_torch_function(_assert, (condition,), condition, message)
    if not condition:
        raise AssertionError(message)
    return None


_assert.__module__ = __package__  # where torch has it


def is_tensor_like(inp: Any) -> bool:
    """Whether it is a tensor, or of a class with ``__torch_function__``."""
    return isinstance(inp, Tensor) or hasattr(inp, PROTOCOL)


def is_tensor_method_or_property(func: Callable) -> bool:
    """Whether a function is a method of Tensor, or reads or writes a property; functions of torch and methods of the same name are one object here."""
    return isinstance(getattr(func, "__self__", None), property) or getattr(Tensor, getattr(func, "__name__", ""), None) is func


def resolve_name(f: Callable) -> str | None:
    """The name under which torch has a function; None if it has it not."""
    name = getattr(f, "__name__", "")
    owner = getattr(f, "__self__", None)
    if isinstance(owner, property):
        return f"torch.Tensor.{getattr(owner, '__name__', '')}.{name}"
    for known, function in FUNCTIONS.items():
        if function is f:
            return f"torch.{known}"
    if getattr(functional, name, None) is f:
        return f"torch.nn.functional.{name}"
    return f"torch.Tensor.{name}" if is_tensor_method_or_property(f) else None


def get_overridable_functions() -> dict[str, list[Callable]]:
    """The functions that ask, by namespace."""
    found: dict[str, list[Callable]] = {"torch.nn.functional": [getattr(functional, name) for name in functional.__all__]}
    for name, function in FUNCTIONS.items():
        space = ".".join(["torch", *name.split(".")[:-1]])
        found.setdefault(space, []).append(function)
    members = [getattr(Tensor, name) for name in dir(Tensor) if name[0] != "_"]
    found["torch.Tensor"] = [member.__get__ if isinstance(member, property) else member for member in members]
    found["torch.Tensor"] = [member for member in found["torch.Tensor"] if callable(member)]
    return found


def get_default_nowrap_functions() -> set[Callable]:
    """Functions whose results the default ``__torch_function__`` leaves as they are."""
    return nowrap()
