"""PyTorch's integers on the CPU: `random_`, `randint` and `randperm` (`ATen/native/DistributionTemplates.h`, `TensorFactories.cpp`)."""

from __future__ import annotations

import functools
import math
import warnings

import numpy as np

from funnn.engine.random.engine import Engine

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

# NumPy dtype name -> (name of the ScalarType, name of the C++ type, bits of the significand or None): what PyTorch's messages say.
TYPES = {
    "bool": ("Bool", "bool", None),
    "uint8": ("Byte", "unsigned char", None),
    "int8": ("Char", "signed char", None),
    "int16": ("Short", "short int", None),
    "int32": ("Int", "int", None),
    "int64": ("Long", "long int", None),
    "uint16": ("UInt16", "short unsigned int", None),
    "uint32": ("UInt32", "unsigned int", None),
    "uint64": ("UInt64", "long unsigned int", None),
    "float16": ("Half", "c10::Half", 11),
    "bfloat16": ("BFloat16", "c10::BFloat16", 8),
    "float32": ("Float", "float", 24),
    "float64": ("Double", "double", 53),
    "complex64": ("ComplexFloat", "c10::complex<float>", None),
    "complex128": ("ComplexDouble", "c10::complex<double>", None),
}
LARGEST = {"float16": 65504.0, "bfloat16": 3.3895313892515355e38, "float32": 3.4028234663852886e38, "float64": 1.7976931348623157e308}


@functools.cache
def name_of(dtype: np.dtype) -> str:
    """dtype.name, which NumPy builds anew each time."""
    return dtype.name


def not_implemented(kernel: str, dtype: np.dtype) -> NotImplementedError:
    """PyTorch's error for a dtype that a kernel does not know."""
    return NotImplementedError(f"\"{kernel}\" not implemented for '{TYPES.get(name_of(dtype), (name_of(dtype),))[0]}'")


def random_range(dtype: np.dtype, low: int, high: int | None) -> tuple[int, int]:
    """The range and base with which `random_(low, high)` draws: base + draw mod range, after PyTorch's checks.

    A floating dtype first moves `low` up and `high` down to numbers that it can represent (`update_from`, `update_to`), and warns beyond
    ±2^digits, where it has no longer every integer.
    """
    scalar, cpp, digits = TYPES[name_of(dtype)]
    if scalar.startswith("Complex"):
        raise RuntimeError("check_random_bounds handles only integral, floating-point and boolean types")
    if high is not None:
        if not low < high:
            raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
        if digits:
            low, high = _representable_from(low, dtype, digits), _representable_to(high, dtype, digits)
            if not low < high:
                raise RuntimeError(
                    f"random_ expects 'from' casted to dtype to be less than 'to' casted to dtype, but got from={low} >= to={high}"
                )
        last = high - 1
    elif digits:
        low, last = _representable_from(low, dtype, digits), 2**digits
        if not low < last:
            raise RuntimeError(
                "random_ expects 'from' casted to dtype to be less than or equal to 'to_inc' casted to dtype, "
                f"but got from={low} > to_inc={last}"
            )
    else:
        last = 1 if dtype == np.bool_ else int(np.iinfo(dtype).max)
    if digits:
        smallest, largest = -LARGEST[name_of(dtype)], LARGEST[name_of(dtype)]
    elif dtype == np.bool_:
        smallest, largest = 0, 1
    else:
        smallest, largest = int(np.iinfo(dtype).min), min(int(np.iinfo(dtype).max), INT64_MAX)
    for name, value in (("from", low), ("to - 1", last)):
        if not smallest <= value <= largest:
            raise RuntimeError(f"{name} is out of bounds for {cpp}: {value} is outside [{smallest}, {largest}]")
        if digits and abs(value) > 2**digits:
            warnings.warn(
                f"{name} is out of bounds [-(2^{digits}), 2^{digits}]. Due to precision limitations {cpp} can support discrete uniform "
                "distribution only within this range. This warning will become an error in version 1.7 release, please fix the code in "
                "advance",
                UserWarning,
                stacklevel=4,
            )
    return last - low + 1, low


def from_to(engine: Engine, n: int, dtype: np.dtype, extent: int, base: int) -> np.ndarray:
    """`n` integers base + draw mod extent; the draw has 64 bits from an extent of 2^28 on (so that mod skews by 1/16 at most), else 32."""
    if extent < 2**28:
        values = (engine.random32(n) % np.uint32(extent)).astype(np.int64)
        values += base
    else:
        values = ((engine.random64(n) % np.uint64(extent)) + np.uint64(base % 2**64)).view(np.int64)
    return cast(values, dtype)


def full_range(engine: Engine, n: int, dtype: np.dtype) -> np.ndarray:
    """`random_()`: [0, largest integer] for integral dtypes, [0, 2^digits] for floating ones; 64-bit draws for int64 and float64 only."""
    _, _, digits = TYPES[name_of(dtype)]
    if name_of(dtype) in ("uint16", "uint32", "uint64", "complex64", "complex128"):
        raise not_implemented("random_kernel_cpu", dtype)
    if dtype == np.bool_:
        return (engine.random32(n) & np.uint32(1)).astype(np.bool_)
    extent = 2**digits + 1 if digits else int(np.iinfo(dtype).max) + 1
    if name_of(dtype) in ("int64", "float64"):
        values = (engine.random64(n) % np.uint64(extent)).view(np.int64)
    else:
        values = (engine.random32(n) % np.uint32(extent)).astype(np.int64)
    return cast(values, dtype)


