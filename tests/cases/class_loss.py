"""Rows of the table: class_loss, margin_loss, distance_loss, linear_cross_entropy, adaptive."""

import jax.numpy as jnp
import numpy as np

import funnn.functional as F
from funnn.layers import LinearCrossEntropyOptions
from tests.cases._case import Given, Int, Sign, Uniform, case

LOGITS = ((4, 5), Int((4,), 5))
WEIGHTS = np.array([0.5, 1.0, 2.0, 0.25, 3.0], np.float32)
SIGNS = Given(np.array([[1, -1, 1], [-1, 1, 1], [-1, -1, 1], [1, 1, -1]]))  # integers: torch has no gradient in them
EVERY_CLUSTER = Given(np.array([0, 3, 7, 19]))


def squared(x, y):
    """A distance that runs on arrays and on both kinds of Tensor."""
    return ((x - y) * (x - y)).sum(-1)


LAYERS = [
    case("NLLLoss", inputs=LOGITS),
    case("NLLLoss", weight=WEIGHTS, ignore_index=2, inputs=((4, 5, 3), Int((4, 3), 5))),
    case("NLLLoss2d", reduction="sum", inputs=((4, 5, 2, 3), Int((4, 2, 3), 5))),
    case("CrossEntropyLoss", inputs=LOGITS),
    case("CrossEntropyLoss", weight=WEIGHTS, label_smoothing=0.1, inputs=LOGITS),
    case("CrossEntropyLoss", reduction="sum", inputs=((4, 5), (4, 5))),
    case("LinearCrossEntropyLoss", 3, 5, inputs=((4, 3), Int((4,), 5))),
    case("LinearCrossEntropyLoss", 3, 5, out_features=(2,), bias=True, weight=WEIGHTS, reduction="none", inputs=((4, 3), Int((4, 2), 5))),
    case("BCELoss", weight=WEIGHTS, reduction="sum", inputs=(Uniform((4, 5)), Uniform((4, 5)))),
    case("BCEWithLogitsLoss", weight=WEIGHTS, pos_weight=WEIGHTS, reduction="none", inputs=((4, 5), Uniform((4, 5)))),
    case("MultiLabelSoftMarginLoss", weight=WEIGHTS, inputs=((4, 5), Uniform((4, 5)))),
    case("HingeEmbeddingLoss", margin=0.5, inputs=((4, 3), SIGNS)),
    case("HingeEmbeddingLoss", reduction="none", inputs=((4, 3), SIGNS)),
    case("MarginRankingLoss", inputs=((4, 3), (4, 3), Sign((4, 3)))),
    case("MarginRankingLoss", margin=0.5, reduction="none", inputs=((4,), (4,), Sign((4,)))),
    case("MultiMarginLoss", inputs=LOGITS),
    case("MultiMarginLoss", p=2, margin=0.5, weight=WEIGHTS, reduction="none", inputs=LOGITS),
    case("MultiLabelMarginLoss", inputs=((4, 5), Int((4, 5), 5, -1))),
    case("MultiLabelMarginLoss", reduction="sum", inputs=((5,), Int((5,), 5, -1))),
    case("CosineEmbeddingLoss", inputs=((4, 3), (4, 3), Given(np.array([1, -1, -1, 1])))),
    case("CosineEmbeddingLoss", margin=0.3, reduction="none", inputs=((4, 3), (4, 3), Given(np.array([-1, -1, -1, 1])))),
    case("TripletMarginLoss", inputs=((4, 3), (4, 3), (4, 3))),
    case("TripletMarginLoss", margin=2.0, p=1, swap=True, reduction="none", inputs=((3,), (3,), (3,))),
    case("TripletMarginWithDistanceLoss", inputs=((4, 3), (4, 3), (4, 3))),
    case("TripletMarginWithDistanceLoss", distance_function=squared, swap=True, reduction="sum", inputs=((4, 3), (4, 3), (4, 3))),
    case("AdaptiveLogSoftmaxWithLoss", 16, 20, (3, 7), div_value=2, inputs=((4, 16), EVERY_CLUSTER)),
    case("AdaptiveLogSoftmaxWithLoss", 16, 20, (5,), head_bias=True, inputs=((16,), Int((), 20, 5))),
]

INDEX = jnp.array([0, 1])
FUNCTIONS = {
    "cross_entropy": ([(2, 3), (3,)], lambda x, w: F.cross_entropy(x, INDEX, jnp.square(w), label_smoothing=0.1)),
    "nll_loss": ([(2, 3)], lambda x: F.nll_loss(x, INDEX)),
    "linear_cross_entropy": (
        [(2, 4), (3, 4), (3,), (3,)],
        lambda x, a, b, w: F.linear_cross_entropy(
            x, a, INDEX, linear_bias=b, weight=jnp.square(w), options=LinearCrossEntropyOptions(batch_chunk_size=1)
        ),
    ),
    "adaptive_log_softmax": ([(2, 4), (2, 3)], lambda head, tail: F.adaptive_log_softmax(head, [tail], jnp.array([1, 4]))),
    "hinge_embedding_loss": ([(2, 3)], lambda x: F.hinge_embedding_loss(x, jnp.array([1, -1, 1]))),
    "margin_ranking_loss": ([(2, 3), (2, 3)], lambda x, y: F.margin_ranking_loss(x, y, jnp.ones((2, 3), x.dtype), 0.5)),
    "cosine_embedding_loss": ([(2, 3), (2, 3)], lambda x, y: F.cosine_embedding_loss(x, y, jnp.array([1, -1]))),
    "triplet_margin_loss": ([(2, 3), (2, 3), (2, 3)], lambda a, b, c: F.triplet_margin_loss(a, b, c, margin=3.0, swap=True)),
    "triplet_margin_with_distance_loss": (
        [(2, 3), (2, 3), (2, 3)],
        lambda a, b, c: F.triplet_margin_with_distance_loss(a, b, c, distance_function=squared, margin=9.0),
    ),
    "multi_margin_loss": ([(2, 3), (3,)], lambda x, w: F.multi_margin_loss(x, INDEX, 2, weight=w)),
    "multilabel_margin_loss": ([(2, 3)], lambda x: F.multilabel_margin_loss(x, jnp.array([[0, -1, 1], [1, 2, -1]]))),
}
