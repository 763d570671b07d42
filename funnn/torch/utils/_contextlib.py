"""Contexts that decorate functions too, for contexts of users."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from funnn.engine.tape.decorating import DecoratingContext as _DecoratorContextManager


class _NoParamDecoratorContextManager(_DecoratorContextManager):
    """One that is a decorator without being called: ``@context``."""

    def __new__(cls, orig_func: Callable[..., Any] | None = None) -> Any:
        """A context, or the function within one."""
        return super().__new__(cls) if orig_func is None else cls()(orig_func)
