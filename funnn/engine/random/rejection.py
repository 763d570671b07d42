"""Random numbers by rejection: gamma, Poisson and binomial values with PyTorch's order of draws.

An unknown number of float64 uniforms goes into each value, so values are made one by one, in the order of the array. Sources: Marsaglia &
Tsang, "A simple method for generating gamma variables" (ACM TOMS 26(3), 2000); Hörmann, "The transformed rejection method for generating
Poisson random variables" (Insurance: Mathematics and Economics 12(1), 1993) and "The generation of binomial random variates" (J. Stat.
Comput. Simul. 46, 1993). A constant that PyTorch writes as a float32 is one here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from funnn.engine.random.engine import Engine
from funnn.engine.random.normal import pairs

_THIRD, _SQUEEZE = float(np.float32(1) / np.float32(3)), float(np.float32(0.0331))
# log k! less Stirling's ½·log(2π) + (k + ½)·log(k + 1) − (k + 1), for k < 10.
_STIRLING_TAILS: tuple[float, ...] = (0.0810614667953272, 0.0413406959554092, 0.0276779256849983, 0.02079067210376509, 0.0166446911898211)
_STIRLING_TAILS += (0.0138761288230707, 0.0118967099458917, 0.0104112652619720, 0.00925546218271273, 0.00833056343336287)
_LARGEST_BLOCK = 1 << 13


class Stream:
    """Single uniforms and normals of an engine. They are drawn in blocks; ``close`` gives back to the engine what was not used."""

    def __init__(self, engine: Engine):
        self._engine, self._start, self._fresh = engine, engine._twister.state, engine._fresh
        self._waiting: list[float] = []  # last first
        self._drawn, self._block = 0, 64

    def uniform(self) -> float:
        """A float64 uniform in [0, 1)."""
        if not self._waiting:
            self._waiting = self._engine.unit64(self._block)[::-1].tolist()
            self._drawn += self._block
            self._block = min(2 * self._block, _LARGEST_BLOCK)
        return self._waiting.pop()

    def unit64(self, n: int) -> np.ndarray:
        return np.array([self.uniform() for _ in range(n)], np.float64)

    @property
    def cached_normal(self) -> float | None:
        return self._engine.cached_normal

    @cached_normal.setter
    def cached_normal(self, value: float | None) -> None:
        self._engine.cached_normal = value

    def normal(self) -> float:
        """A float64 normal, which shares the kept half of a pair with the engine's others."""
        kept = self._engine.cached_normal
        if kept is not None:
            self._engine.cached_normal = None
            return kept
        engine: Any = self  # it draws as an engine does
        return float(pairs(engine, 1)[0])

    def close(self) -> None:
        self._engine._twister.state = self._start
        self._engine._fresh = self._fresh
        self._engine.random64(self._drawn - len(self._waiting))


def each(engine: Engine, draw: Callable[..., Any], *parameters: np.ndarray) -> np.ndarray:
    """``draw(stream, *numbers)`` for every element of the parameters, which have one shape, as float64."""
    stream = Stream(engine)
    flat = [parameter.reshape(-1).tolist() for parameter in parameters]
    try:
        values = [draw(stream, *numbers) for numbers in zip(*flat, strict=True)]
    finally:
        stream.close()
    return np.array(values, np.float64).reshape(parameters[0].shape)


def gamma(number: Any) -> Callable[..., Any]:
    """A value of density x^(α−1)·e^(−x)/Γ(α), with α of the type ``number``. For α < 1 it is that of α + 1 times (1 − u)^(1/α)."""
    one, third = number(1), number(_THIRD)

    def draw(stream: Stream, alpha: float) -> float:
        if not 0 < alpha < math.inf:
            return 0.0 if alpha == 0 else math.nan
        scale, alpha = 1.0, number(alpha)
        if alpha < 1:
            scale = (1 - stream.uniform()) ** float(one / alpha)
            alpha += one
        d = float(alpha - third)
        c = 1 / math.sqrt(9 * d)
        while True:
            x = stream.normal()
            y = 1 + c * x
            if y <= 0:
                continue
            v, u, square = y * y * y, 1 - stream.uniform(), x * x
            if u < 1 - _SQUEEZE * square * square or math.log(u) < 0.5 * square + d * (1 - v + math.log(v)):
                return scale * d * v

    return draw


