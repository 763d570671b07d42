"""Marks that libraries give to functions for TorchScript, without effect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import Final as Final

from funnn.torch.jit import _same as _copy_to_script_wrapper  # noqa: F401 (the name that libraries import)
from funnn.torch.jit import export as export
from funnn.torch.jit import ignore as ignore
from funnn.torch.jit import is_scripting as is_scripting
from funnn.torch.jit import unused as unused


def _overload(function: Callable[..., Any]) -> Callable[..., Any]:
    """Nothing: which types TorchScript should compile it for."""
    return function


_overload_method = _overload
