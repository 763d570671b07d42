"""A few numbers that stand for what a case gives, so that recorded results stay small."""

from __future__ import annotations

from typing import Any

import numpy as np

BYTES = ("uint8", "PIL RGB", "PIL L")


def summary(value: Any) -> Any:
    """Of tensors, arrays and images: type, shape, and sums weighted by waves; of containers: that of each item; of others: their text."""
    if type(value).__module__.startswith("PIL"):
        return [f"PIL {value.mode}", *summary(np.asarray(value))[1:]]
    if hasattr(value, "detach"):
        return [str(value.dtype).rpartition(".")[2], *_numbers(value.detach().numpy())]
    if isinstance(value, np.ndarray):
        return [str(value.dtype), *_numbers(value)]
    if isinstance(value, dict):
        return {str(key): summary(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [summary(item) for item in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return ["number", [], [float(value)]]
    return repr(value)


def _numbers(array: np.ndarray) -> tuple[list[int], list[float]]:
    flat = np.asarray(array, np.float64).ravel()
    places = np.arange(flat.size)
    sums = [flat.sum(), np.abs(flat).sum(), *((flat * np.cos(pace * places)).sum() for pace in (0.37, 2.71))]
    return list(array.shape), [float(f"{number:.7g}") for number in sums]


def differences(got: Any, expected: Any, relative: float = 1e-5, path: str = "") -> list[str]:
    """Where two summaries differ, with how much; the measure of sums is the sum of absolute values.

    In bytes, a few values may be rounded the other way.
    """
    if isinstance(expected, dict):
        if not isinstance(got, dict) or got.keys() != expected.keys():
            return [f"{path}: {got!r} instead of {expected!r}"]
        return [line for key in expected for line in differences(got[key], expected[key], relative, f"{path}.{key}")]
    if isinstance(expected, list) and len(expected) == 3 and isinstance(expected[0], str) and isinstance(expected[1], list):
        if not isinstance(got, list) or list(got[:2]) != expected[:2]:
            return [f"{path}: {got!r} instead of {expected!r}"]
        measure = max(abs(expected[2][min(1, len(expected[2]) - 1)]), 1e-6)
        worst = max(abs(a - b) for a, b in zip(got[2], expected[2], strict=True))
        return (
            []
            if worst <= relative * measure or (expected[0] in BYTES and worst <= 4)
            else [f"{path}: {got[2]} instead of {expected[2]}, {worst / measure:.1e} of its size"]
        )
    if isinstance(expected, list):
        if not isinstance(got, list) or len(got) != len(expected):
            return [f"{path}: {got!r} instead of {expected!r}"]
        return [line for i, (a, b) in enumerate(zip(got, expected, strict=True)) for line in differences(a, b, relative, f"{path}[{i}]")]
    return [] if got == expected else [f"{path}: {got!r} instead of {expected!r}"]
