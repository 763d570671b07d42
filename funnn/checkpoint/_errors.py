"""What is raised where a file cannot be read."""

from __future__ import annotations

from typing import Literal

#: Whether there is nothing in the file, its container is damaged, its pickle is damaged or no data, or it holds what is not supported.
Kind = Literal["empty", "container", "pickle", "unsupported"]


class CheckpointError(ValueError):
    """A checkpoint file is damaged, or holds what cannot be read; the message names the file, the place and the fix.

    Attributes:
      kind: "empty", "container" (the zip file or what stands for it), "pickle" (what describes the objects in it), or "unsupported".
    """

    def __init__(self, message: str, kind: Kind = "pickle"):
        super().__init__(message)
        self.kind: Kind = kind

    def at(self, place: str) -> CheckpointError:
        """The same with the place in front."""
        return CheckpointError(f"{place}: {self}", self.kind)
