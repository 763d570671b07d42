"""torch.quantization, the former name of torch.ao.quantization."""

from funnn.torch.ao.quantization import default_dynamic_qconfig as default_dynamic_qconfig
from funnn.torch.ao.quantization import float_qparams_weight_only_qconfig as float_qparams_weight_only_qconfig
from funnn.torch.ao.quantization import quantize_dynamic as quantize_dynamic

__all__ = ["default_dynamic_qconfig", "float_qparams_weight_only_qconfig", "quantize_dynamic"]
