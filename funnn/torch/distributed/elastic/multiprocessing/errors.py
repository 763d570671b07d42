"""How a program that a launcher started tells what it failed of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["ChildFailedError", "record"]

F = TypeVar("F", bound=Callable[..., Any])


class ChildFailedError(Exception):
    """A process that torch's launcher started failed; funnn's ends with an exit code instead."""

    def __init__(self, name: str, failures: dict[int, Any] | None = None):
        super().__init__(name)
        self.name, self.failures = name, failures or {}


def record(fn: F, error_handler: Any = None) -> F:
    """The function itself: what it raises is told to the other processes, and printed, without it."""
    return fn
