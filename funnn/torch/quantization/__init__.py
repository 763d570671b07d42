"""torch.quantization, the former name of torch.ao.quantization."""

from funnn.torch.ao.quantization import quantize_dynamic as quantize_dynamic

__all__ = ["quantize_dynamic"]
