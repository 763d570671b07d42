"""Box–Muller in float32, equal to PyTorch's CPU kernel to the last bit.

PyTorch computes the logarithm, sine and cosine of `normal_` with eight-wide versions of Moshier's Cephes routines logf, sinf and cosf
(http://www.netlib.org/cephes; Pommier's sse_mathfun, Garberoglio's avx_mathfun), compiled with fused multiply-adds. To give the same
numbers, this follows the same polynomials and rounds where they round: a fused step is a product and a sum in float64, rounded to
float32 once (float64 holds the product of two float32 exactly). Where a product is exact anyway, plain float32 steps do.
"""

from __future__ import annotations

import numpy as np

_SQRT_HALF_BITS = 0x3F3504F3  # √½ as a float32
_LOG_TAIL, _LOG_HEAD = np.float32(-2.12194440e-4), np.float32(0.693359375)  # their sum is log 2; the head has few bits
_FOUR_OVER_PI = np.float32(1.27323954473516)
# π/4 in three parts, negated; multiples of the first two are exact in float32.
_QUARTER = [np.float32(v) for v in (-0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8)]


def _float32(*coefficients: float) -> list[np.float64]:
    return [np.float64(np.float32(c)) for c in coefficients]


_LOG = _float32(
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)
_COS = _float32(2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
_SIN = _float32(-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)


def box_muller_float32(u1: np.ndarray, u2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """√(−2·log u₁)·cos(2π·u₂) and the same with the sine, for float32 arrays, which are overwritten; 0 < u₁ ≤ 1, 0 ≤ u₂ < 1."""
    n = u1.size
    narrow = np.empty((4, n), np.float32)  # scratch: at this size a pass costs less than a page fault
    wide = np.empty((3, n), np.float64)  # operands of the fused steps; NumPy converts faster in a pass of its own than on the fly
    radius = _log(u1, narrow, wide)
    radius *= -2
    np.sqrt(radius, out=radius)
    u2 *= np.float32(2 * np.pi)
    cosine, sine = _cos_sin(u2, narrow, wide)
    cosine *= radius
    sine *= radius
    return cosine, sine


def _log(u: np.ndarray, narrow: np.ndarray, wide: np.ndarray) -> np.ndarray:
    """log u = log(1 + x) + e·log 2 with 1 + x in [√½, √2), in place: log(1 + x) = x − x²/2 + x³·P(x)."""
    e, t, y = narrow[:3]
    bits, exponent = u.view(np.int32), t.view(np.int32)
    np.subtract(bits, _SQRT_HALF_BITS, out=exponent)
    exponent >>= 23
    np.copyto(e, exponent, casting="unsafe")
    exponent <<= 23
    bits -= exponent
    x = u
    x -= 1
    operand, product, _ = wide
    np.copyto(operand, x)
    _polynomial(operand, _LOG, product, y)
    y *= x
    np.multiply(x, x, out=t)
    np.copyto(product, y)
    np.copyto(operand, t)
    product *= operand
    np.copyto(operand, np.multiply(e, _LOG_TAIL, out=y))
    product += operand
    _round(product, y)
    t *= np.float32(0.5)
    y -= t
    x += y
    e *= _LOG_HEAD
    x += e
    return x


def _cos_sin(angle: np.ndarray, narrow: np.ndarray, wide: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """cos and sin of angles in [0, 2π]: with x the distance to the nearest j·π/4, j even, one of ±cos x, ±sin x each.

    cos x = 1 − x²/2 + x⁴·P(x²), sin x = x + x³·Q(x²).
    """
    t, j, sine, cosine = narrow
    octant = j.view(np.int32)
    np.multiply(angle, _FOUR_OVER_PI, out=t)
    np.copyto(octant, t, casting="unsafe")
    octant += 1
    octant &= ~1
    square, product, wide_x = wide
    np.copyto(product, octant)
    x = angle
    for part in _QUARTER[:2]:
        np.copyto(t, octant, casting="unsafe")
        t *= part
        x += t
    product *= np.float64(_QUARTER[2])
    np.copyto(wide_x, x)
    product += wide_x
    _round(product, x)
    np.copyto(wide_x, x)
    np.multiply(x, x, out=t)
    np.copyto(square, t)
    _polynomial(square, _COS, product, cosine)
    cosine *= t
    np.copyto(product, cosine)
    product *= square
    square *= 0.5
    product -= square
    _round(product, cosine)
    cosine += 1
    square *= 2
    _polynomial(square, _SIN, product, sine)
    sine *= t
    np.copyto(product, sine)
    product *= wide_x
    product += wide_x
    _round(product, sine)
    # Octants 2 and 6 swap the two; bit 2 of j is the sign of the sine, bit 2 of j + 2 that of the cosine.
    mask, s, c = t.view(np.int32), sine.view(np.int32), cosine.view(np.int32)
    np.left_shift(octant, 30, out=mask)
    mask >>= 31
    mask &= s ^ c
    s ^= mask
    c ^= mask
    s ^= np.left_shift(np.bitwise_and(octant, 4, out=mask), 29, out=mask)
    octant += 2
    octant &= 4
    octant <<= 29
    c ^= octant
    return cosine, sine


def _polynomial(x: np.ndarray, coefficients: list[np.float64], product: np.ndarray, out: np.ndarray) -> None:
    """Horner's rule in fused float32 steps; `x` holds float32 values in float64."""
    np.multiply(x, coefficients[0], out=product)
    for coefficient in coefficients[1:-1]:
        product += coefficient
        _round(product, out)
        np.copyto(product, out)
        product *= x
    product += coefficients[-1]
    _round(product, out)


def _round(wide: np.ndarray, out: np.ndarray) -> None:
    np.copyto(out, wide, casting="same_kind")
