"""Rows of the table: activation."""

import funnn.functional as F
from tests.cases._case import case

LAYERS = [
    case("ReLU"),
    case("Tanh"),
    case("Sigmoid"),
    case("Softmax", dim=1),
    case("LogSoftmax", dim=-1),
]

FUNCTIONS = {
    "log_softmax": ([(2, 3)], lambda x: F.log_softmax(x, 1)),
    "relu": ([(2, 3)], F.relu),
    "sigmoid": ([(2, 3)], F.sigmoid),
    "softmax": ([(2, 3)], lambda x: F.softmax(x, 1)),
    "tanh": ([(2, 3)], F.tanh),
}
