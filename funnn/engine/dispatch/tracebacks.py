"""What the traceback of a user's error shows: the user's lines, the modules and the operation; not how this library and JAX got there.

``JAX_TRACEBACK_FILTERING=off`` (or ``jax.config.update("jax_traceback_filtering", "off")``) shows everything, as it does for JAX itself.
"""

from __future__ import annotations

from pathlib import Path
from types import CodeType, TracebackType
from typing import Any

import jax

_LIBRARY = str(Path(__file__).parents[2]) + "/"
_HIDDEN = (_LIBRARY, str(Path(jax.__file__).parent) + "/", "<frozen ", "<string>")
_SHOWN = (f"{_LIBRARY}examples/",)
_JAXS_NOTE = "JAX has removed its internal frames"
#: Code of this library that says where an error is: the operations and the calls of modules.
_speaking: set[CodeType] = set()


def speaks(code: CodeType) -> CodeType:
    """Show frames of this code."""
    _speaking.add(code)
    return code


def shorten(error: BaseException, *, parts: bool = False) -> None:
    """Take the frames out of an error's traceback, below the one that catches it, that tell a user nothing; with ``parts``, operations and
    modules inside tell something."""
    config: Any = jax.config  # whose options are made at run time
    if config.jax_traceback_filtering == "off" or error.__traceback__ is None:
        return
    shown = error.__traceback__
    following = shown.tb_next
    while following is not None:
        if _is_shown(following, parts):
            shown.tb_next = following
            shown = following
        following = following.tb_next
    shown.tb_next = None
    notes = getattr(error, "__notes__", None)
    if notes and any(_JAXS_NOTE in note for note in notes):
        error.__notes__ = [note for note in notes if _JAXS_NOTE not in note]
    if error.__cause__ is not None and not error.__suppress_context__:
        error.__cause__ = None


def _is_shown(traceback: TracebackType, parts: bool) -> bool:
    code = traceback.tb_frame.f_code
    if parts and (code.co_name == "forward" or code in _speaking):
        return True
    return code.co_filename.startswith(_SHOWN) or not code.co_filename.startswith(_HIDDEN)
