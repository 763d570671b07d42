"""Who is told of every layer that runs."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

#: Called as ``watch(view, run, args, kwargs)`` for every layer that runs, if it is set; it returns ``run(*args, **kwargs)``.
watching: ContextVar[Callable[[Any, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any] | None] = ContextVar(
    "watching", default=None
)
