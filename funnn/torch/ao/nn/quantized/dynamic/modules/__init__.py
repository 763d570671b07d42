"""torch.ao.nn.quantized.dynamic.modules."""

from funnn.torch.ao.nn.quantized.dynamic.modules.linear import Linear as Linear

__all__ = ["Linear"]
