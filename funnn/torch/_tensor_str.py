"""How tensors print, as libraries ask."""

from __future__ import annotations

import sys
from typing import Any

from funnn.engine.types import printing
from funnn.engine.types.printing import set_printoptions as set_printoptions
from funnn.torch._unsupported import watch


class _Options:
    """The options that ``torch.set_printoptions`` sets, as they are now."""

    def __getattr__(self, name: str) -> Any:
        return getattr(printing._current, name)


PRINT_OPTS = _Options()
watch(sys.modules[__name__])
