"""The memory of complex32 numbers: pairs of float16."""

from __future__ import annotations

from typing import Any

import numpy as np

from funnn.engine.memory.storage import Window, whole
from funnn.engine.memory.view_geometry import view_as_real
from funnn.engine.types.dtype import float16


def pairs_of(tensor: Any) -> Any:
    """The parts of complex32 numbers as they lie in memory, in a new last dimension; without history."""
    window, storage = view_as_real(tensor._view_window()._replace(conj=False, neg=False), float16), tensor._storage
    window = window._replace(dtype=None) if storage.dtype == np.float16 else window
    return tensor._alias(None if window == whole(storage.shape) else window)


def complex_of(pairs: np.ndarray, window: Window | None) -> np.ndarray:
    """Complex64 numbers of the parts in the last dimension, as the window shows them."""
    numbers: np.ndarray = np.ascontiguousarray(pairs, np.float32).view(np.complex64)[..., 0]
    numbers = numbers.conj() if window is not None and window.conj else numbers
    return -numbers if window is not None and window.neg else numbers
