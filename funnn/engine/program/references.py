"""Who else holds an object, as reference counts tell."""

from __future__ import annotations

import sys
from typing import Any


def _count_sole() -> int:
    held = [object()]
    return max(map(sys.getrefcount, list(held)))


#: What ``sys.getrefcount`` says, mapped over a list, of what one other object holds too.
SOLE = _count_sole()


def are_sole(objects: list[Any]) -> list[bool]:
    """Which of the objects nobody holds but the list and one other object."""
    return [count == SOLE for count in map(sys.getrefcount, objects)]
