"""A convolution or linear map and the batch normalisation after it, as one layer for inference."""

from __future__ import annotations

import copy
from typing import Any

from funnn.engine.ops.kit.table import FUNCTIONS as ops
from funnn.engine.tensor.tensor import Tensor
from funnn.torch.nn.parameter import Parameter

__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights"]


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """A copy of ``conv`` that does what ``bn(conv(x))`` does; both in evaluation mode. ``transpose`` for transposed convolutions.

    Raises:
      AssertionError: one is in training mode, or ``bn`` has no running statistics.
    """
    return _fused(conv, bn, fuse_conv_bn_weights, transpose)


def fuse_linear_bn_eval(linear: Any, bn: Any) -> Any:
    """A copy of ``linear`` that does what ``bn(linear(x))`` does; both in evaluation mode.

    Raises:
      AssertionError: one is in training mode, the features do not fit, or ``bn`` has no running statistics.
    """
    if not (linear.training or bn.training) and bn.num_features not in (1, linear.out_features):
        raise AssertionError(
            "To fuse, linear.out_features == bn.num_features or bn.num_features == 1, "
            f"got linear.out_features={linear.out_features} and bn.num_features={bn.num_features}"
        )
    return _fused(linear, bn, fuse_linear_bn_weights)


def _fused(layer: Any, bn: Any, fuse: Any, *options: Any) -> Any:
    if layer.training or bn.training:
        raise AssertionError("Fusion only for eval! Call .eval() on both modules")
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("bn.running_mean and bn.running_var must not be None: use a norm with track_running_stats=True")
    fused = copy.deepcopy(layer)
    fused.weight, fused.bias = fuse(fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, *options)
    return fused


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """Weight ``W·γ/σ`` and bias ``(b − μ)·γ/σ + β`` of the fused convolution, with ``σ = √(bn_rv + bn_eps)``; what is None is neutral."""
    bn_w = ops["ones_like"](bn_rm) if bn_w is None else bn_w
    bn_b = ops["zeros_like"](bn_rm) if bn_b is None else bn_b
    return _weights(conv_w, conv_b, bn_rm, ops["rsqrt"](bn_rv + bn_eps), bn_w, bn_b, 1 if transpose else 0)


def fuse_linear_bn_weights(
    linear_w: Tensor, linear_b: Tensor | None, bn_rm: Tensor, bn_rv: Tensor, bn_eps: float, bn_w: Tensor, bn_b: Tensor
) -> tuple[Parameter, Parameter]:
    """Weight and bias of the fused linear map, as of :func:`fuse_conv_bn_weights`."""
    return _weights(linear_w, linear_b, bn_rm, ops["rsqrt"](bn_rv + bn_eps), bn_w, bn_b, 0)


def _weights(
    weight: Tensor, bias: Tensor | None, mean: Tensor, inverse: Tensor, scale: Tensor, shift: Tensor, dim: int
) -> tuple[Parameter, Parameter]:
    dtype = weight.dtype if bias is None else bias.dtype
    bias = ops["zeros_like"](mean) if bias is None else bias
    shape = [-1 if axis == dim else 1 for axis in range(weight.dim())]
    fused = (weight * (scale * inverse).reshape(shape)).to(weight.dtype)
    added = ((bias - mean) * inverse * scale + shift).to(dtype)
    return Parameter(fused.detach(), weight.requires_grad), Parameter(added.detach(), bias.requires_grad)
