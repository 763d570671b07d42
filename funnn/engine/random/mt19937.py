"""PyTorch's CPU random numbers, in NumPy: `torch.manual_seed(s)` followed by the same draws gives the same numbers.

Every method names the PyTorch operation whose CPU kernel it follows (PyTorch 2.13, `ATen/native/cpu/DistributionTemplates.h`, as compiled
for x86 with AVX2). What is arithmetic alone is equal to the bit: uniform, bernoulli, random_, randint, randperm; so are float32 and
16-bit normals, up to `EXACT_UP_TO` values. What else goes through a logarithm, a sine or a tangent is computed in float64, equal to the
bit for a few values and otherwise within the last digits of float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import DTypeLike

from funnn.engine.random import integers, rejection
from funnn.engine.random.engine import DEFAULT_SEED, Engine
from funnn.engine.random.fma import fma32, fma64
from funnn.engine.random.integers import LARGEST, TYPES, cast, name_of, not_implemented
from funnn.engine.random.normal import blocks_of_16, elementwise, pairs

__all__ = ["DEFAULT_SEED", "EXACT_UP_TO", "MT19937"]

# Float32 normals in a larger array come from NumPy's log, cos and sin: about twice as fast, and not always equal in the last digit.
EXACT_UP_TO = 1 << 22
_CHUNK = 1 << 16  # values worked on at a time, so that they stay in the cache; a multiple of 16
_FLOATS = ("float16", "bfloat16", "float32", "float64")
_COMPLEX: dict[str, Any] = {"complex64": np.dtype(np.float32), "complex128": np.dtype(np.float64)}

Shape = int | Sequence[int]


class MT19937(Engine):
    """PyTorch's CPU generator: `seed`, `initial_seed`, `get_state`, `set_state`, the raw draws of `Engine`, and the distributions.

    A shape is an int or a sequence of ints; a dtype is NumPy's (bfloat16 is ml_dtypes'). Wrong arguments raise what PyTorch raises.

    >>> MT19937(0).uniform(3).tolist()  # torch.manual_seed(0); torch.rand(3)
    [0.49625658988952637, 0.7682217955589294, 0.08847743272781372]
    """

    def uniform(self, shape: Shape, dtype: DTypeLike = np.float32, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        """`uniform_(low, high)`: u·(high − low) + low, rounded once; a value rounded up to `high` becomes `low`.

        u comes from 24 bits and the 16-bit floats are rounded from float32, float64 takes 53 bits and two raw draws.
        """
        dtype = np.dtype(dtype)
        if name_of(dtype) in _COMPLEX:
            return self.uniform((*_dims(shape), 2), _COMPLEX[name_of(dtype)], low, high).view(dtype)[..., 0]
        if name_of(dtype) not in _FLOATS:
            raise not_implemented("check_uniform_bounds", dtype)
        scalar, cpp, _ = TYPES[name_of(dtype)]
        largest = LARGEST[name_of(dtype)]
        for name, value in (("from", low), ("to", high)):
            if not -largest <= value <= largest:
                raise RuntimeError(f"{name} is out of bounds for {cpp}: {value} is outside [{-largest}, {largest}]")
        if not low <= high:
            raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low:g} > to={high:g}")
        if not high - low <= largest:
            raise RuntimeError(
                f"uniform_ expects to-from <= std::numeric_limits<{scalar}>::max(), but found to={high:g} and from={low:g} "
                "which result in to-from to exceed the limit"
            )
        work = np.float64 if dtype == np.float64 else np.float32
        units, fused = (self.unit64, fma64) if work is np.float64 else (self.unit32, fma32)
        out = np.empty(math.prod(_dims(shape)), dtype)
        plain = low == 0 and high == 1
        if plain and dtype == work:  # never reaches 1
            for part in _parts(out):
                units(part.size, out=part)
            return out.reshape(shape)
        start: Any = work(low)
        extent: Any = work(high) - work(low)
        first, end = cast(np.array([low, high], np.float64), dtype)
        for part in _parts(out):
            values = units(part.size)
            part[:] = values if plain else fused(values, extent, start)
            part[part == end] = first
        return out.reshape(shape)

    @np.errstate(over="ignore", invalid="ignore")  # an overflow gives infinity in silence, as in PyTorch
    def normal(
        self, shape: Shape, dtype: DTypeLike = np.float32, mean: float = 0.0, std: float = 1.0, contiguous: bool = True
    ) -> np.ndarray:
        """`normal_(mean, std)`: Box–Muller, of which PyTorch has two forms.

        With 16 values or more, in blocks of 16 from the dtype's own uniforms; when the number is no multiple of 16, the last 16 are drawn
        again. (The 16-bit floats do the same in float32, without drawing for the incomplete block.) With fewer than 16, or for an output
        that is not contiguous (`contiguous=False`), in float64 pairs, of which the second value may be kept for the next call.
        """
        dtype = np.dtype(dtype)
        if not std >= 0:
            raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
        if name_of(dtype) in _COMPLEX:
            real = self.normal((*_dims(shape), 2), _COMPLEX[name_of(dtype)], mean, std / math.sqrt(2), contiguous)
            return real.view(dtype)[..., 0]
        if name_of(dtype) not in _FLOATS:
            raise not_implemented("normal_kernel_cpu", dtype)
        out = np.empty(math.prod(_dims(shape)), dtype)
        if out.size < 16 or not contiguous:
            out[:] = cast(fma64(pairs(self, out.size), std, mean), dtype)
            return out.reshape(shape)
        wide = dtype.itemsize == 2  # computed in float32
        units = self.unit64 if dtype == np.float64 else self.unit32
        work = np.float64 if dtype == np.float64 else np.float32
        center: Any = work(mean)
        spread: Any = work(std)
        rest, exact = out.size % 16, out.size <= EXACT_UP_TO
        for part in _parts(out[: out.size - rest] if wide else out):
            values = units(part.size, out=None if wide else part)
            blocks_of_16(values[: values.size - values.size % 16], center, spread, exact)
            if wide:
                part[:] = values
        if rest:
            values = units(16)
            blocks_of_16(values, center, spread, exact)
            out[-16:] = values
        return out.reshape(shape)

    def bernoulli(self, p: float | np.ndarray, shape: Shape | None = None, dtype: DTypeLike = np.float32) -> np.ndarray:
        """`bernoulli_(p)`: 1 where a uniform is below p. A number p or a float64 array takes 53-bit uniforms, other arrays 24-bit ones.

        Dropout draws its mask with a number: `bernoulli(1 - p, x.shape, x.dtype)`. An array p is broadcast to `shape`, its own by default.
        """
        dtype = np.dtype(dtype)
        if name_of(dtype) not in (*_FLOATS, "bool", "uint8", "int8", "int16", "int32", "int64"):
            raise not_implemented("bernoulli_tensor_cpu_self_" if isinstance(p, np.ndarray) else "bernoulli_scalar_cpu_", dtype)
        if not isinstance(p, np.ndarray):
            if not 0 <= p <= 1:
                raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p:g}")
            return self._fill(shape if shape is not None else (), dtype, lambda n: self.unit64(n) < p)
        if name_of(p.dtype) not in _FLOATS:
            raise not_implemented("bernoulli_tensor_cpu_p_", p.dtype)
        p = np.broadcast_to(p, p.shape if shape is None else _dims(shape))
        if not np.all((p >= 0) & (p <= 1)):
            raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false: bernoulli's p has an element outside [0, 1]")
        if p.dtype == np.float64:
            draws = self.unit64(p.size) < p.reshape(-1)
        else:
            draws = self.unit32(p.size) < p.reshape(-1).astype(np.float32)
        return draws.astype(dtype).reshape(p.shape)

    def random_(self, shape: Shape, dtype: DTypeLike = np.int64, from_: int | None = None, to: int | None = None) -> np.ndarray:
        """`random_()`, `random_(to)` and `random_(from, to)`; with `from_` alone, up to the dtype's largest integer.

        Without bounds: [0, largest] for integral dtypes, [0, 2^digits] for floating ones.
        """
        dtype = np.dtype(dtype)
        if from_ is None and to is None:
            return self._fill(shape, dtype, lambda n: integers.full_range(self, n, dtype))
        for value in (from_, to):
            if value is not None and not integers.INT64_MIN <= value <= integers.INT64_MAX:
                raise ValueError(f"Overflow when unpacking long long: {value} is outside [-2^63, 2^63)")
        if to is None and from_ == integers.INT64_MIN:
            return self._fill(shape, dtype, lambda n: integers.all_64_bits(self, n, dtype))
        extent, base = integers.random_range(dtype, 0 if from_ is None else int(from_), to if to is None else int(to))
        return self._fill(shape, dtype, lambda n: integers.from_to(self, n, dtype, extent, base))

    def randint(self, low: int, high: int, shape: Shape, dtype: DTypeLike = np.int64) -> np.ndarray:
        """`randint(low, high, shape)`: integers in [low, high), low + draw mod (high − low)."""
        return self.random_(shape, dtype, low, high)

    def randperm(self, n: int, dtype: DTypeLike = np.int64) -> np.ndarray:
        """`randperm(n)`: a permutation of 0…n−1."""
        return integers.randperm(self, n, np.dtype(dtype))

    def exponential(self, shape: Shape, dtype: DTypeLike = np.float32, lambd: float = 1.0) -> np.ndarray:
        """`exponential_(lambd)`: −1/λ·log1p(−u) in float64."""
        if not lambd > 0:
            raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd:g}")
        dtype = _continuous("Exponential", dtype, 0)
        return self._fill(shape, dtype, lambda n: -1.0 / lambd * elementwise("log1p", -self.unit64(n)))

    def cauchy(self, shape: Shape, dtype: DTypeLike = np.float32, median: float = 0.0, sigma: float = 1.0) -> np.ndarray:
        """`cauchy_(median, sigma)`: median + σ·tan(π·(u − ½)) in float64."""
        if not sigma > 0:
            raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma:g}")
        dtype = _continuous("Cauchy", dtype, 1)
        return self._fill(shape, dtype, lambda n: fma64(elementwise("tan", math.pi * (self.unit64(n) - 0.5)), sigma, median))

    def log_normal(self, shape: Shape, dtype: DTypeLike = np.float32, mean: float = 1.0, std: float = 2.0) -> np.ndarray:
        """`log_normal_(mean, std)`: exp of a normal, always from float64 pairs, whose kept value it shares with `normal`."""
        dtype = np.dtype(dtype)
        if not std > 0:
            raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std:g}")
        if name_of(dtype) not in _FLOATS:
            raise not_implemented("log_normal_cpu", dtype)
        return self._fill(shape, dtype, lambda n: elementwise("exp", fma64(pairs(self, n), std, mean)))

    def geometric(self, shape: Shape, p: float, dtype: DTypeLike = np.float32) -> np.ndarray:
        """`geometric_(p)`: ⌈log u / log1p(−p)⌉ in float64, the number of trials up to the first success."""
        dtype = np.dtype(dtype)
        if not 0 < p < 1:
            raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p:g}")
        if name_of(dtype) not in (*_FLOATS, "uint8", "int8", "int16", "int32", "int64"):
            raise not_implemented("geometric_cpu", dtype)
        return self._fill(shape, dtype, lambda n: np.ceil(elementwise("log", self.unit64(n)) / math.log1p(-p)))

    def multinomial(self, p: np.ndarray, num_samples: int, replacement: bool = False, by_columns: bool = False) -> np.ndarray:
        """`multinomial(p, num_samples, replacement)`: int64 indices drawn with weights `p` of shape (categories) or (rows, categories).

        With replacement and several samples, one float64 uniform each is looked up in the row's cumulative weights. Otherwise the samples
        are the largest p/q, q ~ Exp(1) in p's dtype, drawn column after column if `by_columns`, as for a p that lies so in memory; the order among
        categories of weight 0 is unspecified.
        """
        if name_of(p.dtype) not in _FLOATS:
            raise RuntimeError(f"multinomial only supports floating-point dtypes for input, got: {TYPES[name_of(p.dtype)][0]}")
        if p.ndim not in (1, 2):
            raise RuntimeError(f"prob_dist must be 1 or 2 dim, got shape {p.shape}")
        if num_samples <= 0:
            raise RuntimeError(f"cannot sample n_sample <= 0 samples, got {num_samples}")
        if not replacement and num_samples > p.shape[-1]:
            raise RuntimeError(f"cannot sample n_sample > prob_dist.size(-1) samples without replacement: {num_samples} > {p.shape[-1]}")
        if not np.all(np.isfinite(p) & (p >= 0)):
            if not replacement or num_samples == 1:
                raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
            entry = "< 0" if np.any(p < 0) else "= infinity or NaN"
            raise RuntimeError(f"invalid multinomial distribution (encountering probability entry {entry})")
        if not np.all(p.sum(-1, dtype=np.float64) > 0):
            raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
        if not replacement or num_samples == 1:
            with np.errstate(divide="ignore"):
                score = p / (self.exponential(p.shape[::-1], p.dtype).T if by_columns else self.exponential(p.shape, p.dtype))
            return np.argsort(-score, axis=-1, kind="stable")[..., :num_samples].astype(np.int64)
        work = np.float64 if p.dtype == np.float64 else np.float32
        rows = p.reshape(-1, p.shape[-1]).astype(work)
        out = np.empty((rows.shape[0], num_samples), np.int64)
        for row, samples in zip(rows, out, strict=True):
            cumulative = np.cumsum(row)
            cumulative /= cumulative[-1]
            cumulative[-1] = 1
            samples[:] = np.searchsorted(cumulative.astype(np.float64), self.unit64(num_samples), side="left")
        return out.reshape(*p.shape[:-1], num_samples)

    def standard_gamma(self, concentration: np.ndarray) -> np.ndarray:
        """`_standard_gamma(concentration)`: a gamma value for each, at least the dtype's smallest normal number."""
        dtype = concentration.dtype
        return np.maximum(cast(rejection.each(self, rejection.gamma(_number(dtype)), concentration), dtype), _tiny(dtype))

    def dirichlet(self, concentration: np.ndarray) -> np.ndarray:
        """`_sample_dirichlet(concentration)`: float64 gamma values over their sum in the last dimension, kept inside (0, 1)."""
        values, dtype = rejection.each(self, rejection.gamma(np.float64), concentration), concentration.dtype
        below_one = np.nextafter(dtype.type(1), dtype.type(0))
        return np.clip(cast(values / values.sum(-1, keepdims=True), dtype), _tiny(dtype), below_one).astype(dtype, copy=False)

    def poisson(self, rate: np.ndarray) -> np.ndarray:
        """`poisson(rate)`: a number of events for each rate."""
        if not np.all(rate >= 0):
            raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
        return cast(rejection.each(self, rejection.poisson, rate), rate.dtype)

    def binomial(self, count: np.ndarray, p: np.ndarray) -> np.ndarray:
        """`binomial(count, p)`: a number of successes for each, which are of one dtype."""
        return cast(rejection.each(self, rejection.binomial(_number(p.dtype)), *np.broadcast_arrays(count, p)), p.dtype)

    def _fill(self, shape: Shape, dtype: np.dtype, draw: Callable[[int], np.ndarray]) -> np.ndarray:
        """An array of values from `draw(n)`, n at most a chunk."""
        out = np.empty(math.prod(_dims(shape)), dtype)
        with np.errstate(all="ignore"):  # an overflow gives infinity in silence, as in PyTorch
            for part in _parts(out):
                part[:] = cast(draw(part.size), dtype)
        return out.reshape(shape)


def _dims(shape: Shape) -> tuple[int, ...]:
    return (int(shape),) if isinstance(shape, int | np.integer) else tuple(shape)


def _number(dtype: np.dtype) -> type[np.floating]:
    """The type in which PyTorch computes with a parameter of this dtype."""
    return np.float64 if dtype == np.float64 else np.float32


def _tiny(dtype: np.dtype) -> np.generic:
    return ml_dtypes.finfo(dtype).tiny


def _parts(out: np.ndarray) -> list[np.ndarray]:
    """`out` in chunks."""
    return [out[i : i + _CHUNK] for i in range(0, out.size, _CHUNK)]


def _continuous(name: str, dtype: DTypeLike, which: int) -> np.dtype:
    """The dtype of a continuous distribution, or PyTorch's error (which names the scalar type, 0, or the C++ type, 1)."""
    dtype = np.dtype(dtype)
    if name_of(dtype) not in _FLOATS:
        raise RuntimeError(
            f"{name} distribution is a continuous probability distribution. dtype must be a floating point but you specified "
            f"{TYPES[name_of(dtype)][which]}"
        )
    return dtype
