"""``__torch_function__``: classes that decide what a function of torch does with them, and modes that see every call.

Functions look at ``thread.ask`` alone. It is None until a program defines a subclass of Tensor or the thread enters a mode; then it is
:func:`ask`, which gives the answer of whoever is asked, or NotImplemented where nobody is. Other classes that have the method are found when a
function fails on them (:func:`stand_in`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from funnn.engine.state import ThreadState, thread

PROTOCOL = "__torch_function__"


_OURS = ("funnn", "torch")  # PyTorch's classes by the name here, and by that which they go by
_plain: set[type] = {int, float, complex, bool, str, type(None)}  # types that override nothing, found so far


class Foreign(TypeError):
    """An operation was given an object of a class that is no Tensor and overrides functions."""


#: Called when a class or a mode that overrides functions is there for the first time.
prepared: list[Callable[[], None]] = []


def watch() -> None:
    """From now on functions ask, in every thread: a class that overrides them has been defined."""
    _prepare()
    ThreadState.ask = staticmethod(ask)


@contextmanager
def asking() -> Iterator[None]:
    """Within the block, functions ask in this thread."""
    before = thread.ask
    thread.ask = ask
    try:
        yield
    finally:
        if before is None:
            del thread.ask


def _prepare() -> None:
    while prepared:
        prepared.pop()()


def ask(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[Any, Any], relevant: tuple[Any, ...] | None = None) -> Any:
    """The answer of the innermost mode, else of the arguments' classes (or of ``relevant`` arguments'); NotImplemented where there is nobody to ask."""
    if not thread.function_modes and relevant is None:
        for argument in (*args, *kwargs.values()) if kwargs else args:
            if type(argument) not in _plain:
                break
        else:
            return NotImplemented
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
        if not overriding(kind):
            if kind.__module__.partition(".")[0] in _OURS:
                _plain.add(kind)
        elif all(type(other) is not kind for other in found):
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
    """Whether a class overrides functions: not Tensor itself, nor PyTorch's own (but those whose method is marked ``asked``), and not one that disables it,
    as Parameter does."""
    method = getattr(kind, PROTOCOL, None)
    if method is None or getattr(method, "disabled", False):
        return False
    return kind.__module__.partition(".")[0] not in _OURS or getattr(method, "asked", False)


class TorchFunctionMode:
    """A context whose ``__torch_function__(func, types, args, kwargs)`` gets every call of a function of torch inside; itself it is not asked
    while it answers."""

    def __torch_function__(
        self, func: Callable[..., Any], types: tuple[Any, ...], args: tuple[Any, ...] = (), kwargs: dict[Any, Any] | None = None
    ) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no {PROTOCOL}")

    def __enter__(self) -> Any:
        _prepare()
        thread.ask = ask
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


def disabled(
    cls: type, func: Callable[..., Any], types: tuple[Any, ...], args: tuple[Any, ...] = (), kwargs: dict[Any, Any] | None = None
) -> Any:
    """The ``__torch_function__`` of a class whose results are plain tensors."""
    with DisableTorchFunctionSubclass():
        return func(*args, **(kwargs or {}))


vars(disabled).update(disabled=True)
