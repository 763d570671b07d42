"""float8_e8m0fnu, which keeps an exponent alone: powers of two from 2⁻¹²⁷ to 2¹²⁷, and NaN; scales of other numbers of few bits."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import ml_dtypes
import numpy as np
from jax import lax

KIND = np.dtype(ml_dtypes.float8_e8m0fnu)


def exponents(array: Any) -> Any:
    """The nearest powers of two, as torch has them: of numbers between two the upper one from the middle on; the sign is lost, ±∞ becomes NaN."""
    if isinstance(array, np.ndarray):
        return _rounded(array.astype(np.float32).view(np.uint32), np).view(KIND)
    return lax.bitcast_convert_type(_rounded(lax.bitcast_convert_type(array.astype(jnp.float32), jnp.uint32), jnp), KIND)


def powers(array: Any, kind: np.dtype) -> Any:
    """The powers of two as float64 or, for a narrower ``kind``, as float32; made of their bits, for XLA takes the least one for 0."""
    wide = (kind.itemsize >= 8 and kind.kind != "c") or kind.itemsize == 16
    exponent = lax.bitcast_convert_type(array, jnp.uint8).astype(jnp.uint64 if wide else jnp.uint32)
    bits = (exponent + (1023 - 127)) << 52 if wide else jnp.where(exponent == 0, 0x400000, exponent << 23)
    numbers = lax.bitcast_convert_type(bits, jnp.float64 if wide else jnp.float32)
    return jnp.where(exponent == 0xFF, jnp.nan, numbers)


def _rounded(bits: Any, numpy: Any) -> Any:
    """The exponents of float32 numbers, given by their bits; one more where the fraction is half or more (of the numbers below 2⁻¹²⁶, more)."""
    exponent, fraction = (bits >> 23) & 0xFF, bits & 0x7FFFFF
    up = (fraction > 0x400000) | ((fraction == 0x400000) & (exponent > 0))
    return numpy.where(exponent == 0xFF, exponent, exponent + up).astype(numpy.uint8)
