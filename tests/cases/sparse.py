"""Rows of the table: sparse."""

import jax.numpy as jnp
import numpy as np

import funnn.functional as F
from tests.cases._case import Given, Int, case

OFFSETS = np.array([0, 2, 2, 5])

LAYERS = [
    case("Embedding", 7, 4, inputs=(Int((2, 5), 7),)),
    case("Embedding", 7, 4, padding_idx=-2, inputs=(Int((6,), 7),)),
    case("Embedding", 7, 4, max_norm=0.5, norm_type=1.0, scale_grad_by_freq=True, inputs=(Int((6,), 7),)),
    case("EmbeddingBag", 7, 4, inputs=(Int((3, 5), 7),)),
    case("EmbeddingBag", 7, 4, mode="max", padding_idx=1, inputs=(Int((6,), 7), Given(OFFSETS))),
    case("EmbeddingBag", 7, 4, mode="sum", max_norm=1.0, padding_idx=-7, inputs=(Int((6,), 7), Given(OFFSETS), (6,))),
    case("EmbeddingBag", 7, 4, include_last_offset=True, norm_type=3.0, inputs=(Int((6,), 7), Given(np.array([0, 2, 2, 6])))),
]

FUNCTIONS = {
    "embedding": ([(4, 3)], lambda w: F.embedding(jnp.array([0, 1, 1]), w, 0, max_norm=1.0, scale_grad_by_freq=True)),
    "embedding_renorm": ([(4, 3)], lambda w: F.embedding_renorm(jnp.array([0, 1]), w, 0.5)),
    "embedding_bag": (
        [(4, 3), (4,)],
        lambda w, p: F.embedding_bag(jnp.array([0, 1, 1, 2]), w, jnp.array([0, 2, 2]), mode="sum", per_sample_weights=p),
    ),
}
CONSTANT = {"one_hot"}
