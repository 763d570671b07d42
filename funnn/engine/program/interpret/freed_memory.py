"""Arrays of some MB come and go at every step; where their memory went back to the system each time, asking for it anew would take longer than computing."""

from __future__ import annotations

import functools

import numpy as np

#: Just below the size up to which glibc learns from what a program frees.
_SIZE = (32 << 20) - (1 << 16)


@functools.cache
def keep_freed_memory() -> None:
    """Let the C library keep what is freed, up to twice 32 MiB, for the next array.

    glibc maps large blocks by themselves and unmaps them when they are freed, but raises its bounds to the size of such a block once one was freed: here
    one that nobody touched, so that it costs nothing. Other C libraries do as they did.
    """
    np.empty(_SIZE, np.uint8)
