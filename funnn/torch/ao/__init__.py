"""torch.ao: of quantisation, linear maps with weights of 8 bits whose inputs are rounded at each call (torch.ao.quantization.quantize_dynamic)."""

from funnn.torch.ao import nn as nn
from funnn.torch.ao import quantization as quantization
