"""Modes under operations of PyTorch's own library, of which there are none here."""

from __future__ import annotations

import sys
from typing import Any

from funnn.torch._unsupported import watch


def is_traceable_wrapper_subclass(t: Any) -> bool:
    """False: no class of tensors wraps others below the functions of torch."""
    return False


watch(sys.modules[__name__])
