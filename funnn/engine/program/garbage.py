"""Python's collector of cycles, which looks at every object of the process each time that many new ones stay."""

from __future__ import annotations

import gc


class Uncollected:
    """A context without collections: a trace makes thousands of objects that stay, and full collections while it goes on would double its time."""

    __slots__ = ("_enabled",)

    def __enter__(self) -> None:
        self._enabled = gc.isenabled()
        gc.disable()

    def __exit__(self, *exc: object) -> None:
        if self._enabled:
            gc.enable()
