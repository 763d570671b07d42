"""The functions of funnn.functional on Tensors: one row a function that is more than its pure function under its own name.

A row says what torch calls the grad_fn, to what autocast casts its operands, whether it computes element by element, what tries to compute
few numbers with NumPy, and what looks at values first.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from funnn import functional as F
from funnn.engine.dispatch import small_arrays as small
from funnn.engine.dispatch.autocast import FLOAT32, LOWER, REFUSED, WIDEST
from funnn.engine.memory.strides import batched_in_channels_last, in_channels_last, like_first
from funnn.engine.ops.nn import value_checks as checks
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.dtype import float32
from funnn.functional.distance_loss import from_distances


class FunctionRow(NamedTuple):
    """What is said of a function.

    Attributes:
      grad, order, autocast: as in ``Op``.
      elementwise, arrange, small: as in ``overridable``.
      check: looks at the values of those arguments that it names, and raises for what torch refuses.
      check_result: looks at the result and the arguments.
    """

    grad: str | Callable | None = None
    order: tuple[int, ...] = ()
    autocast: Any = None
    elementwise: bool = False
    arrange: Callable | None = None
    small: Callable | None = None
    check: Callable | None = None
    check_result: Callable | None = None


ROWS: dict[Callable, FunctionRow] = {}


def row(function: Callable, grad: str | Callable | None = None, **policies: Any) -> None:
    """Add a row."""
    ROWS[function] = FunctionRow(grad, **policies)


# -- names that the call's arguments decide


def _linear_grad(input, weight, bias=None):
    rank = len(input._storage.value.shape) if input._window is None else len(input._window.shape)  # input.dim(), in fewer calls
    if bias is None:
        return {1: "SqueezeBackward4", 2: "MmBackward0"}.get(rank, "UnsafeViewBackward0")
    return "AddmmBackward0" if rank == 2 else "ViewBackward0"


def _unbatched(name: Any, rank: int, otherwise: Any = "SqueezeBackward1") -> Callable:
    return lambda input, *args, **kwargs: otherwise if input.dim() == rank else name


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
    return "SmoothL1LossBackward0" if kwargs.get("beta", 1.0) != 0 else ROWS[F.l1_loss].grad(input, target, *args, **kwargs)


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


def _recurrent_grad(function: Callable) -> Callable:
    """The names of the output's node and of the final states': torch stacks the layers' states."""
    lstm = function is F.lstm
    arguments = list(inspect.signature(function).parameters)

    def names(*args, **kwargs):
        given = {**dict(zip(arguments, args, strict=False)), **kwargs}
        states = 2 if lstm else 1
        if given["input"].dim() == 2:
            return ("SqueezeBackward1",) * (1 + states)
        steps = "CatBackward0" if given["bidirectional"] else "StackBackward0"
        if given["batch_first"]:
            steps = "TransposeBackward0" if lstm else "TransposeBackward1"  # in place, of GRU and RNN
        elif lstm and steps == "StackBackward0" and given["input"].dtype is float32 and not _projects(given):
            steps = "MkldnnRnnLayerBackward0"
        return (steps, *["StackBackward0"] * states)

    return names


def _projects(given: dict[str, Any]) -> bool:
    return len(given["params"]) > given["num_layers"] * (4 if given["has_biases"] else 2)  # of one direction


def _pad_cast(args: tuple, kwargs: dict) -> str | None:
    """On a CPU torch reflects in float32 along one or two dimensions, and replicates along any."""
    pad, how = args[1] if len(args) > 1 else kwargs["pad"], args[2] if len(args) > 2 else kwargs.get("mode", "constant")
    return FLOAT32 if how == "replicate" or (how == "reflect" and len(pad) <= 4) else None


def _conv_grad(rank: int) -> Callable:
    """torch puts the convolution of complex numbers together from three."""

    def name(input, *args, **kwargs):
        return "SqueezeBackward1" if input.dim() == rank else "AddBackward0" if input.is_complex() else "ConvolutionBackward0"

    return name


# -- results that lie otherwise by what the call says

_signal_in_channels_last = batched_in_channels_last(1)


def _arrange_padded(result: Any, args: tuple, kwargs: dict) -> Any:
    return result if "circular" in (*args[2:3], kwargs.get("mode")) else in_channels_last(result, args, kwargs)


def _arrange_pooled(result: Any, args: tuple, kwargs: dict) -> Any:
    """torch has a kernel of its own where neither a gradient nor the places are wanted."""
    return result if isinstance(result, Tensor) and not result.requires_grad else _signal_in_channels_last(result, args, kwargs)


