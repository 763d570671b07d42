"""What ``apply`` tells of a run besides its output: values of layers inside, and gradients at them."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

Capture = bool | str | Iterable[str] | Callable[[str], bool]


class Observer:
    """Keeps outputs of layers by path, and adds to them.

    Args:
      capture: True for all layers, a pattern of paths such as "encoder.*" (or several), or a function of the path.
      perturb: what is added to the outputs of layers, by path.
    """

    def __init__(self, capture: Capture, perturb: Mapping[str, Any]):
        self.capture, self.perturb = capture, perturb
        self.found: dict[str, list[Any]] = {}
        self.seen: set[str] = set()

    def inside(self) -> Observer:
        """One that sees and adds the same in another transformation."""
        return Observer(self.capture, self.perturb)

    def see(self, path: str, output: Any) -> Any:
        """The output of a layer, to be gone on with."""
        self.seen.add(path)
        if path in self.perturb:
            output = jax.tree.map(jnp.add, output, self.perturb[path])
        if self.wants(path):
            self.keep(path, output)
        return output

    def keep(self, path: str, value: Any) -> None:
        """Keep a value under a path."""
        self.found.setdefault(path, []).append(value)

    def take_over(self, found: Mapping[str, Iterable[Any]]) -> None:
        """Keep what another observer found."""
        for path, values in found.items():
            self.found.setdefault(path, []).extend(values)

    def result(self) -> dict[str, Any]:
        """By path the value, or the tuple of those of several calls.

        Raises:
          ValueError: there was no layer at a path of ``perturb``.
        """
        unknown = self.perturb.keys() - self.seen
        if unknown:
            near = difflib.get_close_matches(min(unknown), self.seen, n=3, cutoff=0.3)
            raise ValueError(f"perturb: no layer ran at {sorted(unknown)}; those that ran: {near or sorted(self.seen)[:8]}")
        return {path: values[0] if len(values) == 1 else tuple(values) for path, values in self.found.items()}

    def wants(self, path: str) -> bool:
        """Whether the output of the layer at a path is to be kept."""
        if isinstance(self.capture, bool):
            return self.capture
        if callable(self.capture):
            return self.capture(path)
        patterns = [self.capture] if isinstance(self.capture, str) else self.capture
        return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)
