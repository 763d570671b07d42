"""Numbers of one type as those of another, as PyTorch's CPU converts them."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import ml_dtypes
import numpy as np

from funnn.engine.types.dtype import FLOAT8
from funnn.engine.types.exponents import KIND as EXPONENT
from funnn.engine.types.exponents import exponents, powers
from funnn.engine.types.warning import warn

_FLOAT8_KINDS = frozenset(kind.numpy for kind in FLOAT8)


def cast(array: Any, kind: Any) -> Any:
    """The array in another type, as torch converts numbers on a CPU.

    What is too large for float8_e4m3fn becomes its largest number, and what is too small for types without −0 becomes 0, where XLA would give
    NaN. Floats become integers as :func:`_integers` says.
    """
    if EXPONENT in (kind, array.dtype) and array.dtype != kind:
        if kind == EXPONENT:
            return exponents(jnp.real(array))
        array = powers(array, np.dtype(kind))
    if kind in _FLOAT8_KINDS and array.dtype != kind:
        array = _in_range_of_float8(jnp.real(array), kind, jnp)
    if jnp.iscomplexobj(array) and not jnp.issubdtype(kind, jnp.complexfloating) and kind != jnp.bool_:
        warn("Casting complex values to real discards the imaginary part", once=True)
        array = jnp.real(array)
    if np.dtype(kind).kind in "iu" and array.dtype.kind not in "biu":
        return _integers(array, np.dtype(kind), jnp)
    return array.astype(kind)


def cast_on_host(values: Any, kind: np.dtype) -> np.ndarray:
    """A copy of NumPy's numbers in another type, as :func:`cast` has them."""
    values = np.asarray(values)
    with np.errstate(all="ignore"):
        if kind == EXPONENT and values.dtype != kind:
            return exponents(np.asarray(values.real, np.float32))
        if kind in _FLOAT8_KINDS and values.dtype != kind:
            values = _in_range_of_float8(values.real, kind, np)
        if kind.kind in "iu" and values.dtype.kind not in "biuO":
            return np.array(_integers(values.real, kind, np), order="C")
        return np.array(values, kind, order="C")


def _in_range_of_float8(array: Any, kind: np.dtype, numpy: Any) -> Any:
    limits = ml_dtypes.finfo(kind)
    array = array.astype(jnp.promote_types(array.dtype, jnp.float32))
    if kind == ml_dtypes.float8_e4m3fn:
        array = numpy.clip(array, -float(limits.max), float(limits.max))
    if "fnuz" in str(kind):
        array = numpy.where(numpy.abs(array) <= float(limits.smallest_subnormal) / 2, 0, array)
    return array


def _integers(array: Any, kind: np.dtype, numpy: Any) -> Any:
    """Floats rounded to zero, by x86's instructions, which PyTorch uses: to int64 for 64 bits and for uint32, and to int32 for the others, whose
    low bits an integer of fewer bits takes. NaN and what is out of that range is the smallest int64 or int32."""
    wide = np.int64 if kind.itemsize == 8 or kind == np.uint32 else np.int32
    array = array if array.dtype.itemsize >= 4 else array.astype(np.float32)
    lowest = int(np.iinfo(wide).min)
    limit = -float(lowest)

    def signed(numbers: Any) -> Any:
        return numpy.where(numpy.abs(numbers) < limit, numbers.astype(wide), lowest)

    if kind == np.uint64:
        return numpy.where(array >= limit, signed(array - limit) ^ lowest, signed(array)).astype(kind)
    return signed(array).astype(kind)
