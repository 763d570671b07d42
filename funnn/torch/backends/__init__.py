"""torch.backends: settings of libraries that XLA uses by itself, or not at all. They can be read and set, and change nothing."""

from __future__ import annotations

from types import SimpleNamespace

from funnn.torch.backends import cuda as cuda
from funnn.torch.backends import cudnn as cudnn

mps = SimpleNamespace(is_available=lambda: False, is_built=lambda: False)
mkldnn = SimpleNamespace(is_available=lambda: False, enabled=False)
mkl = SimpleNamespace(is_available=lambda: False)
openmp = SimpleNamespace(is_available=lambda: False)
