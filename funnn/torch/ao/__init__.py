"""torch.ao: of quantisation, modules with weights of 8 bits (torch.ao.quantization.quantize_dynamic)."""

from funnn.torch.ao import nn as nn
from funnn.torch.ao import quantization as quantization
