"""What counts as a sequence of data: whatever has a length and items by number, as a list, a deque, an array.array or a column of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NONE = (str, bytes, Mapping, set, frozenset)


def is_sequence(data: Any) -> bool:
    """Whether torch reads the object's items."""
    kind = type(data)
    return hasattr(kind, "__getitem__") and hasattr(kind, "__len__") and not isinstance(data, _NONE)
