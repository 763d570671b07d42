"""Windows for spectra: torch.signal.windows, and the older functions torch.hann_window, …

Each is computed in float64 and rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from funnn.engine.ops.kit.table import publish
from funnn.engine.ops.make.factories import tensor
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype
from funnn.engine.types.device import check_pinned
from funnn.engine.types.layout import strided


def _intervals(M: int, sym: bool) -> int:
    """Into how many equal parts the points divide a period; a periodic window leaves out the last of one point more."""
    return M - 1 if sym or M <= 1 else M


def _made(name: str, M: int, values: Callable[[np.ndarray], Any], rest: dict[str, Any]) -> Tensor:
    """``values`` of the points 0 … M − 1 as a tensor, which a single one and none are without it."""
    kind = rest.pop("dtype", None) or _dtype.get_default_dtype()
    layout = rest.pop("layout", strided)
    if not isinstance(M, (int, np.integer)):
        raise TypeError(f"{name}(): argument 'M' must be int, not {type(M).__name__}")
    if M < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={M}")
    if layout is not strided:
        raise ValueError(f"{name} is implemented for strided tensors only, got: {layout}")
    if kind not in (_dtype.float32, _dtype.float64):
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {kind}")
    window = np.ones(M) if M <= 1 else values(np.arange(M, dtype=np.float64))
    return tensor(np.asarray(window).astype(kind.numpy), **rest)


def general_cosine(M, *, a, sym=True, **rest):
    """Σᵢ (−1)ⁱ·aᵢ·cos(2πin/N) at n = 0 … M − 1; N is M − 1, or M if not ``sym``."""

    def values(n: np.ndarray) -> Any:
        if not isinstance(a, Iterable):
            raise TypeError(f"Coefficients must be a list/tuple, got {type(a).__name__}")
        if not len(a):
            raise ValueError("Coefficients cannot be empty")
        turn = 2 * math.pi / _intervals(M, sym)
        return sum((-1) ** i * float(each) * np.cos(i * turn * n) for i, each in enumerate(a))

    return _made("general_cosine", M, values, rest)


def general_hamming(M, *, alpha=0.54, sym=True, **rest):
    """alpha − (1 − alpha)·cos(2πn/N)."""
    return general_cosine(M, a=(alpha, 1 - alpha), sym=sym, **rest)


def hamming(M, *, sym=True, **rest):
    """0.54 − 0.46·cos(2πn/N)."""
    return general_hamming(M, sym=sym, **rest)


def hann(M, *, sym=True, **rest):
    """sin²(πn/N)."""
    return general_hamming(M, alpha=0.5, sym=sym, **rest)


def blackman(M, *, sym=True, **rest):
    """The sum of three cosines with 0.42, 0.5 and 0.08."""
    return general_cosine(M, a=(0.42, 0.5, 0.08), sym=sym, **rest)


def nuttall(M, *, sym=True, **rest):
    """Nuttall's sum of four cosines with the least side lobes."""
    return general_cosine(M, a=(0.3635819, 0.4891775, 0.1365995, 0.0106411), sym=sym, **rest)


def bartlett(M, *, sym=True, **rest):
    """A triangle: 1 − |2n/N − 1|."""
    return _made("bartlett", M, lambda n: 1 - np.abs(2 * n / _intervals(M, sym) - 1), rest)


def cosine(M, *, sym=True, **rest):
    """sin(π(n + ½)/M), of one point more if not ``sym``."""
    return _made("cosine", M, lambda n: np.sin(math.pi * (n + 0.5) / (_intervals(M, sym) + 1)), rest)


def exponential(M, *, center=None, tau=1.0, sym=True, **rest):
    """exp(−|n − center|/tau); the centre is in the middle by default."""
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")
    middle = _intervals(M, sym) / 2 if center is None else center
    return _made("exponential", M, lambda n: np.exp(-np.abs(n - middle) / tau), rest)


def gaussian(M, *, std=1.0, sym=True, **rest):
    """exp(−(n − N/2)²/(2·std²))."""
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    return _made("gaussian", M, lambda n: np.exp(-(((n - _intervals(M, sym) / 2) / std) ** 2) / 2), rest)


def kaiser(M, *, beta=12.0, sym=True, **rest):
    """I₀(beta·√(1 − (2n/N − 1)²))/I₀(beta)."""
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")
    return _made("kaiser", M, lambda n: np.i0(beta * np.sqrt(np.maximum(1 - (2 * n / _intervals(M, sym) - 1) ** 2, 0))) / np.i0(beta), rest)


_WINDOWS = (bartlett, blackman, cosine, exponential, gaussian, general_cosine, general_hamming, hamming, hann, kaiser, nuttall)
for _function in _WINDOWS:
    publish(f"signal.windows.{_function.__name__}", _function)


# -- the older functions: periodic by default, of any floating-point type


def _older(name: str, function: Callable) -> None:
    def window(
        window_length, periodic=True, *numbers, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False, **named
    ):
        check_pinned(pin_memory)
        kind = _dtype.get_default_dtype() if dtype is None else dtype
        if not kind.is_floating_point:
            raise RuntimeError(f"{name} expects floating point dtypes, got: {kind}")
        if window_length < 0:
            raise RuntimeError(f"{name} requires non-negative window_length, got window_length={window_length}")
        values = function(window_length, *numbers, sym=not periodic, dtype=_dtype.float64, layout=layout or strided, **named)
        return tensor(values.numpy().astype(kind.numpy), device=device, requires_grad=requires_grad)

    window.__doc__ = f"The window {name.removesuffix('_window')} of torch.signal.windows."
    publish(name, window, method=False)


_older("hann_window", hann)
_older("hamming_window", lambda M, alpha=0.54, beta=0.46, **rest: general_cosine(M, a=(alpha, beta), **rest))
_older("bartlett_window", bartlett)
_older("blackman_window", blackman)
_older("kaiser_window", lambda M, beta=12.0, **rest: kaiser(M, beta=abs(beta), **rest))
