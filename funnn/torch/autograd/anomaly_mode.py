"""Finding the operation whose gradient went wrong."""

from __future__ import annotations

import warnings
from typing import Any

from funnn.engine.backward.anomaly import Anomaly
from funnn.engine.state import thread


class set_detect_anomaly:
    """Switch anomaly detection on or off; at once, and as a context manager back again.

    While it is on, every node remembers where it was made, and backward raises a RuntimeError, with that place as a warning, for the first node
    that fails or (with ``check_nan``) that gives NaN.
    """

    def __init__(self, mode: bool, check_nan: bool = True):
        self._before = thread.anomaly, thread.check_nan
        thread.anomaly, thread.check_nan = Anomaly() if mode else None, check_nan

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: Any) -> None:
        thread.anomaly, thread.check_nan = self._before


class detect_anomaly(set_detect_anomaly):
    """A context in which anomaly detection is on; see :class:`set_detect_anomaly`."""

    def __init__(self, check_nan: bool = True):
        self._check_nan = check_nan
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should only be enabled for debugging.",
            stacklevel=2,
        )

    def __enter__(self) -> None:
        set_detect_anomaly.__init__(self, True, self._check_nan)


def is_anomaly_enabled() -> bool:
    """Whether anomaly detection is on."""
    return thread.anomaly is not None


def is_anomaly_check_nan_enabled() -> bool:
    """Whether anomaly detection looks for NaN."""
    return thread.check_nan
