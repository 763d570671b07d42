"""torch.ao.nn.quantized.dynamic: modules whose weights are of 8 bits and whose inputs are rounded at each call."""

from funnn.torch.ao.nn.quantized.dynamic.modules import Linear as Linear

__all__ = ["Linear"]
