"""torch.fft: discrete Fourier transforms."""

from funnn.engine.ops.kit.table import namespace as _namespace

__all__ = sorted(_namespace("fft"))

globals().update(_namespace("fft"))
