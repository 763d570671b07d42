"""Pure kernels over ``jax.Array``, with torch.nn.functional's names, argument order and defaults.

Every function is pure, works under jit, grad, jvp and vmap, keeps the input's dtype in JAX's 32-bit and 64-bit modes, and also takes any
object that implements the protocol of :mod:`funnn.functional._dispatch`. Functions that draw random numbers take ``key``.
"""

from funnn.functional._dispatch import public
from funnn.functional.activation import (
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    prelu,
    relu,
    relu6,
    rrelu,
    softshrink,
    threshold,
)  # fmt: skip
from funnn.functional.adaptive_pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool1d_with_indices,
    adaptive_max_pool2d,
    adaptive_max_pool2d_with_indices,
    adaptive_max_pool3d,
    adaptive_max_pool3d_with_indices,
)  # fmt: skip
from funnn.functional.adaptive_softmax import adaptive_log_softmax
from funnn.functional.attention import multi_head_attention_forward, scaled_dot_product_attention
from funnn.functional.attention_mask import alibi_bias, alibi_slopes, attention_mask, segment_positions
from funnn.functional.batchnorm import batch_norm, batch_norm_with_stats, instance_norm, instance_norm_with_stats
from funnn.functional.binary_loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    multilabel_soft_margin_loss,
    soft_margin_loss,
)
from funnn.functional.class_loss import cross_entropy, nll_loss
from funnn.functional.conv import conv1d, conv2d, conv3d, conv_tbc, conv_transpose1d, conv_transpose2d, conv_transpose3d
from funnn.functional.ctc import ctc_loss
from funnn.functional.distance import cosine_similarity, pairwise_distance, pdist
from funnn.functional.distance_loss import cosine_embedding_loss, triplet_margin_loss, triplet_margin_with_distance_loss
from funnn.functional.dropout import alpha_dropout, dropout, dropout1d, dropout2d, dropout3d, feature_alpha_dropout
from funnn.functional.embedding_bag import embedding_bag
from funnn.functional.flex_attention import flex_attention
from funnn.functional.fold import fold, unfold
from funnn.functional.fractional_pooling import (
    fractional_max_pool2d,
    fractional_max_pool2d_with_indices,
    fractional_max_pool3d,
    fractional_max_pool3d_with_indices,
)  # fmt: skip
from funnn.functional.grid_sample import affine_grid, grid_sample
from funnn.functional.interpolate import interpolate, upsample, upsample_bilinear, upsample_nearest
from funnn.functional.kv_cache import KVCache as KVCache
from funnn.functional.kv_cache import init_kv_cache, reorder_kv_cache, update_kv_cache
from funnn.functional.linear import bilinear, linear
from funnn.functional.linear_cross_entropy import linear_cross_entropy
from funnn.functional.loss import gaussian_nll_loss, huber_loss, kl_div, l1_loss, mse_loss, poisson_nll_loss, smooth_l1_loss
from funnn.functional.margin_loss import hinge_embedding_loss, margin_ranking_loss, multi_margin_loss, multilabel_margin_loss
from funnn.functional.matmul import ScalingType as ScalingType
from funnn.functional.matmul import SwizzleType as SwizzleType
from funnn.functional.matmul import grouped_mm, scaled_mm
from funnn.functional.mixture import expert_slots, load_balancing_loss, mixture_of_experts, router_z_loss, swiglu, top_k_routing
from funnn.functional.normalization import group_norm, layer_norm, local_response_norm, normalize, rms_norm
from funnn.functional.padding import pad
from funnn.functional.pooling import (
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    max_pool1d,
    max_pool1d_with_indices,
    max_pool2d,
    max_pool2d_with_indices,
    max_pool3d,
    max_pool3d_with_indices,
)  # fmt: skip
from funnn.functional.recurrent import gru, lstm, rnn_relu, rnn_tanh
from funnn.functional.recurrent_cell import gru_cell, lstm_cell, rnn_relu_cell, rnn_tanh_cell
from funnn.functional.rotary import rotary_embedding, rotary_frequencies
from funnn.functional.sampling import min_p_filter, sample_tokens, top_k_filter, top_p_filter
from funnn.functional.shape import flatten, unflatten
from funnn.functional.smooth_activation import (
    celu,
    elu,
    gelu,
    glu,
    logsigmoid,
    mish,
    selu,
    sigmoid,
    silu,
    softplus,
    softsign,
    tanh,
    tanhshrink,
)  # fmt: skip
from funnn.functional.softmax import gumbel_softmax, log_softmax, softmax, softmin
from funnn.functional.sparse import embedding, embedding_renorm, one_hot
from funnn.functional.unpooling import max_unpool1d, max_unpool2d, max_unpool3d
from funnn.functional.vision import channel_shuffle, native_channel_shuffle, pixel_shuffle, pixel_unshuffle

