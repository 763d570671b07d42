"""torch.ao.quantization: what is there is quantize_dynamic, for linear maps, recurrent modules and tables."""

from funnn.torch.ao.quantization.quantize import default_dynamic_qconfig as default_dynamic_qconfig
from funnn.torch.ao.quantization.quantize import float_qparams_weight_only_qconfig as float_qparams_weight_only_qconfig
from funnn.torch.ao.quantization.quantize import quantize_dynamic as quantize_dynamic

__all__ = ["default_dynamic_qconfig", "float_qparams_weight_only_qconfig", "quantize_dynamic"]
