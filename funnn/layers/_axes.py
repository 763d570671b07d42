"""Names of dimensions where a linear map leads from features to something that is split, and another back."""

from __future__ import annotations

Axes = tuple[str | None, ...]


def between(name: str, into: tuple[str, ...], back: str) -> dict[str, Axes]:
    """The names for Linears ``into`` and ``back``, between which the dimension ``name`` is.

    >>> between("hidden", ("up",), "down")["down.weight"]
    ('features', 'hidden')
    """
    names: dict[str, Axes] = {f"{back}.weight": ("features", name), f"{back}.bias": ("features",)}
    for linear in into:
        names |= {f"{linear}.weight": (name, "features"), f"{linear}.bias": (name,)}
    return names
