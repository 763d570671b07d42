"""torch.ao.nn: the modules that quantisation puts in the place of others."""

from funnn.torch.ao.nn import quantized as quantized
