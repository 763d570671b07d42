"""Rows of the table: shape."""

import funnn.functional as F
from tests.cases._case import case

LAYERS = [
    case("Flatten", inputs=((2, 3, 4),)),
    case("Flatten", 0, 1, inputs=((2, 3, 4),)),
    case("Unflatten", 1, (3, 2), inputs=((2, 6),)),
]

FUNCTIONS = {
    "flatten": ([(2, 3)], F.flatten),
    "unflatten": ([(2, 6)], lambda x: F.unflatten(x, 1, (2, 3))),
}
