"""torch.utils.data._utils.collate: default_collate, and how to teach it further types."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from funnn.engine.ops.make.factories import as_tensor
from funnn.torch.utils.data._collate import collate as _collate
from funnn.torch.utils.data._collate import default_collate as default_collate
from funnn.torch.utils.data._collate import default_collate_fn_map as default_collate_fn_map
from funnn.torch.utils.data._collate import default_convert as default_convert
from funnn.torch.utils.data._collate import stack as _stack


def collate(batch: Sequence[Any], *, collate_fn_map: Mapping[type | tuple[type, ...], Callable] | None = None) -> Any:
    """:func:`default_collate`, with a function for samples of each further type: ``function(batch, *, collate_fn_map)``."""
    return _collate(batch, as_tensor, _stack, collate_fn_map or {})


#: The dtypes of NumPy arrays that hold text or objects, which do not become tensors.
np_str_obj_array_pattern = re.compile("[SaUO]")
