"""Rows of the table: loss."""

import jax.numpy as jnp
import numpy as np

import funnn.functional as F
from tests.cases._case import Int, case

LOGITS = ((4, 5), Int((4,), 5))
WEIGHTS = np.array([0.5, 1.0, 2.0, 0.25, 3.0], np.float32)

LAYERS = [
    case("MSELoss", inputs=((4, 3), (4, 3))),
    case("MSELoss", reduction="sum", inputs=((4, 3), (4, 3))),
    case("L1Loss", reduction="none", inputs=((4, 3), (4, 3))),
    case("NLLLoss", inputs=LOGITS),
    case("NLLLoss", weight=WEIGHTS, ignore_index=2, inputs=((4, 5, 3), Int((4, 3), 5))),
    case("CrossEntropyLoss", inputs=LOGITS),
    case("CrossEntropyLoss", weight=WEIGHTS, label_smoothing=0.1, inputs=LOGITS),
    case("CrossEntropyLoss", reduction="sum", inputs=((4, 5), (4, 5))),
]

FUNCTIONS = {
    "cross_entropy": ([(2, 3), (3,)], lambda x, w: F.cross_entropy(x, jnp.array([0, 1]), jnp.square(w), label_smoothing=0.1)),
    "l1_loss": ([(2, 3), (2, 3)], F.l1_loss),
    "mse_loss": ([(2, 3), (2, 3)], F.mse_loss),
    "nll_loss": ([(2, 3)], lambda x: F.nll_loss(x, jnp.array([0, 1]))),
}
