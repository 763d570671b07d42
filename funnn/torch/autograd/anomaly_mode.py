"""Finding the operation whose gradient went wrong."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp

from funnn.torch import _tape
from funnn.torch._state import thread
from funnn.torch._tape import Node


class set_detect_anomaly:
    """Switch anomaly detection on or off; at once, and as a context manager back again.

    While it is on, every node remembers where it was made, and backward raises a RuntimeError, with that place as a warning, for the first node
    that fails or (with ``check_nan``) that gives NaN.
    """

    def __init__(self, mode: bool, check_nan: bool = True):
        self._before = thread.anomaly, thread.check_nan
        thread.anomaly, thread.check_nan = mode, check_nan

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: Any) -> None:
        thread.anomaly, thread.check_nan = self._before


class detect_anomaly(set_detect_anomaly):
    """A context in which anomaly detection is on; see :class:`set_detect_anomaly`."""

    def __init__(self, check_nan: bool = True):
        self._check_nan = check_nan
        warnings.warn("Anomaly Detection has been enabled. It makes the program slower; use it to find an error only.", stacklevel=2)

    def __enter__(self) -> None:
        set_detect_anomaly.__init__(self, True, self._check_nan)


def is_anomaly_enabled() -> bool:
    """Whether anomaly detection is on."""
    return thread.anomaly


def is_anomaly_check_nan_enabled() -> bool:
    """Whether anomaly detection looks for NaN."""
    return thread.check_nan


def remember(node: Node) -> None:
    """Note where a node was made."""
    node.metadata["traceback_"] = traceback.format_stack()[:-3]


def watched_pull(node: Node, gradients: list, create_graph: bool) -> list:
    """As ``node.pull``, and an error for NaN among the results."""
    try:
        results: Iterable = list(node.pull(gradients, create_graph))
        if thread.check_nan:
            for index, gradient in enumerate(node.spread(map(_tape.as_array, results), None)):
                if gradient is not None and bool(jnp.isnan(gradient).any()):
                    raise RuntimeError(f"Function {node.name()!r} returned nan values in its {index}th output.")
    except Exception:
        where = node.metadata.get("traceback_")
        text = (
            f"Traceback of forward call that caused the error:\n{''.join(where)}"
            if where
            else ("No forward pass information is available: switch detect_anomaly on during the forward pass as well.")
        )
        warnings.warn(f"Error detected in {node.name()}. {text}", stacklevel=2)
        raise
    return results
