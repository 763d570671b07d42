"""Warnings of functions that may be traced: said where the user called, or left to whoever traces, who says them at every call."""

from __future__ import annotations

import contextlib
import sys
import threading
import types
import warnings
from collections.abc import Iterator
from typing import Any


class _Tracing(threading.local):
    """What the functions that this thread traces warn of: (text, category, once); None where it traces none."""

    found: list[tuple[str, type[Warning], bool]] | None = None


_tracing = _Tracing()
_said: set[str] = set()
#: Whether what is said once is said always; ``torch.set_warn_always``.
always = False


def warn(text: str, category: type[Warning] = UserWarning, *shapes: Any, once: bool = False) -> None:
    """Warn at the line that called into funnn, ``once`` in a program or every time.

    In ``text``, ``{0}`` and ``{1}`` are ``shapes``, those of the first two operands.
    """
    if _tracing.found is None:
        say(text.format(*shapes) if shapes else text, category, once)
    else:
        _tracing.found.append((text, category, once))


def say(text: str, category: type[Warning] = UserWarning, once: bool = False) -> None:
    """As ``warn``, whoever traces; through however many frames of funnn's own."""
    if once:
        if text in _said and not always:
            return
        _said.add(text)
    level = 1
    frame: types.FrameType | None = sys._getframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith(("funnn.", "jax.")):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, category, stacklevel=level)


@contextlib.contextmanager
def collected() -> Iterator[list[tuple[str, type[Warning], bool]]]:
    """Inside, what functions warn of is collected."""
    found: list[tuple[str, type[Warning], bool]] = []
    before, _tracing.found = _tracing.found, found
    try:
        yield found
    finally:
        _tracing.found = before
