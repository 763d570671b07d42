"""The Box–Muller transforms behind PyTorch's CPU normals (`ATen/native/cpu/DistributionTemplates.h`, `ATen/core/DistributionsHelper.h`)."""

from __future__ import annotations

import math

import numpy as np

from funnn.engine.random.box_muller import box_muller_float32
from funnn.engine.random.engine import Engine
from funnn.engine.random.fma import fma32, fma64

_SMALL = 64  # up to here Python's math, which calls the C library as PyTorch does, is quick enough and equal to the bit
_EIGHT = {4: "V32", 8: "V64"}  # eight numbers moved as one item


def elementwise(name: str, x: np.ndarray) -> np.ndarray:
    """math.<name> of a float64 array: by the C library for a few values, by NumPy's vector loops (within an ulp of it) for many."""
    if x.size <= _SMALL:
        f = getattr(math, name)
        try:
            return np.array([f(v) for v in x.tolist()], np.float64)
        except (OverflowError, ValueError):
            pass  # an infinity, which math refuses and NumPy gives
    return getattr(np, name)(x)


def pairs(engine: Engine, n: int) -> np.ndarray:
    """`n` standard normals in float64, one after the other: the path of small and of non-contiguous outputs.

    Each pair takes two float64 uniforms u, v: angle 2π·u, radius √(−2·log1p(−v)); the cosine comes first, the sine waits in
    `engine.cached_normal` when it is not asked for.
    """
    out = np.empty(n, np.float64)
    first = 0
    if n and engine.cached_normal is not None:
        out[0], first, engine.cached_normal = engine.cached_normal, 1, None
    todo = n - first
    uniforms = engine.unit64(todo + todo % 2)
    radius = np.sqrt(-2.0 * elementwise("log1p", -uniforms[1::2]))
    angle = (2.0 * math.pi) * uniforms[0::2]
    out[first::2] = radius * elementwise("cos", angle)
    sines = radius * elementwise("sin", angle)
    out[first + 1 :: 2] = sines[: todo // 2]
    if todo % 2:
        engine.cached_normal = float(sines[-1])
    return out


def blocks_of_16(u: np.ndarray, mean: float, std: float, exact: bool) -> None:
    """Turn uniforms into normals in place, in blocks of 16: the path of contiguous outputs with 16 or more values.

    In each block the first eight are u₁, the last eight u₂: radius √(−2·log(1−u₁)), angle 2π·u₂, eight cosines, then eight sines,
    each radius·cosine·std + mean with one rounding for the last two operations. `u` is float32 or float64, its size a multiple of 16;
    float32 is equal to PyTorch's to the bit when `exact`.
    """
    eight = _EIGHT[u.dtype.itemsize]
    halves = u.view(eight)
    u1, u2 = (halves[start::2].copy().view(u.dtype) for start in (0, 1))
    np.subtract(1, u1, out=u1)
    fused = fma32 if u.dtype == np.float32 else fma64
    waves = box_muller_float32(u1, u2) if exact and u.dtype == np.float32 else _box_muller(u1, u2)
    for start, values in enumerate(waves):
        halves[start::2] = fused(values, std, mean).view(eight)


def _box_muller(u1: np.ndarray, u2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The transform with NumPy's functions; the arrays are overwritten."""
    np.log(u1, out=u1)
    u1 *= -2
    np.sqrt(u1, out=u1)
    u2 *= u2.dtype.type(2.0 * math.pi)
    cosine, sine = np.cos(u2), np.sin(u2)
    cosine *= u1
    sine *= u1
    return cosine, sine
