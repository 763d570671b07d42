"""torch.finfo and torch.iinfo: the limits of a type of number."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from funnn.engine.types import dtype as _dtype


class finfo:
    """Limits of a floating-point type, of the default one if none is given; of a complex type, those of its parts."""

    def __init__(self, type: Any = None):
        kind = _dtype.get_default_dtype() if type is None else _dtype.as_dtype(type)
        if not (kind.is_floating_point or kind.is_complex):
            raise TypeError(f"torch.finfo() requires a floating point input type, got {kind}. Use torch.iinfo to handle it")
        limits = jnp.finfo(kind.to_real().numpy)
        self.bits, self.dtype = int(limits.bits), str(limits.dtype)
        self.eps, self.max, self.min, self.tiny = (float(x) for x in (limits.eps, limits.max, limits.min, limits.tiny))
        self.smallest_normal = self.tiny
        self.resolution = 1.0 if kind in _dtype.FLOAT8 else float(f"1e-{int(limits.precision)}")

    def __repr__(self) -> str:
        names = ("resolution", "min", "max", "eps", "smallest_normal", "tiny")
        return f"finfo({', '.join(f'{name}={getattr(self, name):g}' for name in names)}, dtype={self.dtype})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, finfo) and self.dtype == other.dtype

    def __hash__(self) -> int:
        return hash(self.dtype)


class iinfo:
    """Limits of an integer type."""

    def __init__(self, type: Any):
        kind = _dtype.as_dtype(type)
        if kind.is_floating_point or kind.is_complex or kind is _dtype.bool_:
            raise TypeError(f"torch.iinfo() requires an integer input type, got {kind}. Use torch.finfo to handle it")
        limits = jnp.iinfo(kind.numpy)
        self.bits, self.min, self.max, self.dtype = int(limits.bits), int(limits.min), int(limits.max), str(limits.dtype)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, iinfo) and self.dtype == other.dtype

    def __hash__(self) -> int:
        return hash(self.dtype)
