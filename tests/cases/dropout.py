"""Rows of the table: dropout."""

import jax

import funnn.functional as F
from tests.cases._case import case

LAYERS = [
    case("Dropout", 0.3, inputs=((20, 30),), stochastic_=True),
    case("Dropout1d", inputs=((4, 5, 3),), stochastic_=True),
    case("Dropout1d", 0.2, inputs=((5, 3),), stochastic_=True),
    case("Dropout2d", 0.7, inputs=((4, 5, 3, 2),), stochastic_=True),
    case("Dropout3d", inputs=((4, 5, 3, 2, 1),), stochastic_=True),
    case("Dropout3d", inputs=((5, 3, 2, 1),), stochastic_=True),
    case("AlphaDropout", 0.3, inputs=((20, 3),), stochastic_=True),
    case("FeatureAlphaDropout", inputs=((4, 5, 3),), stochastic_=True),
]

FUNCTIONS = {
    "dropout": ([(2, 3)], lambda x: F.dropout(x, 0.5, key=jax.random.key(0))),
    "dropout1d": ([(2, 3, 2)], lambda x: F.dropout1d(x, key=jax.random.key(0))),
    "dropout2d": ([(2, 3, 2, 2)], lambda x: F.dropout2d(x, key=jax.random.key(0))),
    "dropout3d": ([(2, 3, 2, 2, 1)], lambda x: F.dropout3d(x, key=jax.random.key(0))),
    "alpha_dropout": ([(2, 3)], lambda x: F.alpha_dropout(x, training=True, key=jax.random.key(0))),
    "feature_alpha_dropout": ([(2, 3, 2)], lambda x: F.feature_alpha_dropout(x, training=True, key=jax.random.key(0))),
}
