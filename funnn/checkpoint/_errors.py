"""What is raised where a file cannot be read."""

from __future__ import annotations

import reprlib
from types import BuiltinFunctionType, FunctionType, NoneType
from typing import Any, Literal

#: Whether there is nothing in the file, its container is damaged, its pickle is damaged or no data, or it holds what is not supported.
Kind = Literal["empty", "container", "pickle", "unsupported"]


_ANEW = "the file is damaged, incomplete or something else: get it anew from where it was written"
_FIXES: dict[Kind, str] = {"empty": _ANEW, "container": _ANEW, "pickle": _ANEW, "unsupported": "save it in another form"}


class CheckpointError(ValueError):
    """A checkpoint file is damaged, or holds what cannot be read; the message names the file, the place and the fix.

    Attributes:
      kind: "empty", "container" (the zip file or what stands for it), "pickle" (what describes the objects in it), or "unsupported".
      fix: what to do.
    """

    def __init__(self, message: str, kind: Kind = "pickle", fix: str | None = None):
        super().__init__(message)
        self.kind: Kind = kind
        self.fix = _FIXES[kind] if fix is None else fix

    def at(self, place: str) -> CheckpointError:
        """The same with the place in front."""
        return CheckpointError(f"{place}: {self}", self.kind, self.fix)

    def of(self, file: str) -> CheckpointError:
        """The whole message: the file, the place, what is wrong and what to do."""
        return CheckpointError(f"{file}: {self}; {self.fix}" if self.fix else f"{file}: {self}", self.kind, self.fix)


class _Shown(reprlib.Repr):
    """Values in messages, of which a hostile file decides how large and how deep they are."""

    _PLAIN = NoneType, bool, float, complex, type, FunctionType, BuiltinFunctionType

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3

    def repr_int(self, x: int, level: int) -> str:
        return super().repr_int(x, level) if x.bit_length() < 1000 else f"an integer of {x.bit_length()} bits"

    def repr_bytes(self, x: bytes, level: int) -> str:
        return repr(x[: self.maxstring]) + "..." * (len(x) > self.maxstring)

    def repr_instance(self, x: Any, level: int) -> str:
        return repr(x)[:200] if isinstance(x, self._PLAIN) else f"<{type(x).__name__}>"


#: A value in a few letters, in no time.
shown = _Shown().repr
