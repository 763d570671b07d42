"""Whose code a frame runs: the way from inside this library to the line of its user."""

from __future__ import annotations

import types


def is_within(frame: types.FrameType, *libraries: str) -> bool:
    """Whether a frame runs a library's code. Its package tells, for modules may go by other names; a main module is its user's."""
    names = frame.f_globals
    return (names.get("__package__") or "").partition(".")[0] in libraries and names.get("__name__") != "__main__"
