"""torch.signal.windows: bartlett, hann, kaiser and others."""

from funnn.engine.ops.kit.table import namespace as _namespace

__all__ = sorted(_namespace("signal.windows"))

globals().update(_namespace("signal.windows"))
