"""What tests of quantisation share: PyTorch's engine fbgemm, and its warnings, which say nothing of the numbers."""

from __future__ import annotations

import pytest
import torch

WARNINGS = [
    pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated"),
    pytest.mark.filterwarnings("ignore:torch.quantize_per"),
    pytest.mark.filterwarnings("ignore:Please use quant_min and quant_max"),
]


@pytest.fixture(autouse=True)
def engine():
    """fbgemm, whose numbers these are; x86, the default, takes it or oneDNN, which gives the same."""
    before = torch.backends.quantized.engine
    if "fbgemm" not in torch.backends.quantized.supported_engines:
        pytest.skip("this PyTorch has no engine for processors of this kind")
    torch.backends.quantized.engine = "fbgemm"
    yield
    torch.backends.quantized.engine = before
