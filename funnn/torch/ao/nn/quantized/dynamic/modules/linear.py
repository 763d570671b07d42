"""A linear map of 8-bit integers."""

from __future__ import annotations

from typing import Any

from funnn.functional._int8 import dynamic_linear, quantize_tensor
from funnn.torch import _namespace as torch
from funnn.torch.nn.modules._layer_classes import Linear as FloatLinear
from funnn.torch.nn.modules.module import Module


class Linear(Module):
    """y = s_x s (q_x − z) qᵀ + b, with integers q of 8 bits for the weight and q_x of 7 bits for the input, whose scale and zero point come from its least and
    greatest number at each call.

    Args:
      in_features, out_features: sizes of the last axis.
      bias_: whether there is a bias; default True.
      dtype: torch.qint8.

    The integers are the buffer ``int_weight``, their scale ``weight_scale``, and the bias ``float_bias``; PyTorch's packed parameters have no arrays here, so
    ``weight()`` says so, and a state_dict has these three. Results have no gradient. Source: torch.ao.nn.quantized.dynamic.Linear, with the numbers of its
    engines x86, fbgemm and onednn.

    Raises:
      NotImplementedError: another dtype.
    """

    def __init__(self, in_features: int, out_features: int, bias_: bool = True, dtype: Any = torch.qint8):
        super().__init__()
        if dtype is not torch.qint8:
            raise NotImplementedError(
                f"DynamicQuantizedLinear with dtype={dtype} is not supported: give torch.qint8, or call .half() on the model"
            )
        self.in_features, self.out_features = in_features, out_features
        self.register_buffer("int_weight", torch.zeros(out_features, in_features, dtype=torch.int8))
        self.register_buffer("weight_scale", torch.ones(()))
        self.register_buffer("float_bias", torch.zeros(out_features) if bias_ else None)

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Linear:
        """Of a Linear with float32 weights.

        Raises:
          AssertionError: another module.
          NotImplementedError: weights of another dtype.
        """
        if type(mod) is not FloatLinear:
            raise AssertionError(f"nn.quantized.dynamic.Linear.from_float only works for [Linear], but got {type(mod).__name__}")
        if mod.weight.dtype is not torch.float32:
            raise NotImplementedError(
                f"quantize_dynamic takes weights of torch.float32, got {mod.weight.dtype}; call .float() on the model"
            )
        new = cls(mod.in_features, mod.out_features, mod.bias is not None)
        with torch.no_grad():
            new.int_weight, new.weight_scale = quantize_tensor(mod.weight.detach())
            new.float_bias = None if mod.bias is None else mod.bias.detach().clone()
        return new.train(mod.training)

    def forward(self, x: Any) -> Any:
        with torch.no_grad():
            return dynamic_linear(x, self.int_weight, self.weight_scale, self.float_bias)

    def weight(self) -> Any:
        """Raises NotImplementedError: PyTorch gives a quantised tensor."""
        raise NotImplementedError(
            "DynamicQuantizedLinear.weight() is not supported: there are no quantised tensors; int_weight holds the integers and weight_scale their "
            "scale: int_weight.float() * weight_scale"
        )

    def bias(self) -> Any:
        """The bias, or None."""
        return self.float_bias

    def _get_name(self) -> str:
        return "DynamicQuantizedLinear"

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, dtype={torch.qint8}, qscheme=torch.per_tensor_affine"
