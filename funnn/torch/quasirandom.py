"""torch.quasirandom: Sobol's sequences, PyTorch's points and its scrambling."""

from __future__ import annotations

from typing import Any

import numpy as np

import funnn.torch._namespace as torch


class SobolEngine:
    """Points of a Sobol sequence in the unit cube.

    Args:
      dimension: of the cube, at most 21201. Direction numbers are those of Joe and Kuo (2008), from SciPy.
      scramble: scramble them (Owen), by draws from torch's generator.
      seed: of a generator of its own for that.

    Raises:
      ValueError: the dimension is out of range.
    """

    MAXBIT = 30
    MAXDIM = 21201

    def __init__(self, dimension: int, scramble: bool = False, seed: int | None = None):
        if not 1 <= dimension <= self.MAXDIM:
            raise ValueError(f"Supported range of dimensionality for SobolEngine is [1, {self.MAXDIM}]")
        self.seed, self.scramble, self.dimension = seed, scramble, dimension
        self._state = _directions(dimension, self.MAXBIT)
        self._shift = np.zeros(dimension, np.int64)
        if scramble:
            self._scramble()
        self._quasi = self._shift.copy()
        self.num_generated = 0

    @property
    def sobolstate(self) -> Any:
        """The direction numbers, (dimension, 30)."""
        return torch.from_numpy(self._state.copy())

    @property
    def shift(self) -> Any:
        """What the first point is moved by."""
        return torch.from_numpy(self._shift.copy())

    @property
    def quasi(self) -> Any:
        """The last point, as integers."""
        return torch.from_numpy(self._quasi.copy())

    def _scramble(self) -> None:
        generator = None if self.seed is None else torch.Generator().manual_seed(self.seed)
        bits = torch.randint(2, (self.dimension, self.MAXBIT), generator=generator).numpy()
        self._shift = bits @ (1 << np.arange(self.MAXBIT, dtype=np.int64))
        lower = np.tril(torch.randint(2, (self.dimension, self.MAXBIT, self.MAXBIT), generator=generator).numpy())
        lower[:, np.arange(self.MAXBIT), np.arange(self.MAXBIT)] = 1
        weights = np.arange(self.MAXBIT)[::-1]
        digits = (self._state[:, :, None] >> weights) & 1  # the most significant first
        products = np.einsum("dpk,djk->djp", lower, digits) & 1
        self._state = (products << weights).sum(-1)

    def draw(self, n: int = 1, out: Any = None, dtype: Any = None) -> Any:
        """The next ``n`` points, (n, dimension), of the default dtype."""
        before = self.num_generated
        numbers = np.arange(max(before - 1, 0), before + n - 1)
        lowest = ~numbers & (numbers + 1)  # the rightmost bit that is 0
        steps = self._state[:, np.log2(lowest).astype(np.int64)].T if len(numbers) else np.zeros((0, self.dimension), np.int64)
        points = np.bitwise_xor.accumulate(np.concatenate([self._quasi[None], steps]), axis=0)
        self._quasi, self.num_generated = points[-1], before + n
        drawn = points if before == 0 else points[1:]
        result = torch.from_numpy(drawn[:n].copy()).to(dtype or torch.get_default_dtype()) * 2.0**-self.MAXBIT
        return result if out is None else out.resize_(result.shape).copy_(result)

    def draw_base2(self, m: int, out: Any = None, dtype: Any = None) -> Any:
        """The next 2**m points, after which 2**k have been drawn.

        Raises:
          ValueError: the count of all would be no power of 2.
        """
        n = 2**m
        total = self.num_generated + n
        if total & (total - 1):
            raise ValueError(
                f"The balance properties of Sobol' points require n to be a power of 2. {self.num_generated} points have been previously generated, "
                f"then: n={self.num_generated}+2**{m}={total}. If you still want to do this, please use 'SobolEngine.draw()' instead."
            )
        return self.draw(n, out, dtype)

    def reset(self) -> SobolEngine:
        """Begin again."""
        self._quasi, self.num_generated = self._shift.copy(), 0
        return self

    def fast_forward(self, n: int) -> SobolEngine:
        """Leave out the next ``n`` points."""
        if n:
            self.draw(n)
        return self

    def __repr__(self) -> str:
        words = [f"dimension={self.dimension}"]
        words += ["scramble=True"] * self.scramble + ([f"seed={self.seed}"] if self.seed is not None else [])
        return f"{type(self).__name__}({', '.join(words)})"


def _directions(dimension: int, bits: int) -> np.ndarray:
    from scipy.stats import qmc

    return np.asarray(qmc.Sobol(dimension, scramble=False, bits=bits)._sv, np.int64)
