"""Sizes given once or per dimension."""

from __future__ import annotations

from typing import Any

#: A number for all dimensions, or one for each; a layer keeps a tuple.
Size = int | tuple[int, ...]


def ntuple(value: Any, n: int) -> tuple[Any, ...]:
    """``value`` as an n-tuple: a number is repeated, a sequence is taken as it is.

    >>> ntuple(3, 2), ntuple([1, 2], 2)
    ((3, 3), (1, 2))
    """
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * n
