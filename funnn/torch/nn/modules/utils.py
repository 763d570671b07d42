"""torch.nn.modules.utils: numbers as tuples, and prefixes of state_dicts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import repeat
from typing import Any


def _ntuple(n: int, name: str = "parse") -> Callable[[Any], tuple]:
    def parse(x: Any) -> tuple:
        return tuple(x) if isinstance(x, Iterable) else tuple(repeat(x, n))

    parse.__name__ = name
    return parse


_single, _pair, _triple, _quadruple = (_ntuple(n, name) for n, name in ((1, "_single"), (2, "_pair"), (3, "_triple"), (4, "_quadruple")))


def _reverse_repeat_tuple(t: tuple, n: int) -> tuple:
    """Each element ``n`` times, the last one first: (a, b) -> (b, b, a, a)."""
    return tuple(x for x in reversed(t) for _ in range(n))


def _list_with_default(out_size: Any, defaults: list[int]) -> Any:
    """``out_size`` with the last ``defaults`` in the places of None."""
    if isinstance(out_size, (int, float)):
        return out_size
    if len(defaults) <= len(out_size):
        raise ValueError(f"Input dimension should be at least {len(out_size) + 1}")
    return [default if size is None else size for size, default in zip(out_size, defaults[-len(out_size) :], strict=True)]


def consume_prefix_in_state_dict_if_present(state_dict: dict[str, Any], prefix: str) -> None:
    """Take a prefix such as "module." off the keys, in place, and off those of ``_metadata``."""
    for name in [key for key in state_dict if key.startswith(prefix)]:
        state_dict[name[len(prefix) :]] = state_dict.pop(name)
    metadata: OrderedDict = getattr(state_dict, "_metadata", OrderedDict())
    for name in list(metadata):
        if name == prefix.removesuffix("."):
            metadata[""] = metadata.pop(name)
        elif name.startswith(prefix):
            metadata[name[len(prefix) :]] = metadata.pop(name)
