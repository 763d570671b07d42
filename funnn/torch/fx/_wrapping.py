"""torch.fx.wrap: functions of a module that tracing records as one call."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

#: The globals in which a name is to be wrapped while functions are traced, by their id and the name.
wrapped_functions: dict[tuple[int, str], dict[str, Any]] = {}


def wrap(fn_or_name: str | Callable) -> str | Callable:
    """Let tracing record calls of a function as one node, instead of what the function does.

    At the top level of a module: as a decorator, or with the name of a function that the module has, such as ``wrap("len")``.

    Args:
      fn_or_name: the function, or its name in this module.

    Raises:
      RuntimeError: it is neither.
      NotImplementedError: the call is not at the top level of a module.
    """
    if not callable(fn_or_name) and not isinstance(fn_or_name, str):
        raise RuntimeError("Unsupported type for global function! Must be either a callable or string name")
    frame = sys._getframe(1)
    if frame.f_code.co_name != "<module>":
        raise NotImplementedError("wrap must be called at the top level of a module")
    name = fn_or_name if isinstance(fn_or_name, str) else fn_or_name.__name__
    wrapped_functions[id(frame.f_globals), name] = frame.f_globals
    return fn_or_name


wrap.__module__ = f"{__package__}._symbolic_trace"  # torch's file, which the code of graphs names
