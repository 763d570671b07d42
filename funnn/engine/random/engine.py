"""The raw engine of PyTorch's CPU generator: MT19937, its state and its unit uniforms.

PyTorch and NumPy run the same twister (Matsumoto & Nishimura, "Mersenne Twister", ACM TOMACS 8(1), 1998) with the same seeding
(`init_genrand`), so the raw 32-bit draws come from `numpy.random.MT19937` at C speed. What is PyTorch's own, and lives here:
the state's layout in bytes (`ATen/CPUGeneratorImpl.cpp`), 64-bit draws, and the uniforms in [0, 1) that all distributions start from.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import numpy as np

DEFAULT_SEED = 67280421310721  # c10::detail::default_rng_seed_val, the seed of a new torch.Generator()
STATE_BYTES = 5056
_N = 624  # words of the twister's state

# CPUGeneratorImplState: a C struct that kept the layout of Lua torch's generator, plus the float sample at its end.
_LAYOUT = np.dtype(
    {
        "names": ["seed", "left", "seeded", "next", "state", "normal_y", "normal_is_valid", "float_normal", "float_is_valid"],
        "formats": ["<u8", "<i4", "<i4", "<u8", ("<u8", (_N,)), "<f8", "<i4", "<f4", "u1"],
        "offsets": [0, 8, 12, 16, 24, 5024, 5040, 5048, 5052],
        "itemsize": STATE_BYTES,
    }
)


class Engine:
    """MT19937 as PyTorch's CPU generator holds it: twister, initial seed, and the second value of the last normal pair.

    `cached_normal` is the sine half of a float64 Box–Muller pair whose cosine half was returned by a draw of fewer than 16 normals;
    the next such draw returns it first. Only seeding, setting the state and using it clear it: uniforms drawn meanwhile do not.
    """

    def __init__(self, seed: int = DEFAULT_SEED) -> None:
        self._twister = np.random.MT19937(0)
        self._legacy = np.random.RandomState(self._twister)  # seeds the twister with init_genrand, and reads and writes its state
        self.seed(seed)

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """What a thread holds while it draws."""
        return self._twister.lock

    def seed(self, seed: int) -> None:
        """Restart from `seed`, an integer in [-2^63, 2^64); a negative one means seed + 2^64. Only its low 32 bits choose the numbers."""
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
            raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}")
        seed = int(seed)
        if not -(2**63) <= seed < 2**64:
            raise ValueError(f"Overflow when unpacking long long: the seed {seed} is outside [-2^63, 2^64)")
        self._seed = seed % 2**64
        self._legacy.seed(self._seed & 0xFFFFFFFF)
        self._fresh = True  # no draw since seeding: PyTorch then writes next = 0 where a used-up block has next = 624
        self.cached_normal: float | None = None
        self._cached_float: float | None = None

    @property
    def initial_seed(self) -> int:
        """The seed last given, in [0, 2^64)."""
        return self._seed

    def get_state(self) -> np.ndarray:
        """The state as 5056 bytes (uint8), byte for byte what torch.get_rng_state() returns."""
        state: Any = self._legacy.get_state()
        _, key, position = state[:3]
        s = np.zeros((), _LAYOUT)
        s["seed"], s["seeded"], s["state"] = self._seed, 1, key
        s["left"], s["next"] = (1, 0) if self._fresh else (_N + 1 - position, position)
        if self.cached_normal is not None:
            s["normal_y"], s["normal_is_valid"] = self.cached_normal, 1
        if self._cached_float is not None:
            s["float_normal"], s["float_is_valid"] = self._cached_float, 1
        return np.frombuffer(s.tobytes(), np.uint8).copy()

    def set_state(self, state: np.ndarray | bytes) -> None:
        """Continue from the 5056 bytes of `get_state` or of torch.get_rng_state().

        Raises TypeError when they are not bytes, RuntimeError when their number or content is not a generator's.
        """
        if isinstance(state, bytes | bytearray | memoryview):
            state = np.frombuffer(state, np.uint8)
        state = np.asarray(state)
        if state.dtype != np.uint8:
            raise TypeError(f"RNG state must be a torch.ByteTensor (dtype uint8), got dtype {state.dtype}")
        if state.size != STATE_BYTES:
            raise RuntimeError(
                f"Expected a CPUGeneratorImplState of size {STATE_BYTES} but found the input RNG state size to be {state.size}"
            )
        s = np.frombuffer(state.tobytes(), _LAYOUT)[0]
        left, position = int(s["left"]), int(s["next"])
        # After a twist, left + next = 625 always; a spent block (left = 1) may show next = 0 (just seeded) or 624.
        if s["seeded"] != 1 or not 0 < left <= _N or (left > 1 and left + position != _N + 1) or position > _N:
            raise RuntimeError(f"Invalid mt19937 state: seeded={s['seeded']}, left={left}, next={position}")
        self._seed = int(s["seed"])
        twister: Any = ("MT19937", s["state"].astype(np.uint32), _N + 1 - left)
        self._legacy.set_state(twister)
        self._fresh = left == 1 and position == 0
        self.cached_normal = float(s["normal_y"]) if s["normal_is_valid"] else None
        self._cached_float = float(s["float_normal"]) if s["float_is_valid"] else None

    def random32(self, n: int) -> np.ndarray:
        """`n` raw draws of the twister, uint32."""
        self._fresh &= n == 0
        return self._twister.random_raw(n).astype(np.uint32)

    def random64(self, n: int) -> np.ndarray:
        """`n` draws of 64 bits, uint64: two raw draws each, the first one high."""
        self._fresh &= n == 0
        words = self._twister.random_raw(2 * n)
        return (words[0::2] << np.uint64(32)) | words[1::2]

    def unit32(self, n: int, out: np.ndarray | None = None) -> np.ndarray:
        """`n` float32 uniforms in [0, 1): the low 24 bits of one raw draw × 2⁻²⁴."""
        bits = self.random32(n)
        bits &= np.uint32(0xFFFFFF)
        out = np.empty(n, np.float32) if out is None else out
        np.copyto(out, bits.view(np.int32), casting="unsafe")
        out *= np.float32(2.0**-24)
        return out

    def unit64(self, n: int, out: np.ndarray | None = None) -> np.ndarray:
        """`n` float64 uniforms in [0, 1): the low 53 bits of a 64-bit draw × 2⁻⁵³."""
        bits = self.random64(n)
        bits &= np.uint64(2**53 - 1)
        out = np.empty(n, np.float64) if out is None else out
        np.copyto(out, bits.view(np.int64), casting="unsafe")
        out *= 2.0**-53
        return out