# One line a topic, in the order of the files
__all__ = [  # noqa: RUF022
    "public",
    "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "prelu", "relu", "relu6", "rrelu", "softshrink", "threshold",
    "celu", "elu", "gelu", "glu", "logsigmoid", "mish", "selu", "sigmoid", "silu", "softplus", "softsign", "tanh", "tanhshrink",
    "gumbel_softmax", "log_softmax", "softmax", "softmin",
    "adaptive_log_softmax",
    "flex_attention", "multi_head_attention_forward", "scaled_dot_product_attention",
    "alibi_bias", "alibi_slopes", "attention_mask", "segment_positions",
    "init_kv_cache", "reorder_kv_cache", "update_kv_cache",
    "rotary_embedding", "rotary_frequencies",
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "multilabel_soft_margin_loss", "soft_margin_loss",
    "cross_entropy", "nll_loss",
    "conv1d", "conv2d", "conv3d", "conv_tbc", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "ctc_loss",
    "cosine_embedding_loss", "triplet_margin_loss", "triplet_margin_with_distance_loss",
    "alpha_dropout", "dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout",
    "cosine_similarity", "pairwise_distance", "pdist",
    "bilinear", "linear",
    "grouped_mm", "scaled_mm",
    "linear_cross_entropy",
    "gaussian_nll_loss", "huber_loss", "kl_div", "l1_loss", "mse_loss", "poisson_nll_loss", "smooth_l1_loss",
    "hinge_embedding_loss", "margin_ranking_loss", "multi_margin_loss", "multilabel_margin_loss",
    "batch_norm", "batch_norm_with_stats", "instance_norm", "instance_norm_with_stats",
    "group_norm", "layer_norm", "local_response_norm", "normalize", "rms_norm",
    "fold", "unfold",
    "affine_grid", "grid_sample",
    "interpolate", "upsample", "upsample_bilinear", "upsample_nearest",
    "pad",
    "avg_pool1d", "avg_pool2d", "avg_pool3d", "lp_pool1d", "lp_pool2d", "lp_pool3d", "max_pool1d", "max_pool1d_with_indices", "max_pool2d",
    "max_pool2d_with_indices", "max_pool3d", "max_pool3d_with_indices",
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool1d_with_indices",
    "adaptive_max_pool2d", "adaptive_max_pool2d_with_indices", "adaptive_max_pool3d", "adaptive_max_pool3d_with_indices",
    "fractional_max_pool2d", "fractional_max_pool2d_with_indices", "fractional_max_pool3d", "fractional_max_pool3d_with_indices",
    "max_unpool1d", "max_unpool2d", "max_unpool3d",
    "gru", "gru_cell", "lstm", "lstm_cell", "rnn_relu", "rnn_relu_cell", "rnn_tanh", "rnn_tanh_cell",
    "expert_slots", "load_balancing_loss", "mixture_of_experts", "router_z_loss", "swiglu", "top_k_routing",
    "min_p_filter", "sample_tokens", "top_k_filter", "top_p_filter",
    "flatten", "unflatten",
    "embedding", "embedding_renorm", "one_hot",
    "embedding_bag",
    "channel_shuffle", "native_channel_shuffle", "pixel_shuffle", "pixel_unshuffle",
]  # fmt: skip
