"""A mapping whose values are read when they are looked up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any


class LazyTensors(Mapping[str, Any]):
    """Arrays by key, each of which is read anew whenever it is looked up; nothing is kept.

    ``dict(tensors)`` reads all of them. :func:`funnn.checkpoint.rename` and :func:`funnn.checkpoint.stack_layers` of it are lazy too.

    Args:
      readers: for each key, what reads its array.
      metadata: texts that the files have beside the arrays.
    """

    def __init__(self, readers: Mapping[str, Callable[[], Any]], metadata: Mapping[str, str] | None = None):
        self._readers = dict(readers)
        self.metadata: dict[str, str] = dict(metadata or {})

    def __getitem__(self, key: str) -> Any:
        return self._readers[key]()

    def __contains__(self, key: object) -> bool:
        return key in self._readers

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)

    def __repr__(self) -> str:
        return f"LazyTensors of {len(self)} keys: {', '.join(list(self)[:4])}{', …' if len(self) > 4 else ''}"


def derived(flat: Mapping[str, Any], readers: Mapping[str, Callable[[], Any]]) -> Mapping[str, Any]:
    """A mapping made from ``flat`` by ``readers``, which read from it: lazy if ``flat`` is, else a dict."""
    if isinstance(flat, LazyTensors):
        return LazyTensors(readers, flat.metadata)
    return {key: read() for key, read in readers.items()}
