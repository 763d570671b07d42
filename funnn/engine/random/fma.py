"""Fused multiply-add in NumPy: a·b + c rounded once, as the FMA instructions round it that PyTorch's CPU kernels are compiled to."""

from __future__ import annotations

import numpy as np

_HALF_ULP32 = np.uint64(1 << 28)  # a float64 whose low 29 bits are this lies midway between two float32
_LOW29 = np.uint64((1 << 29) - 1)


def fma32(a: np.ndarray, b: float, c: float) -> np.ndarray:
    """a·b + c in float32, rounded once; `a` float32, `b` and `c` representable in float32.

    The product is exact in float64. Its sum with c is rounded to 53 and then to 24 bits, which differs from one rounding only when the
    53-bit sum is a midpoint and was not exact; those sums are moved one step to the side on which the exact value lies.
    """
    if c == 0 or b == 1:  # only one rounding anyway; adding a zero c turns -0 into +0, as the instruction does
        rounded = a * np.float32(b)
        rounded += np.float32(c)
        return rounded
    product = a.astype(np.float64)
    product *= b
    total = product + c
    ties = np.flatnonzero((total.view(np.uint64) & _LOW29) == _HALF_ULP32)
    if ties.size:
        s, p = total[ties], product[ties]
        error = _two_sum_error(p, c, s)
        total[ties] = np.where(error == 0, s, np.nextafter(s, np.copysign(np.inf, error)))
    return total.astype(np.float32)


def fma64(a: np.ndarray, b: float, c: float) -> np.ndarray:
    """a·b + c in float64, rounded once (Boldo & Melquiond, "Emulation of FMA and correctly rounded sums", IEEE TC 57(4), 2008)."""
    if c == 0 or b == 1:
        return a * b + c
    high = a * b
    if not np.all(np.abs(a) < 2.0**500) or abs(b) > 2.0**500 or abs(c) > 2.0**500:
        return high + c  # the error terms below could overflow
    a1, b1 = _upper_half(a), _upper_half(b)
    a2, b2 = a - a1, b - b1
    low = ((a1 * b1 - high) + a1 * b2 + a2 * b1) + a2 * b2  # high + low = a·b exactly
    t = c + low
    t_error = _two_sum_error(np.float64(c), low, t)
    s = high + t
    s_error = _two_sum_error(high, t, s)
    tail = t_error + s_error
    tail_error = _two_sum_error(t_error, s_error, tail)
    # Round the tail to odd: when inexact and its last bit is 0, step towards the exact value, so that the last sum cannot tie wrongly.
    step = (tail_error != 0) & ((tail.view(np.uint64) & np.uint64(1)) == 0)
    if step.any():
        tail = np.where(step, np.nextafter(tail, np.copysign(np.inf, tail_error)), tail)
    return s + tail


def _two_sum_error(a: np.ndarray | float, b: np.ndarray | float, s: np.ndarray) -> np.ndarray:
    """What s = a + b lost to rounding (Knuth's TwoSum)."""
    b_part = s - a
    return (a - (s - b_part)) + (b - b_part)


def _upper_half(x: np.ndarray | float) -> np.ndarray | float:
    """The upper 26 bits of a float64 (Veltkamp's splitting)."""
    y = x * 134217729.0
    return y - (y - x)
