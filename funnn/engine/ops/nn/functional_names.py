"""What torch calls the grad_fn of each function of torch.nn.functional, and what it saves of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from funnn import functional as F
from funnn.functional.distance_loss import from_distances


def _linear_grad(input, weight, bias=None):
    if bias is None:
        return {1: "SqueezeBackward4", 2: "MmBackward0"}.get(input.dim(), "UnsafeViewBackward0")
    return "AddmmBackward0" if input.dim() == 2 else "ViewBackward0"


def _unbatched(name: str, rank: int) -> Callable:
    return lambda input, *args, **kwargs: "SqueezeBackward1" if input.dim() == rank else name


def _adaptive_avg(name: str) -> Callable:
    """torch takes a plain mean where one window covers everything."""
    return lambda input, output_size: "MeanBackward1" if output_size in (1, (1, 1), (1, 1, 1)) else name


def _cross_entropy_grad(input, target, *args, **kwargs):
    if target.dtype.is_floating_point:
        return "DivBackward1" if kwargs.get("reduction", "mean") == "mean" else "NegBackward0"
    if kwargs.get("label_smoothing"):
        return "AddBackward0"
    return _nll_grad(input, target, *args, **kwargs)


def _nll_grad(input, *args, **kwargs):
    if input.dim() <= 2:
        return "NllLossBackward0"
    # torch computes a loss with other than two axes of positions as one with two, and gives single losses their axes back
    return "ViewBackward0" if input.dim() != 4 and kwargs.get("reduction") == "none" else "NllLoss2DBackward0"


def _instance_norm_grad(*args, batched=True, **kwargs):
    return "ViewBackward0" if batched else "SqueezeBackward1"


def _reduced(function: Callable, none: str | Callable, mean: str = "MeanBackward0", sum: str = "SumBackward0") -> Callable:
    """The name by the reduction; ``none`` is that of the losses themselves, or a function that gives it."""
    position = list(inspect.signature(function).parameters).index("reduction")
    names = {"mean": mean, "sum": sum, "batchmean": "DivBackward0"}

    def name(*args, **kwargs):
        reduction = args[position] if len(args) > position else kwargs.get("reduction", "mean")
        return names.get(reduction) or (none(*args, **kwargs) if callable(none) else none)

    return name


def _weighted(function: Callable, plain: Callable, mean: str) -> Callable:
    weighted = _reduced(function, "MulBackward0", mean)
    return lambda *args, **kwargs: (plain if kwargs.get("weight") is None else weighted)(*args, **kwargs)


def _smooth_l1_grad(input, target, *args, **kwargs):
    return "SmoothL1LossBackward0" if kwargs.get("beta", 1.0) != 0 else GRADS[F.l1_loss](input, target, *args, **kwargs)


def _linear_cross_entropy_grad(input, linear_weight, target, options=None, **kwargs):
    chunked = options is not None and linear_weight.dim() == 2 and not target.dtype.is_floating_point and not kwargs.get("label_smoothing")
    if not chunked:
        return _cross_entropy_grad(linear_weight, target, **kwargs)  # of the logits' rank
    if input.dim() == 1:
        return "SqueezeBackward1"
    variant = "chunked_no_reduction" if kwargs.get("reduction") == "none" else "chunked"
    return f"GeneratedBackwardFor_torch_nn__linear_cross_entropy_batch_{variant}_defaultBackward"


def _ctc_grad(log_probs, targets, input_lengths, target_lengths, blank=0, reduction="mean", zero_infinity=False):
    return "WhereBackward0" if zero_infinity else "SqueezeBackward1" if log_probs.dim() == 2 else "CtcLossBackward0"


def _adaptive_grad(head, tail, target=None):
    return "CopySlices" if target is None else "AddBackward0" if target.dim() else "SqueezeBackward1"


def _interpolate_grad(input, size=None, scale_factor=None, mode="nearest", align_corners=None, antialias=False, **kwargs):
    n = input.dim() - 2
    if mode != "area":
        kind = "".join(part.capitalize() for part in mode.split("-"))
        return f"Upsample{kind}{n}D{'Aa' if antialias else ''}Backward0"
    sizes = size if isinstance(size, (tuple, list)) else (size,)
    return "SqueezeBackward1" if n == 1 else "MeanBackward1" if set(sizes) == {1} else f"AdaptiveAvgPool{n}DBackward0"


def _pad_grad(input, pad, mode="constant", value=None):
    kind = {"reflect": "Reflection", "replicate": "Replication"}.get(mode)
    if kind:
        return f"{kind}Pad{len(pad) // 2}DBackward0"
    return "CopySlices" if mode == "circular" else "ConstantPadNdBackward0"


def _attention_grad(query, key, value, attn_mask=None, dropout_p=0.0, *args, **kwargs):
    learnt_mask = attn_mask is not None and attn_mask.requires_grad
    if query.dim() == 4 and not learnt_mask and dropout_p == 0 and query.shape[-1] == value.shape[-1]:
        return "ScaledDotProductFlashAttentionForCpuBackward0"
    if query.element_size() < 4:
        return "ToCopyBackward0"
    return "MmBackward0" if query.dim() == 2 else "UnsafeViewBackward0"


GRADS: dict[Callable, Any] = {
    F.scaled_dot_product_attention: _attention_grad,
    F.pad: _pad_grad,
    F.interpolate: _interpolate_grad,
    F.upsample: _interpolate_grad,
    F.upsample_nearest: _interpolate_grad,
    F.upsample_bilinear: "UpsampleBilinear2DBackward0",
    F.grid_sample: lambda input, *args, **kwargs: f"GridSampler{input.dim() - 2}DBackward0",
    F.affine_grid: "AffineGridGeneratorBackward0",
    F.native_channel_shuffle: "ChannelShuffleBackward0",  # torch has no derivative here
    F.fold: "Col2ImBackward0",
    F.unfold: "Im2ColBackward0",
    F.embedding_bag: "EmbeddingBagBackward0",
    F.linear: _linear_grad,
    F.grouped_mm: "GroupedMmBackward0",
    F.relu: "ReluBackward0",
    F.tanh: "TanhBackward0",
    F.sigmoid: "SigmoidBackward0",
    F.relu6: "HardtanhBackward0",
    F.selu: "EluBackward0",
    F.logsigmoid: "LogSigmoidBackward0",
    F.tanhshrink: "SubBackward0",
    F.softsign: "DivBackward0",
    F.prelu: "PreluKernelBackward0",
    F.rrelu: lambda input, *rest, training=False, **named: "RreluWithNoiseBackward0",
    F.softmin: "SoftmaxBackward0",
    F.gumbel_softmax: lambda logits, tau=1, hard=False, *rest, **named: "AddBackward0" if hard else "SoftmaxBackward0",
    F.softmax: "SoftmaxBackward0",
    F.log_softmax: "LogSoftmaxBackward0",
    F.conv1d: _unbatched("ConvolutionBackward0", 2),
    F.conv2d: _unbatched("ConvolutionBackward0", 3),
    F.conv3d: _unbatched("ConvolutionBackward0", 4),
    F.conv_transpose1d: _unbatched("ConvolutionBackward0", 2),
    F.conv_transpose2d: _unbatched("ConvolutionBackward0", 3),
    F.conv_transpose3d: _unbatched("ConvolutionBackward0", 4),
    F.conv_tbc: "ConvTbcBackward0",
    F.max_pool1d: "SqueezeBackward1",
    F.max_pool2d: "MaxPool2DWithIndicesBackward0",
    F.max_pool3d: "MaxPool3DWithIndicesBackward0",
    F.adaptive_max_pool1d: "SqueezeBackward1",
    F.adaptive_max_pool2d: "AdaptiveMaxPool2DBackward0",
    F.adaptive_max_pool3d: "AdaptiveMaxPool3DBackward0",
    F.adaptive_avg_pool1d: "SqueezeBackward1",
    F.adaptive_avg_pool2d: _adaptive_avg("AdaptiveAvgPool2DBackward0"),
    F.adaptive_avg_pool3d: _adaptive_avg("AdaptiveAvgPool3DBackward0"),
    F.fractional_max_pool2d: "FractionalMaxPool2DBackward0",
    F.fractional_max_pool3d: "FractionalMaxPool3DBackward0",
    F.max_pool1d_with_indices: "SqueezeBackward1",
    F.max_pool2d_with_indices: "MaxPool2DWithIndicesBackward0",
    F.max_pool3d_with_indices: "MaxPool3DWithIndicesBackward0",
    F.adaptive_max_pool1d_with_indices: "SqueezeBackward1",
    F.adaptive_max_pool2d_with_indices: "AdaptiveMaxPool2DBackward0",
    F.adaptive_max_pool3d_with_indices: "AdaptiveMaxPool3DBackward0",
    F.fractional_max_pool2d_with_indices: "FractionalMaxPool2DBackward0",
    F.fractional_max_pool3d_with_indices: "FractionalMaxPool3DBackward0",
    F.lp_pool1d: "PowBackward0",
    F.lp_pool2d: "PowBackward0",
    F.lp_pool3d: "PowBackward0",
    F.max_unpool1d: "SqueezeBackward1",
    F.max_unpool2d: "MaxUnpool2DBackward0",
    F.max_unpool3d: "MaxUnpool3DBackward0",
    F.avg_pool1d: "SqueezeBackward1",
    F.avg_pool2d: "AvgPool2DBackward0",
    F.avg_pool3d: "AvgPool3DBackward0",
    F.batch_norm: "NativeBatchNormBackward0",
    F.batch_norm_with_stats: "NativeBatchNormBackward0",
    F.instance_norm: _instance_norm_grad,
    F.instance_norm_with_stats: _instance_norm_grad,
    F.layer_norm: "NativeLayerNormBackward0",
    F.rms_norm: "MulBackward0",
    F.group_norm: "NativeGroupNormBackward0",
    F.local_response_norm: "DivBackward0",
    F.normalize: "DivBackward0",
    F.embedding: "EmbeddingBackward0",
    F.cross_entropy: _cross_entropy_grad,
    F.nll_loss: _nll_grad,
    F.linear_cross_entropy: _linear_cross_entropy_grad,
    F.mse_loss: _weighted(F.mse_loss, lambda *args, **kwargs: "MseLossBackward0", "DivBackward0"),
    F.l1_loss: _weighted(F.l1_loss, _reduced(F.l1_loss, "AbsBackward0"), "DivBackward0"),
    F.smooth_l1_loss: _smooth_l1_grad,
    F.huber_loss: _weighted(F.huber_loss, lambda *args, **kwargs: "HuberLossBackward0", "MeanBackward0"),
    F.kl_div: _reduced(F.kl_div, lambda *args, **kwargs: "MulBackward0" if kwargs.get("log_target") else "SubBackward0"),
    F.poisson_nll_loss: _reduced(
        F.poisson_nll_loss,
        lambda input, target, log_input=True, full=False, **kwargs: "AddBackward0" if full else "SubBackward0",
    ),
    F.gaussian_nll_loss: _reduced(
        F.gaussian_nll_loss, lambda input, target, var, full=False, **kwargs: "AddBackward0" if full else "MulBackward0"
    ),
    F.binary_cross_entropy: "BinaryCrossEntropyBackward0",
    F.binary_cross_entropy_with_logits: "BinaryCrossEntropyWithLogitsBackward0",
    F.soft_margin_loss: "SoftMarginLossBackward0",
    F.multilabel_soft_margin_loss: _reduced(F.multilabel_soft_margin_loss, "DivBackward0"),
    F.hinge_embedding_loss: _reduced(F.hinge_embedding_loss, "AddBackward0"),
    F.margin_ranking_loss: _reduced(F.margin_ranking_loss, "ClampMinBackward0"),
    F.multi_margin_loss: "MultiMarginLossBackward0",
    F.multilabel_margin_loss: "MultilabelMarginLossBackward0",
    F.ctc_loss: _reduced(F.ctc_loss, _ctc_grad),
    F.cosine_embedding_loss: _reduced(F.cosine_embedding_loss, "AddBackward0"),
    F.triplet_margin_loss: _reduced(F.triplet_margin_loss, "ClampMinBackward0"),
    from_distances: _reduced(from_distances, "ClampMinBackward0"),
    F.adaptive_log_softmax: _adaptive_grad,
    F.dropout: "MulBackward0",
    F.dropout1d: _unbatched("MulBackward0", 2),
    F.dropout2d: "MulBackward0",
    F.dropout3d: _unbatched("MulBackward0", 4),
    F.alpha_dropout: "AddBackward0",
    F.feature_alpha_dropout: "AddBackward0",
    F.bilinear: lambda input1, input2, weight, bias=None: "ViewBackward0" if bias is None else "AddBackward0",
    F.cosine_similarity: "SumBackward1",
    F.pairwise_distance: "NormBackward1",
}
SAVES: dict[Callable, tuple[str, ...]] = {
    F.relu: ("result",),
    F.tanh: ("result",),
    F.sigmoid: ("result",),
    F.softmax: ("result",),
    F.log_softmax: ("result",),
}
ORDER: dict[Callable, tuple[int, ...]] = {F.linear: (2, 0, 1)}  # as addmm: the bias first
