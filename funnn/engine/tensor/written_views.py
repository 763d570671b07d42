"""Views into which nothing may be written with gradients: how they were made, and what torch says of each."""

from __future__ import annotations

import re
from typing import Any

_CLEAR = (
    "Given that this use case is ambiguous and error-prone, it is forbidden. You can clarify your code by moving both the view and the inplace either "
    "both inside the {0} block (if you don't want the inplace to be tracked) or both outside (if you want the inplace to be tracked)."
)
#: Why, by how the view was made: without recording, in inference mode, with others by one call, by or inside a custom Function.
_WHY = {
    "no_grad": _CLEAR.format("no_grad"),
    "inference": _CLEAR.format("inference_mode"),
    "several": (
        "This view is the output of a function that returns multiple views. Such functions do not allow the output views to be modified inplace. "
        "You should replace the inplace operation by an out-of-place one."
    ),
    "function": (
        "This view was created inside a custom Function (or because an input was returned as-is) and the autograd logic to handle view+inplace would "
        "override the custom backward associated with the custom Function, leading to incorrect gradients. This behavior is forbidden. You can fix "
        "this by cloning the output of the custom Function."
    ),
}


def refused_write(view: Any, by_another: bool = False) -> RuntimeError:
    """torch's error where ``view`` is written with gradients, or, ``by_another``, is used after its memory was written through its base or another view."""
    node, made = view._grad_fn, view._made
    written = "its base or another view of its base has been" if by_another else "is being"
    where = "" if node is None else f"Output {view._output or view._piece} of {re.sub(r'Backward[0-9]*$', '', node.name())} is a view"
    if node is None or made in ("no_grad", "inference"):
        mode, now = ("inference", "in normal mode") if made == "inference" else ("no_grad", "with grad mode enabled")
        where = f"{where} of a view which was created in" if where else "A view was created in"
        return RuntimeError(f"{where} {mode} mode and {written} modified inplace {now}. {_WHY[made]}")
    return RuntimeError(f"{where} and {written} modified inplace. {_WHY[made]}")
