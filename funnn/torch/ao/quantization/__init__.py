"""torch.ao.quantization: what is there is quantize_dynamic, for linear maps."""

from funnn.torch.ao.quantization.quantize import quantize_dynamic as quantize_dynamic

__all__ = ["quantize_dynamic"]
