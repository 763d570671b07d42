"""Keys of dicts and items of sets in a hostile file: which of them would take long to hash, to compare or to keep apart."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any

from funnn.checkpoint._errors import CheckpointError, shown

_LARGEST = 1 << 60  # above, Python gives integers the hashes of smaller ones
_PARTS = 1000  # numbers and texts in a key, each counted as often as it stands there
_SAME = 100  # keys of one dict that are tuples or frozensets and have one hash


class Keys:
    """What the reader of a pickle asks before it fills a dict or a set.

    Args:
      spend: takes note of what a key costs, in bytes of memory or in about as many nanoseconds.
    """

    def __init__(self, spend: Callable[[int], None]):
        self.spend = spend
        self.crowds: dict[int, tuple[Any, Counter[int]]] = {}  # by the container's id, which is kept alive; of keys with parts

    def check(self, container: Any, key: Any) -> None:
        """Refuse a key whose hash takes long, or is made so that many keys of the container have the same.

        Raises:
          CheckpointError: for it.
        """
        self.spend(100 + _cost(key))
        if isinstance(key, (tuple, frozenset)):
            _, crowd = self.crowds.setdefault(id(container), (container, Counter()))
            code = hash(key)
            crowd[code] += 1
            if crowd[code] > _SAME:
                raise CheckpointError(f"more than {_SAME} keys of a dict, or items of a set, have the same hash")


def _cost(key: Any) -> int:
    """What it takes to hash a key once and to compare it once.

    Raises:
      CheckpointError: the key has too many parts, or some that are no keys.
    """
    waiting, parts, cost = [key], 0, 0
    while waiting:
        item = waiting.pop()
        parts += 1
        if isinstance(item, (str, bytes)):
            cost += len(item)
        elif isinstance(item, (tuple, frozenset)):
            waiting.extend(itertools.islice(item, _PARTS + 1))
        elif type(item).__hash__ is None:
            raise CheckpointError(
                f"a {type(item).__name__} is a key of a dict or in a set", "unsupported", "save it under a name or a number"
            )
        elif isinstance(item, complex) or (isinstance(item, int) and abs(item) >= _LARGEST):
            raise CheckpointError(f"{shown(item)} is a key of a dict or in a set, which is not supported for such numbers")
        if parts > _PARTS:
            raise CheckpointError(f"a key of a dict, or an item of a set, has more than {_PARTS} parts")
    return cost + 16 * parts
