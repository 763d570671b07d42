"""Sizes that vary between calls of one form, as symbols.

What a form depends on besides dtypes is a *vector* of sizes: those of its operands' dimensions and those among its static arguments. Of vectors that
have come, the entries that differ become symbols, or whole multiples of another one with an offset (a mask of length t + 1 beside keys of length t).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from jax import export

Vector = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Pattern:
    """Which entries of a vector are the same for all, and how the others follow from the symbols.

    Attributes:
      constants: (place, size) of those that never change.
      affine: (place, symbol, factor, offset) of the others: factor · symbol + offset.
      bases: the place from which each symbol is read.
      below: (smaller, larger) places of sizes that are never equal, whose order the trace takes for granted.
    """

    constants: tuple[tuple[int, int], ...]
    affine: tuple[tuple[int, int, int, int], ...]
    bases: tuple[int, ...]
    below: tuple[tuple[int, int], ...] = ()

    def match(self, vector: Vector) -> Vector | None:
        """The symbols' values, or None where the vector is another one.

        Nor may two sizes be equal that are not equal for all vectors, or one be below 2: a trace takes another way then (it broadcasts, say).
        """
        for place, size in self.constants:
            if vector[place] != size:
                return None
        values = tuple([vector[base] for base in self.bases])
        seen: dict[int, tuple[int, ...]] = {size: () for _, size in self.constants}
        for place, symbol, factor, offset in self.affine:
            size = vector[place]
            if size < 2 or size != factor * values[symbol] + offset:
                return None
            if seen.setdefault(size, (symbol, factor, offset)) != (symbol, factor, offset):
                return None
        return None if any(vector[small] >= vector[large] for small, large in self.below) else values

    def symbolic(self) -> tuple[list[Any], tuple[str, ...]]:
        """The vector with JAX's symbolic dimensions, and the symbols' names."""
        names = tuple(f"s{number}" for number in range(len(self.bases)))
        texts: dict[int, str] = {place: str(size) for place, size in self.constants}
        texts.update({place: f"{factor}*s{symbol} + {offset}" for place, symbol, factor, offset in self.affine})
        constraints = [f"{texts[place]} >= 2" for place, *_ in self.affine]
        constraints += [f"{texts[large]} >= {texts[small]} + 1" for small, large in self.below]
        symbols = export.symbolic_shape(", ".join(names) + ",", constraints=list(dict.fromkeys(constraints)))
        vector: dict[int, Any] = dict(self.constants)
        vector.update({place: factor * symbols[symbol] + offset for place, symbol, factor, offset in self.affine})
        return [vector[place] for place in range(len(vector))], names


def find_patterns(vectors: Sequence[Vector]) -> Iterator[Pattern]:
    """The patterns that all these vectors have: first without, then with the order of those that vary among the sizes."""
    columns = list(zip(*vectors, strict=True))
    varying = [place for place, column in enumerate(columns) if len(set(column)) > 1]
    constants = tuple((place, column[0]) for place, column in enumerate(columns) if place not in varying)
    bases: list[int] = []
    affine: list[tuple[int, int, int, int]] = []
    for place in sorted(varying, key=lambda place: (max(columns[place]) - min(columns[place]), columns[place])):
        found = next(((number, *of) for number, base in enumerate(bases) if (of := _relation(columns[base], columns[place]))), None)
        if found is None:
            found = len(bases), 1, 0
            bases.append(place)
        affine.append((place, *found))
    pattern = Pattern(constants, tuple(affine), tuple(bases))
    yield pattern
    below = tuple(_orders(columns, varying, constants))
    if below:
        yield dataclasses.replace(pattern, below=below)


def _relation(base: Vector, column: Vector) -> tuple[int, int] | None:
    """(factor, offset) with column = factor · base + offset, in whole numbers, if there are such."""
    low, high = base.index(min(base)), base.index(max(base))
    factor, rest = divmod(column[high] - column[low], base[high] - base[low])
    offset = column[low] - factor * base[low]
    fits = not rest and factor > 0 and all(value == factor * size + offset for size, value in zip(base, column, strict=True))
    return (factor, offset) if fits else None


def _orders(columns: list[Vector], varying: list[int], constants: tuple[tuple[int, int], ...]) -> Iterator[tuple[int, int]]:
    """Pairs of a size that varies and another, the smaller first, where it is the same for all vectors; one pair for each pair of columns."""
    known: set[tuple[Vector, Vector]] = set()
    others = [*varying, *[place for place, size in constants if size > 1]]
    for place in varying:
        for other in others:
            for small, large in ((place, other), (other, place)):
                pair = columns[small], columns[large]
                if pair not in known and all(map(int.__lt__, *pair)):
                    known.add(pair)
                    yield small, large
