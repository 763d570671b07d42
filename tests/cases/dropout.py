"""Rows of the table: dropout."""

import jax

import funnn.functional as F
from tests.cases._case import case

LAYERS = [
    case("Dropout", 0.3, inputs=((20, 30),), stochastic_=True),
]

FUNCTIONS = {
    "dropout": ([(2, 3)], lambda x: F.dropout(x, 0.5, key=jax.random.key(0))),
}
