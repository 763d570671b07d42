"""softmax and log_softmax as functions of the namespace and as methods, which demand a dimension."""

from __future__ import annotations

from typing import Any

from funnn import functional as F
from funnn.engine.ops.kit.table import publish, write_out


def softmax(input, dim, dtype=None, *, out=None):
    """exp(x) over its sum along ``dim``."""
    return _into(out, F.softmax(input, dim, dtype=dtype))


def log_softmax(input, dim, dtype=None, *, out=None):
    """x − log Σ exp(x) along ``dim``: the logarithm of softmax."""
    return _into(out, F.log_softmax(input, dim, dtype=dtype))


def _into(out: Any, result: Any) -> Any:
    return result if out is None else write_out(out, result)


publish("softmax", softmax, exact_out=True)
publish("log_softmax", log_softmax, exact_out=True)
