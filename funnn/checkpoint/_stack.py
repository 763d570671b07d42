"""N layers' arrays stacked for ``Repeat``, and back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from funnn.checkpoint._lazy import derived


def stack_layers(flat: Mapping[str, Any], prefix: str) -> Mapping[str, Any]:
    """Stack the arrays of numbered layers along a new first axis, as ``funnn.layers.Repeat`` has them.

    ``h.0.weight``, …, ``h.11.weight`` become one ``h.layer.weight`` of shape (12, …): the parameters of a field ``h = Repeat(block, 12)``.

    Args:
      flat: arrays by key; what ``load_safetensors(path, lazy=True)`` gives stays lazy.
      prefix: the beginning of the layers' keys, with ``{}`` for the number, such as ``"h.{}."``.

    Returns:
      A new dict (or LazyTensors); other keys are as they were. A stacked array stands where layer 0 had its own.

    Raises:
      ValueError: there is no such layer, a number is missing, or layers differ in names, shapes or types.

    Example:
      >>> list(stack_layers({"wte": np.ones(2), "h.0.w": np.ones(3), "h.1.w": np.ones(3)}, "h.{}."))
      ['wte', 'h.layer.w']
    """
    before, after = _parts(prefix)
    pattern = re.compile(rf"{re.escape(before)}(\d+){re.escape(after)}(.+)", re.DOTALL)
    groups: dict[str, dict[int, str]] = {}
    for key in flat:
        if found := pattern.fullmatch(key):
            numbered = groups.setdefault(found[2], {})
            if numbered.setdefault(int(found[1]), key) != key:
                raise ValueError(f"stack_layers: {numbered[int(found[1])]!r} and {key!r} have the same number; rename one of them")
    count = 1 + max((number for group in groups.values() for number in group), default=-1)
    if not count:
        raise ValueError(f"stack_layers: no key begins with {prefix!r}; the first keys are {', '.join(map(repr, list(flat)[:5]))}")
    for name, group in groups.items():
        if missing := [number for number in range(count) if number not in group]:
            lacking = ", ".join(repr(f"{before}{number}{after}{name}") for number in missing[:5])
            raise ValueError(
                f"stack_layers: of {count} layers, not all have {name!r}: there is no {lacking}; stack layers of one description only"
            )
    target = {group[0]: name for name, group in groups.items()}
    stacked = {key for group in groups.values() for key in group.values()}
    readers: dict[str, Callable[[], Any]] = {}
    for key in flat:
        if key in target:
            group = groups[target[key]]
            readers[f"{before}layer{after}{target[key]}"] = _stacking(flat, [group[number] for number in range(count)])
        elif key not in stacked:
            if key.startswith(f"{before}layer{after}"):
                raise ValueError(f"stack_layers: {key!r} is there already; rename it first")
            readers[key] = _one(flat, key)
    return derived(flat, readers)


def unstack_layers(flat: Mapping[str, Any], prefix: str) -> Mapping[str, Any]:
    """The inverse of :func:`stack_layers`: ``h.layer.weight`` of shape (12, …) becomes ``h.0.weight``, …, ``h.11.weight``.

    Args:
      flat: arrays by key.
      prefix: the beginning of the layers' keys, with ``{}`` for the number, such as ``"h.{}."``.

    Returns:
      A new dict (or LazyTensors); other keys are as they were.

    Raises:
      ValueError: there is no stacked array, or they differ in the length of their first axis.

    Example:
      >>> list(unstack_layers({"h.layer.w": np.ones((2, 3))}, "h.{}."))
      ['h.0.w', 'h.1.w']
    """
    before, after = _parts(prefix)
    start = f"{before}layer{after}"
    stacked = {key: flat[key] for key in flat if key.startswith(start)}
    if not stacked:
        raise ValueError(f"unstack_layers: no key begins with {start!r}; the first keys are {', '.join(map(repr, list(flat)[:5]))}")
    lengths = {key: np.shape(array)[0] if np.ndim(array) else None for key, array in stacked.items()}
    if len(set(lengths.values())) != 1 or None in lengths.values():
        raise ValueError(f"unstack_layers: first axes of different lengths: {lengths}; all must have one element a layer")
    readers: dict[str, Callable[[], Any]] = {}
    for key in flat:
        if key not in stacked:
            readers[key] = _one(flat, key)
            continue
        for number in range(lengths[key] or 0):
            new = f"{before}{number}{after}{key[len(start) :]}"
            if new in flat:
                raise ValueError(f"unstack_layers: {new!r} is there already; rename it first")
            readers[new] = _one(flat, key, number)
    return derived(flat, readers)


def _parts(prefix: str) -> tuple[str, str]:
    before, *rest = prefix.split("{}")
    if len(rest) != 1 or not rest[0]:
        raise ValueError(f"prefix must have {{}} once, for the number, and something behind it, such as 'h.{{}}.', but is {prefix!r}")
    return before, rest[0]


def _one(flat: Mapping[str, Any], key: str, number: int | None = None) -> Callable[[], Any]:
    def read() -> Any:
        with jax.enable_x64(True):  # types of 64 bits stay as they are
            return flat[key] if number is None else flat[key][number]

    return read


def _stacking(flat: Mapping[str, Any], keys: Sequence[str]) -> Callable[[], Any]:
    def read() -> Any:
        arrays = [flat[key] for key in keys]
        kinds = {(np.shape(array), array.dtype): key for key, array in zip(keys, arrays, strict=True)}
        if len(kinds) > 1:
            differ = ", ".join(f"{key!r} has shape {shape} and type {dtype}" for (shape, dtype), key in kinds.items())
            raise ValueError(f"stack_layers: {differ}; layers of one description have the same shapes and types")
        if not isinstance(arrays[0], jax.Array):
            return np.stack(arrays)
        with jax.enable_x64(True):
            return jnp.stack(arrays)

    return read
