"""Rows of the table: sparse."""

import jax.numpy as jnp

import funnn.functional as F
from tests.cases._case import Int, case

LAYERS = [
    case("Embedding", 7, 4, inputs=(Int((2, 5), 7),)),
    case("Embedding", 7, 4, padding_idx=-2, inputs=(Int((6,), 7),)),
]

FUNCTIONS = {
    "embedding": ([(4, 3)], lambda w: F.embedding(jnp.array([0, 1]), w, 0)),
}
CONSTANT = {"one_hot"}
