"""Tensors of values at equal distances: arange, range, linspace, logspace."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from funnn.engine.dispatch.public import rename
from funnn.engine.ops.kit.deprecated import deprecated
from funnn.engine.ops.kit.table import FUNCTIONS
from funnn.engine.ops.make.factories import factory, finish
from funnn.engine.program.value import from_host
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype
from funnn.engine.types.casts import cast_on_host
from funnn.engine.types.device import wants_outline
from funnn.engine.types.dtype import as_dtype


@factory
def arange(
    *bounds: Any,
    start: Any = None,
    end: Any = None,
    step: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, … below end: arange(end), arange(start, end) or arange(start, end, step)."""
    named = {name: value for name, value in (("start", start), ("end", end), ("step", step)) if value is not None}
    if len(bounds) == 1 and "end" not in named:
        bounds = (0, *bounds)
    if len(bounds) > 3 or not (len(bounds) > 1 or "end" in named):
        raise TypeError(f"arange() takes end, start and end, or start, end and step; got {len(bounds)} numbers")
    return _stepped(dict(zip(("start", "end", "step"), bounds, strict=False)) | named, math.ceil, dtype, device, requires_grad)


@factory
def range_(start: Any, end: Any, step: Any = 1, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """As arange, but with ``end`` itself, and of floating-point numbers by default. Deprecated."""
    deprecated("range")
    kind = _dtype.get_default_dtype() if dtype is None else dtype
    return _stepped({"start": start, "end": end, "step": step}, lambda steps: math.floor(steps) + 1, kind, device, requires_grad)


def _plain(value: Any) -> Any:
    """A number of a tensor or of NumPy as Python's."""
    return value.item() if isinstance(value, Tensor) else _dtype.plain_number(value) if isinstance(value, np.generic) else value


def _stepped(given: dict[str, Any], count: Callable, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    """start + i·step, with so many values as ``count`` makes of the number of steps up to the end."""
    given = {name: _plain(value) for name, value in given.items()}
    start, end, step = given.get("start", 0), given["end"], given.get("step", 1)
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) / step < 0:
        raise RuntimeError(f"upper bound and lower bound inconsistent with step sign: start={start}, end={end}, step={step}")
    integers = all(isinstance(value, int) for value in (start, end, step))
    kind = (_dtype.int64 if integers else _dtype.get_default_dtype()) if dtype is None else as_dtype(dtype)
    if kind is _dtype.bool_:
        raise NotImplementedError("\"arange_cpu\" not implemented for 'Bool'; make integers and convert them with .bool()")
    values = start + step * np.arange(count((end - start) / step), dtype=np.int64 if integers else np.float64)
    return finish(from_host(cast_on_host(values, kind.numpy)), requires_grad, device)


@factory
def linspace(start: Any, end: Any, steps: int, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """``steps`` values from start to end, both included, at equal distances."""
    device = _place(start, end, device)
    values, kind = _spaced("linspace", start, end, steps, dtype, device)
    return finish(from_host(cast_on_host(values, kind.numpy)), requires_grad, device)


@factory
def logspace(
    start: Any, end: Any, steps: int, base: float = 10.0, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """``steps`` powers of ``base``, whose exponents go from start to end at equal distances."""
    device = _place(start, end, device)
    values, kind = _spaced("logspace", start, end, steps, dtype, device, wide=True)
    with np.errstate(all="ignore"):
        values = np.power(base, values)
    return finish(from_host(cast_on_host(values, kind.numpy)), requires_grad, device)


def _place(start: Any, end: Any, device: Any) -> Any:
    """'meta' where an end is a tensor without numbers, whatever ``device`` says, as in torch."""
    return next((value.device for value in (start, end) if isinstance(value, Tensor) and value.is_meta), device)


def _end(value: Tensor, without_numbers: bool) -> Any:
    """The number of a tensor, or any of its type where the result has no numbers."""
    return value.dtype.numpy.type(0).item() if without_numbers and value.is_meta else value.item()


def _spaced(name: str, start: Any, end: Any, steps: int, dtype: Any, device: Any, wide: bool = False) -> tuple[np.ndarray, _dtype.dtype]:
    """The values of ``linspace`` and their type, computed in it (as in torch, from both ends to the middle) or, if ``wide``, in double."""
    without_numbers = wants_outline(device)
    ends = [_end(value, without_numbers) if isinstance(value, Tensor) else value for value in (start, end)]
    if not isinstance(steps, (int, np.integer, Tensor)):
        raise TypeError(f"{name}(): argument 'steps' must be int, not {type(steps).__name__}")
    steps = operator.index(steps)
    if steps < 0:
        raise RuntimeError(f"number of steps must be non-negative, got {steps}")
    inexact = any(isinstance(value, complex) for value in ends)
    kind = (_dtype.default_complex() if inexact else _dtype.get_default_dtype()) if dtype is None else as_dtype(dtype)
    if inexact and not kind.is_complex:
        raise RuntimeError(f"torch.{name}(): inferred dtype {_dtype.default_complex()} can't be safely cast to passed dtype {kind}")
    work = kind.numpy if kind.category >= 2 and not wide else np.dtype(np.complex128 if kind.is_complex else np.float64)
    for end in ends:
        _dtype.check_fits(end, kind)
    low, high = (np.asarray(value).astype(kind.numpy if kind.category < 2 else work).astype(work) for value in ends)
    step = ((high - low) / (steps - 1)).astype(work) if steps > 1 else work.type(0)
    index = np.arange(steps)
    values = np.where(index < steps // 2, low + step * index.astype(work), high - step * (steps - 1 - index).astype(work))
    return (values if steps != 1 else low.reshape(1)), kind


for _name, _function in (("arange", arange), ("range", range_), ("linspace", linspace), ("logspace", logspace)):
    rename(_function, _name)
    FUNCTIONS[_name] = _function
