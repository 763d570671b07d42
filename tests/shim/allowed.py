"""Why tests leave something out: by an entry of the list of differences, which must be there, or because it is no difference of this library."""

from __future__ import annotations

from typing import NamedTuple

from funnn.torch._differences import DIFFERENCES

KEYS = frozenset(difference.key for difference in DIFFERENCES)


class Reason(NamedTuple):
    """``entry`` is the key of the difference, or None where there is none to list."""

    entry: str | None
    text: str


def listed(entry: str, text: str = "") -> Reason:
    """The difference of that key; KeyError where the list has none."""
    if entry not in KEYS:
        raise KeyError(f"the list of differences has no entry {entry!r}: it was mended, or is to be listed")
    return Reason(entry, text)


def no_difference(text: str) -> Reason:
    """It is unspecified, PyTorch's fault, out of what the library has at all, or of how the test calls."""
    return Reason(None, text)
