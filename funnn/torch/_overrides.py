"""``__torch_function__``: classes that decide what a function of torch does with them, and modes that see every call.

Functions look at ``thread.ask`` alone. It is None until a program defines a subclass of Tensor or the thread enters a mode; then it is
:func:`_ask`, which gives the answer of whoever is asked, or NotImplemented where nobody is. Other classes that have the method are found when a
function fails on them (:func:`stand_in`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from funnn.torch._state import ThreadState, thread
from funnn.torch._strides import is_elementwise, like_operands

PROTOCOL = "__torch_function__"


def watch() -> None:
    """From now on functions ask, in every thread: a class that overrides them has been defined."""
    ThreadState.ask = staticmethod(_ask)


def _ask(function: Callable, args: tuple, kwargs: dict, relevant: tuple | None = None) -> Any:
    candidates = candidates_in((args, kwargs.values()) if relevant is None else relevant) if thread.ask_classes else []
    types = tuple(type(argument) for argument in candidates)
    if thread.function_modes:
        *outer, innermost = modes = thread.function_modes
        thread.function_modes = tuple(outer)
        try:
            result = innermost.__torch_function__(function, types, args, kwargs)
        finally:
            thread.function_modes = modes
        if result is not NotImplemented:
            return result
    for argument in candidates:
        result = type(argument).__torch_function__(function, types, args, kwargs)
        if result is not NotImplemented:
            return result
    if candidates:
        names = ", ".join(sorted(kind.__name__ for kind in types))
        raise TypeError(f"Multiple dispatch failed for 'torch.{function.__name__}': {PROTOCOL} of {names} returned NotImplemented")
    return NotImplemented


def candidates_in(arguments: Any) -> list[Any]:
    """One argument of each class that overrides functions: a subclass before its bases, else from left to right."""
    found: list[Any] = []
    for argument in _flat(arguments):
        kind = type(argument)
        if overriding(kind) and all(type(other) is not kind for other in found):
            place = next((i for i, other in enumerate(found) if issubclass(kind, type(other))), len(found))
            found.insert(place, argument)
    return found


def _flat(arguments: Any) -> Iterator[Any]:
    for argument in arguments:
        if isinstance(argument, (list, tuple)) or type(argument) is type({}.values()):
            yield from _flat(argument)
        else:
            yield argument


def overriding(kind: type) -> bool:
    """Whether a class overrides functions: not Tensor itself, nor PyTorch's own, and not one that disables it, as Parameter does."""
    method = getattr(kind, PROTOCOL, None)
    return method is not None and not getattr(method, "disabled", False) and kind.__module__.partition(".")[0] not in ("funnn", "torch")


def stand_in(function: Callable, args: tuple, kwargs: dict) -> Any:
    """The answer of a class that is no Tensor, for a call that has failed; NotImplemented where there is none."""
    if thread.ask is None and thread.ask_classes and candidates_in((args, kwargs.values())):
        return _ask(function, args, kwargs)
    return NotImplemented


def overridable(run: Callable, attempt: Callable | None = None, public: Callable | None = None, name: str | None = None) -> Callable:
    """A function of torch as programs call it: asks whoever overrides it, lets ``attempt`` try (see ``_small``), and runs.

    ``public`` is the function that programs know, where it is not the one made here; ``name`` is torch's, where the function has another.
    """

    elementwise = is_elementwise(name or (public or run).__name__)

    @functools.wraps(run)
    def function(*args: Any, **kwargs: Any) -> Any:
        if thread.ask is not None:
            result = thread.ask(public or function, args, kwargs)
            if result is not NotImplemented:
                return result
        result = None
        if attempt is not None and thread.autocast is None and thread.tracing is None:
            result = attempt(args, kwargs)
        if result is None:
            try:
                result = run(*args, **kwargs)
            except (TypeError, AttributeError):
                result = stand_in(public or function, args, kwargs)
                if result is NotImplemented:
                    raise
        if elementwise:
            for value in (*args, *kwargs.values()) if kwargs else args:
                if getattr(value, "_window", None) is not None:
                    return like_operands(result, args, kwargs)
        return result

    function.asks = True
    return function


class TorchFunctionMode:
    """A context whose ``__torch_function__(func, types, args, kwargs)`` gets every call of a function of torch inside; itself it is not asked
    while it answers."""

    def __torch_function__(self, func: Callable, types: tuple, args: tuple = (), kwargs: dict | None = None) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no {PROTOCOL}")

    def __enter__(self) -> Any:
        thread.ask = _ask
        thread.function_modes = (*thread.function_modes, self)
        return self

    def __exit__(self, *exc: Any) -> None:
        thread.function_modes = thread.function_modes[:-1]

    @classmethod
    def push(cls, *args: Any, **kwargs: Any) -> Any:
        """A new mode, to be entered."""
        return cls(*args, **kwargs)


class DisableTorchFunctionSubclass:
    """Within the block, the classes of arguments are not asked; modes still are."""

    def __enter__(self) -> None:
        self._before = thread.ask_classes
        thread.ask_classes = False

    def __exit__(self, *exc: Any) -> None:
        thread.ask_classes = self._before


class DisableTorchFunction(DisableTorchFunctionSubclass):
    """Within the block, nobody is asked."""

    def __enter__(self) -> None:
        super().__enter__()
        self._modes, thread.function_modes = thread.function_modes, ()

    def __exit__(self, *exc: Any) -> None:
        super().__exit__(*exc)
        thread.function_modes = self._modes


def disabled(cls: type, func: Callable, types: tuple, args: tuple = (), kwargs: dict | None = None) -> Any:
    """The ``__torch_function__`` of a class whose results are plain tensors."""
    with DisableTorchFunctionSubclass():
        return func(*args, **(kwargs or {}))


disabled.disabled = True


def as_class(result: Any, kind: type) -> Any:
    """Tensors as of a subclass, in containers too."""
    from funnn.torch._tensor import Tensor

    if isinstance(result, Tensor):
        return result if isinstance(result, kind) else result.as_subclass(kind) if result.requires_grad else result._as_class(kind)
    if isinstance(result, (tuple, list)):
        parts = [as_class(part, kind) for part in result]
        return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)
    return result