def poisson(stream: Stream, rate: float) -> float:
    """A number of events: below a rate of 10 by multiplying uniforms down to e^(−rate), else Hörmann's PTRS."""
    if rate == 0:
        return 0.0
    if not rate >= 10:
        limit, product, count = math.exp(-rate), 1.0, -1
        while product > limit or count < 0:
            product *= stream.uniform()
            count += 1
        return float(count)
    root, log_rate = math.sqrt(rate), math.log(rate)
    b = 0.931 + 2.53 * root
    a = -0.059 + 0.02483 * b
    log_inverse_alpha, v_r = math.log(1.1239 + 1.1328 / (b - 3.4)), 0.9277 - 3.6224 / (b - 2)
    while True:
        u, v = stream.uniform() - 0.5, stream.uniform()
        us = 0.5 - abs(u)
        k = math.floor((2 * a / us + b) * u + rate + 0.43) if us else -1
        if us >= 0.07 and v <= v_r:
            return float(k)
        if k < 0 or (us < 0.013 and v > us):
            continue
        bound = k * log_rate - rate - math.lgamma(k + 1)
        if not v or math.log(v) + log_inverse_alpha - math.log(a / (us * us) + b) <= bound:
            return float(k)


def binomial(number: Any) -> Callable[..., Any]:
    """A number of successes in ``count`` trials of probability ``p``, which are of the type ``number`` (np.float32 or np.float64)."""

    def draw(stream: Stream, count: float, p: float) -> float:
        if math.isnan(p):
            return math.nan
        if count <= 0 or p <= 0:
            return 0.0
        if p >= 1:
            return count
        count, p = number(count), number(p)
        q = number(1) - p
        few = p <= 0.5
        likely = p if few else q
        successes = (_by_transformed_rejection if count * likely >= 10 else _by_waiting_times)(stream, count, likely)
        return successes if few else float(count) - successes

    return draw


def _by_waiting_times(stream: Stream, count: Any, p: Any) -> float:
    """Successes whose geometric waiting times fit into ``count`` trials."""
    log_q, trials, successes = float(np.log1p(-p)), 0.0, -1
    while trials <= count:
        u = stream.uniform()
        trials += math.ceil(math.log(u) / log_q) if u else math.inf
        successes += 1
    return float(successes)


def _by_transformed_rejection(stream: Stream, count: Any, p: Any) -> float:
    """Hörmann's BTRS, with n·p ≥ 10 and p ≤ ½."""
    one = type(p)(1)
    deviation, centre = float(np.sqrt(count * p * (one - p))), float(count * p) + 0.5
    r, m = float(p / (one - p)), math.floor((count + one) * p)
    count, p = float(count), float(p)
    b = 1.15 + 2.53 * deviation
    a, v_r, alpha = -0.0873 + 0.0248 * b + 0.01 * p, 0.92 - 4.2 / b, (2.83 + 5.1 / b) * deviation
    while True:
        u, v = stream.uniform() - 0.5, stream.uniform()
        us = 0.5 - abs(u)
        k = math.floor((2 * a / us + b) * u + centre) if us else -1
        if not 0 <= k <= count:
            continue
        if us >= 0.07 and v <= v_r:
            return float(k)
        bound = (m + 0.5) * math.log((m + 1) / (r * (count - m + 1))) + (count + 1) * math.log((count - m + 1) / (count - k + 1))
        bound += (k + 0.5) * math.log(r * (count - k + 1) / (k + 1))
        bound += _stirling_tail(m) + _stirling_tail(count - m) - _stirling_tail(k) - _stirling_tail(count - k)
        if not v or math.log(v * alpha / (a / (us * us) + b)) <= bound:
            return float(k)


def _stirling_tail(k: float) -> float:
    if k < len(_STIRLING_TAILS):
        return _STIRLING_TAILS[int(k)]
    square = (k + 1) * (k + 1)
    return (1 / 12 - (1 / 360 - 1 / 1260 / square) / square) / (k + 1)
