"""torch.signal: windows for spectra."""

from funnn.torch.signal import windows as windows

__all__ = ["windows"]
