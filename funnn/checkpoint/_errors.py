"""What is raised where a file cannot be read."""

from __future__ import annotations

from typing import Literal

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
