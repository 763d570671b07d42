"""torch.nn.modules.utils: numbers as tuples, and prefixes of state_dicts."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from funnn.torch.nn._tuples import _list_with_default as _list_with_default
from funnn.torch.nn._tuples import _ntuple as _ntuple
from funnn.torch.nn._tuples import _pair as _pair
from funnn.torch.nn._tuples import _quadruple as _quadruple
from funnn.torch.nn._tuples import _single as _single
from funnn.torch.nn._tuples import _triple as _triple


def _reverse_repeat_tuple(t: tuple, n: int) -> tuple:
    """Each element ``n`` times, the last one first: (a, b) -> (b, b, a, a)."""
    return tuple(x for x in reversed(t) for _ in range(n))


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
