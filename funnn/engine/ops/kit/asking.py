"""Functions that no row made ask classes and modes that override functions too."""

from __future__ import annotations

from funnn.engine.dispatch.public import overridable
from funnn.engine.ops.kit.table import FUNCTIONS, add_method
from funnn.engine.tensor.tensor import Tensor


def let_the_rest_ask() -> None:
    """Make functions that no row made ask first; those that only ask something of a tensor (``asks = False``) do not."""
    for name, old in list(FUNCTIONS.items()):
        if not hasattr(old, "asks") and not old.__module__.startswith("funnn.functional"):
            FUNCTIONS[name] = overridable(old, names=(name.replace(".", "_"),))
            if getattr(Tensor, name, None) is old:
                setattr(Tensor, name, FUNCTIONS[name])
    add_method("__deepcopy__", Tensor.__deepcopy__)  # of rooms below, which cannot