def _arrange_resized(result: Any, args: tuple, kwargs: dict) -> Any:
    """A mean over areas is an adaptive pool."""
    rank = result.dim() if "area" in (*args[3:4], kwargs.get("mode")) else 4
    return result if rank == 5 else (_signal_in_channels_last if rank == 3 else in_channels_last)(result, args, kwargs)


# -- the rows

row(F.scaled_dot_product_attention, _attention_grad, autocast=LOWER)
row(F.pad, _pad_grad, autocast={"cpu": _pad_cast}, check=checks.filling, arrange=_arrange_padded)
row(F.interpolate, _interpolate_grad, arrange=_arrange_resized)
row(F.upsample, _interpolate_grad, arrange=_arrange_resized)
row(F.upsample_nearest, _interpolate_grad, arrange=in_channels_last)
row(F.upsample_bilinear, "UpsampleBilinear2DBackward0", arrange=in_channels_last)
row(F.grid_sample, lambda input, *args, **kwargs: f"GridSampler{input.dim() - 2}DBackward0", autocast={"cpu": FLOAT32, "cuda": WIDEST})
row(F.affine_grid, "AffineGridGeneratorBackward0")
row(F.native_channel_shuffle, "ChannelShuffleBackward0", arrange=in_channels_last)
row(F.channel_shuffle, arrange=in_channels_last)
row(F.pixel_shuffle, arrange=in_channels_last)
row(F.pixel_unshuffle, arrange=in_channels_last)
row(F.fold, "Col2ImBackward0")
row(F.unfold, "Im2ColBackward0")
row(F.embedding_bag, "EmbeddingBagBackward0", check=checks.bags)
row(F.linear, _linear_grad, order=(2, 0, 1), autocast=LOWER)
row(F.grouped_mm, "GroupedMmBackward0")
row(F.relu, "ReluBackward0", elementwise=True, small=small.relu)
row(F.tanh, "TanhBackward0", elementwise=True, small=small.elementwise(np.tanh, "fd", rounded=True))
row(F.sigmoid, "SigmoidBackward0", elementwise=True)
row(F.relu6, "HardtanhBackward0", elementwise=True)
row(F.selu, "EluBackward0", elementwise=True)
row(F.logsigmoid, "LogSigmoidBackward0")
row(F.tanhshrink, "SubBackward0", elementwise=True)
row(F.softsign, "DivBackward0", elementwise=True)
row(F.prelu, "PreluKernelBackward0", autocast=LOWER, elementwise=True)
row(F.rrelu, lambda input, *rest, training=False, **named: "RreluWithNoiseBackward0")
row(F.softmin, "SoftmaxBackward0", autocast={"cuda": FLOAT32})
row(F.gumbel_softmax, lambda logits, tau=1, hard=False, *rest, **named: "AddBackward0" if hard else "SoftmaxBackward0")
row(F.softmax, "SoftmaxBackward0", autocast={"cuda": FLOAT32})
row(F.log_softmax, "LogSoftmaxBackward0", autocast={"cuda": FLOAT32})
row(F.conv1d, _conv_grad(2), autocast=LOWER, arrange=batched_in_channels_last(1))
row(F.conv2d, _conv_grad(3), autocast=LOWER, arrange=batched_in_channels_last(2))
row(F.conv3d, _conv_grad(4), autocast=LOWER, arrange=batched_in_channels_last(3))
row(F.conv_transpose1d, _conv_grad(2), autocast=LOWER, arrange=batched_in_channels_last(1))
row(F.conv_transpose2d, _conv_grad(3), autocast=LOWER, arrange=batched_in_channels_last(2))
row(F.conv_transpose3d, _conv_grad(4), autocast=LOWER, arrange=batched_in_channels_last(3))
row(F.conv_tbc, "ConvTbcBackward0")
row(F.max_pool1d, "SqueezeBackward1", arrange=_arrange_pooled)
row(F.max_pool2d, "MaxPool2DWithIndicesBackward0", arrange=in_channels_last)
row(F.max_pool3d, "MaxPool3DWithIndicesBackward0", autocast={"cpu": FLOAT32}, arrange=in_channels_last)
row(F.adaptive_max_pool1d, "SqueezeBackward1", arrange=batched_in_channels_last(1))
row(F.adaptive_max_pool2d, "AdaptiveMaxPool2DBackward0", arrange=in_channels_last)
row(F.adaptive_max_pool3d, "AdaptiveMaxPool3DBackward0", autocast={"cpu": FLOAT32})
row(F.adaptive_avg_pool1d, "SqueezeBackward1", arrange=batched_in_channels_last(1))
row(F.adaptive_avg_pool2d, _adaptive_avg("AdaptiveAvgPool2DBackward0"), arrange=in_channels_last)
row(F.adaptive_avg_pool3d, _adaptive_avg("AdaptiveAvgPool3DBackward0"), autocast={"cpu": FLOAT32})
row(F.fractional_max_pool2d, "FractionalMaxPool2DBackward0", autocast={"cpu": FLOAT32})
row(F.fractional_max_pool3d, "FractionalMaxPool3DBackward0", autocast={"cpu": FLOAT32})
row(F.max_pool1d_with_indices, "SqueezeBackward1", arrange=batched_in_channels_last(1))
row(F.max_pool2d_with_indices, "MaxPool2DWithIndicesBackward0", arrange=in_channels_last)
row(F.max_pool3d_with_indices, "MaxPool3DWithIndicesBackward0", arrange=in_channels_last)
row(F.adaptive_max_pool1d_with_indices, "SqueezeBackward1", arrange=batched_in_channels_last(1))
row(F.adaptive_max_pool2d_with_indices, "AdaptiveMaxPool2DBackward0", arrange=in_channels_last)
row(F.adaptive_max_pool3d_with_indices, "AdaptiveMaxPool3DBackward0")
row(F.fractional_max_pool2d_with_indices, "FractionalMaxPool2DBackward0")
row(F.fractional_max_pool3d_with_indices, "FractionalMaxPool3DBackward0")
row(F.lp_pool1d, "PowBackward0")
row(F.lp_pool2d, "PowBackward0", arrange=in_channels_last)
row(F.lp_pool3d, "PowBackward0", autocast={"cpu": FLOAT32})
row(F.max_unpool1d, "SqueezeBackward1", autocast={"cpu": FLOAT32}, check=checks.places, check_result=checks.unpooled_1d)
row(
    F.max_unpool2d,
    "MaxUnpool2DBackward0",
    autocast={"cpu": FLOAT32},
    check=checks.places,
    check_result=checks.unpooled_2d,
    arrange=in_channels_last,
)
row(F.max_unpool3d, "MaxUnpool3DBackward0", autocast={"cpu": FLOAT32}, check=checks.places, check_result=checks.unpooled_3d)
row(F.avg_pool1d, "SqueezeBackward1", arrange=batched_in_channels_last(1))
row(F.avg_pool2d, "AvgPool2DBackward0", arrange=in_channels_last)
row(F.avg_pool3d, "AvgPool3DBackward0", autocast={"cpu": FLOAT32})
row(F.batch_norm, "NativeBatchNormBackward0", arrange=in_channels_last)
row(F.batch_norm_with_stats, ("NativeBatchNormBackward0", None, None), arrange=in_channels_last)
row(F.instance_norm, _instance_norm_grad)
row(F.instance_norm_with_stats, _instance_norm_grad)
row(F.layer_norm, "NativeLayerNormBackward0", autocast={"cuda": FLOAT32})
row(F.rms_norm, "MulBackward0")
row(F.group_norm, "NativeGroupNormBackward0", autocast={"cuda": FLOAT32}, arrange=in_channels_last)
row(F.local_response_norm, "DivBackward0", elementwise=True)
row(F.normalize, "DivBackward0", autocast={"cuda": FLOAT32}, elementwise=True)
row(F.embedding, "EmbeddingBackward0", check=checks.embedding)
row(F.one_hot, check=checks.coded)
row(F.cross_entropy, _cross_entropy_grad, autocast=FLOAT32, check=checks.classes)
row(F.nll_loss, _nll_grad, autocast=FLOAT32, check=checks.classes)
row(F.linear_cross_entropy, _linear_cross_entropy_grad, autocast=FLOAT32, check=checks.linear_classes)
row(F.mse_loss, _weighted(F.mse_loss, lambda *args, **kwargs: "MseLossBackward0", "DivBackward0"), autocast=FLOAT32, elementwise=True)
row(F.l1_loss, _weighted(F.l1_loss, _reduced(F.l1_loss, "AbsBackward0"), "DivBackward0"), autocast=FLOAT32, elementwise=True)
row(F.smooth_l1_loss, _smooth_l1_grad, autocast=FLOAT32, elementwise=True)
row(
    F.huber_loss,
    _weighted(F.huber_loss, lambda *args, **kwargs: "HuberLossBackward0", "MeanBackward0"),
    autocast={"cpu": FLOAT32},
    elementwise=True,
)
row(
    F.kl_div,
    _reduced(F.kl_div, lambda *args, **kwargs: "MulBackward0" if kwargs.get("log_target") else "SubBackward0"),
    autocast=FLOAT32,
    elementwise=True,
)
row(
    F.poisson_nll_loss,
    _reduced(F.poisson_nll_loss, lambda input, target, log_input=True, full=False, **kwargs: "AddBackward0" if full else "SubBackward0"),
    autocast=FLOAT32,
    elementwise=True,
)
row(
    F.gaussian_nll_loss,
    _reduced(F.gaussian_nll_loss, lambda input, target, var, full=False, **kwargs: "AddBackward0" if full else "MulBackward0"),
    check=checks.variances,
    elementwise=True,
)
row(
    F.binary_cross_entropy,
    "BinaryCrossEntropyBackward0",
    autocast={"cpu": FLOAT32, "cuda": REFUSED},
    elementwise=True,
    check=checks.probabilities,
)
row(F.binary_cross_entropy_with_logits, "BinaryCrossEntropyWithLogitsBackward0", autocast=FLOAT32, elementwise=True)
row(F.soft_margin_loss, "SoftMarginLossBackward0", autocast=FLOAT32, elementwise=True)
row(F.multilabel_soft_margin_loss, _reduced(F.multilabel_soft_margin_loss, "DivBackward0"))
row(F.hinge_embedding_loss, _reduced(F.hinge_embedding_loss, "AddBackward0"), autocast=FLOAT32, elementwise=True)
row(F.margin_ranking_loss, _reduced(F.margin_ranking_loss, "ClampMinBackward0"), autocast=FLOAT32, elementwise=True)
row(F.multi_margin_loss, "MultiMarginLossBackward0", autocast=FLOAT32, check=checks.one_class)
row(F.multilabel_margin_loss, "MultilabelMarginLossBackward0", autocast=FLOAT32, check=checks.some_classes)
row(F.ctc_loss, _reduced(F.ctc_loss, _ctc_grad), autocast=FLOAT32, check=checks.lengths)
row(F.cosine_embedding_loss, _reduced(F.cosine_embedding_loss, "AddBackward0"), autocast=FLOAT32)
row(F.triplet_margin_loss, _reduced(F.triplet_margin_loss, "ClampMinBackward0"), autocast=FLOAT32)
row(from_distances, _reduced(from_distances, "ClampMinBackward0"))
row(F.adaptive_log_softmax, _adaptive_grad, autocast={"cpu": FLOAT32}, check=checks.adaptive)
row(F.dropout, "MulBackward0", elementwise=True)
row(F.dropout1d, _unbatched("MulBackward0", 2), elementwise=True)
row(F.dropout2d, "MulBackward0", elementwise=True)
row(F.dropout3d, _unbatched("MulBackward0", 4), elementwise=True)
row(F.alpha_dropout, "AddBackward0", elementwise=True)
row(F.feature_alpha_dropout, "AddBackward0", elementwise=True)
row(F.bilinear, lambda input1, input2, weight, bias=None: "ViewBackward0" if bias is None else "AddBackward0", autocast={"cuda": WIDEST})
row(F.cosine_similarity, "SumBackward1", autocast={"cuda": FLOAT32})
row(F.pairwise_distance, "NormBackward1")
row(F.celu, elementwise=True)
row(F.elu, elementwise=True)
row(F.gelu, elementwise=True)
row(F.gru, _recurrent_grad(F.gru), autocast={"cuda": LOWER})
row(F.gru_cell, _unbatched("AddBackward0", 1), autocast={"cuda": LOWER})
row(F.hardshrink, elementwise=True)
row(F.hardsigmoid, elementwise=True)
row(F.hardswish, elementwise=True)
row(F.hardtanh, elementwise=True)
row(F.leaky_relu, elementwise=True, small=small.leaky_relu)
row(F.lstm, _recurrent_grad(F.lstm), autocast=LOWER)
row(F.lstm_cell, _unbatched(("MulBackward0", "AddBackward0"), 1, ("SqueezeBackward1", "SqueezeBackward1")), autocast={"cuda": LOWER})
row(F.mish, elementwise=True)
row(F.pdist, autocast={"cuda": FLOAT32})
row(F.rnn_relu, _recurrent_grad(F.rnn_relu), autocast=LOWER)
row(F.rnn_relu_cell, _unbatched("ReluBackward0", 1), autocast=LOWER)
row(F.rnn_tanh, _recurrent_grad(F.rnn_tanh), autocast=LOWER)
row(F.rnn_tanh_cell, _unbatched("TanhBackward0", 1), autocast=LOWER)
row(F.glu, arrange=like_first)
row(F.silu, elementwise=True)
row(F.softplus, autocast={"cuda": FLOAT32}, elementwise=True)
row(F.softshrink, elementwise=True)
row(F.threshold, elementwise=True)
