"""What torch calls the grad_fn of each function of torch.nn.functional, and what it saves of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from funnn import functional as F


def _linear_grad(input, weight, bias=None):
    if bias is None:
        return {1: "SqueezeBackward4", 2: "MmBackward0"}.get(input.dim(), "UnsafeViewBackward0")
    return "AddmmBackward0" if input.dim() == 2 else "ViewBackward0"


def _unbatched(name: str, rank: int) -> Callable:
    return lambda input, *args, **kwargs: "SqueezeBackward1" if input.dim() == rank else name


def _cross_entropy_grad(input, target, *args, **kwargs):
    if target.dtype.is_floating_point:
        return "DivBackward1" if kwargs.get("reduction", "mean") == "mean" else "NegBackward0"
    if kwargs.get("label_smoothing"):
        return "AddBackward0"
    return _nll_grad(input)


def _nll_grad(input, *args, **kwargs):
    return "NllLossBackward0" if input.dim() <= 2 else "NllLoss2DBackward0"


GRADS: dict[Callable, Any] = {
    F.linear: _linear_grad,
    F.relu: "ReluBackward0",
    F.tanh: "TanhBackward0",
    F.sigmoid: "SigmoidBackward0",
    F.softmax: "SoftmaxBackward0",
    F.log_softmax: "LogSoftmaxBackward0",
    F.conv1d: _unbatched("ConvolutionBackward0", 2),
    F.conv2d: _unbatched("ConvolutionBackward0", 3),
    F.conv3d: _unbatched("ConvolutionBackward0", 4),
    F.max_pool1d: "SqueezeBackward1",
    F.max_pool2d: "MaxPool2DWithIndicesBackward0",
    F.max_pool3d: "MaxPool3DWithIndicesBackward0",
    F.avg_pool1d: "SqueezeBackward1",
    F.avg_pool2d: "AvgPool2DBackward0",
    F.avg_pool3d: "AvgPool3DBackward0",
    F.batch_norm: "NativeBatchNormBackward0",
    F.batch_norm_with_stats: "NativeBatchNormBackward0",
    F.layer_norm: "NativeLayerNormBackward0",
    F.embedding: "EmbeddingBackward0",
    F.cross_entropy: _cross_entropy_grad,
    F.nll_loss: _nll_grad,
    F.mse_loss: "MseLossBackward0",
    F.l1_loss: lambda *args, **kwargs: {"mean": "MeanBackward0", "sum": "SumBackward0"}.get(
        kwargs.get("reduction", "mean"), "AbsBackward0"
    ),
    F.dropout: "MulBackward0",
}
SAVES: dict[Callable, tuple[str, ...]] = {
    F.relu: ("result",),
    F.tanh: ("result",),
    F.sigmoid: ("result",),
    F.softmax: ("result",),
    F.log_softmax: ("result",),
}
ORDER: dict[Callable, tuple[int, ...]] = {F.linear: (2, 0, 1)}  # as addmm: the bias first
