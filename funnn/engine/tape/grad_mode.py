"""Whether operations are recorded: no_grad, enable_grad, set_grad_enabled, inference_mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from funnn.engine.state import thread
from funnn.engine.tape.decorating import DecoratingContext, F


class _GradMode(DecoratingContext):
    """A context and a decorator that sets whether operations are recorded."""

    _value = True

    def __enter__(self) -> None:
        self.prev = thread.grad
        thread.grad = self._value

    def __exit__(self, *exc: Any) -> None:
        thread.grad = self.prev


class no_grad(_GradMode):
    """Operations inside are not recorded. A context manager, and a decorator with or without parentheses."""

    _value = False

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        return object.__new__(cls) if function is None else object.__new__(cls)(function)

    def __init__(self, function: Callable[..., Any] | None = None):
        self.prev = False  # what was set outside


class enable_grad(no_grad):
    """Operations inside are recorded, also within no_grad."""

    _value = True


class inference_mode(_GradMode):
    """As no_grad; and tensors made inside can't take part in recorded operations later, because nobody counts how often they are written."""

    def __new__(cls, mode: Any = True) -> Any:
        return object.__new__(cls)(mode) if callable(mode) else object.__new__(cls)

    def __init__(self, mode: bool = True):
        self.mode = bool(mode)

    def __enter__(self) -> None:
        self.prev, self._was_inferring = thread.grad, thread.inference
        thread.grad, thread.inference = not self.mode, self.mode

    def __exit__(self, *exc: Any) -> None:
        thread.grad, thread.inference = self.prev, self._was_inferring

    def clone(self) -> _GradMode:
        return type(self)(self.mode)


class set_grad_enabled(_GradMode):
    """Switch recording on or off; at once, and as a context manager back again."""

    def __init__(self, mode: bool):
        self.mode = self._value = bool(mode)
        self.prev = thread.grad
        thread.grad = self._value

    def __enter__(self) -> None:
        thread.grad = self._value

    def __call__(self, function: F) -> F:
        thread.grad = self.prev
        return super().__call__(function)

    def clone(self) -> _GradMode:
        return type(self)(self._value)


def is_grad_enabled() -> bool:
    """Whether operations are recorded now."""
    return thread.grad


def is_inference_mode_enabled() -> bool:
    """Whether inference mode is on now."""
    return thread.inference
