"""Warnings of functions that may be traced: given where the user called, or left to whoever traces, who gives them at every call."""

from __future__ import annotations

import contextlib
import sys
import threading
import types
import warnings
from collections.abc import Iterator

from funnn._frames import is_within

Warned = tuple[str, type[Warning], bool]  # a text, its category, and whether it is to be given once in a program


class _Tracing(threading.local):
    """What the functions that this thread traces warn of; None where nobody collects it."""

    found: list[Warned] | None = None


_tracing = _Tracing()


def warn(text: str, category: type[Warning] = UserWarning, *shapes: object) -> None:
    """Warn at the line that called into funnn.

    In ``text``, ``{0}`` and ``{1}`` are ``shapes``, those of the first two operands.
    """
    if not left_to_collector(text, category):
        warn_at_users_line(text.format(*shapes) if shapes else text, category)


def left_to_collector(text: str, category: type[Warning], once: bool = False) -> bool:
    """Leave a warning to whoever traces; False where nobody does."""
    if _tracing.found is None:
        return False
    _tracing.found.append((text, category, once))
    return True


def warn_at_users_line(text: str, category: type[Warning] = UserWarning) -> None:
    """Warn, through however many frames of funnn's own."""
    level = 1
    frame: types.FrameType | None = sys._getframe()
    while frame is not None and is_within(frame, "funnn", "jax"):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, category, stacklevel=level)


@contextlib.contextmanager
def collected() -> Iterator[list[Warned]]:
    """Inside, what functions warn of is collected."""
    found: list[Warned] = []
    before, _tracing.found = _tracing.found, found
    try:
        yield found
    finally:
        _tracing.found = before
