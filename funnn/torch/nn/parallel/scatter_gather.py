"""Batches in parts, and their parts together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from funnn.engine.ops.kit.table import FUNCTIONS as ops
from funnn.engine.tensor.tensor import Tensor

__all__ = ["gather", "is_namedtuple", "scatter", "scatter_kwargs"]


def is_namedtuple(obj: Any) -> bool:
    """Whether something is an instance of a named tuple."""
    return isinstance(obj, tuple) and hasattr(obj, "_asdict") and hasattr(obj, "_fields")


def scatter(inputs: Any, target_gpus: Sequence[Any], dim: int = 0) -> Any:
    """``inputs`` (tensors in nested tuples, lists and dicts) for each device: tensors split along ``dim``, everything else the same for all."""
    count = len(target_gpus)
    if isinstance(inputs, Tensor):
        return inputs.chunk(count, dim)
    if is_namedtuple(inputs):
        return [type(inputs)(*parts) for parts in zip(*(scatter(item, target_gpus, dim) for item in inputs), strict=False)]
    if isinstance(inputs, (tuple, list)) and inputs:
        return [type(inputs)(parts) for parts in zip(*(scatter(item, target_gpus, dim) for item in inputs), strict=False)]
    if isinstance(inputs, dict) and inputs:
        return [type(inputs)(zip(inputs, parts, strict=True)) for parts in scatter(tuple(inputs.values()), target_gpus, dim)]
    return [inputs] * count


def scatter_kwargs(inputs: tuple, kwargs: dict | None, target_gpus: Sequence[Any], dim: int = 0) -> tuple[tuple, tuple]:
    """``scatter`` of positional and of named arguments: as many of one as of the other."""
    parts, named = (list(scatter(each, target_gpus, dim)) if each else [] for each in (inputs, kwargs))
    count = max(len(parts), len(named))
    return tuple(parts + [()] * (count - len(parts))), tuple(named + [{}] * (count - len(named)))


def gather(outputs: Sequence[Any], target_device: Any = None, dim: int = 0) -> Any:
    """The opposite of ``scatter``: tensors joined along ``dim``; numbers (tensors without dimensions) become a vector."""
    first = outputs[0]
    if isinstance(first, Tensor):
        return ops["cat"]([output.reshape(1) if output.dim() == 0 else output for output in outputs], dim)
    if first is None:
        return None
    if isinstance(first, dict):
        if not all(len(first) == len(output) for output in outputs):
            raise ValueError("All dicts must have the same number of keys")
        return type(first)((key, gather([output[key] for output in outputs], target_device, dim)) for key in first)
    joined = [gather(items, target_device, dim) for items in zip(*outputs, strict=True)]
    return type(first)(*joined) if is_namedtuple(first) else type(first)(joined)
