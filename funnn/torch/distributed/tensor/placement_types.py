"""How a tensor lies on an axis of a mesh, as a description."""

from __future__ import annotations

import dataclasses


class Placement:
    """How a tensor lies on an axis of a mesh."""

    def is_shard(self, dim: int | None = None) -> bool:
        """Whether it is split, along ``dim`` if that is given."""
        return isinstance(self, Shard) and dim in (None, self.dim)

    def is_replicate(self) -> bool:
        """Whether each device has all of it."""
        return isinstance(self, Replicate)

    def is_partial(self, reduce_op: str | None = None) -> bool:
        """Whether each device has a summand."""
        return isinstance(self, Partial) and reduce_op in (None, self.reduce_op)


@dataclasses.dataclass(frozen=True)
class Shard(Placement):
    """Split along a dimension."""

    dim: int

    def __str__(self) -> str:
        return f"S({self.dim})"


@dataclasses.dataclass(frozen=True, kw_only=True)
class _StridedShard(Shard):
    """Split along a dimension that another axis splits too."""

    split_factor: int


@dataclasses.dataclass(frozen=True)
class Replicate(Placement):
    """The whole on each device."""

    def __str__(self) -> str:
        return "R"


@dataclasses.dataclass(frozen=True)
class Partial(Placement):
    """A summand on each device, or what ``reduce_op`` puts together."""

    reduce_op: str = "sum"

    def __repr__(self) -> str:
        return f"Partial({self.reduce_op})"

    def __str__(self) -> str:
        return f"P({self.reduce_op})"
