"""What arguments are."""

from __future__ import annotations

import numbers
from typing import Any


def is_number(value: Any) -> bool:
    """Whether it is a number of Python's or NumPy's."""
    return isinstance(value, numbers.Number)
