"""softmax and log_softmax as functions of the namespace and as methods, which demand a dimension."""

from __future__ import annotations

from funnn import functional as F
from funnn.engine.ops.kit.table import publish, write_out


def _run(function):
    def run(input, dim, dtype=None, *, out=None):
        result = function(input, dim, dtype=dtype)
        return result if out is None else write_out(out, result)

    run.__doc__ = function.__doc__.partition("\n")[0]
    publish(function.__name__, run)


_run(F.softmax)
_run(F.log_softmax)
