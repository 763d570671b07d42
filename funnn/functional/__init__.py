"""Pure kernels over ``jax.Array``, with torch.nn.functional's names, argument order and defaults.

Every function is pure, works under jit, grad, jvp and vmap, keeps the input's dtype in JAX's 32-bit and 64-bit modes, and also takes any
object that implements the protocol of :mod:`funnn.functional._dispatch`. Functions that draw random numbers take ``key``.
"""

from funnn.functional._dispatch import public
from funnn.functional.activation import log_softmax, relu, sigmoid, softmax, tanh
from funnn.functional.conv import conv1d, conv2d, conv3d
from funnn.functional.dropout import dropout
from funnn.functional.linear import linear
from funnn.functional.loss import cross_entropy, l1_loss, mse_loss, nll_loss
from funnn.functional.normalization import batch_norm, batch_norm_with_stats, layer_norm
from funnn.functional.pooling import avg_pool1d, avg_pool2d, avg_pool3d, max_pool1d, max_pool2d, max_pool3d
from funnn.functional.shape import flatten, unflatten
from funnn.functional.sparse import embedding, one_hot

# One line a topic, in the order of the files
__all__ = [  # noqa: RUF022
    "public",
    "log_softmax", "relu", "sigmoid", "softmax", "tanh",
    "conv1d", "conv2d", "conv3d",
    "dropout",
    "linear",
    "cross_entropy", "l1_loss", "mse_loss", "nll_loss",
    "batch_norm", "batch_norm_with_stats", "layer_norm",
    "avg_pool1d", "avg_pool2d", "avg_pool3d", "max_pool1d", "max_pool2d", "max_pool3d",
    "flatten", "unflatten",
    "embedding", "one_hot",
]  # fmt: skip
