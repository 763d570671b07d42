"""The lower names under which torch's namespace has functions of torch.nn.functional: with numbers for modes, and the statistics as results."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from funnn import functional as F
from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.ops.kit.elementwise import widened
from funnn.engine.ops.kit.table import FUNCTIONS, publish, row, write_out
from funnn.engine.tensor.tensor import Tensor
from funnn.functional._checks import accumulator
from funnn.functional._norm_kernel import near_mean


def _statistics(input: Any, axes: tuple, eps: float, keepdims: bool = False) -> tuple:
    """The mean and 1/√(σ² + ε), in float32 for half precision."""
    wide = input.astype(accumulator(input.dtype))
    shift = near_mean(wide, axes)
    mean, scale = shift + (wide - shift).mean(axes, keepdims=True), lax.rsqrt((wide - shift).var(axes, keepdims=True) + eps)
    return (mean, scale) if keepdims else (jnp.squeeze(mean, axes), jnp.squeeze(scale, axes))


def _layer_norm(input, normalized_shape, weight, bias, eps):
    axes = tuple(range(input.ndim - len(normalized_shape), input.ndim))
    mean, scale = _statistics(input, axes, eps, keepdims=True)
    return F.layer_norm.pure(input, normalized_shape, weight, bias, eps), mean.astype(input.dtype), scale.astype(input.dtype)


def _group_norm(input, weight: Array | None, bias: Array | None, N, C, HxW, group, eps):
    """group_norm of N items of C channels of HxW numbers, the mean of each item's groups and their 1/√(σ² + ε)."""
    mean, scale = _statistics(input.reshape(N, group, C // group * HxW), (2,), eps)
    return F.group_norm.pure(input, group, weight, bias, eps), mean.astype(input.dtype), scale.astype(input.dtype)


_layer_norm_op = Op(_layer_norm, ("NativeLayerNormBackward0", None, None))
_batch_statistics = Op(_statistics)


def native_layer_norm(input, normalized_shape, weight: Array | None, bias: Array | None, eps):
    """layer_norm, the mean and 1/√(σ² + ε)."""
    output, mean, scale = call(_layer_norm_op, (input, tuple(normalized_shape), weight, bias, eps), {})
    return output, mean.detach(), scale.detach()


def native_batch_norm(
    input,
    weight: Array | None,
    bias: Array | None,
    running_mean: Array | None,
    running_var: Array | None,
    training,
    momentum,
    eps,
    *,
    out=None,
):
    """batch_norm, and in training the mean and 1/√(σ² + ε) of the batch (else two empty tensors)."""
    statistics = [FUNCTIONS["empty"](0, dtype=(input if weight is None else weight).dtype) for _ in range(2)]
    if training:
        axes = (0, *range(2, input.dim()))
        statistics = [
            found.to(like.dtype) for found, like in zip(call(_batch_statistics, (input.detach(), axes, eps), {}), statistics, strict=True)
        ]
    result = F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps), *statistics
    return result if out is None else write_out(out, result)


def _native_batch_norm_legit(input, weight: Array | None, bias: Array | None, *rest, out=None):
    """As native_batch_norm, also without running statistics: (input, weight, bias, training, momentum, eps)."""
    rest = (None, None, *rest) if isinstance(rest[0], bool) else rest
    return native_batch_norm(input, weight, bias, *rest, out=out)


row("native_group_norm", _group_norm, "NativeGroupNormBackward0", method=False)
for _function in (native_layer_norm, native_batch_norm, _native_batch_norm_legit):
    publish(_function.__name__, _function, method=False)


@widened
def _softmax_backward_data(grad_output: Array, output: Array, dim, input_dtype):
    """The gradient of softmax along ``dim`` from that of its ``output``: (g − Σ g·y)·y."""
    product = grad_output * output
    return product - output * jnp.sum(product, axis=dim, keepdims=True)


_softmax_backward = Op(_softmax_backward_data, "SoftmaxBackwardDataBackward0")


def _run_softmax_backward(
    grad_output: Tensor, output: Tensor, dim: int, input_dtype: Any, *, grad_input: Any = None, out: Any = None
) -> Tensor:
    result = call(_softmax_backward, (grad_output, output, dim, None), {}).to(input_dtype)
    out = grad_input if out is None else out
    return result if out is None else write_out(out, result)


publish("_softmax_backward_data", _run_softmax_backward, _softmax_backward_data, method=False)


def constant_pad_nd(input, pad, value=0):
    """The last dimensions padded with a number: pad is (before, after) of the last, of the last but one, …"""
    return F.pad(input, tuple(pad), "constant", value)


def _sampler(name: str, rank: int | None) -> None:
    def sample(input, grid: Array, interpolation_mode, padding_mode, align_corners):
        if rank is not None and input.dim() != rank + 2:
            raise RuntimeError(
                f"{name}(): expected {rank + 2}D input and grid with same number of dimensions, got input of {list(input.shape)}"
            )
        modes = ("bilinear", "nearest", "bicubic")[interpolation_mode], ("zeros", "border", "reflection")[padding_mode]
        return F.grid_sample(input, grid, *modes, align_corners)

    sample.__doc__ = "torch.nn.functional.grid_sample, with 0, 1, 2 for its modes and paddings in their order there."
    publish(name, sample, method=False)


_sampler("grid_sampler", None)
_sampler("grid_sampler_2d", 2)
_sampler("grid_sampler_3d", 3)
publish("constant_pad_nd", constant_pad_nd, method=False)


def affine_grid_generator(theta: Array, size, align_corners):
    """torch.nn.functional.affine_grid."""
    return F.affine_grid(theta, tuple(size), align_corners)


def max_pool1d_with_indices(input, kernel_size, stride=(), padding=0, dilation=1, ceil_mode=False):
    """torch.nn.functional.max_pool1d with the indices of the maxima."""
    return F.max_pool1d(input, kernel_size, stride if stride != () else None, padding, dilation, ceil_mode, True)


def native_dropout(input, p, train):
    """Dropout, and which numbers were kept; these are drawn with the probability 1 − p."""
    if train is not None and not train:
        return input.clone(), FUNCTIONS["ones_like"](input, dtype=FUNCTIONS["ones"](0).bool().dtype)
    keep = input.detach().new_empty(input.shape).bernoulli_(1 - p)
    return input * keep * (0.0 if p == 1 else 1 / (1 - p)), keep.bool()


def feature_dropout(input, p, train):
    """Dropout of whole channels: dimensions 0 and 1 draw, all further ones share."""
    if not train or p == 0 or not input.numel():
        return input
    keep = input.detach().new_empty(input.shape[:2] + (1,) * (input.dim() - 2)).bernoulli_(1 - p)
    return input * (keep if p == 1 else keep / (1 - p))


def feature_dropout_(input, p, train):
    """In-place version of feature_dropout."""
    return input.copy_(feature_dropout(input, p, train)) if train and p else input


for _function in (affine_grid_generator, max_pool1d_with_indices, native_dropout, feature_dropout_):
    publish(_function.__name__, _function, method=False)
publish("feature_dropout", feature_dropout, method=False, elementwise=True)
