"""torch.backends: settings of libraries that XLA uses by itself, or not at all. They can be read and set, and change nothing."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

from funnn.torch.backends import cuda as cuda
from funnn.torch.backends import cudnn as cudnn

#: A context in which flags may be set; they always may.
__allow_nonbracketed_mutation = contextlib.nullcontext


def flags_frozen() -> bool:
    """False: flags may be set."""
    return False


cpu = SimpleNamespace(get_cpu_capability=lambda: "DEFAULT")
cusparselt = kleidiai = miopen = nnpack = SimpleNamespace(is_available=lambda: False)


class _Attention:
    """torch.backends.mha: whether ``nn.TransformerEncoder`` may leave out padded positions in evaluation, as torch's faster way does."""

    _enabled = True

    def get_fastpath_enabled(self) -> bool:
        """Whether it may."""
        return self._enabled

    def set_fastpath_enabled(self, value: bool) -> None:
        """Say whether it may."""
        self._enabled = value


mha = _Attention()
mps = SimpleNamespace(is_available=lambda: False, is_built=lambda: False)
mkldnn = SimpleNamespace(is_available=lambda: False, enabled=False)
mkl = SimpleNamespace(is_available=lambda: False)
openmp = SimpleNamespace(is_available=lambda: False)
opt_einsum = SimpleNamespace(is_available=lambda: True, enabled=True, strategy="auto")
quantized = SimpleNamespace(engine="none", supported_engines=["none"])
