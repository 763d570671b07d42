"""How many threads NumPy's BLAS uses: one for small products, which gain nothing by more and stall where the other cores are busy.

The number is OpenBLAS's, for the whole process: it is changed while a translated function computes and restored afterwards. Where NumPy has
another BLAS, nothing is done.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

#: Multiply-adds of a product that is worth more than one thread.
LARGE = 30_000_000


@functools.cache
def _openblas() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """OpenBLAS's functions that get and set the number of threads."""
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(np._core._multiarray_umath.__file__)  # type: ignore[attr-defined]
        for prefix in ("scipy_openblas", "openblas"):
            for suffix in ("64_", "_64", ""):
                with contextlib.suppress(AttributeError):
                    get, put = library[f"{prefix}_get_num_threads{suffix}"], library[f"{prefix}_set_num_threads{suffix}"]
                    get.restype, get.argtypes, put.restype, put.argtypes = ctypes.c_int, [], None, [ctypes.c_int]
                    return get, put
    return None


class _OneThread:
    """A context in which products run on one thread; the last that leaves it, in any thread, restores the former number."""

    __slots__ = ("_former", "_inside", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside, self._former = 0, 1

    def __enter__(self) -> None:
        found = _openblas()
        if found is None:
            return
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._former = found[0]()
                if self._former != 1:
                    found[1](1)

    def __exit__(self, *_: Any) -> None:
        found = _openblas()
        if found is None:
            return
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._former != 1:
                found[1](self._former)

    def stay(self) -> None:
        """Leave it at one thread, in a process that was forked; a thread that was inside when it was is not here."""
        self._lock, self._inside, self._former = threading.Lock(), 0, 1
        found = _openblas()
        if found is not None:
            found[1](1)

    def left(self, function: Callable[..., Any], *operands: Any) -> Any:
        """Calls the function with the former number of threads, from inside the context."""
        found, former = _openblas(), self._former
        if found is None or former == 1:
            return function(*operands)
        found[1](former)
        try:
            return function(*operands)
        finally:
            if self._inside:
                found[1](1)


one_thread = _OneThread()


def product(function: Callable[..., Any], steps: int, *operands: Any) -> Any:
    """``function(*operands)``, which multiplies and adds ``steps`` times, with as many threads as that is worth."""
    return one_thread.left(function, *operands) if steps >= LARGE else function(*operands)
