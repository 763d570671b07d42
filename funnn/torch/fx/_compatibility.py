"""torch.fx._compatibility: a mark of what stays as it is from version to version."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


def compatibility(is_backward_compatible: bool) -> Callable[[_T], _T]:
    """Decorator without effect, which torch's functions and those that override them have."""
    return lambda function: function