def all_64_bits(engine: Engine, n: int, dtype: np.dtype) -> np.ndarray:
    """`random_(-2^63, None)`: every int64."""
    if name_of(dtype) in ("bool", "float16", "uint16", "uint32", "uint64", "complex64", "complex128"):
        raise not_implemented("random_full_64_bits_range_kernel_cpu", dtype)
    if name_of(dtype) not in ("int64", "float64", "float32", "bfloat16"):
        raise RuntimeError("random_full_64_bits_range_kernel_cpu handles only int64, double, float and bfloat16")
    return cast(engine.random64(n).view(np.int64), dtype)


def randperm(engine: Engine, n: int, dtype: np.dtype) -> np.ndarray:
    """A permutation of 0…n−1.

    Fisher–Yates: for i = 0…n−2 swap element i with i + draw mod (n−i), 32-bit draws. From n = (2^32−1)/20 on, the inside-out form with
    64-bit draws: element i goes to draw mod (i+1).
    """
    scalar, _, digits = TYPES[name_of(dtype)]
    if n < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}]")
    if digits and name_of(dtype) != "bfloat16" and n > 2**digits + 1:
        limit = {11: "2049", 24: "2^24+1", 53: "2^53+1"}[digits]
        raise RuntimeError(f"n cannot be greater than {limit} for {scalar} type.")
    if name_of(dtype) in ("uint8", "int8", "int16", "int32") and n > np.iinfo(dtype).max:
        raise RuntimeError(f"value cannot be converted to type {name_of(dtype)}_t without overflow: n={n}")
    if digits is None and name_of(dtype) not in ("uint8", "int8", "int16", "int32", "int64"):
        raise not_implemented("randperm", dtype)
    if n < (2**32 - 1) // 20:
        left = np.arange(n, 1, -1, dtype=np.uint32)
        targets = engine.random32(max(n - 1, 0)) % left
        targets += np.arange(left.size, dtype=np.uint32)
        order = np.arange(n)
        _swap_in_turn(order, targets)
    else:
        order, step = np.empty(n, np.int64), 1 << 20
        for start in range(0, n, step):
            stop = min(start + step, n)
            targets = engine.random64(stop - start) % np.arange(start + 1, stop + 1, dtype=np.uint64)
            for i, j in zip(range(start, stop), targets.tolist(), strict=True):
                order[i] = order[j]
                order[j] = i
    return cast(order, dtype)


def _swap_in_turn(order: np.ndarray, targets: np.ndarray) -> None:
    """For i = 0, 1, …: swap order[i] with order[targets[i]], targets[i] ≥ i.

    A run of swaps at once, while its targets are distinct and lie behind it, which among many is likely; else one after the other.
    """
    start = 0
    while order.size - start > 20_000:
        stop = start + math.isqrt(order.size - start) // 3
        run = targets[start:stop]
        ordered = np.sort(run)
        if ordered[0] >= stop and (ordered[1:] != ordered[:-1]).all():
            moved = order[start:stop].copy()
            order[start:stop] = order[run]
            order[run] = moved
        else:
            for i, j in enumerate(run.tolist(), start):
                order[i], order[j] = order[j], order[i]
        start = stop
    rest = order[start:].tolist()
    for i, j in enumerate((targets[start:] - np.uint32(start)).tolist()):
        rest[i], rest[j] = rest[j], rest[i]
    order[start:] = rest


def cast(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """C++'s static_cast to `dtype`; the 16-bit floats are reached through float32."""
    if name_of(dtype) in ("float16", "bfloat16"):
        with np.errstate(over="ignore"):
            return values.astype(np.float32).astype(dtype)
    return values.astype(dtype, copy=False)


def _as_int64(value: int, dtype: np.dtype) -> int:
    """static_cast<int64_t>(static_cast<dtype>(value)), whose overflow gives the smallest int64 on x86."""
    x = float(cast(np.array([value], np.int64), dtype)[0])
    return int(x) if -(2.0**63) <= x < 2.0**63 else INT64_MIN


def _representable_from(low: int, dtype: np.dtype, digits: int) -> int:
    """`low`, or when the dtype rounds low + 1 below it, the next number above."""
    nearest = _as_int64(low + 1, dtype)
    if nearest < low:
        low = nearest + (1 << max(abs(low + 1).bit_length() - digits, 0))
    return low


def _representable_to(high: int, dtype: np.dtype, digits: int) -> int:
    """`high`, or when the dtype rounds high − 1 up to it or above, the number before that."""
    nearest = _as_int64(high - 1, dtype)
    if nearest >= high:
        high = nearest - (1 << max(abs(high - 1).bit_length() - digits, 0))
    return high
